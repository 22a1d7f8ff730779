"""The duplicates job: near vectors of what is served, both pictures looked at, groups around what is kept.

    neighbours   each vector's nearest ones over all index shards      -> pairs       (`neighbours`)
    facts        embedding files: digest of the bytes, size            -> items       (`facts`)
    pictures     image shards, read again for the items of pairs       -> thumbnails  (`thumbnails`)
    comparing    both thumbnails of each pair                          -> copies      (`checking`)
    groups       the copies around what is kept                        -> the table   (`grouping`, `results`)

With a least score nothing is looked at, and the pairs are the copies. All but the last are done by workers where there
are flags of Beam. In memory are some bytes a vector; pairs and items lie in a database that spills to the disk.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..filesystem import files
from ..query.answering import refuse_folders
from ..query.tables import Format, table_name
from ..store import exclusions, generations
from .catalogues import Catalogue, check_comparable, numbered
from .completing import complete
from .copies import made_copies
from .facts import Corpus, make_items
from .keeping import check_field, keeper
from .limiting import Others, limit, missed
from .neighbours import Nearness
from .pairs import accept, accept_all, add_all, compare, look_at, make_near_pairs, paired_vectors
from .report import DuplicatesSummary, threshold_json
from .results import join_copies, make_groups, order_items, write_groups
from .run import Run, opened
from .threshold import MadeCopies, Threshold, chosen

TABLE = "duplicates"
THRESHOLD = "threshold.json"


@dataclass(frozen=True)
class DuplicatesOptions:
    """How duplicates are found.

    Attributes:
        keep: rule for what is kept; see `keeping.keeper`.
        precision: wished of what is found, above 0, at most 1.
        min_score: least score of a pair, by which alone it is judged then; None compares pictures.
        sample: pictures that copies are made of.
        pairs: whose pictures are compared at most.
        table_format: parquet, csv, jsonl or excel.

    Raises:
        LookalikeError: for a score that is no finite number.
    """

    keep: str = "largest"
    precision: float = 0.95
    min_score: float | None = None
    sample: int = 500
    pairs: int = 200_000
    table_format: Format = "parquet"

    def __post_init__(self) -> None:
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise LookalikeError(f"Expected a score that is a number. Received: {self.min_score}")


def duplicates(
    config: Config,
    out: str,
    options: DuplicatesOptions,
    against: Config | None = None,
    flags: Sequence[str] = (),
) -> DuplicatesSummary:
    """Finds the duplicates among what is served, or between that and what another job serves.

    Args:
        config: the job; its store and, to look at pictures, its encoder and its image shards are used.
        out: folder for `duplicates.FORMAT` and `threshold.json`.
        options: how.
        against: another job: what is kept is of its items, and what could go of this one's.
        flags: Beam's flags; with any, workers do it, which must see the stores, the image shards and `out`.

    Raises:
        LookalikeError: for what the user can mend.
        OSError: if a file cannot be read or written; then there is no table.
    """
    rule = keeper(options.keep)
    table = files.join(out, table_name(TABLE, options.table_format))
    seconds: defaultdict[str, float] = defaultdict(float)
    jobs = [config, *([against] if against else [])]
    with contextlib.ExitStack() as stack:
        catalogues = [_opened(job, stack) for job in jobs]
        served, kept_from = catalogues[0].generation, catalogues[-1].generation
        check_comparable(served, kept_from)
        check_field(rule, kept_from)
        if options.min_score is None:
            _check_own_vectors(catalogues)
        refuse_folders(table, files.join(out, THRESHOLD))
        files.delete([table, files.join(out, THRESHOLD)])
        made: MadeCopies | None = None
        if options.min_score is None:
            with _timed(seconds, "copies"):
                made = made_copies(catalogues[0], options.sample)
        run = stack.enter_context(opened(out, flags))
        shards = numbered(catalogues)
        with _timed(seconds, "neighbours"):
            wanted = _wanted(made, options.min_score, served.metric)
            make_near_pairs(run, catalogues, shards, wanted)
            others = limit(run, options.pairs) if made else Others()
            paired = paired_vectors(run)
        corpora = [Corpus(catalogue) for catalogue in catalogues]
        with _timed(seconds, "facts"):
            make_items(run, corpora, shards, paired, rule)
        threshold: Threshold | None = None
        not_compared = looked_at = unseen = 0
        with _timed(seconds, "pictures"):
            if made:
                found = look_at(run, corpora)
                threshold = chosen(made, found, options.precision, others.near)
                not_compared, looked_at = accept(run, threshold.correlation), len(found)
                unseen = missed(run, others)
                judge = partial(_look_at_more, run, threshold)
            else:
                accept_all(run)
                judge = partial(add_all, run)
        with _timed(seconds, "groups"):
            order_items(run, rule)
            if against:
                join_copies(run)
            else:
                complete(run, shards, served.metric, wanted.least, judge)
            groups = make_groups(run, served.metric, against=against is not None)
            made_by = {"lookalike.generation": served.name, "lookalike.encoder": served.encoder}
            summary = DuplicatesSummary(
                generation=served.name,
                against=kept_from.name if against else None,
                items=served.counts["items"],
                groups=groups,
                min_score=options.min_score,
                threshold=threshold,
                wished=options.precision,
                not_compared=not_compared,
                pairs=looked_at,
                others=others,
                unseen=unseen,
                table=table,
                seconds=seconds,
            )
            files.write_bytes(files.join(out, THRESHOLD), threshold_json(summary, config, against))
            write_groups(run, table, options.table_format, made_by)
    return summary


def _look_at_more(run: Run, threshold: Threshold) -> None:
    compare(run, "beyond")
    accept(run, threshold.correlation)


def _opened(config: Config, stack: contextlib.ExitStack) -> Catalogue:
    generation = stack.enter_context(generations.reading(config.store))
    return Catalogue(config, generation, exclusions.excluded_ids(config.store))


def _check_own_vectors(catalogues: Sequence[Catalogue]) -> None:
    if any(catalogue.generation.augmentation for catalogue in catalogues):
        raise LookalikeError(
            "Expected an index of the pictures' own vectors, to learn how near copies are. Received: one with "
            "database-side augmentation, which moves each towards its neighbours; use --min-score"
        )


def _wanted(made: MadeCopies | None, min_score: float | None, metric: str) -> Nearness:
    if made:
        return made.wanted
    assert min_score is not None
    near = min_score if metric == "cosine" else -min_score
    return Nearness(near, near)


@contextlib.contextmanager
def _timed(seconds: defaultdict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[stage] += time.perf_counter() - started
