"""Types of metadata: what loses nothing is taken, all else refused."""

import math
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.model.errors import LookalikeError
from lookalike.sources.types import TYPES, UnfitError, arrow_type, convert, is_list, plain
from tests.support.metadata import KINDS, VALUES

UTC = timezone.utc
NOON = datetime(2024, 1, 5, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", "ü", "ü"),
        ("string", "ü".encode(), "ü"),
        ("string", "", ""),
        ("string", " 00123 ", " 00123 "),
        ("int64", 2**63 - 1, 2**63 - 1),
        ("int64", "-12", -12),
        ("int64", b" 7\n", 7),
        ("uint64", 2**64 - 1, 2**64 - 1),
        ("uint64", "18446744073709551615", 2**64 - 1),
        ("float64", 2, 2.0),
        ("float64", 1.5, 1.5),
        ("float64", "1e3", 1000.0),
        ("float64", Decimal("214.81"), 214.81),
        ("float64", "-Infinity", -math.inf),
        ("float64", math.inf, math.inf),
        ("float64", 2**60, 2.0**60),
        ("bool", True, True),
        ("bool", 0, False),
        ("bool", "True", True),
        ("bool", b"0", False),
        ("bool", "false", False),
        ("bool", "1", True),
        ("bool", 1, True),
        ("date", "2024-02-29", date(2024, 2, 29)),
        ("date", b"0001-01-01", date(1, 1, 1)),
        ("timestamp", "2024-01-05T12:30:00Z", NOON),
        ("timestamp", "2024-01-05 12:30:00", NOON),
        ("timestamp", "2024-01-05T14:30:00.000000000+02:00", NOON),
        ("timestamp", "2024-01-05T07:00-0530", NOON),
        ("timestamp", "2024-01-05T12:30:00.000001", NOON + timedelta(microseconds=1)),
        ("timestamp", "2024-01-05T12:30:00.5", NOON + timedelta(seconds=0.5)),
        ("timestamp", datetime(2024, 1, 5, 12, 30), NOON),
        ("decimal(10,2)", "1.1", Decimal("1.10")),
        ("decimal(10,2)", "1.100", Decimal("1.10")),
        ("decimal(10, 2)", "1E3", Decimal("1000.00")),
        ("decimal(3,3)", "-.125", Decimal("-0.125")),
        ("decimal(38,0)", 10**38 - 1, Decimal(10**38 - 1)),
        ("decimal(4,2)", "-0.00", Decimal("0.00")),
        ("list<string>", ["a", b"b"], ["a", "b"]),
        ("list<string>", '["a", ""]', ["a", ""]),
        ("list<string>", [], []),
        ("list<int64>", [1, "2"], [1, 2]),
        ("list<float64>", "[1, 2.50]", [1.0, 2.5]),
    ],
)
def test_a_value_that_loses_nothing_is_converted(kind, value, expected):
    converted = convert(kind, value)
    assert (repr(converted), type(converted)) == (repr(expected), type(expected))
    assert pa.array([converted], arrow_type(kind)).to_pylist() == [expected]


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_value_stays_none(kind):
    assert convert(kind, None) is None


def test_nan_is_a_float():
    assert math.isnan(convert("float64", math.nan))
    assert math.isnan(convert("float64", plain(math.nan)))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("string", [5, b"caf\xe9", "\ud800", ["a"], True, 1.5]),
        ("int64", [2**63, "9" * 19, "9" * 99, 1.0, True, "1_0", "", "1.0", "1e3", [1], Decimal("1.0")]),
        ("uint64", [-1, "-1", 2**64, True]),
        ("float64", [True, "1_0", 10**400, "1e400", Decimal("1e400"), 2**53 + 1, "", "x", [1.0]]),
        ("bool", [2, 1.0, "yes", ""]),
        ("date", ["2024-02-30", "2024-1-5", "05.01.2024", "2024-01-05T00:00", 19000, "", NOON]),
        ("timestamp", ["2024-01-05", "2024-01-05T25:00", "2024-01-05T12:30:00.0000001Z", 0, "", "now"]),
        ("timestamp", ["0001-01-01T00:00+01:00", "9999-12-31T23:59-01:00"]),
        ("decimal(4,2)", ["1.234", "100", 1.5, True, "NaN", "", "1e9", "1e999", "1,5", Decimal("0.001")]),
        ("list<string>", ["a", '"a"', '{"a": 1}', "[1]", "[null]", [None], ["a", 1], "[", 5]),
        ("list<int64>", [[1.5], [True], ["x"], "[1.0]", 1]),
        ("list<float64>", [["x"], [[1.0]]]),
    ],
)
def test_a_value_that_does_not_fit_is_refused(kind, values):
    for value in values:
        with pytest.raises(UnfitError):
            print(kind, value, convert(kind, value))


@pytest.mark.parametrize(
    "kind", ["text", "decimal", "decimal(0,0)", "decimal(2,3)", "decimal(39,2)", "list<bool>", ""]
)
def test_what_is_no_type_is_refused(kind):
    with pytest.raises(
        LookalikeError, match=r"Expected one of string, bool, .*, decimal\(P,S\), list<string>"
    ):
        arrow_type(kind)


def test_lists_are_told():
    assert [kind for kind in TYPES if is_list(kind)] == ["list<string>", "list<int64>", "list<float64>"]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_is_plain_becomes_the_same_value(kind, data):
    value = data.draw(VALUES[kind])
    assert repr(convert(kind, plain(value))) == repr(value)
