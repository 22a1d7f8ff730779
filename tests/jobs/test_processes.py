"""Commands in processes of their own, where every import is a first one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from pydicom.data import get_testdata_file

from lookalike.index import cheapest, tuning
from lookalike.store.index_manifest import SearchSettings
from tests.conftest import SPEC, Job, picture, tiny_network
from tests.support.places import ROOT

WATCH = ROOT / "tests" / "support" / "import_watch.py"
COMMAND = [sys.executable, "-c", "from lookalike.cli.main import main; main()"]
WATCHED = [sys.executable, "-P", str(WATCH)]
TIMES = int(os.environ.get("LOOKALIKE_PROCESSES", "6"))
KINDS = ("images", "vectors", "ids")


def lookalike(command: list[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    words = [*command, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, env=environment, check=False)


def with_queries(job: Job, pictures: dict[str, bytes]) -> Job:
    """Publishes, and lays a query file of each kind into the job's folder."""
    job.pack(pictures, per_shard=4096)
    job.nightly()
    job.query_file(dict(list(pictures.items())[:5]))
    rows = pq.read_table(job.store / next(iter(job.notes.values()))["path"]).slice(0, 5)
    pq.write_table(rows.select(["item_id", "embedding"]), job.folder / "vectors.parquet")
    (job.folder / "ids.txt").write_text("\n".join(rows["item_id"].to_pylist()))
    return job


def queries(job: Job, kind: str) -> Path:
    return job.folder / {"images": "queries", "vectors": "vectors.parquet", "ids": "ids.txt"}[kind]


@pytest.fixture(scope="module", params=["brute_force", "ah", "tree"])
def asked(request, tmp_path_factory, encoder, pictures) -> Job:
    """A small catalogue with an index of each algorithm."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            cheapest, "ways_to_build", lambda count, *_: [tuning.parameters_for(count, request.param)]
        )
        # So few pictures would be compared one by one, whatever the index.
        settings = (SearchSettings(10, 2 if request.param == "tree" else 0, 20, 0.99, {}),)
        patch.setattr(cheapest, "tune", lambda *_: (settings, None))
        job = with_queries(Job(tmp_path_factory.mktemp(request.param), encoder), pictures)
    assert [ref["algorithm"] for ref in job.generation["indexes"]] == [request.param]
    return job


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind", KINDS)
def test_every_algorithm_answers_every_kind_of_query(asked, kind) -> None:
    done = asked.query(queries(asked, kind), "-k", 3)
    assert done.code == 0, done
    found = asked.results.filter(np.equal(asked.results["rank"], 1))
    assert found["query_id"].to_pylist() == found["item_id"].to_pylist()
    assert len(found) == 5


@pytest.mark.timeout(600)
@pytest.mark.parametrize("asked", ["ah"], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "around",
    [
        pytest.param(contextlib.nullcontext, id="idle", marks=pytest.mark.alone),
        pytest.param(busy_core, id="busy", marks=pytest.mark.slow),
    ],
)
def test_a_fresh_process_answers_every_time(asked, kind, around, tmp_path) -> None:
    with around():
        for _ in range(TIMES):
            done = lookalike(COMMAND, "query", "-c", asked.config, queries(asked, kind), "-o", tmp_path)
            assert (done.returncode, done.stderr) == (0, ""), done


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_catalogue_above_the_size_of_brute_force(job, tmp_path) -> None:
    pictures = {f"{i:05}.jpg": picture(i) for i in range(20_500)}
    job.set(gates={"min_recall": 0.9})  # quantised codes of 16 dimensions are coarse
    with_queries(job, pictures)
    assert [ref["algorithm"] != "brute_force" for ref in job.generation["indexes"]] == [True]
    for kind in KINDS:
        done = lookalike(COMMAND, "query", "-c", job.config, queries(job, kind), "-o", tmp_path / kind)
        assert done.returncode == 0, done
        first = pq.read_table(tmp_path / kind / "results.parquet", filters=[("rank", "==", 1)])
        assert len(first) == 5
        assert first["item_id"].to_pylist() == first["query_id"].to_pylist()


def dicom() -> bytes:
    """One that is compressed."""
    name = "MR_small_jpeg_ls_lossless.dcm"
    return Path(str(get_testdata_file(name, download=False))).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["int8", "float"])
def test_a_night_and_its_queries_import_in_order(
    make_encoder, pictures, tmp_path, monkeypatch, variant
) -> None:
    make_encoder(tmp_path / "encoder", variant=variant)
    monkeypatch.setattr(tuning, "_BRUTE_FORCE_BELOW", 17)
    job = with_queries(Job(tmp_path, tmp_path / "encoder"), pictures | {"x-ray.dcm": dicom()})
    (tmp_path / "queries" / "x-ray.dcm").write_bytes(dicom())
    commands: list[list[object]] = [["query", queries(job, "images"), "-o", tmp_path / "answers"]]
    if variant == "int8":
        commands += [["query", queries(job, "vectors"), "-o", tmp_path / "answers"], ["nightly"]]
        commands += [
            ["evaluate", "--queries", job.shards, "--relevance", "title", "-o", tmp_path / "quality"]
        ]
    for words in commands:
        store = ["--set", f"store={tmp_path / 'new'}"] if words == ["nightly"] else []
        done = lookalike(WATCHED, *words, "-c", job.config, *store)
        assert done.returncode in (0, 3), done  # titles differ: nothing can be measured


@pytest.mark.slow
def test_training_imports_in_order(pictures, tmp_path) -> None:
    tiny_network().save(tmp_path / "tiny.keras")
    for number, (name, image) in enumerate(pictures.items()):
        path = tmp_path / "photos" / "abc"[number % 3] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    for folder in "abc":
        (tmp_path / "photos" / folder / "x-ray.dcm").write_bytes(dicom())
    network = {"name": str(tmp_path / "tiny.keras"), "layer": "features", "preprocessing": SPEC, "dim": 8}
    settings = {"run": str(tmp_path / "run"), "network": network, "epochs": 1, "batch_size": 8}
    settings["corpus"] = {"shards": str(tmp_path / "photos")}
    settings["validation"] = {"share": 0.25}
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(settings))
    done = lookalike(WATCHED, "train", "-c", tmp_path / "train.yaml")
    assert done.returncode == 0, done
    sample = ["--sample", tmp_path / "photos", "--dim", 8]
    done = lookalike(WATCHED, "encoder", "build", tmp_path / "bundle", "--network", tmp_path / "run", *sample)
    assert done.returncode == 0, done
