"""A process with a limit: what it keeps out, and what an import may take."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import numpy as np
from lookalike.model.memory_limit import limit_memory, taken, unlimited

def fits(megabytes):
    try:
        np.ones(megabytes << 20, np.uint8)
    except MemoryError:
        return False
    return True

before = taken()
held = np.ones(64 << 20, np.uint8)
assert 60 << 20 < taken() - before < 70 << 20
assert fits(200)
with unlimited():
    assert fits(200)
limit_memory(100 << 20)
assert fits(90)
assert not fits(110)
with unlimited():
    library = np.ones(150 << 20, np.uint8)
assert fits(90), "what an import took counts"
assert not fits(110)
try:
    with unlimited():
        raise ValueError
except ValueError:
    pass
assert not fits(110), "the limit is gone"
limit_memory(200 << 20)
assert fits(190)
print("done")
"""


def test_what_fits_is_what_was_granted_and_imports_come_on_top() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("done\n", "")


LIMITED = """
import resource
from lookalike.model.memory_limit import limit_memory, set_limit, taken, unlimited

most = taken() + (100 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
limit_memory(200 << 20)
assert resource.getrlimit(resource.RLIMIT_DATA) == (most, most)
with unlimited():
    assert resource.getrlimit(resource.RLIMIT_DATA) == (most, most)
limit_memory(50 << 20)
assert resource.getrlimit(resource.RLIMIT_DATA)[0] < most
set_limit(resource.RLIMIT_CPU, 60)
assert resource.getrlimit(resource.RLIMIT_CPU) == (30, 30)
print("done")
"""


def test_a_limit_that_was_set_from_outside_stays() -> None:
    ended = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("done\n", "")
