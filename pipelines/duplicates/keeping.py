"""Which picture of a group is kept: the rule, and the order of items that it means."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lookalike.model.errors import LookalikeError

from ..store.generation import Generation

RULES = ("largest", "oldest", "first")
_FIELD = re.compile(r"field:(?P<name>.+?)(:(?P<which>min|max))?")
_ORDERS = {
    "largest": "width::BIGINT * height DESC",
    "oldest": "changed",
    "first": "shard, place",
}
_NO_ORDER = "list"


@dataclass(frozen=True)
class Keeper:
    """A rule.

    Attributes:
        order: of the items in SQL, the first of a group being kept; what ties goes by `item_id`.
        field: of the metadata, that is needed for it; None for none.
        needs_age: whether the time of change of image shards is needed.
    """

    order: str
    field: str | None = None
    needs_age: bool = False


def keeper(rule: str) -> Keeper:
    """A rule as it is written: `largest`, `oldest`, `first`, `field:NAME`, `field:NAME:min` or `field:NAME:max`.

    Raises:
        LookalikeError: for anything else.
    """
    if rule in RULES:
        return Keeper(f"{_ORDERS[rule]}, item_id", needs_age=rule == "oldest")
    found = _FIELD.fullmatch(rule)
    if not found:
        raise LookalikeError(
            f"Expected a rule for what is kept: {', '.join(RULES)}, field:NAME, field:NAME:min or field:NAME:max. "
            f"Received: {rule}"
        )
    direction = "ASC" if found["which"] == "min" else "DESC"
    return Keeper(f"field {direction} NULLS LAST, item_id", field=found["name"])


def check_field(rule: Keeper, generation: Generation) -> None:
    """Raises LookalikeError unless a catalogue carries the field of a rule, and its values have an order."""
    if rule.field is None:
        return
    kind = generation.metadata.get(rule.field)
    if kind is None:
        carried = ", ".join(generation.metadata) or "none"
        raise LookalikeError(
            f"Expected a field that the index carries ({carried}) to tell what is kept. Received: {rule.field}. A "
            "field must be in corpus.metadata when `lookalike nightly` runs"
        )
    if kind.startswith(_NO_ORDER):
        raise LookalikeError(
            f"Expected a field whose values have an order to tell what is kept. Received: {rule.field}, {kind}"
        )
