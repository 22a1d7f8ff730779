"""A store for programs: the rows of the query job, and what the export writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lookalike
from lookalike.filesystem import files
from lookalike.model.errors import LookalikeError
from lookalike.query.tables import open_table
from lookalike.store import exclusions
from tests.conftest import tune


@pytest.fixture(scope="module")
def store(published):
    with lookalike.open_store(published.store) as opened:
        yield opened


@pytest.fixture
def images(published, pictures):
    return {
        name: Path(published.folder, "images", str(n // 8), name) for n, name in enumerate(sorted(pictures))
    }


def as_file(table: pa.Table, path: Path) -> bytes:
    with open_table(str(path), table.schema, "parquet") as writer:
        writer.write_table(table)
    return path.read_bytes()


def test_images_have_the_bytes_of_the_query_job(copied, images, pictures, tmp_path):
    queries = copied.query_file(pictures)
    assert copied.query(queries, "-k", 4, "--where", "number >= 3").code == 0
    names = sorted(pictures)
    with lookalike.open_store(copied.store) as store:
        found = store.search([images[name] for name in names], query_ids=names, k=4, where="number >= 3")
    assert as_file(found, tmp_path / "found") == (tmp_path / "out" / "results.parquet").read_bytes()


def test_vectors_have_the_bytes_of_the_query_job(copied, store, tmp_path):
    vectors = store.vectors().read_all()
    asked = copied.vectors_file(vectors["embedding"].to_pylist())
    assert copied.query(asked, "--exact", "--min-score", 0.5).code == 0
    written = (tmp_path / "out" / "results.parquet").read_bytes()
    several = [vectors["embedding"], np.stack(vectors["embedding"].to_numpy(zero_copy_only=False))]
    for given in [*several, several[1].astype(np.float64), several[1].tolist()]:
        found = store.search(vectors=given, exact=True, min_score=0.5)
        assert as_file(found, tmp_path / "found") == written


def test_ids_have_the_bytes_of_the_query_job(copied, store, tmp_path):
    asked = tmp_path / "ids.txt"
    asked.write_text("p03.png\np01.jpg\n")
    assert copied.query(asked, "--exclude-self").code == 0
    found = store.search(ids=["p03.png", "p01.jpg"], exclude_self=True)
    assert as_file(found, tmp_path / "found") == (tmp_path / "out" / "results.parquet").read_bytes()
    assert store.search(ids="p03.png", query_ids=["mine"])["query_id"].to_pylist() == ["mine"] * 10


def test_what_is_not_said_is_as_the_job_file_says(copied, tmp_path):
    copied.set(query={"k": 3, "exclude_self": True, "exact": True})
    (tmp_path / "ids.txt").write_text("p03.png\np01.jpg\n")
    assert copied.query(tmp_path / "ids.txt").code == 0
    written = (tmp_path / "out" / "results.parquet").read_bytes()
    found = lookalike.open_store(copied.config).search(ids=["p03.png", "p01.jpg"])
    assert as_file(found, tmp_path / "found") == written
    lookalike.open_job(copied.config).query(tmp_path / "ids.txt", tmp_path / "again")
    assert (tmp_path / "again" / "results.parquet").read_bytes() == written
    others = lookalike.open_store(copied.config).search(ids="p03.png", exclude_self=False)
    assert others["item_id"][0].as_py() == "p03.png"


def test_the_steps_and_settings_of_a_job_are_used(tuned, images, tmp_path):
    tune(tuned, "--query-expansion", "3,1")
    tuned.set(query={"k": 5, "where": "number > 2"})
    assert tuned.query(str(images["p05.jpg"])).code == 0
    found = lookalike.open_store(tuned.config).search(images["p05.jpg"], query_ids=["p05.jpg"])
    assert as_file(found, tmp_path / "found") == (tmp_path / "out" / "results.parquet").read_bytes()
    # The copy in the store is as the store first met it.
    plain = lookalike.open_store(tuned.store, set={"query.k": 5}).search(
        images["p05.jpg"], where="number > 2"
    )
    assert plain["score"].to_pylist() != found["score"].to_pylist()


def test_items_and_vectors_are_those_of_an_export(copied, store):
    exclusions.add(str(copied.store), ["p02.jpg"])
    with lookalike.open_store(copied.store) as opened:
        assert copied.run("export", "--out", copied.folder / "exported").code == 0
        exported = pq.read_table(copied.folder / "exported" / "part-00000.parquet")
        assert opened.vectors().read_all().equals(exported, check_metadata=True)
        assert opened.items().equals(exported.drop_columns(["embedding"]))
        assert len(exported) == 23


def test_what_is_taken_down_while_it_is_open_is_not_found(copied):
    with lookalike.open_store(copied.store) as opened:
        assert opened.search(ids="p02.jpg", k=1)["item_id"].to_pylist() == ["p02.jpg"]
        exclusions.add(str(copied.store), ["p02.jpg"])
        assert "p02.jpg" not in opened.search(ids="p01.jpg", k=24)["item_id"].to_pylist()


def test_it_stays_what_it_was_when_it_was_opened(copied, pictures):
    with lookalike.open_store(copied.store) as opened:
        copied.pack({name: data for name, data in pictures.items() if name < "p12"})
        copied.set(
            corpus={"shards": str(copied.shards)},
            gates={"max_shrink_fraction": 1.0},
            retention={"generations": 1},
        ).nightly()
        assert opened.search(ids="p20.jpg", k=1).num_rows == 1
        assert len(opened) == 24
        assert [one.items for one in opened.generations()] == [24, 12]
        assert len(lookalike.open_store(copied.store, generation=opened.manifest.name)) == 24
    copied.nightly()
    assert [one.items for one in lookalike.open_store(copied.store).generations()] == [12]
    with pytest.raises(LookalikeError, match=r"open. Received: one that was closed"):
        opened.search(ids="p20.jpg")


def test_queries_that_fail_are_named_or_collected(store, images, tmp_path):
    mixed = [images["p00.jpg"], tmp_path / "gone.jpg", b"no image"]
    with pytest.raises(LookalikeError, match=r"'1' at position 1: No such file or directory: .*gone.jpg"):
        store.search(mixed)
    with pytest.raises(LookalikeError, match=r"'12' at position 12: "):
        store.search([images["p00.jpg"]] * 12 + [b""])
    found, failed = store.search(mixed, errors="collect", k=2)
    assert found["query_id"].to_pylist() == ["0", "0"]
    assert failed.select(["query_id", "stage"]).to_pylist() == [
        {"query_id": "1", "stage": "read"},
        {"query_id": "2", "stage": "decode"},
    ]
    _, failed = store.search(ids=["p00.jpg", "nowhere", "p00.jpg"], errors="collect")
    assert failed["stage"].to_pylist() == ["lookup", "duplicate"]
    _, failed = store.search(vectors=np.eye(3, 16) * [[1], [np.nan], [0]], errors="collect")
    assert failed["stage"].to_pylist() == ["vector", "vector"]


def test_a_query_that_nothing_meets_is_no_error(store):
    assert store.search(ids="p00.jpg", where="number > 99").num_rows == 0
    found, failed = store.search(ids="p00.jpg", where="number > 99", errors="collect")
    assert (found.num_rows, failed["stage"].to_pylist()) == (0, ["match"])


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({}, r"one of images, vectors and ids to search with. Received: none"),
        ({"ids": "a", "vectors": [1]}, "several"),
        ({"vectors": np.zeros((2, 3))}, r"vectors of 16 dimensions, as the index has. Received: \(2, 3\)"),
        ({"vectors": [["a"] * 16]}, "each of 16 numbers. Received: list"),
        ({"vectors": [[1.0] * 16, [1.0]]}, "each of 16 numbers. Received: list"),
        ({"ids": [b"p00.jpg"]}, "texts as ids, none of them empty. Received: b'p00.jpg'"),
        ({"ids": ["\udcff"]}, "texts as ids"),
        ({"ids": 5}, r"texts as ids. Received: 5"),
        ({"ids": "p00.jpg", "query_ids": "a"}, "several query_ids. Received: the text 'a'"),
        ({"ids": "p00.jpg", "query_ids": []}, r"query_ids. Received: fewer"),
        ({"ids": "p00.jpg", "query_ids": ["a", "b"]}, r"query_ids. Received: more"),
        ({"ids": "p00.jpg", "k": 0}, "k, a whole number of 1 or more. Received: 0"),
        ({"ids": "p00.jpg", "k": 2.5}, "k, a whole number of 1 or more. Received: 2.5"),
        ({"ids": "p00.jpg", "k": "3"}, "k, a whole number of 1 or more. Received: '3'"),
        (
            {"ids": "p00.jpg", "per_group": 2.5, "group_by": "title"},
            "per_group, a whole number. Received: 2.5",
        ),
        ({"ids": "p00.jpg", "where": "colour = 1"}, "colour"),
        ({"ids": "p00.jpg", "max_distance": 1.0}, "least score"),
        ({"ids": "p00.jpg", "errors": "ignore"}, "raise or collect"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(store, how, sentence):
    with pytest.raises(LookalikeError, match=sentence):
        store.search(**how)


def test_no_queries_have_no_answers(store):
    for none in ({"images": []}, {"vectors": np.empty((0, 16))}, {"vectors": []}, {"ids": []}):
        assert store.search(**none).num_rows == 0


def test_vectors_and_ids_need_no_encoder(copied):
    shutil.rmtree(copied.store / "encoders")
    with lookalike.open_store(copied.store) as opened:
        assert opened.search(ids="p00.jpg", k=1).num_rows == 1
        with pytest.raises(LookalikeError):
            opened.search(b"")


def test_another_encoder_than_that_of_the_index_is_refused(copied, other_encoder):
    opened = lookalike.open_store(copied.set(encoder=str(other_encoder)).loaded)
    assert opened.search(ids="p00.jpg", k=1).num_rows == 1
    with pytest.raises(LookalikeError, match="is not the one the index was made with"):
        opened.search(b"")


def test_a_file_of_any_name_is_a_job(copied, tmp_path):
    assert copied.loaded.store
    (tmp_path / "nightly.conf").write_bytes(copied.config.read_bytes())
    assert len(lookalike.open_store(tmp_path / "nightly.conf")) == 24


def test_an_empty_folder_is_no_store(tmp_path):
    with pytest.raises(LookalikeError, match="Nothing has been published"):
        lookalike.open_store(tmp_path)


def test_an_index_that_is_too_large_is_left_to_the_job(copied, pictures):
    copied.set(index={"shard_vectors": 6}, query={"memory": 1}).nightly()
    with pytest.raises(LookalikeError, match=r"fits into query.memory. Received: .*Job.query"):
        lookalike.open_store(copied.config).search(ids="p00.jpg")


@pytest.mark.slow
def test_a_store_and_images_may_be_behind_a_url(server, bucket, published, pictures):
    url = f"s3://{bucket}/store"
    for path in published.store.rglob("*"):
        if path.is_file():
            files.write_bytes(f"{url}/{path.relative_to(published.store)}", path.read_bytes())
    files.write_bytes(f"s3://{bucket}/p.jpg", pictures["p00.jpg"])
    with lookalike.open_store(url) as store:
        assert store.search(f"s3://{bucket}/p.jpg", k=1)["item_id"].to_pylist() == ["p00.jpg"]
        assert store.items().num_rows == 24
    job = lookalike.open_job({**published.settings, "store": url})
    job.query(published.folder / "images", f"s3://{bucket}/out", k=2)
    assert lookalike.read_answers(f"s3://{bucket}/out").results.num_rows == 48
