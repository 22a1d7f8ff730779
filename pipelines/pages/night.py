"""The page of the last night of a store: how it ended, what came, what was rejected, and how the nights before were."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.job import Config
from ..store import exclusions, generations
from ..store.generation import Generation
from .album import ITEM, MOST_BYTES, Album, Picture
from .answers import PageSummary
from .charts import Chart, bars
from .generation_shown import opened
from .night_reports import PARTS, Night, read_nights
from .page import plural, render
from .pictures import add_items
from .reject_examples import reject_examples

_DOWN = 12
"""Ids that are taken down, on the page."""
_OF_THREADS = ("read", "decode", "network", "write")
"""Stages whose seconds are those of all threads together."""


@dataclass(frozen=True)
class Shown:
    """An item on the page: its id, its picture, and what is told of it."""

    item_id: str
    picture: Picture
    about: str


def night_page(store: str, config: Config | None, most_bytes: int = MOST_BYTES) -> PageSummary | None:
    """Makes the page of the last night of a store; None if the place holds no report of one.

    Args:
        store: of the job.
        config: the job, whose shards have the pictures; None shows none.
        most_bytes: of its pictures.

    Raises:
        LookalikeError: for what the user can mend.
        OSError: if the store cannot be read.
    """
    nights = read_nights(store)
    if not nights:
        return None
    night = nights[-1]
    served = generations.served_name(store)
    name = night.told.get("generation") or served
    down = exclusions.entries(store)
    album = Album(most_bytes)
    health, flaws = night.part("health"), night.part("pictures")
    with contextlib.ExitStack() as stack:
        generation: Generation | None = None
        if served is not None:
            generation = stack.enter_context(opened(store, name))
            _add_pictures(album, config, generation, _ids(health, flaws))
        reasons = (
            reject_examples(store, generation, config, album, {one.item_id for one in down})
            if generation
            else []
        )

    def show(item_id: str, about: str) -> Shown:
        return Shown(item_id, album.show(ITEM, item_id), about)

    html = render(
        "night.html",
        night=night,
        name=name,
        previous=night.told.get("previous"),
        is_shown_gone=generation is not None and name != generation.name,
        generation=generation,
        counts=[
            (night.records["read"], "records read", None),
            (night.records["embedded"], "embedded", None),
            (night.records["rejected"], "rejected", "#rejects" if reasons else None),
            (night.records["items"], "items served", None),
        ],
        parts=[(night.records[part], part) for part in PARTS],
        served=_served(night, generation),
        message=night.told.get("message"),
        gates=list(night.told.get("failed_gates") or ()),
        trouble=_trouble(night),
        reasons=reasons,
        flaws=[
            (flaw, int(found["count"]), [show(one, "") for one in found["item_ids"]])
            for flaw, found in sorted((flaws.get("flaws") or {}).items())
        ],
        looked_at=int(flaws.get("looked_at", 0)),
        health=health,
        alike=_pairs(health, show),
        hubs=[
            show(one["item_id"], f"in {plural(one['answers'], 'answer')}") for one in health.get("hubs", ())
        ],
        quality=_quality(night),
        speed=_speed(night),
        charts=_charts(nights),
        nights=[_line(one) for one in reversed(nights)],
        generations=_generations(store),
        pruned=_pruned(night),
        down=[[one.item_id, f"{one.since:%Y-%m-%d %H:%M}", one.reason] for one in down[:_DOWN]],
        down_count=len(down),
        standing=_standing(night),
        left_out=album.left_out,
    )
    told = {
        "night": f"{night.started}, {night.outcome}; {plural(len(nights), 'night')} in all",
        "pictures": f"{album.shown:,}",
    }
    return PageSummary(html, told)


def _served(night: Night, generation: Generation | None) -> list[tuple[int, str]] | None:
    """What is not served of the records read; None where the shown generation is not that of the night."""
    if generation is None:
        return None
    records = night.records
    gone = [
        (records["rejected"], "rejected"),
        (records["duplicates"], "duplicates"),
        (generation.excluded, "taken down"),
    ]
    adds_up = records["read"] - sum(count for count, _ in gone) == records["items"]
    return gone if adds_up and generation.counts["items"] == records["items"] else None


def _ids(health: Mapping[str, Any], flaws: Mapping[str, Any]) -> list[str]:
    """Items that the page shows."""
    pairs = [*health.get("least_similar", ()), *health.get("most_similar", ())]
    found = [one[name] for one in pairs for name in ("item_id", "nearest")]
    found += [one["item_id"] for one in health.get("hubs", ())]
    found += [one for of in (flaws.get("flaws") or {}).values() for one in of["item_ids"]]
    return list(dict.fromkeys(found))


def _add_pictures(
    album: Album, config: Config | None, generation: Generation, item_ids: Sequence[str]
) -> None:
    if config is None:
        album.without(ITEM, "-c was not given")
    else:
        add_items(album, config, generation, item_ids)


def _pairs(
    health: Mapping[str, Any], show: Callable[[str, str], Shown]
) -> list[tuple[str, str, list[tuple[Shown, Shown, str]]]]:
    """Heading, sentence, and pairs of an item and the one that is nearest to it."""
    words = {
        "least_similar": (
            "Least alike",
            "Items whose nearest other item is the farthest: like nothing else here.",
        ),
        "most_similar": ("Most alike", "Items whose nearest other item is the nearest: perhaps copies."),
    }
    return [
        (
            *words[name],
            [
                (show(one["item_id"], ""), show(one["nearest"], "its nearest"), f"{one['score']:.3f}")
                for one in health[name]
            ],
        )
        for name in words
        if health.get(name)
    ]


def _trouble(night: Night) -> list[tuple[str, str]]:
    """What somebody should look at: what, and why."""
    found = [(name, f"damaged: {how_far}") for name, how_far in night.part("damaged").items()]
    found += [(name, f"not finished: {why}") for name, why in night.part("unfinished").items()]
    found += [(name, "came during the run; the next night takes it") for name in night.told.get("late") or ()]
    return found


def _quality(night: Night) -> list[tuple[str, str]]:
    """Recall and drift, as text."""
    rows = []
    if (recall := night.number("recall")) is not None:
        rows.append(("Recall of the index against exact search, the lowest", f"{recall:.4f}"))
    for kind, value in night.part("recalls").items():
        rows.append((f"Recall, {kind.replace('_', ' ')}", f"{value:.4f}"))
    if exact := night.number("searched_exactly"):
        rows.append(("Index shards that only exact search serves well enough", f"{exact:,.0f}"))
    if (drift := night.number("drift")) is not None:
        rows.append(("Top 10 of a fixed sample as in the last generation", f"{drift:.1%}"))
    return rows


def _speed(night: Night) -> list[tuple[str, str, str]]:
    """Stage, its seconds, and images a second of it where it is per image."""
    embedded = night.records["embedded"]
    rows = []
    for stage, seconds in night.part("seconds").items():
        rate = (
            f"{embedded / seconds:,.0f}" if stage in ("embed", *_OF_THREADS) and seconds and embedded else ""
        )
        rows.append((f"{stage}, all threads" if stage in _OF_THREADS else stage, f"{seconds:,.1f}", rate))
    return rows


def _charts(nights: Sequence[Night]) -> list[tuple[str, Chart]]:
    """Name and bars of what is counted each night."""
    numbers: dict[str, list[float | None]] = {
        "Items served": [one.records["items"] or None for one in nights],
        "Images embedded": [one.records["embedded"] for one in nights],
        "Records rejected": [one.records["rejected"] for one in nights],
        "Top 10 as in the last generation": [one.number("drift") for one in nights],
    }
    charts = []
    for name, values in numbers.items():
        known = [value for value in values if value is not None]
        if len(known) < 2:
            continue
        is_share = name.startswith("Top 10")
        as_text = [_number(value, is_share) for value in values]
        labels = [f"{one.started}: {text or 'not known'}" for one, text in zip(nights, as_text, strict=True)]
        text = (
            f"{name} in {plural(len(known), 'night')}: from {_number(min(known), is_share)} to "
            f"{_number(max(known), is_share)}, last {_number(known[-1], is_share)}."
        )
        ticks = [nights[0].started[:10], nights[-1].started[:10]]
        charts.append((name, bars([value or 0 for value in values], labels, ticks, text)))
    return charts


def _number(value: float | None, is_share: bool) -> str:
    return "" if value is None else f"{value:.1%}" if is_share else f"{value:,.0f}"


def _line(night: Night) -> list[str]:
    """A night as a row of the table of nights."""
    records = [f"{count:,}" for count in night.records.values()]
    seconds = night.part("seconds").get("all")
    return [
        night.started,
        night.outcome,
        *records,
        _number(night.number("drift"), is_share=True),
        "" if night.number("recall") is None else f"{night.number('recall'):.4f}",
        "" if seconds is None else f"{seconds:,.0f}",
    ]


def _generations(store: str) -> list[list[str]]:
    """The generations that are kept, the newest first."""
    return [
        [
            one.name + (", served" if one.current else ""),
            *(f"{count:,}" if count is not None else "" for count in (one.items, one.shards, one.indexes)),
            one.encoder or one.problem or "",
        ]
        for one in reversed(generations.list_generations(store))
    ]


def _pruned(night: Night) -> str | None:
    """What pruning deleted, in a sentence; None where it was not due, or that is not known."""
    found = night.part("pruned")
    if not {"generations", "files", "bytes"} <= found.keys():
        return None
    if not found["generations"]:
        return "No generation was old enough to be deleted."
    return (
        f"Deleted: {plural(found['generations'], 'generation')}, {plural(found['files'], 'file')} of "
        f"{found['bytes'] / 1e6:,.1f} MB."
    )


def _standing(night: Night) -> list[list[str]]:
    rows = []
    for name, one in night.part("standing").items():
        counts = one.get("counts") or {}
        changes = [f"{counts.get(what, 0):,}" for what in ("answered", "failed", "entered", "left", "moved")]
        rows.append([name, one.get("error") or one.get("outcome", ""), *changes])
    return rows
