"""The entry of the command line, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

STREAMS = """
import os, sys
from pathlib import Path
from lookalike import __main__
import lookalike.cli.main

def command():
    print("x")
    print("x", file=sys.stderr)
    with open("opened", "wb"):
        Path("found").write_text(" ".join(os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)))

lookalike.cli.main.main = command
__main__.main()
"""
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
MULTIPLY = """
import sys, time
from types import ModuleType
from lookalike import __main__

def command():
    import numpy as np
    square = np.ones((1000, 1000), np.float32)
    square @ square
    before = time.process_time()
    time.sleep(0.3)
    print(time.process_time() - before)

commands = sys.modules["lookalike.cli.main"] = ModuleType("main")
commands.main = command
__main__.main()
"""
ENDS = """
import atexit, sys, threading, time
from pathlib import Path
from types import ModuleType
from lookalike import __main__

def later():
    time.sleep(0.2)
    Path("thread").touch()

def command():
    atexit.register(Path("closed").touch)
    threading.Thread(target=later).start()
    print("said", end="")
    END

commands = sys.modules["lookalike.cli.main"] = ModuleType("main")
commands.main = command
__main__.main()
"""


def test_a_command_that_uses_duckdb_prints_nothing_of_its_own_at_the_end():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("3\n", "")


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "<&- >&-", ">&-", "2>&-"])
def test_no_file_gets_the_number_of_a_stream_that_was_closed(tmp_path, closed):
    command = ["sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-c", STREAMS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, stdin=subprocess.DEVNULL, check=True)
    found = (tmp_path / "found").read_text().split(" ")
    assert [place == os.devnull or place.startswith("pipe:") for place in found] == [True] * 3
    assert done.stderr.strip() == (b"" if "2>" in closed else b"x")


def test_threads_that_multiplied_leave_the_cores_to_others():
    done = subprocess.run([sys.executable, "-c", MULTIPLY], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.03


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("pass", 0),
        ("sys.exit()", 0),
        ("sys.exit(4)", 4),
        ("sys.exit('no')", 1),
        ("1 / 0", 1),
    ],
)
def test_what_is_open_is_closed_and_the_code_is_the_commands(tmp_path, end, code):
    program = ENDS.replace("END", end)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (code, b"said")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["closed", "thread"]
