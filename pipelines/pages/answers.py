"""The page of a folder of answers: what `lookalike query` found, with pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..query.note import QueryNote, read_note
from ..store import generations
from ..store.generation import Generation
from .album import ITEM, MOST_BYTES, Album
from .answer_rows import RowMaker, ids_of, rows_of, sections_of
from .charts import Chart, histogram
from .choosing import DOUBTFUL, FAR, MISTAKES, OTHERS, SUREST, Chosen, choose
from .explanations import explain_pairs
from .generation_shown import opened
from .new_items import new_items
from .overview import Overview, look_over
from .page import link, plural, render
from .pictures import add_items, add_queries
from .rejects import look_at_rejects
from .relevance import Relevance, relevance_of
from .result_tables import AnswerTables, find_answers

ROWS = 400
"""Queries that a page shows: some 4,400 pictures for 10 matches each, which open in a second or two."""


@dataclass(frozen=True)
class AnswersOptions:
    """How a page of answers is made.

    Attributes:
        queries: path of the queries; None for what is noted beside the answers.
        relevance: field, `directory` or file that tells what is relevant; None for nothing.
        rows: queries on the page at most.
        explain: rows whose first match is explained; at most `explanations.MOST`.
        most_bytes: of its pictures.
    """

    queries: str | None = None
    relevance: str | None = None
    rows: int = ROWS
    explain: int = 0
    most_bytes: int = MOST_BYTES


@dataclass(frozen=True)
class PageSummary:
    """What a page is made of, for a line or two on the terminal."""

    html: str
    told: Mapping[str, str]


def answers_page(
    folder: str, page: str, config: Config | None, options: AnswersOptions
) -> PageSummary | None:
    """Makes the page of a folder of answers; None if it holds none.

    Args:
        folder: with the two tables.
        page: where the page will be, for links to the tables.
        config: the job; None for what is noted beside the answers.
        options: how to make it.

    Raises:
        LookalikeError: for what the user can mend.
        OSError: if a table cannot be read.
    """
    tables = find_answers(folder)
    if tables is None:
        return None
    note = read_note(folder)
    if config is None:
        if note is None:
            raise LookalikeError(
                f"Expected -c with the job file, as nothing in {folder} tells it. Received: none"
            )
        config = note.config
    with opened(config.store, note.generation if note else None) as generation:
        return _page(tables, page, config, note, generation, options)


def _page(
    tables: AnswerTables,
    page: str,
    config: Config,
    note: QueryNote | None,
    generation: Generation,
    options: AnswersOptions,
) -> PageSummary:
    queries = options.queries or (note.queries if note else None)
    relevance = None
    if options.relevance:
        relevance = relevance_of(options.relevance, queries, config.corpus, generation.metadata)
    overview = look_over(tables, relevance)
    chosen = choose(overview, generation.metric, options.rows, _farthest(config.store, generation))
    order = [number for numbers in chosen.sections.values() for number in numbers]
    rows = rows_of(tables, order)
    query_ids, item_ids = ids_of(rows, order)
    first = [rows[number].rows[0] for number in order[: options.explain]]
    pairs = {str(row["query_id"]): str(row["item_id"]) for row in first}
    why = explain_pairs(config, generation, queries, pairs) if pairs else {}
    album = Album(options.most_bytes - sum(map(len, why.values())))
    add_queries(album, config, generation, queries, query_ids)
    hubs = [item for item, _ in overview.hubs]
    add_items(album, config, generation, dict.fromkeys([*item_ids, *hubs]))
    new = new_items(config.store, generation, item_ids)
    make = RowMaker(
        album,
        tables,
        generation.metadata,
        generation.metric == "cosine",
        relevance,
        new,
        why,
    )
    sections = list(sections_of(chosen.sections, rows, make))
    rejects = look_at_rejects(config.store, generation)
    html = render(
        "answers.html",
        title=f"Answers to {plural(overview.answered + overview.failed, 'query', 'queries')}",
        queries=queries,
        generation=generation,
        is_it=note is None or note.generation == generation.name,
        overview=overview,
        counts=_counts(overview, tables, page),
        chart=_chart(overview, generation),
        sections=[(name, *_words(name, chosen, relevance, overview), shown) for name, shown in sections],
        all_near=chosen.limit if overview.answered and not chosen.far else None,
        relevance=relevance,
        right=_right(overview),
        has_new=new is not None,
        is_cosine=generation.metric == "cosine",
        hubs=[(item, n, album.show(ITEM, item)) for item, n in overview.hubs if n > 1],
        rejects=rejects,
        results=link(tables.results, page),
        failures=link(tables.failures, page),
        left_out=album.left_out,
    )
    told = {
        "queries": f"{overview.answered:,} answered, {overview.failed:,} failed; {len(order):,} of them are shown",
        "pictures": f"{album.shown:,}"
        + (f", {album.left_out:,} more are left out" if album.left_out else ""),
    }
    if options.explain:
        told["explained"] = f"{len(why):,} of {plural(len(pairs), 'first match', 'first matches')}"
    return PageSummary(html, told)


def _farthest(store: str, generation: Generation) -> float | None:
    """The score with the nearest item that 997 of 1,000 tuning queries reached; None where nothing was tuned."""
    tuned = [generations.read_index(store, ref).farthest for ref in generation.indexes]
    known = [one for one in tuned if one is not None]
    if not known:
        return None
    return min(known) if generation.metric == "cosine" else max(known)


def _counts(overview: Overview, tables: AnswerTables, page: str) -> list[tuple[int, str, str | None]]:
    return [
        (overview.answered + overview.failed, "queries read", None),
        (overview.answered, "answered", link(tables.results, page)),
        (overview.failed, "failed", link(tables.failures, page)),
    ]


def _chart(overview: Overview, generation: Generation) -> Chart | None:
    unit = "best score" if generation.metric == "cosine" else "least distance"
    return histogram(overview.best, "queries", unit)


def _right(overview: Overview) -> tuple[int, int] | None:
    """How many best matches are relevant, of how many queries; None where that is not known."""
    known = overview.right[overview.right >= 0]
    return (int(known.sum()), len(known)) if len(known) else None


def _words(name: str, chosen: Chosen, relevance: Relevance | None, overview: Overview) -> tuple[str, str]:
    """The heading of a section, and a sentence on it."""
    if name == MISTAKES:
        field = relevance.name if relevance else ""
        return (
            "Surest mistakes",
            f"The best match is not relevant by {field}, and the nearest of all that are not.",
        )
    if name == SUREST:
        return "Surest", "The nearest best matches of all."
    if name == DOUBTFUL:
        if len(overview.probability):
            return "Most doubtful", "The probability of the best match is nearest to one half."
        return (
            "Most doubtful",
            "The second match is nearly as near as the first, among the half of the queries with farther best matches.",
        )
    if name == FAR:
        if chosen.limit is None:
            return (
                "Nothing near",
                "The farthest best matches of all: perhaps the catalogue holds nothing like it.",
            )
        return (
            "Nothing near",
            f"The best match is farther than {chosen.limit:.3f}, which 997 of 1,000 queries reached that the index was "
            "tuned with: the catalogue seems to hold nothing like it.",
        )
    assert name == OTHERS
    rest = f" {plural(chosen.left_out, 'more is', 'more are')} only in the table." if chosen.left_out else ""
    return "All the others", "In the order of the queries." + rest
