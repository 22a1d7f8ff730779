"""Health of a catalogue, by what a fixed sample of its items finds: what is like nothing, like another, and hubs.

A hub is among the nearest items of many others: Radovanovic, Nanopoulos and Ivanovic, "Hubs in Space: Popular Nearest
Neighbors in High-Dimensional Data", JMLR 11 (2010), 2487-2531, who count how often an item is among the k nearest of
all others (k-occurrences, N_k). Here they are counted in the answers to the sample that drift is measured with anyway.
Pictures that say nothing, such as a placeholder for a missing photograph, are found so; and of a picture that many
items share, the copies that are first by their ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .answers import Answers

EXAMPLES = 5
_SHOWN = 2
"""Of the examples, in the text for people."""
_HUB_SHARE = 0.05
"""Of the items asked: more of them than this find a hub."""
_HUB_TIMES = 5.0
"""And more than so many times as many as if all items were found equally often, which counts in small catalogues."""
_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Nearest:
    """An item, the one that is nearest to it, and their score."""

    item_id: str
    nearest: str
    score: float


@dataclass(frozen=True)
class Hub:
    """An item, and in how many answers to the sample it is."""

    item_id: str
    answers: int


@dataclass(frozen=True)
class Health:
    """What a sample of the items finds, each item without itself.

    Attributes:
        asked: items of the sample.
        k: answers to each, at most.
        scores: of the nearest item, at 5, 50 and 95 % of the sample, from the least alike to the most.
        least_similar: the items whose nearest item is the farthest, that one first.
        most_similar: those whose nearest item is the nearest.
        hubs: items in the answers of more than 5 % of the sample, and of 5 times as many as if all were found equally
            often; the most frequent first.
        hub_count: how many hubs there are; `hubs` has the first few.
    """

    asked: int
    k: int
    scores: tuple[float, ...]
    least_similar: tuple[Nearest, ...]
    most_similar: tuple[Nearest, ...]
    hubs: tuple[Hub, ...]
    hub_count: int


def health_of(ids: Sequence[str], answers: Answers, metric: str, items: int) -> Health | None:
    """The health that answers tell.

    Args:
        ids: of the items that were asked.
        answers: to them, each without the item itself.
        metric: of the index; decides what a score is.
        items: in the catalogue.

    Returns:
        None if no item found another.
    """
    found = [n for n, holds in enumerate(answers.held[:, :1].any(axis=1)) if holds]
    if not found:
        return None
    matches = answers.items["item_id"].to_pylist()
    rows, near = answers.rows(), answers.near
    order = sorted(found, key=lambda n: (near[n, 0], ids[n]))

    def score(n: int) -> float:
        return float(near[n, 0] if metric == "cosine" else -near[n, 0])

    def nearest(some: Sequence[int]) -> tuple[Nearest, ...]:
        return tuple(Nearest(ids[n], matches[rows[n, 0]], score(n)) for n in some)

    counts = Counter(matches)
    expected = len(matches) / items
    least = max(_HUB_SHARE * len(ids), _HUB_TIMES * expected)
    hubs = sorted((hub for hub in counts.items() if hub[1] > least), key=lambda hub: (-hub[1], hub[0]))
    return Health(
        asked=len(ids),
        k=near.shape[1],
        scores=tuple(score(order[round(q * (len(order) - 1))]) for q in _QUANTILES),
        least_similar=nearest(order[:EXAMPLES]),
        most_similar=nearest(order[: -EXAMPLES - 1 : -1]),
        hubs=tuple(Hub(*hub) for hub in hubs[:EXAMPLES]),
        hub_count=len(hubs),
    )


def health_lines(health: Health) -> Iterator[str]:
    """The same as text, with fewer examples."""
    low, middle, high = health.scores
    yield (
        f"health       of {health.asked:,} items asked, the nearest other item has a score of {middle:.3f} at the "
        f"median, {low:.3f} and {high:.3f} at 5 and 95 %"
    )
    for title, pairs in (("least alike", health.least_similar), ("most alike", health.most_similar)):
        yield f"{title:<12} " + ", ".join(
            f"{one.item_id} ({one.score:.3f} to {one.nearest})" for one in pairs[:_SHOWN]
        )
    if health.hubs:
        shown = ", ".join(f"{hub.item_id} ({hub.answers:,})" for hub in health.hubs)
        more = (
            f" and {health.hub_count - len(health.hubs):,} more"
            if health.hub_count > len(health.hubs)
            else ""
        )
        yield f"HUBS         {shown}{more} are in so many of the {health.asked:,} answers"
