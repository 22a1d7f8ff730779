"""The short form of `python -m tests.hostile`: files that ask for gigabytes, and damaged images, through jobs."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import mutate_images
from tests.conftest import picture
from tests.hostile import bombs, memory
from tests.hostile.jobs import HostileJob

pytestmark = pytest.mark.slow
GIB = 1 << 30
SLOW = ("many_scans.jpg",)
"""What is rejected for the time that it takes: a minute, tested by itself in tests/model/images."""


def test_no_bomb_takes_more_than_two_gibibytes_and_each_is_one_reject(tmp_path: Path, encoder: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    good = {f"good{number}.jpg": picture(number) for number in range(8)}
    made = {name: make() for name, make in (bombs.PICTURES | bombs.ALLOWED).items() if name not in SLOW}
    for name, data in (good | made).items():
        (pictures / name).write_bytes(data)
    bombs.sparse_file(pictures / "sparse.jpg")
    bombs.tar_with_a_huge_member(tmp_path / "member.tar.gz", picture(100), GIB)
    bombs.parquet_of_one_value(tmp_path / "dictionary.parquet", rows=200)
    inputs = [str(pictures), str(tmp_path / "member.tar.gz"), str(tmp_path / "dictionary.parquet")]
    job = HostileJob(tmp_path / "job", encoder, inputs)

    night = job.run("nightly")
    assert night.code in (0, 3), night
    assert night.peak < 2 * GIB
    rejected = Counter(row["item_id"] for row in job.rejects if not str(row["item_id"]).startswith("row"))
    bad = made.keys() - bombs.ALLOWED.keys() | {"sparse.jpg"}
    assert rejected == Counter([*bad, "b"]), job.rejects
    assert set(job.embedded) == good.keys() | bombs.ALLOWED.keys() | {"a", "c"}

    for path, failed in ((pictures, bad), (tmp_path / "member.tar.gz", {"b"})):
        asked = job.query(path)
        assert asked.code == 0, asked
        assert asked.peak < 2 * GIB
        assert {row["query_id"] for row in job.failures} == failed


def test_damaged_images_of_all_formats_end_no_job(tmp_path: Path, encoder: Path) -> None:
    corpus = tmp_path / "mutants"
    corpus.mkdir()
    count = 600
    for number, (name, data) in enumerate(mutate_images.mutants(count, seed=18)):
        (corpus / f"{number:04} {name}.bin").write_bytes(data)
    job = HostileJob(tmp_path / "job", encoder, [str(corpus)])
    night = job.run("nightly")
    assert night.code == 0, night
    assert len(job.embedded) + len(job.rejects) == count
    assert 50 < len(job.embedded) < count - 50


def test_the_memory_of_a_process_and_of_those_below_is_seen() -> None:
    held = "import numpy as np, time; kept = np.ones(100 << 20, np.uint8); time.sleep(0.5); print('here')"
    below = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {held!r}]); {held}"
    ended = memory.run([sys.executable, "-c", below])
    assert (ended.code, ended.text) == (0, "here\nhere\n")
    assert 100 << 20 < ended.peak < 190 << 20
