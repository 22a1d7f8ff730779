"""`lookalike duplicates` as a whole: copies are planted among pictures, and found again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import pyarrow.parquet as pq
import pytest

from lookalike.duplicates import job as module
from lookalike.duplicates import limiting
from lookalike.duplicates.results import KINDS, SCHEMA
from tests.conftest import Job, Outcome, run
from tests.support.drawn import as_file, drawn

PLANTED = {
    "00-again.png": "equal bytes",
    "01-other.bmp": "equal pixels",
    "02-small.jpg": "near copy",
    "03-flipped.png": "near copy",
    "04-large.png": "near copy",
}


def pictures() -> dict[str, bytes]:
    """20 pictures, and copies of some: equal in bytes, in pixels, and in neither."""
    images = {f"{n:02}.png": as_file(drawn(n)) for n in range(20)}
    images["00-again.png"] = images["00.png"]
    images["01-other.bmp"] = as_file(drawn(1), ".bmp")
    smaller = cv2.resize(drawn(2), None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    images["02-small.jpg"] = as_file(smaller, ".jpg")
    images["03-flipped.png"] = as_file(drawn(3)[:, ::-1])
    larger = cv2.resize(drawn(4), None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
    images["04-large.png"] = as_file(larger)
    return images


@pytest.fixture(scope="module")
def planted(tmp_path_factory, encoder) -> Job:
    """Them, published; not to be changed."""
    job = Job(tmp_path_factory.mktemp("planted"), encoder)
    job.pack(pictures())
    job.nightly()
    return job


@pytest.fixture
def mine(planted, tmp_path) -> Job:
    """The same with an output folder and a store of the test's own."""
    shutil.copytree(planted.store, tmp_path / "store")
    job = Job(tmp_path, Path(planted.settings["encoder"]))
    job.settings["corpus"] = planted.settings["corpus"] | {"shards": str(planted.shards)}
    return job


def found(job: Job, *arguments: object) -> list[dict[str, Any]]:
    done = job.run("duplicates", "--out", job.folder / "found", *arguments)
    assert done.code == 0, done
    return pq.read_table(job.folder / "found" / "duplicates.parquet").to_pylist()


