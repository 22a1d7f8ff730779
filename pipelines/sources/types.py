"""The types of metadata: each takes what a format stores exactly or not at all."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from typing import Any

import pyarrow as pa

from lookalike.model.errors import LookalikeError

_SINGLE = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "uint64": pa.uint64(),
    "float64": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}
_LISTS = {f"list<{name}>": pa.list_(_SINGLE[name]) for name in ("string", "int64", "float64")}
TYPES = (*_SINGLE, "decimal(P,S)", *_LISTS)
"""As a job file writes them; a decimal has P digits, at most 38, S of them behind the point."""
_DECIMAL_TYPE = re.compile(r"decimal\(([0-9]{1,2}), ?([0-9]{1,2})\)")
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6})0*)?)?"
    r"(?:Z|([+-])([0-9]{2}):?([0-9]{2}))?"
)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_RANGES = {"int64": range(-(2**63), 2**63), "uint64": range(2**64)}


class UnfitError(ValueError):
    """A stored value that cannot become what was asked for; the message is the reason."""


def is_list(kind: str) -> bool:
    """Whether a type is one of lists."""
    return kind in _LISTS


@functools.lru_cache
def arrow_type(kind: str) -> pa.DataType:
    """The type of a column of `kind`. Raises LookalikeError if it is none of `TYPES`."""
    if kind in _SINGLE or kind in _LISTS:
        return _SINGLE.get(kind) or _LISTS[kind]
    if found := _DECIMAL_TYPE.fullmatch(kind):
        digits, scale = int(found[1]), int(found[2])
        if 1 <= digits <= 38 and scale <= digits:
            return pa.decimal128(digits, scale)
    raise LookalikeError(f"Expected one of {', '.join(TYPES)}. Received: {kind!r}")


def convert(kind: str, value: Any) -> Any:
    """`value` as `kind`, if nothing is lost by it.

    A whole number fits a number type that holds it, 0 and 1 also fit `bool` (TFRecord has no other way to store
    it); text fits what it spells: a timestamp as ISO 8601, UTC if it names no zone, a list as JSON. A binary
    float fits no decimal. None stays None, but is no element of a list.

    Args:
        kind: one of `TYPES`.
        value: as a format stores it; bytes are text in UTF-8.

    Returns:
        str, bool, int, float, date, datetime (in UTC), Decimal (of the type's scale), or a list of such.

    Raises:
        UnfitError: if it does not fit.
    """
    if value is None:
        return None
    try:
        return _converter(kind)(value)
    except (DecimalException, OverflowError, RecursionError, ValueError) as error:
        raise UnfitError(str(error)) from None


@functools.lru_cache
def _converter(kind: str) -> Callable[[Any], Any]:
    if kind in _RANGES:
        return functools.partial(_integer, _RANGES[kind])
    if kind in _LISTS:
        return functools.partial(_list, _converter(kind[len("list<") : -1]))
    if kind in _SINGLE:
        return {
            "string": text_of,
            "bool": _bool,
            "float64": _float,
            "date": _date,
            "timestamp": _timestamp,
        }[kind]
    return functools.partial(_decimal, arrow_type(kind))


def text_of(value: Any) -> str:
    """Text, or bytes in UTF-8, as text. Raises UnfitError for anything else."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnfitError(f"not UTF-8 at byte {error.start}") from None
    if not isinstance(value, str):
        raise UnfitError(f"expected text. Received: {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UnfitError(f"not UTF-8 at character {error.start}") from None
    return value


def _spelled(value: Any, pattern: re.Pattern[str]) -> re.Match[str]:
    if found := pattern.fullmatch(text_of(value).strip()):
        return found
    raise UnfitError("not spelled as expected")


def _bool(value: Any) -> bool:
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    text = text_of(value).strip().lower()
    if text not in _BOOLEANS:
        raise UnfitError("not spelled as expected")
    return _BOOLEANS[text]


def _integer(fits: range, value: Any) -> int:
    if isinstance(value, bool):
        raise UnfitError("a bool")
    number = value if isinstance(value, int) else int(_spelled(value, _INTEGER)[0])
    if number not in fits:
        raise UnfitError("beyond 64 bits")
    return number


def _float(value: Any) -> float:
    if isinstance(value, bool):
        raise UnfitError("a bool")
    if isinstance(value, float):
        return value
    number = float(value if isinstance(value, int | Decimal) else _float_text(value))
    if isinstance(value, int) and int(number) != value:
        raise UnfitError("beyond 53 bits")
    if math.isinf(number) and not (isinstance(value, str | bytes) and "inf" in text_of(value).lower()):
        raise UnfitError("beyond the range")
    return number


def _float_text(value: Any) -> str:
    text = text_of(value).strip()
    if "_" in text:
        raise UnfitError("not spelled as expected")
    return text


def _date(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    return date.fromisoformat(_spelled(value, _DATE)[0])


def _timestamp(value: Any) -> datetime:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    day, hour, minute, second, fraction, sign, hours, minutes = _spelled(value, _TIMESTAMP).groups()
    local = datetime.combine(date.fromisoformat(day), datetime.min.time(), timezone.utc).replace(
        hour=int(hour),
        minute=int(minute),
        second=int(second or 0),
        microsecond=int((fraction or "").ljust(6, "0")),
    )
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    return local + offset if sign == "-" else local - offset


def _decimal(kind: pa.Decimal128Type, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        value = _spelled(value, _DECIMAL)[0]
    exact = Context(prec=kind.precision, traps=[Inexact, InvalidOperation])
    number = Decimal(value).quantize(Decimal(1).scaleb(-kind.scale), context=exact)
    return number if number else abs(number)  # no column has a zero with a sign


def _list(element: Callable[[Any], Any], value: Any) -> list[Any]:
    if isinstance(value, str | bytes):
        value = json.loads(text_of(value), parse_float=Decimal)
    if not isinstance(value, list):
        raise UnfitError("not a list")
    return [element(one) for one in value]


def plain(value: Any) -> Any:
    """A converted value as JSON has it, from which `convert` makes the same.

    Decimals, dates and timestamps (ISO 8601) are text, and so are NaN and infinities, which JSON has not.
    """
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
