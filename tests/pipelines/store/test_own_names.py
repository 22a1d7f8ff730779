"""A job may name a folder as its store that holds other things: nights and prunes leave them all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lookalike.embedding import attempts
from lookalike.store import kept, own_names
from lookalike.store.generations import names
from lookalike.store.leftovers import clean_up
from lookalike.store.prune import prune
from tests.conftest import picture
from tests.pipelines.store.test_kept import table, write
from tests.support.small_stores import ENCODER, Bucket, SmallStore

OF_OTHERS = (
    *(
        "runs/exp1/events.out",
        "attempts/first.txt",
        "generations/v1/model.bin",
        "generations/v1/manifest.json",
    ),
    *("indexes/mine/x.bin", "indexes/y.bin", "encoders/mine/weights.h5", "reports/mine.txt", "notes/n.md"),
    *(
        "embeddings/mine.parquet",
        "embeddings/mine/a.parquet",
        "embeddings/mine/a.json",
        "embeddings/notes.txt",
    ),
    *(
        f"embeddings/{ENCODER[:16]}/notes.txt",
        "kept/x.parquet",
        "kept/a/x.parquet",
        "standing/looks/notes.txt",
    ),
    *(f"kept/{ENCODER[:16]}/notes.txt", "standing/mine/a.txt", "latest.json"),
)


def of_others(root: Path) -> set[str]:
    for name in OF_OTHERS:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    for path in [*root.rglob("*"), root]:
        os.utime(path, (1, 1))
    return set(OF_OTHERS)


def test_nights_and_prunes_delete_nothing_of_others(tmp_path):
    small = SmallStore(tmp_path / "store")
    mine = of_others(small.root)
    made = [small.publish(night, shards) for night, shards in enumerate([("a0",), ("a1",), ("b0",)])]
    write(small.path, table())
    kept.replace_rows(small.path, ENCODER, table())
    assert names(small.path) == [generation.name for generation in made]
    done = prune(small.path, 1)
    assert len(done.deleted) == 2
    assert mine <= small.files
    (small.root / "runs" / ("0" * 32)).mkdir()
    (small.root / "attempts" / ("0" * 32)).touch()
    clean_up(small.path)
    attempts.forget(small.path)
    assert mine <= small.files
    assert os.listdir(small.root / "runs") == ["exp1"]
    assert os.listdir(small.root / "attempts") == ["first.txt"]


def test_behind_a_url_neither(monkeypatch):
    bucket = Bucket(monkeypatch)
    bucket.objects = {f"mem://b/store/{name}": (b"mine", 0) for name in OF_OTHERS}
    before = set(bucket.objects)
    bucket.objects[f"mem://b/store/runs/{'0' * 32}/w.json"] = (b"1", 0)
    bucket.objects[f"mem://b/store/attempts/{'0' * 32}"] = (b"1", 0)
    clean_up("mem://b/store")
    attempts.forget("mem://b/store")
    assert set(bucket.objects) == before


def test_a_whole_job_in_such_a_folder(job, pictures):
    (job.folder / "looks").mkdir()
    (job.folder / "looks" / "a.jpg").write_bytes(picture(3))
    job.set(standing=[{"name": "looks", "queries": str(job.folder / "looks")}], retention={"generations": 1})
    mine = of_others(job.store)
    for count in (8, 10):
        job.pack(dict(list(pictures.items())[:count]))
        job.nightly()
    assert len(names(str(job.store))) == 1
    assert mine <= {str(path.relative_to(job.store)) for path in job.store.rglob("*")}


@pytest.mark.parametrize("folder", ["runs", "attempts"])
@pytest.mark.parametrize("held", [(), ("0" * 32,), ("0" * 32, f".{'1' * 32}.tmp-7")])
def test_a_folder_of_runs_goes_with_the_last_of_them(tmp_path, folder, held):
    (tmp_path / folder).mkdir()
    for name in held:
        (tmp_path / folder / name).write_bytes(b"")
    assert own_names.of_runs(str(tmp_path / folder)) == [str(tmp_path / folder)]


@pytest.mark.parametrize(
    ("is_ours", "name"),
    [
        (own_names.is_artifact, f"encoders/{'a' * 64}"),
        (own_names.is_artifact, f"indexes/00000-of-00001-{'a' * 16}"),
        (own_names.is_artifact, f"indexes/00000-of-00001-{'a' * 16}-added"),
        (own_names.is_artifact, f"embeddings/{'a' * 16}/a.tar-{'b' * 16}.parquet"),
        (own_names.is_generation, "20260101T020000Z-0f3a9c21"),
        (own_names.is_kept, f"kept/{'a' * 16}.arrow"),
        (own_names.is_kept, f"kept/{'a' * 16}/x-00000.ids.arrow"),
        (own_names.is_answers, "20260101T020000Z-0f3a9c21-0123456789ab"),
    ],
)
def test_what_somebody_made_of_a_name_of_ours_is_his(is_ours, name):
    assert is_ours(name)
    assert not any(map(is_ours, (f"{name}.bak", f"{name}/copy", f"old {name}")))
