"""From what a format stores to a `Record`: typed metadata, ids that are text, or the reason why not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .base import Shard, SourceOptions
from .records import Record, Reject

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class UnfitError(ValueError):
    """A stored value that cannot become what was asked for; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a format holds of one record.

    Attributes:
        key: the format's own id as stored (text, bytes or a whole number), None if there is none.
        image: the encoded image, None if there is none.
        fields: stored values by name, for the metadata schema and for `item_id: field:NAME`.
        no_key, no_image: the reasons to give where `key` or `image` is None.
        problem: why `fields` is not what the record was to have.
    """

    key: Any
    image: bytes | None
    fields: Mapping[str, Any]
    no_key: str = "the record has no id"
    no_image: str = "the record has no image"
    problem: str | None = None


def build(shard: Shard, options: SourceOptions, position: int, stored: Stored) -> Record | Reject:
    """Turns one stored record into a `Record`, or a `Reject` with stage `id`, `read` or `metadata`."""
    key, no_key = stored.key, stored.no_key
    if options.id_from_field:
        key = stored.fields.get(options.id_from_field)
        no_key = stored.problem or f"field {options.id_from_field!r}, which is to be the id, has no value"
    elif options.item_id == "position":
        key = shard.id_of(position)
    if key is None:
        hint = "" if stored.problem else "; set corpus.item_id: position, or field:NAME"
        return Reject(None, position, "id", f"{no_key}{hint}")
    try:
        item_id = _text(key)
        if not item_id:
            raise UnfitError("it is empty")
        if options.item_id == "shard/key":
            item_id = _text(f"{shard.stem}/{item_id}")
    except UnfitError as error:
        shown = escape(key) if isinstance(key, bytes | str) else ""
        return Reject(shown or None, position, "id", f"the id cannot be used: {error}")
    if stored.image is None:
        return Reject(item_id, position, "read", stored.no_image)
    if stored.problem:
        return Reject(item_id, position, "metadata", stored.problem)
    try:
        metadata = {
            name: convert(name, kind, stored.fields.get(name)) for name, kind in options.metadata.items()
        }
    except UnfitError as error:
        return Reject(item_id, position, "metadata", str(error))
    return Record(item_id, stored.image, position, metadata)


def damage(shard: Shard, position: int, offset: int, reason: str, *, unpacked: bool = False) -> Reject:
    """The reject that ends a shard: nothing behind `offset` can be read.

    Args:
        position: how many records came before.
        offset: bytes read without fault; of the decompressed data if `unpacked`.
        reason: what is wrong there.
    """
    place = f"byte {offset} of the decompressed data" if unpacked else f"byte {offset} of {shard.size}"
    error = f"{reason} at {place}: {position} records could be read, and nothing behind them"
    return Reject(None, position, "read", error, ends_shard=True)


def escape(value: bytes | str) -> str:
    """`value` as text that is always valid UTF-8; bytes that are not are written `\\xff`.

    >>> escape(b"caf\\xe9")
    'caf\\\\xe9'
    """
    if isinstance(value, str):
        try:
            data = value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            data = value.encode("utf-8", "backslashreplace")
    else:
        data = value
    return data.decode("utf-8", "backslashreplace")


def convert(name: str, kind: str, value: Any) -> Any:
    """`value` as `kind`, if nothing is lost by it.

    A whole number fits `int64` within its range and `float64`, 0 and 1 also fit `bool` (TFRecord has no other
    way to store it); text fits a number or bool that it spells. None stays None.

    Args:
        kind: one of `base.TYPES`.
        value: as the format stores it; bytes are text in UTF-8.

    Raises:
        UnfitError: with a message that gives field, type and value.
    """
    if value is None:
        return None
    try:
        if kind == "string":
            return _text(value, whole_numbers=False)
        if isinstance(value, bytes | str):
            return _parse(kind, _text(value).strip())
        if kind == "bool" and (isinstance(value, bool) or (isinstance(value, int) and value in (0, 1))):
            return bool(value)
        if kind == "int64" and isinstance(value, int) and not isinstance(value, bool):
            return _int64(value)
        if kind == "float64" and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    except (UnfitError, OverflowError):
        pass
    shown = (
        escape(value)
        if isinstance(value, bytes)
        else repr(value).encode("ascii", "backslashreplace").decode()
    )
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    raise UnfitError(
        f"metadata field {name!r} does not fit {kind}. Received: {shown} ({type(value).__name__})"
    )


def _parse(kind: str, text: str) -> Any:
    if kind == "bool" and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    if kind == "int64" and _INTEGER.fullmatch(text):
        return _int64(int(text))
    if kind == "float64" and "_" not in text:
        try:
            return float(text)
        except ValueError:
            pass
    raise UnfitError("not spelled as expected")


def _int64(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise UnfitError("beyond 64 bits")
    return value


def _text(value: Any, *, whole_numbers: bool = True) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnfitError(f"not UTF-8 at byte {error.start}") from None
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UnfitError(f"not UTF-8 at character {error.start}") from None
        return value
    if whole_numbers and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise UnfitError(f"expected text. Received: {type(value).__name__}")