def gone(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Item that could go -> what is kept."""
    return {row["item_id"]: row["representative_id"] for row in rows if not row["keep"]}


def refused(job: Job, *arguments: object) -> str:
    done = job.run("duplicates", "--out", job.folder / "found", *arguments)
    assert done.code == 2, done
    assert not list((job.folder / "found").glob("*")) if (job.folder / "found").exists() else True
    return done.sentence


def test_copies_are_found_by_kind(mine) -> None:
    rows = found(mine)
    kinds = {row["item_id"]: row["kind"] for row in rows if not row["keep"]}
    assert gone(rows) == {
        "00.png": "00-again.png",
        "01.png": "01-other.bmp",
        "02-small.jpg": "02.png",
        "03.png": "03-flipped.png",
        "04.png": "04-large.png",
    }
    assert set(kinds.values()) == set(KINDS)
    assert (kinds["00.png"], kinds["01.png"]) == ("equal bytes", "equal pixels")
    assert [row["group"] for row in rows] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert [row["keep"] for row in rows] == [True, False] * 5
    assert all(row["kind"] is None and row["score"] == 1 for row in rows if row["keep"])
    assert pq.read_schema(mine.folder / "found" / "duplicates.parquet").names == SCHEMA.names
    told = json.loads((mine.folder / "found" / "threshold.json").read_text())
    assert told["wished_precision"] == 0.95
    assert min(told["recall"].values()) > 0.9


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("largest", {"02.png", "04-large.png"}),
        ("first", {"02-small.jpg", "04-large.png"}),
        ("field:number", {"02.png", "04.png"}),
        ("field:number:max", {"02.png", "04.png"}),
        ("field:number:min", {"02-small.jpg", "04-large.png"}),
        ("field:title", {"02.png", "04.png"}),
    ],
)
def test_what_is_kept(mine, rule, kept) -> None:
    rows = found(mine, "--keep", rule, "--set", "duplicates.sample=8")
    assert {row["item_id"] for row in rows if row["keep"] and row["item_id"][:2] in ("02", "04")} == kept


def test_the_oldest_is_kept(tmp_path, encoder) -> None:
    job = Job(tmp_path, encoder).set(corpus={"shards": str(tmp_path / "photos")})
    for number, (name, content) in enumerate(pictures().items()):
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(10**18 - number * 10**9,) * 2)
    job.nightly()
    assert set(gone(found(job, "--keep", "oldest"))) == {"00.png", "01.png", "02.png", "03.png", "04.png"}


def test_answers_in_the_same_folder_stay_whole(mine) -> None:
    (mine.folder / "found").mkdir()
    for name in ("results.parquet", "failures.parquet", "query.json"):
        (mine.folder / "found" / name).write_text("of a query job")
    found(mine, "--min-score", "0.9")
    assert (mine.folder / "found" / "query.json").exists()


def test_by_score_alone_no_picture_is_read(mine) -> None:
    mine.set(corpus={"shards": str(mine.folder / "nowhere")}, encoder=str(mine.folder / "no-encoder"))
    rows = found(mine, "--min-score", "0.999999")
    assert {"00.png": "00-again.png", "01.png": "01-other.bmp"}.items() <= gone(rows).items()
    assert {row["kind"] for row in rows if row["item_id"] == "01.png"} == {"near copy"}
    assert json.loads((mine.folder / "found" / "threshold.json").read_text())["min_score"] == 0.999999


@pytest.mark.slow
def test_by_distance_lower_is_nearer(mine) -> None:
    mine.set(metric="euclidean").nightly()
    rows = found(mine, "--set", "duplicates.sample=8")
    assert {row["item_id"][:2] for row in rows} >= {"00", "01", "03"}
    assert all(row["score"] == 0 for row in rows if row["keep"] or row["kind"] == "equal bytes")
    assert all(row["score"] > 0 for row in rows if row["kind"] == "near copy")
    scored = found(mine, "--min-score", "0.01")
    assert "00.png" in gone(scored)
    assert max(row["score"] for row in scored) <= 0.01


def test_what_is_taken_down_is_in_no_group(mine) -> None:
    assert run("exclude", "add", "--config", str(_saved(mine)), "00.png", "02.png").code == 0
    assert not {"00.png", "00-again.png", "02.png", "02-small.jpg"} & {row["item_id"] for row in found(mine)}


def _saved(job: Job) -> Path:
    _ = job.loaded
    return job.config


@pytest.mark.slow
def test_the_same_bytes_again_in_other_index_shards_and_by_workers(mine, tmp_path) -> None:
    """And from an index of other shards: the table says nothing of how vectors lie."""
    done = found(mine, "--format", "parquet")
    table = mine.folder / "found" / "duplicates.parquet"
    once = table.read_bytes()
    assert found(mine) == done
    assert table.read_bytes() == once
    assert found(mine, "--", "--runner", "DirectRunner") == done
    assert table.read_bytes() == once
    assert not list((mine.folder / "found").glob(".duplicates-*"))
    mine.set(index={"shard_vectors": 6})
    mine.nightly()
    assert len(mine.generation["indexes"]) > 1
    assert found(mine, "--set", "query.memory=1") == done


def test_against_another_catalogue_all_that_is_kept_is_of_that(mine, tmp_path_factory, encoder) -> None:
    other = Job(tmp_path_factory.mktemp("other"), encoder)
    other.pack(
        {"02.png": as_file(drawn(2)), "x.png": as_file(drawn(77)), "three.jpg": as_file(drawn(3), ".jpg")}
    )
    other.nightly()
    rows = found(mine, "--against", other.config, "--keep", "field:number")
    assert gone(rows) == {
        "02.png": "02.png",
        "02-small.jpg": "02.png",
        "03.png": "three.jpg",
        "03-flipped.png": "three.jpg",
    }
    assert [row["item_id"] for row in rows if row["keep"]] == ["02.png", "three.jpg"]
    assert {row["kind"] for row in rows if row["item_id"] == "02.png" and not row["keep"]} == {"equal bytes"}


@pytest.mark.slow
def test_many_copies_of_one_picture_are_one_group(tmp_path, encoder) -> None:
    job = Job(tmp_path, encoder)
    whole = drawn(5, 200, 160)
    crops = {f"crop-{n:02}.png": as_file(whole[n % 4 :, n // 4 :]) for n in range(1, 16)}
    others = {f"other-{n:02}.png": as_file(drawn(100 + n)) for n in range(12)}
    job.pack({"whole.png": as_file(whole), **crops, **others})
    job.nightly()
    rows = found(job, "--set", "duplicates.sample=12")
    assert {row["representative_id"] for row in rows} == {"whole.png"}
    assert len(rows) == 16


def test_catalogues_of_two_encoders_are_refused(mine, tmp_path_factory, other_encoder) -> None:
    other = Job(tmp_path_factory.mktemp("other"), other_encoder)
    other.pack({"x.png": as_file(drawn(77))})
    other.nightly()
    assert "Expected two catalogues of one encoder" in refused(mine, "--against", other.config)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--keep", "best"], "Expected a rule for what is kept"),
        (["--keep", "field:price"], "Expected a field that the index carries (title, number)"),
        (["--precision", "0.9", "--min-score", "0.9"], "Expected --precision or --min-score. Received: both"),
        (["--set", "duplicates.keep=best"], "`duplicates.keep`"),
    ],
)
def test_what_the_user_can_mend(mine, arguments, sentence) -> None:
    assert sentence in refused(mine, *arguments)


def test_pictures_that_are_gone_are_told(mine) -> None:
    """One shard of three is gone: pairs with its pictures are not compared."""
    shards = mine.folder / "shards"
    shutil.copytree(mine.settings["corpus"]["shards"], shards)
    sorted(shards.iterdir())[0].unlink()
    mine.set(corpus={"shards": str(shards)})
    done: Outcome = mine.run("duplicates", "--out", mine.folder / "found")
    assert done.code == 0, done
    assert "pairs not compared" in done.out


def test_without_any_picture_it_says_what_to_do(mine) -> None:
    (mine.folder / "empty").mkdir()
    mine.set(corpus={"shards": str(mine.folder / "empty")})
    assert refused(mine)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_other_formats(mine, form) -> None:
    assert mine.run("duplicates", "--out", mine.folder / "found", "--format", form).code == 0
    assert "00-again.png" in (mine.folder / "found" / f"duplicates.{form}").read_text()


def test_a_job_that_fails_leaves_no_table(mine, monkeypatch) -> None:
    found(mine)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(module, "write_groups", full)
    assert mine.run("duplicates", "--out", mine.folder / "found").code == 2
    assert not (mine.folder / "found" / "duplicates.parquet").exists()
    assert not list((mine.folder / "found").glob(".duplicates-*"))


def test_few_pairs_may_be_looked_at_and_what_that_misses_is_told(mine, monkeypatch) -> None:
    monkeypatch.setattr(limiting, "SAMPLED", 3)
    done = mine.run("duplicates", "--out", mine.folder / "found", "--set", "duplicates.pairs=2")
    assert done.code == 0, done
    assert "a look at 3 of them tells of some" in done.out
    rows = pq.read_table(mine.folder / "found" / "duplicates.parquet").to_pylist()
    assert "00.png" in gone(rows)  # equal vectors are no pair
    assert len(gone(rows)) < 5
    again = found(mine, "--set", "duplicates.pairs=2")
    assert again == rows


@pytest.mark.parametrize("score", ["nan", "inf", "-inf"])
def test_a_least_score_is_a_number(copied: Job, score: str) -> None:
    done = copied.run("duplicates", "-o", copied.folder / "out", "--min-score", score)
    assert done.code == 2
    assert done.sentence == f"Expected a score that is a number. Received: {score}"
