"""Memory: the machine's, or less where a control group grants less."""

import os
import subprocess
import sys

import pytest

from lookalike.model.memory import memory

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("", {}, MACHINE),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "1048576\n"}, 1048576),
        ("0::/a\n", {"a/memory.max": f"{MACHINE * 2}\n"}, MACHINE),
        ("4:memory:/a\n2:cpu:/a\n", {"memory/a/memory.limit_in_bytes": "4096\n"}, 4096),
        ("4:memory:/a\n", {"memory/memory.limit_in_bytes": "8192\n"}, 8192),
    ],
)
def test_it_is_the_least_that_machine_and_groups_grant(tmp_path, groups, files, expected):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert memory(tmp_path) == expected


def test_without_control_groups_it_is_the_machines(tmp_path):
    assert memory(tmp_path) == MACHINE


PICTURES = """
import resource
from lookalike.model.memory import keep_freed_memory

keep_freed_memory()
for size in range(5_000_000, 5_000_000 + 40 * 4096, 4096):  # each larger than those before
    picture = b"x" * size
    del picture
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="malloc of glibc")
def test_what_a_picture_took_is_used_again_for_the_next():
    def pages(program: str) -> int:
        return int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)

    assert pages(PICTURES) < pages(PICTURES.replace("keep_freed_memory()", "")) - 20_000
