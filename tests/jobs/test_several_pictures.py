"""Items of several pictures: `corpus.group` in answers, in queries by id, and for what a query is one of."""

from __future__ import annotations

import pytest

from tests.conftest import Job, run
from tests.jobs.test_query_tables import write

STAGES = ("--set", "query.memory=1")
WAYS = [STAGES, pytest.param(("--", "--runner", "DirectRunner"), marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def products(tmp_path_factory, encoder, pictures) -> Job:
    """24 pictures in three index shards, four of each of six products."""
    from lookalike.sources.pack import pack

    job = Job(tmp_path_factory.mktemp("products"), encoder)
    source = job.query_file(pictures, "pictures")
    table = job.folder / "products.csv"
    names = sorted(pictures)
    table.write_text("path,product\n" + "".join(f"{n},{100 + i % 6}\n" for i, n in enumerate(names)))
    pack(
        str(source),
        str(job.shards),
        format="tfrecord",
        metadata=str(table),
        types={"product": "int64"},
        images_per_shard=8,
    )
    job.set(corpus={"metadata": {"product": "int64"}, "group": "product"})
    job.set(index={"shard_vectors": 8})
    job.nightly()
    return job


@pytest.fixture
def shop(products, tmp_path) -> Job:
    """The same, with queries and answers in a folder of its own."""
    job = Job(tmp_path, products.settings["encoder"])
    job.settings, job.store = {**products.settings}, products.store
    return job


def answers(job: Job, queries: object, *arguments: object, k: int = 9) -> dict[str, list[tuple]]:
    done = job.query(queries, "-k", k, *arguments)
    assert done.code == 0, done
    found: dict[str, list[tuple]] = {}
    for row in job.results.to_pylist():
        found.setdefault(row["query_id"], []).append((row["product"], row["item_id"], row["score"]))
    return found


def ids(job: Job, *names: str) -> str:
    path = job.folder / "ids.txt"
    path.write_text("\n".join(names))
    return str(path)


def test_an_answer_names_each_item_once_by_its_nearest_picture(shop):
    first = shop.embeddings["item_id"].to_pylist()[0]
    every = answers(shop, ids(shop, first), "--group-by", "item_id", k=24)[first]
    best: dict[int, tuple] = {}
    for match in every:
        best.setdefault(match[0], match)
    assert len(every) == 24
    assert answers(shop, ids(shop, first))[first] == list(best.values())
    assert len(answers(shop, ids(shop, first), "--set", "query.group_by=null", k=24)[first]) == 24


def tables(job: Job) -> bytes:
    """Both tables of answers."""
    return b"".join((job.folder / f"out/{name}.parquet").read_bytes() for name in ("results", "failures"))


@pytest.mark.parametrize("combine", ["best", "mean"])
def test_a_group_asks_with_all_its_pictures(shop, combine):
    every = answers(shop, ids(shop, "103"), "--group-by", "item_id", k=24)["103"]
    rows = [{"query_id": "103", "item_id": item} for product, item, _ in sorted(every) if product == 103]
    assert len(rows) == 4
    expected = answers(shop, write(shop, "csv", rows), "--combine", combine)
    rows = [{"item_id": "103"}, {"item_id": "none"}, {"item_id": "104"}]
    found = answers(shop, write(shop, "csv", rows), "--combine", combine)
    assert found["103"] == expected["103"]
    assert [one["query_id"] for one in shop.failures] == ["none"]


def test_exclude_self_leaves_the_whole_item_out(shop):
    first = shop.embeddings["item_id"].to_pylist()[0]
    every = answers(shop, ids(shop, first, "102"))
    own = every[first][0][0]
    others = answers(shop, ids(shop, first, "102"), "--exclude-self")
    assert others[first] == [match for match in every[first] if match[0] != own]
    assert others["102"] == [match for match in every["102"] if match[0] != 102]
    assert len(others[first]) == 5
    others = answers(shop, ids(shop, first), "--exclude-self", "--per-group", 10**13, k=10**13)
    assert sorted(match[0] for match in others[first]) == sorted(
        product for product in range(100, 106) if product != own for _ in range(4)
    )


@pytest.mark.parametrize("combine", ["best", "mean"])
@pytest.mark.parametrize("way", WAYS)
def test_it_is_the_same_however_it_is_done(shop, way, combine):
    asked = ids(shop, *shop.embeddings["item_id"].to_pylist()[:2], "102", "none", "105")
    answers(shop, asked, "--combine", combine, "--exclude-self")
    usual = tables(shop)
    answers(shop, asked, "--combine", combine, "--exclude-self", *way)
    assert tables(shop) == usual


@pytest.mark.parametrize("way", [(), *WAYS])
def test_what_was_taken_down_is_not_asked_with_from_then_on(copied, way):
    name = copied.embeddings["item_id"].to_pylist()[0]
    assert copied.loaded  # writes the job file
    assert run("exclude", "add", name, "--config", copied.config).code == 0
    copied.query(ids(copied, name, "p05.jpg"), "-k", 1, *way)
    assert [tuple(one.values()) for one in copied.failures] == [
        (name, "lookup", "the item with this id was taken down")
    ]
    assert copied.results["query_id"].to_pylist() == ["p05.jpg"]
