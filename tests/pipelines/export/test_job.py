"""What is exported is what is served: once, as it is stored, and whole or not at all."""

from __future__ import annotations

import json
import os
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.export import job as export_job
from lookalike.export.job import MANIFEST, export, export_report
from lookalike.export.writers import EMBEDDING, FORMATS
from lookalike.filesystem import files
from lookalike.model.errors import LookalikeError
from lookalike.store import exclusions
from lookalike.store.generations import names
from tests.conftest import picture, tune
from tests.support.small_stores import Bucket


def vectors_of(table: pa.Table) -> dict[str, list[float]]:
    return dict(zip(table["item_id"].to_pylist(), table[EMBEDDING].to_pylist(), strict=True))


def exported(job, name: str = "vectors", **options) -> pa.Table:
    out = job.folder / name
    export(job.loaded, str(out), **options)
    return pq.read_table(out)


def test_vectors_and_metadata_are_those_of_the_embedding_files(copied):
    found = exported(copied)
    assert found.column_names == ["item_id", EMBEDDING, "title", "number"]
    assert vectors_of(found) == vectors_of(copied.embeddings)
    by_id = {row["item_id"]: row for row in copied.embeddings.to_pylist()}
    for row in found.drop_columns(EMBEDDING).to_pylist():
        assert row.items() <= by_id[row["item_id"]].items()
    assert len(found) == 24


@pytest.mark.parametrize("step", [1, 1 << 22])
def test_every_item_asked_by_its_exported_vector_is_its_own_nearest(copied, step, monkeypatch):
    monkeypatch.setattr(export_job, "_NUMBERS_AT_ONCE", step)
    exported(copied)
    assert copied.query(f"{copied.folder}/vectors/part-*.parquet", "-k", 1).code == 0
    results = copied.results
    assert results["query_id"].to_pylist() == results["item_id"].to_pylist()
    assert len(results) == 24


@pytest.mark.parametrize("form", FORMATS)
def test_two_runs_leave_the_same_bytes_and_the_second_takes_the_place_of_the_first(copied, form):
    out = copied.folder / "vectors"
    made = []
    for _ in range(2):
        summary = export(copied.loaded, f"{out}/", form)
        made.append({path.name: path.read_bytes() for path in out.iterdir()})
        assert set(made[-1]) == {*summary.files, MANIFEST}
    assert made[0] == made[1]
    assert json.loads(made[0][MANIFEST])["items"] == 24
    export(copied.loaded, str(out), "npy")
    assert sorted(path.name for path in out.iterdir()) == [MANIFEST, "ids.parquet", "vectors.npy"]


def test_what_is_taken_down_or_gone_is_not_exported_and_additions_and_copies_are(job, monkeypatch):
    monkeypatch.setattr(export_job, "_NUMBERS_AT_ONCE", 1)
    images = {f"{i:02}.jpg": picture(i) for i in range(40)}
    job.pack(images, per_shard=4)
    job.set(index={"grow": 0.9}).nightly()
    first = vectors_of(job.embeddings)
    left = {name: image for name, image in images.items() if name < "36.jpg"}
    job.pack(left | {"99.jpg": images["20.jpg"]}, per_shard=4)
    job.nightly()
    assert len(job.generation["indexes"]) == 2, "an index shard and its addition"
    exclusions.add(str(job.store), ["10.jpg", "no such"])
    found = exported(job)
    expected = left.keys() - {"10.jpg"} | {"99.jpg"}
    assert sorted(found["item_id"].to_pylist()) == sorted(expected)
    assert vectors_of(found) == {name: first[name if name != "99.jpg" else "20.jpg"] for name in expected}
    told = export_report(export(job.loaded, str(job.folder / "vectors")))
    assert told[0].endswith("; 1 left out, as they are taken down")


def test_another_generation_by_its_name(copied):
    (first,) = names(str(copied.store))
    copied.pack({f"{i}.jpg": picture(i) for i in range(8)})
    copied.set(corpus={"shards": str(copied.shards)})
    copied.nightly("--set", "gates.max_shrink_fraction=1")
    assert len(exported(copied)) == 8
    out = copied.folder / "first"
    assert export(copied.loaded, str(out), name=first).items == 24
    with pytest.raises(LookalikeError, match="no-such"):
        export(copied.loaded, str(out), name="no-such")


@pytest.mark.parametrize("form", ["bfloat16", "int8"])
def test_rounded_vectors_are_exported_as_they_are_searched_and_told_so(copied, form):
    copied.set(index={"bytes": form}).nightly()
    found = vectors_of(exported(copied))
    plain = vectors_of(copied.embeddings)
    apart = max(np.abs(np.subtract(found[name], plain[name])).max() for name in plain)
    assert 0 < apart < 0.02
    told = export_report(export(copied.loaded, str(copied.folder / "vectors")))
    assert f"float32, as rounded to {form} in the index" in told[1]


