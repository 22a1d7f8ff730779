"""From what a format stores to a `Record`: typed metadata, ids that are text, or the reason why not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from typing import Any

from .base import Shard, SourceOptions
from .records import Record, Reject
from .types import UnfitError, convert, text_of


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
        item_id = _id_text(key)
        if not item_id:
            raise UnfitError("it is empty")
        if options.item_id == "shard/key":
            item_id = text_of(f"{shard.stem}/{item_id}")
    except UnfitError as error:
        written = escape(key) if isinstance(key, bytes | str) else ""
        return Reject(written or None, position, "id", f"the id cannot be used: {error}")
    if stored.image is None:
        return Reject(item_id, position, "read", stored.no_image)
    if stored.problem:
        return Reject(item_id, position, "metadata", stored.problem)
    try:
        metadata = {
            name: _converted(name, kind, stored.fields.get(name)) for name, kind in options.metadata.items()
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


def _converted(name: str, kind: str, value: Any) -> Any:
    """See `types.convert`. Raises UnfitError with a message that gives field, type and value."""
    try:
        return convert(kind, value)
    except UnfitError:
        raise UnfitError(
            f"metadata field {name!r} does not fit {kind}. Received: {shown(value)} ({type(value).__name__})"
        ) from None


def read_json(data: bytes | str) -> tuple[Any, frozenset[str]]:
    """A JSON value, its fractions exact as `Decimal`; and, of an object, the keys that it has more than once.

    Raises:
        ValueError, RecursionError: if it cannot be read.
    """
    repeated: frozenset[str] = frozenset()

    def as_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        made = dict(pairs)
        # The outermost object is the last.
        counts = Counter(key for key, _ in pairs) if len(made) < len(pairs) else {}
        repeated = frozenset(key for key, count in counts.items() if count > 1)
        return made

    try:
        return json.loads(data, parse_float=Decimal, object_pairs_hook=as_dict), repeated
    except DecimalException:
        raise ValueError("a number with too large an exponent") from None


def shown(value: Any) -> str:
    """A stored value for a sentence, cut to 80 characters."""
    if isinstance(value, bytes):
        text = escape(value)
    else:
        written = str(value) if isinstance(value, Decimal) else repr(value)
        text = written.encode("ascii", "backslashreplace").decode()
    return text if len(text) <= 80 else text[:77] + "..."


def _id_text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text_of(value)
