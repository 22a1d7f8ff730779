import math

import pytest

from lookalike.sources import Shard, SourceOptions
from lookalike.sources.fields import Stored, UnfitError, build, convert, damage, escape
from lookalike.sources.records import Record, Reject

SHARD = Shard("a/b-01.tar.gz", "webdataset", ())


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", "ü", "ü"),
        ("string", "ü".encode(), "ü"),
        ("string", "", ""),
        ("int64", 2**63 - 1, 2**63 - 1),
        ("int64", "-12", -12),
        ("int64", b" 7\n", 7),
        ("float64", 2, 2.0),
        ("float64", 1.5, 1.5),
        ("float64", "1e3", 1000.0),
        ("bool", True, True),
        ("bool", 0, False),
        ("bool", "True", True),
        ("bool", b"0", False),
        ("bool", "false", False),
        ("bool", "1", True),
        ("bool", 1, True),
    ],
)
def test_a_value_that_loses_nothing_is_converted(kind, value, expected):
    converted = convert("f", kind, value)
    assert (converted, type(converted)) == (expected, type(expected))


@pytest.mark.parametrize("kind", ["string", "int64", "float64", "bool"])
def test_a_missing_value_stays_none(kind):
    assert convert("f", kind, None) is None


def test_nan_is_a_float():
    assert math.isnan(convert("f", "float64", math.nan))


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("string", 5, "5 (int)"),
        ("string", b"caf\xe9", "caf\\xe9 (bytes)"),
        ("string", "\ud800", "'\\ud800' (str)"),
        ("int64", 2**63, "9223372036854775808 (int)"),
        ("int64", "9" * 19, "'9999999999999999999' (str)"),
        ("int64", 1.0, "1.0 (float)"),
        ("int64", True, "True (bool)"),
        ("int64", "1_0", "'1_0' (str)"),
        ("int64", "", "'' (str)"),
        ("float64", True, "True (bool)"),
        ("float64", "1_0", "'1_0' (str)"),
        ("float64", 10**400, "1" + "0" * 76 + "... (int)"),
        ("bool", 2, "2 (int)"),
        ("bool", 1.0, "1.0 (float)"),
        ("bool", "yes", "'yes' (str)"),
        ("string", ["a"], "['a'] (list)"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_field_type_and_value(kind, value, shown):
    with pytest.raises(UnfitError) as error:
        convert("f", kind, value)
    assert str(error.value) == f"metadata field 'f' does not fit {kind}. Received: {shown}"


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
