"""The reports of a store's nights, as `lookalike nightly` leaves them; older ones may tell less."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic

from ..filesystem import files
from ..nightly.report import SUCCESSES, RunReport, reports_folder

NIGHTS = 60
"""Whose reports are read, the last ones."""
PARTS = ("embedded", "reused", "rejected", "duplicates")
"""What the records that were read are, each in one of them."""
_REPORT = pydantic.TypeAdapter(RunReport)
_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}.*\.json")


@dataclass(frozen=True)
class Night:
    """A nightly run, by its report.

    Attributes:
        told: all of the report.
    """

    told: Mapping[str, Any]

    @property
    def started(self) -> str:
        """When it began, to the minute, in UTC."""
        return str(self.told.get("started", ""))[:16].replace("T", " ")

    @property
    def outcome(self) -> str:
        """How it ended; see `nightly.report.OUTCOMES`."""
        return str(self.told.get("outcome", ""))

    @property
    def is_good(self) -> bool:
        """Whether it published, or found nothing new."""
        return self.outcome in SUCCESSES

    @property
    def records(self) -> dict[str, int]:
        """`read`, each of `PARTS` and `items`; 0 for what it did not come to."""
        counts = self.part("records")
        return {name: int(counts.get(name, 0)) for name in ("read", *PARTS, "items")}

    def part(self, name: str) -> Mapping[str, Any]:
        """A part of the report that has parts; empty where it is not there."""
        found = self.told.get(name)
        return found if isinstance(found, Mapping) else {}

    def number(self, name: str) -> float | None:
        """A number of the report; None where it is not there."""
        found = self.told.get(name)
        return float(found) if isinstance(found, int | float) else None


def read_nights(store: str, most: int = NIGHTS) -> Sequence[Night]:
    """The last nights of a store, the earliest first; one whose report is damaged is left out.

    Raises:
        OSError: if the reports cannot be read.
    """
    folder = reports_folder(store)
    names = sorted(file.path.rpartition("/")[2] for file in files.list_files(folder))
    nights = []
    for name in [name for name in names if _NAME.fullmatch(name)][-most:]:
        try:
            told = json.loads(files.read_bytes(files.join(folder, name)))
            _REPORT.validate_python({"started": "", **told})
        except (ValueError, TypeError, RecursionError):
            continue
        nights.append(Night(told))
    return nights
