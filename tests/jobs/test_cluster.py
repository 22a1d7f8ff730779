"""A night on a Dask cluster whose workers are killed in the middle: all that comes of it is what one process makes.

`make cluster-test`; processes of their own, on loopback only, that end with this one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import pyarrow.parquet as pq
import pytest
import yaml

from lookalike.demo.catalogue import built_in_photographs
from lookalike.store.generation import read_current
from lookalike.store.generations import served_notes
from tests.conftest import run
from tests.support.counting_worker import COUNTED
from tests.support.dask_processes import DaskProcesses
from tests.support.places import ROOT

pytest.importorskip("distributed")
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

CLOTHING = ROOT.parent / "shared" / "data" / "clothing" / "train"
PER_SHARD = 16
SHARDS = 24
SECONDS = 240
"""For a night."""


def photographs(folder: Path) -> None:
    """Writes `PER_SHARD * SHARDS` photographs: clothing, or crops of those that come with packages."""
    found = sorted(CLOTHING.rglob("*.jpg"))[:: 3068 // (PER_SHARD * SHARDS)] if CLOTHING.is_dir() else []
    sources = found or [*built_in_photographs().values()]
    for number in range(PER_SHARD * SHARDS):
        source = sources[number % len(sources)]
        target = folder / f"{number // PER_SHARD:02}" / source.parent.name / f"{number:04}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        if found:
            shutil.copy(source, target)
        else:
            start = number // len(sources)
            cv2.imwrite(str(target), cv2.imread(str(source))[start : start + 300, start : start + 400])


@dataclass(frozen=True)
class Night:
    """A corpus and an encoder, and what a night in one process made of them."""

    folder: Path

    def job(self, name: str, **settings: Any) -> Path:
        """A job file with a store of its own, all of it as relative paths of the folder."""
        path = self.folder / name / "job.yaml"
        path.parent.mkdir(exist_ok=True)
        job = {
            "corpus": {"shards": "shards/*.tfrecord"},
            "encoder": "encoder",
            "store": f"{name}/store",
            "embed": {"threads": 1},
            "index": {"threads": 1, "shard_vectors": PER_SHARD},
        }
        path.write_text(yaml.safe_dump({**job, **settings}))
        return path


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("night")
    photographs(folder / "images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "shards").mkdir()
        for number in range(SHARDS):
            done = run(
                "pack", f"images/{number:02}", "packed", "--format", "tfrecord", "--images-per-shard", 1000
            )
            assert done.code == 0, done
            (packed,) = (folder / "packed").glob("*.tfrecord")
            packed.rename(folder / "shards" / f"{number:02}.tfrecord")
            shutil.rmtree(folder / "packed")
        # All of its ids are those of another shard.
        shutil.copy(folder / "shards" / "03.tfrecord", folder / "shards" / "twice.tfrecord")
        samples = [word for number in range(5) for word in ("--sample", f"images/{number:02}")]
        built = run("encoder", "build", "encoder", "--dim", 64, *samples)
        assert built.code == 0, built
        night = Night(folder)
        done = run("nightly", "-c", night.job("local"))
        assert done.code == 0, done
        yield night


def until(ready: Callable[[], Any], child: subprocess.Popen[str]) -> None:
    """Waits in short steps; a child that ends meanwhile is told of."""
    end = time.monotonic() + SECONDS
    while not ready():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def nightly(job: Path, flags: list[str]) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "lookalike",
        "nightly",
        "-c",
        f"{job.parent.name}/{job.name}",
        "--",
        *flags,
    ]
    return subprocess.Popen(
        command, cwd=job.parent.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def met(path: Path) -> list[str]:
    """Digests of the images that met the network, in any worker."""
    return [line.split()[1] for line in path.read_text().splitlines()]


def is_unfinished(path: Path) -> bool:
    """What a killed worker leaves until the next run."""
    return any(part.startswith(".") and ".tmp-" in part for part in path.parts)


def made(store: Path) -> dict[str, Any]:
    """What a night made, by name: contents of files, but for times and names of generations."""
    found: dict[str, Any] = {}
    for path in sorted(path for part in ("embeddings", "indexes") for path in (store / part).rglob("*")):
        if path.is_file() and not is_unfinished(path):
            content: Any = path.read_bytes()
            if path.suffix == ".json":
                content = _without_times(json.loads(content))
            found[str(path.relative_to(store))] = content
    served = read_current(str(store))
    folder = store / "generations" / served.name
    found["duplicates"] = pq.read_table(folder / "duplicates.parquet").to_pylist()
    found["shards"] = [_without_times(asdict(note)) for note in served_notes(str(store), served)]
    manifest = json.loads((folder / "manifest.json").read_bytes())
    found["manifest"] = _without_times(manifest | {"shards": None})
    return found


def _without_times(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_times(one) for one in value]
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if k not in ("seconds", "created", "name")}
    return value


def test_a_night_whose_workers_are_killed_makes_what_one_process_makes(night, tmp_path, monkeypatch):
    store = night.folder / "cluster" / "store"
    counted = tmp_path / "counted"
    counted.touch()
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {"PYTHONPATH": path, COUNTED: str(counted)}
    with DaskProcesses(tmp_path / "dask", 2, environment, "tests.support.counting_worker") as cluster:
        first, second = cluster.workers
        child = nightly(night.job("cluster"), cluster.flags)
        until(lambda: len([*store.glob("embeddings/*/*.json")]) >= 4, child)
        first.kill()
        notes = [*store.glob("embeddings/*/*.json")]
        assert len(notes) < SHARDS
        finished = {path: path.stat().st_mtime_ns for path in (n.with_suffix(".parquet") for n in notes)}
        cluster.add_worker()
        until(lambda: [*store.glob("indexes/*/manifest.json")], child)
        second.kill()
        local = night.folder / "local" / "store"
        assert len([*store.glob("indexes/*/manifest.json")]) < len([*local.glob("indexes/*")])
        out, err = child.communicate(timeout=SECONDS)
        assert child.returncode == 0, (out, err, cluster.logs)
        assert "Traceback" not in err
        assert {path: path.stat().st_mtime_ns for path in finished} == finished, "finished shards stay"
        images = met(counted)
        assert len({*images}) == PER_SHARD * SHARDS
        number = PER_SHARD * (SHARDS + 1)
        assert number <= len(images) <= number + PER_SHARD, "only the lost worker's shard is embedded twice"
        assert made(store) == made(local)

        # Contents that are known do not meet the network, whatever their shards are called.
        shutil.copytree(night.folder / "shards", night.folder / "renamed")
        for shard in (night.folder / "renamed").iterdir():
            shard.rename(shard.with_name(f"new-{shard.name}"))
        renamed = {"corpus": {"shards": "renamed/*.tfrecord"}, "store": "cluster/store"}
        child = nightly(night.job("renamed", **renamed), cluster.flags)
        out, err = child.communicate(timeout=SECONDS)
        assert child.returncode == 0, (out, err, cluster.logs)
        assert len(met(counted)) == len(images)
        assert not [path for path in store.rglob("*") if is_unfinished(path)]

        monkeypatch.chdir(night.folder)
        assert (
            run("nightly", "-c", night.job("local-renamed", **renamed | {"store": "local/store"})).code == 0
        )
        by_workers = answers("renamed", cluster.flags)
        assert by_workers == answers("local-renamed")


def answers(name: str, flags: Sequence[str] = ()) -> dict[str, Any]:
    """The tables of a query and of an evaluation; paths are relative to this process's folder."""
    job, out = Path(name, "job.yaml"), Path(name, "answers")
    asked = run("query", "images/05", "-c", job, "-o", out, "--", *flags)
    assert asked.code == 0, asked
    relevance = ("--queries", "images/06", "--relevance", "directory")
    evaluated = run("evaluate", "-c", job, *relevance, "--no-plots", "-o", out / "evaluation")
    assert evaluated.code == 0, evaluated
    tables = sorted(out.rglob("*.parquet"))
    assert {"results.parquet", "failures.parquet"} <= {path.name for path in tables}
    return {str(path.relative_to(out)): pq.read_table(path).to_pylist() for path in tables}
