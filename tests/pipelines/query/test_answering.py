"""Rows of the result table from answers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from lookalike.index.answers import Answers
from lookalike.index.post_processing import Asked
from lookalike.model.errors import LookalikeError
from lookalike.query.answering import Done, Served, discard, failures_of, results_of, results_schema
from lookalike.query.blocks import Failure

ITEMS = pa.table({"item_id": ["a", "b", "a"], "price": pa.array([1, 2, 1], pa.int64())})


@pytest.mark.parametrize(
    ("metric", "scores"), [("cosine", [0.5, 0.25, 1.0]), ("euclidean", [-0.5, -0.25, -1.0])]
)
def test_rows_are_sorted_by_query_then_rank_and_carry_the_metadata(metric, scores):
    near = np.float32([[0.5, 0.25], [-np.inf, -np.inf], [1, -np.inf]])
    table = results_of(["x", "y", "z"], Answers(near, ITEMS), metric, results_schema({"price": "int64"}))
    assert table.to_pydict() == {
        "query_id": ["x", "x", "z"],
        "rank": [1, 2, 1],
        "item_id": ["a", "b", "a"],
        "score": scores,
        "price": [1, 2, 1],
    }


def test_what_is_done_is_added_up():
    done = Done()
    done.add(answered=2, matches=5, reasons={"decode": 3})
    done.add(answered=1, reasons={"decode": 1, "id": 1})
    assert done.counts == {"answered": 3, "matches": 5, "failed": 5}
    assert done.reasons == {"decode": 4, "id": 1}


def test_tables_of_before_are_deleted_but_no_folder(tmp_path):
    results, failures = tmp_path / "results.csv", tmp_path / "failures.csv"
    results.write_text("of before")
    failures.mkdir()
    with pytest.raises(LookalikeError, match="Received: the folder"):
        discard(str(results), str(failures))
    assert results.exists()
    failures.rmdir()
    discard(str(results), str(failures))
    assert not results.exists()


def test_ids_name_groups_where_the_field_is_served_and_only_items_where_it_is_not():
    config = SimpleNamespace(corpus=SimpleNamespace(group="product"))
    for metadata, group in (({"product": "string"}, "product"), ({"title": "string"}, None)):
        generation = SimpleNamespace(metadata=metadata, metric="cosine", dim=16)
        served = Served(config, generation, Asked(3), pa.array(["gone"]))
        assert served.look_up_ids.group == group
        assert served.look_up_ids.excluded.to_pylist() == ["gone"]


def test_secrets_that_a_message_repeats_are_not_in_the_table_of_failures():
    error = "could not connect to http://me:secret@host, tried 5 times: s3://b/x?X-Amz-Signature=1f"
    (told,) = failures_of([Failure(7, "a", "read", error)]).to_pylist()
    assert told == {
        "query_id": "a",
        "stage": "read",
        "error": "could not connect to http://***@host, tried 5 times: s3://b/x?X-Amz-Signature=***",
    }
