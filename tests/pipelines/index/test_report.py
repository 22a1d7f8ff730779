"""What an indexing run says of itself."""

from types import SimpleNamespace

from lookalike.index.report import IndexSummary, generation_report
from lookalike.store.generation import HiddenRows, IndexRef


def summary(published=True, overlap=None, built=1, grown=0, **fields) -> IndexSummary:
    usual = {
        "name": "20260101T000000Z-1",
        "indexes": (
            IndexRef("indexes/0", "0", 1_200, "brute_force", None),
            IndexRef("indexes/1", "0", 30_000, "ah", 0.9951),
            IndexRef(
                "indexes/2", "0", 30_000, "ah", 0.9951, {"disturbed": 0.9951, "without_near_copies": 0.997}
            ),
            IndexRef("indexes/3", "0", 20_500, "brute_force", 1.0, {}, 0.9722),
        ),
        "duplicates": 0,
        "excluded": 0,
        "augmentation": None,
        "counts": {"items": 31_200},
    }
    usual |= fields
    usual["index_shards"] = [ref for ref in usual["indexes"] if ref.added_to is None]
    return IndexSummary(SimpleNamespace(**usual), published, built, 2.5, overlap, grown)


def test_a_night_that_changed_nothing_says_so_in_one_line():
    assert generation_report(summary(published=False), "g") == (
        "unchanged    nothing to build; generation 20260101T000000Z-1 is still served"
    )


def test_each_index_is_named_with_its_size_and_recall():
    assert generation_report(summary(), "g").splitlines() == [
        "index        1 shards built in 2.5 s, 3 as before",
        "             indexes/0: 1,200 vectors, brute_force, exact",
        "             indexes/1: 30,000 vectors, ah, recall 0.9951",
        "             indexes/2: 30,000 vectors, ah, recall 0.9951 (disturbed 0.9951, without near copies 0.9970)",
        "             indexes/3: 20,500 vectors, brute_force, exact: "
        "no cheaper search reaches the target, the deepest 0.9722",
        "published    31,200 items as generation 20260101T000000Z-1",
    ]


def test_an_addition_is_named_behind_its_index_shard_and_counted_with_it():
    refs = (
        IndexRef("indexes/0", "0", 1_190, "brute_force", None, hidden=HiddenRows("h", "0", 10)),
        IndexRef("indexes/0-added", "0", 12, "brute_force", None, added_to="indexes/0"),
    )
    assert generation_report(summary(indexes=refs, built=0, grown=1), "g").splitlines()[:3] == [
        "index        0 shards built in 2.5 s, 1 grown, 0 as before",
        "             indexes/0: 1,190 vectors and 10 hidden, brute_force, exact",
        "             indexes/0-added: 12 vectors, brute_force, exact",
    ]


def test_what_is_unusual_has_a_line_only_where_it_is():
    text = generation_report(summary(duplicates=3, excluded=2, augmentation="5,3", overlap=0.9876), "g")
    assert "duplicates   3 ids occur in an earlier shard too: g/duplicates.parquet\n" in text
    assert "taken down   2 records are left out\n" in text
    assert "augmented    each vector by its nearest: 5,3 (K,ALPHA)\n" in text
    assert "drift        98.8% of a sample's top 10 as in the last generation\n" in text
