from __future__ import annotations

from types import SimpleNamespace

import duckdb
import pytest

from lookalike.duplicates.keeping import check_field, keeper
from lookalike.model.errors import LookalikeError


@pytest.mark.parametrize(
    ("rule", "field", "order"),
    [
        ("field:price", "price", "field DESC NULLS LAST, item_id"),
        ("field:price:max", "price", "field DESC NULLS LAST, item_id"),
        ("field:price:min", "price", "field ASC NULLS LAST, item_id"),
        ("field:a:b:min", "a:b", "field ASC NULLS LAST, item_id"),
        ("first", None, "shard, place, item_id"),
    ],
)
def test_rules(rule, field, order) -> None:
    assert (keeper(rule).field, keeper(rule).order) == (field, order)


def test_the_largest_is_told_also_where_32_bits_hold_its_sides_but_not_its_pixels() -> None:
    pictures = (
        "(VALUES ('a', 65536::INT, 65535::INT), ('b', 65536::INT, 65536::INT)) AS p(item_id, width, height)"
    )
    found = duckdb.sql(f"SELECT item_id FROM {pictures} ORDER BY {keeper('largest').order}").fetchall()
    assert found == [("b",), ("a",)]


@pytest.mark.parametrize("rule", ["", "smallest", "field:", "field", "largest:max"])
def test_another_rule_is_refused(rule) -> None:
    with pytest.raises(
        LookalikeError, match="Expected a rule for what is kept: largest, oldest, first, field:NAME"
    ):
        keeper(rule)


def test_the_field_must_be_carried_and_have_an_order() -> None:
    generation = SimpleNamespace(metadata={"price": "float64", "tags": "list<string>"})
    check_field(keeper("field:price"), generation)
    check_field(keeper("largest"), generation)
    with pytest.raises(LookalikeError, match=r"\(price, tags\).* Received: cost"):
        check_field(keeper("field:cost"), generation)
    with pytest.raises(LookalikeError, match="Received: tags, list<string>"):
        check_field(keeper("field:tags"), generation)
