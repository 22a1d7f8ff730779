"""The page of duplicates: each group with what is kept first, and what could go beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic

from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..config.noted import from_note
from ..duplicates.job import THRESHOLD
from ..filesystem import files
from .album import ITEM, MOST_BYTES, Album, Picture
from .answers import PageSummary
from .charts import histogram
from .duplicate_groups import DOUBTFUL, GREATEST, Duplicates, Group, find_table, read_groups
from .generation_shown import opened
from .page import link, plural, render
from .pictures import add_items

KEPT = "kept"
"""Pictures of what is kept where that is of another catalogue, which may have the same ids."""


_TOLD = ("generation", "against", "min_score", "min_correlation", "estimated_precision")


@dataclass(frozen=True)
class Member:
    """A picture of a group as it is shown.

    Attributes:
        item_id: of it.
        picture: of it.
        kind: how it is like the one that is kept; nothing for that.
        likeness: how near it is, as text.
        title: the same in words.
        facts: name and value of what else is known.
    """

    item_id: str
    picture: Picture
    kind: str
    likeness: str
    title: str
    facts: list[tuple[str, str]]


@dataclass(frozen=True)
class _Told:
    """The types of what the page takes from `threshold.json`."""

    generation: str | None = None
    against: str | None = None
    min_score: float | None = None
    min_correlation: float | None = None
    estimated_precision: float | None = None
    recall: dict[str, float] | None = None


_CHECKED = pydantic.TypeAdapter(_Told)


@dataclass(frozen=True)
class Note:
    """What `threshold.json` tells; nothing where it is not there.

    Attributes:
        told: all of it.
        config, against: the job whose copies they are, and the one that what is kept is of, if that is another.
    """

    told: Mapping[str, Any]
    config: Config | None = None
    against: Config | None = None


def duplicates_page(
    folder: str, page: str, config: Config | None, rows: int, most_bytes: int = MOST_BYTES
) -> PageSummary | None:
    """Makes the page of a folder of duplicates; None if it holds none.

    Args:
        folder: with the table.
        page: where the page will be, for the link to the table.
        config: the job; None for what is noted in the folder.
        rows: groups on the page at most.
        most_bytes: of its pictures.

    Raises:
        LookalikeError: for what the user can mend.
        OSError: if the table cannot be read.
    """
    table = find_table(folder)
    if table is None:
        return None
    note = _read_note(folder)
    job = config or note.config
    if job is None:
        raise LookalikeError(
            f"Expected -c with the job file, as nothing in {folder} tells it. Received: none"
        )
    by = "correlation" if note.told.get("min_score") is None else "score"
    is_distance = by == "score" and job.metric == "euclidean"
    found = read_groups(*table, rows, by, is_distance=is_distance)
    album = Album(most_bytes)
    _add_pictures(album, job, note, found)
    kind_of_kept = KEPT if note.against else ITEM
    sections = [
        (name, *_words(name, found, by), [_shown(group, album, kind_of_kept) for group in groups])
        for name, groups in found.sections.items()
        if groups
    ]
    address = link(table[0], page)
    html = render(
        "duplicates.html",
        title=f"{plural(found.groups, 'group')} of copies",
        note={name: note.told.get(name) for name in _TOLD},
        has_other=note.against is not None,
        found=found,
        counts=[
            (found.kept + found.could_go, "pictures in groups", address),
            (found.kept, "kept, one a group", None),
            (found.could_go, "could go", None),
        ],
        kinds=[(kind, f"{n:,}", f"{pixels / 1e6:,.1f}") for kind, (n, pixels) in found.kinds.items()],
        recall=[(kind, f"{share:.1%}") for kind, share in (note.told.get("recall") or {}).items()],
        weight=_weight(found, album),
        chart=histogram(found.likeness, "near copies", by),
        sections=sections,
        left_out=album.left_out,
    )
    told = {
        "groups": f"{found.groups:,}, of which {found.groups - found.left_out:,} are shown; "
        f"{found.could_go:,} pictures could go",
        "pictures": f"{album.shown:,}"
        + (f", {album.left_out:,} more are left out" if album.left_out else ""),
    }
    return PageSummary(html, told)


def _read_note(folder: str) -> Note:
    path = files.join(folder, THRESHOLD)
    if not files.exists(path):
        return Note({})
    try:
        told = json.loads(files.read_bytes(path))
        jobs = [told.get(name) and from_note(told[name]) for name in ("job", "against_job")]
        _CHECKED.validate_python(told)
        return Note(told, *jobs)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise LookalikeError(
            f"Expected in {path} what `lookalike duplicates` writes there. Received: {reason}. Delete it, and name the "
            "job file by -c"
        ) from None


def _add_pictures(album: Album, job: Config, note: Note, found: Duplicates) -> None:
    rows = [row for groups in found.sections.values() for group in groups for row in group.rows]
    kept = {str(row["item_id"]): None for row in rows if row["keep"]}
    others = {str(row["item_id"]): None for row in rows if not row["keep"]}
    with opened(job.store, note.told.get("generation")) as generation:
        add_items(album, job, generation, others if note.against else kept | others)
    if note.against:
        with opened(note.against.store, note.told.get("against")) as generation:
            add_items(album, note.against, generation, kept, KEPT)


def _shown(group: Group, album: Album, kind_of_kept: str) -> tuple[Member, list[Member], int]:
    """What is kept, the others, and how many more there are."""
    first, *others = [
        _member(row, album.show(kind_of_kept if row["keep"] else ITEM, str(row["item_id"])))
        for row in group.rows
    ]
    return first, others, group.count - len(group.rows)


def _member(row: Mapping[str, Any], picture: Picture) -> Member:
    score, correlation = row["score"], row["correlation"]
    title = ", ".join(
        f"{name} {value:.4f}"
        for name, value in (("correlation", correlation), ("score", score))
        if value is not None
    )
    likeness = correlation if correlation is not None else score
    size = f"{row['width']:,} × {row['height']:,}" if row["width"] and row["height"] else ""
    return Member(
        item_id=str(row["item_id"]),
        picture=picture,
        kind="" if row["keep"] else str(row["kind"]),
        likeness="" if likeness is None or row["keep"] else f"{likeness:.3f}",
        title=title,
        facts=[("pixels", size)] if size else [],
    )


def _weight(found: Duplicates, album: Album) -> tuple[int, str]:
    """Of the pictures shown that could go: how many were read, and the size of their files."""
    sizes = [
        album.sizes[ITEM, str(row["item_id"])]
        for groups in found.sections.values()
        for group in groups
        for row in group.rows
        if not row["keep"] and (ITEM, str(row["item_id"])) in album.sizes
    ]
    return len(sizes), f"{sum(sizes) / 1e6:,.1f} MB"


def _words(name: str, found: Duplicates, by: str) -> tuple[str, str]:
    """The heading of a section, and a sentence on it."""
    if name == DOUBTFUL:
        return (
            "Most doubtful",
            f"A near copy in them is the least like what is kept, by its {by}: if these are copies, the others are.",
        )
    if name == GREATEST:
        return "Greatest", "Groups of most pictures."
    rest = f" {plural(found.left_out, 'more is', 'more are')} only in the table." if found.left_out else ""
    return "All the others", "The greatest first." + rest
