"""A picture that ends the process which decodes it: the next attempt rejects it by name, and goes on."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from tests.conftest import Job, picture
from tests.support.fragile import FATAL
from tests.support.places import ROOT

pytestmark = pytest.mark.slow
REASON = "JPEG: its decoder ended by SIGSEGV"


def lookalike(job: Job, command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    job.config.write_text(yaml.safe_dump(job.settings))
    words = [sys.executable, "-m", "tests.support.fragile", command, "--config", job.config, *arguments]
    return subprocess.run(
        list(map(str, words)), capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )


def test_the_next_night_rejects_the_picture_that_ended_the_last_one(
    job: Job, pictures: dict[str, bytes]
) -> None:
    job.pack(pictures | {"p05x.jpg": picture(99) + FATAL}, per_shard=8)
    assert lookalike(job, "nightly").returncode == -11
    assert list((job.store / "attempts").iterdir())

    second = lookalike(job, "nightly")
    assert second.returncode == 0, second
    assert "a worker ended in the middle of this shard" in second.stderr
    assert [(row["item_id"], row["stage"], row["error"]) for row in job.rejects] == [
        ("p05x.jpg", "decode", REASON)
    ]
    assert sorted(job.embeddings["item_id"].to_pylist()) == sorted(pictures)
    assert job.generation["counts"]["rejected"] == 1
    assert not (job.store / "attempts").exists()

    assert lookalike(job, "nightly").returncode == 0


def test_the_next_query_job_fails_the_query_that_ended_the_last_one(copied: Job) -> None:
    folder = copied.query_file(
        {"bad.jpg": picture(98) + FATAL, "good.jpg": picture(3), "other.jpg": picture(4)}
    )
    arguments = (folder, "--out", copied.folder / "out", "--format", "parquet")
    assert lookalike(copied, "query", *arguments).returncode == -11

    second = lookalike(copied, "query", *arguments)
    assert second.returncode == 0, second
    assert "was ended" in second.stderr
    assert [(row["query_id"], row["stage"], row["error"]) for row in copied.failures] == [
        ("bad.jpg", "decode", REASON)
    ]
    assert set(copied.results["query_id"].to_pylist()) == {"good.jpg", "other.jpg"}
    assert sorted(path.name for path in (copied.folder / "out").iterdir()) == [
        "failures.parquet",
        "query.json",
        "results.parquet",
    ]
