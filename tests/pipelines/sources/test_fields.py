from decimal import Decimal

import pytest

from lookalike.sources import Shard, SourceOptions
from lookalike.sources.fields import Stored, build, damage, escape, read_json
from lookalike.sources.records import Record, Reject

SHARD = Shard("a/b-01.tar.gz", "webdataset", ())


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("string", 5, "5 (int)"),
        ("string", b"caf\xe9", "caf\\xe9 (bytes)"),
        ("string", "\ud800", "'\\ud800' (str)"),
        ("int64", 1.0, "1.0 (float)"),
        ("int64", Decimal("1.0"), "1.0 (Decimal)"),
        ("float64", 10**400, "1" + "0" * 76 + "... (int)"),
        ("string", ["a"], "['a'] (list)"),
    ],
)
def test_a_value_that_does_not_fit_is_rejected_with_field_type_and_value(kind, value, shown):
    item = build(SHARD, SourceOptions(metadata={"f": kind}), 4, Stored("k", b"i", {"f": value}))
    assert item == Reject("k", 4, "metadata", f"metadata field 'f' does not fit {kind}. Received: {shown}")


def test_json_keeps_every_digit_and_tells_repeated_keys():
    assert read_json(b'{"a": 1.10, "b": {"c": 1, "c": 2}}') == (
        {"a": Decimal("1.10"), "b": {"c": 2}},
        frozenset(),
    )
    assert str(read_json("[1.10]")[0][0]) == "1.10"
    assert read_json('{"a": 1, "b": {"x": 1}, "a": 2}') == ({"a": 2, "b": {"x": 1}}, {"a"})


def test_a_number_beyond_any_decimal_is_an_error_of_its_json():
    with pytest.raises(ValueError, match="a number with too large an exponent"):
        read_json('{"a": 1e99999999999999999999}')


def test_escaped_text_is_always_utf8():
    assert escape(b"\xff") == escape("\udcff") == "\\xff"
    assert escape("a\ud800") == "a\\ud800"
    assert escape("ü") == "ü"


@pytest.mark.parametrize(
    ("key", "item_id", "expected"),
    [
        ("k", "key", "k"),
        (b"k", "key", "k"),
        (7, "key", "7"),
        ("k", "shard/key", "b-01/k"),
        ("k", "field:x", "12"),
    ],
)
def test_the_id_is_the_key_the_shard_and_key_or_a_field(key, item_id, expected):
    item = build(SHARD, SourceOptions(item_id=item_id), 4, Stored(key, b"i", {"x": 12}))
    assert item == Record(expected, b"i", 4)


@pytest.mark.parametrize(
    ("key", "shown"),
    [(None, None), (b"", None), (b"\xff", "\\xff"), (1.5, None), (True, None), (["a"], None)],
)
def test_a_key_that_cannot_be_an_id_is_rejected(key, shown):
    item = build(SHARD, SourceOptions(), 4, Stored(key, b"i", {}))
    assert isinstance(item, Reject)
    assert (item.item_id, item.position, item.stage, item.ends_shard) == (shown, 4, "id", False)


def test_damage_says_where_and_how_much_could_be_read():
    reject = damage(SHARD, 500, 1234, "length checksum of record 500 is wrong", unpacked=True)
    assert reject == Reject(
        None,
        500,
        "read",
        "length checksum of record 500 is wrong at byte 1234 of the decompressed data: "
        "500 records could be read, and nothing behind them",
        ends_shard=True,
    )
