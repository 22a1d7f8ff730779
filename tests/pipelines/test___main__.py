"""The entry of the command line, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from lookalike import __main__
import lookalike.cli.main

def command():
    import pyarrow as pa
    from lookalike.store.database import database
    with database(None) as connection:
        rows = pa.table({"id": [2, 3]})
        connection.register("rows", rows)
        print(connection.execute("SELECT max(id) FROM rows").fetchone()[0])

lookalike.cli.main.main = command
__main__.main()
"""


def test_a_command_that_uses_duckdb_prints_nothing_of_its_own_at_the_end():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("3\n", "")