def test_vectors_moved_by_augmentation_are_what_is_exported(tuned):
    tune(tuned, "--database-augmentation", "3,1")
    tuned.nightly()
    found, plain = vectors_of(exported(tuned)), vectors_of(tuned.embeddings)
    assert found.keys() == plain.keys()
    assert found != plain
    assert export_report(export(tuned.loaded, str(tuned.folder / "v")))[1].endswith(
        "moved by database augmentation"
    )


@pytest.mark.parametrize(
    "name", ["photo.jpg", "below/part-00000.parquet", ".hidden", "part-00000.parquet", MANIFEST]
)
def test_a_folder_with_something_else_in_it_is_left_alone(copied, name):
    path = copied.folder / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(
        LookalikeError,
        match=f"or one with an export in it. Received: .*mine, which holds {name.split('/')[0]}",
    ):
        export(copied.loaded, str(copied.folder / "mine"))
    assert path.read_text() == "mine"
    file = copied.folder / "file"
    file.write_text("mine")
    with pytest.raises(LookalikeError, match="Received: the file"):
        export(copied.loaded, str(file))
    with pytest.raises(LookalikeError, match="Expected a format of parquet, npy, fvecs"):
        export(copied.loaded, str(copied.folder / "new"), "csv")


@pytest.mark.parametrize("made", [os.mkdir, lambda path: os.symlink("nowhere", path)])
def test_an_export_beside_which_somebody_put_something_is_left_alone(copied, made):
    out = copied.folder / "vectors"
    exported(copied)
    made(out / "mine")
    with pytest.raises(LookalikeError, match="which holds mine"):
        export(copied.loaded, str(out))
    assert os.path.lexists(out / "mine")


def test_what_is_put_there_meanwhile_is_left_alone(copied, monkeypatch):
    out = copied.folder / "vectors"
    served = export_job.each_served

    def meanwhile(*arguments):
        out.mkdir()
        (out / "mine.txt").write_text("mine")
        return served(*arguments)

    monkeypatch.setattr(export_job, "each_served", meanwhile)
    with pytest.raises(LookalikeError, match=r"which holds mine\.txt"):
        export(copied.loaded, str(out))
    assert os.listdir(out) == ["mine.txt"]


def test_a_link_stays_and_leads_to_the_export(copied):
    (copied.folder / "elsewhere").mkdir()
    (copied.folder / "vectors").symlink_to("elsewhere")
    for _ in range(2):
        exported(copied)
    assert (copied.folder / "vectors").is_symlink()
    assert (copied.folder / "elsewhere" / MANIFEST).exists()


def test_one_that_fails_leaves_what_was_there_and_nothing_else(copied, monkeypatch):
    out = copied.folder / "vectors"
    export(copied.loaded, str(out))
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_job, "_manifest", full)
    with pytest.raises(OSError, match="No space"):
        export(copied.loaded, str(out), "npy")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert not list(copied.folder.glob(".*tmp-*"))


def test_what_a_killed_export_left_is_deleted_a_day_later(copied):
    old, new, other = (copied.folder / name for name in (".vectors.tmp-a", ".vectors.tmp-b", ".other.tmp-c"))
    for folder in (old, new, other):
        folder.mkdir()
        (folder / "part-00000.parquet").write_text("x")
    long_ago = time.time() - 2 * 86400
    for folder in (old, other):
        os.utime(folder / "part-00000.parquet", (long_ago, long_ago))
        os.utime(folder, (long_ago, long_ago))
    exported(copied)
    assert (old.exists(), new.exists(), other.exists()) == (False, True, True)


def test_behind_a_url_the_list_comes_last_and_old_parts_go(copied, monkeypatch):
    monkeypatch.setenv("LOOKALIKE_CACHE", str(copied.folder / "cache"))
    Bucket(monkeypatch)
    out = "mem://b/vectors"
    summary = export(copied.loaded, out, "fvecs")
    assert sorted(file.path for file in files.list_files(out)) == [
        f"{out}/{name}" for name in (MANIFEST, *sorted(summary.files))
    ]
    monkeypatch.setattr(export_job, "_manifest", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(copied.loaded, out)
    left = [f"{out}/{name}" for name in (export_job.UNFINISHED, "part-00000.parquet")]
    assert [file.path for file in files.list_files(out)] == left
    monkeypatch.undo()
    monkeypatch.setenv("LOOKALIKE_CACHE", str(copied.folder / "cache"))
    Bucket(monkeypatch)
    files.write_bytes(f"{out}/part-00000.parquet", b"mine")
    with pytest.raises(LookalikeError, match="which holds part-00000"):
        export(copied.loaded, out)
    files.write_bytes(f"{out}/{export_job.UNFINISHED}", b"{}")
    export(copied.loaded, out, "npy")
    assert {file.path for file in files.list_files(out)} == {
        f"{out}/{name}" for name in (MANIFEST, "ids.parquet", "vectors.npy")
    }
