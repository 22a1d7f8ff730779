"""The evaluation job: ranks the whole corpus for every query, exactly, and measures the rankings."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lookalike.model.encoder.post_processing import PostProcessing
from lookalike.model.errors import LookalikeError
from lookalike.model.printable import masked
from lookalike.model.waiting import waiting

from ..config.job import Config
from ..filesystem import files
from ..index.conditions import WHERE
from ..index.opening import open_vectors
from ..index.post_processing import steps_of
from ..index.shard import IndexShard
from ..query.blocks import Block, unique
from ..query.inputs import content_blocks, id_blocks, item_blocks, kind_of
from ..query.look_up import LookUpIds
from ..query.query_files import query_table
from ..runner.progress import Pace
from ..sources.records import DIRECTORY
from ..store import exclusions, generations
from ..store.calibrations import calibration_of
from ..store.generation import Generation
from .calibration import Calibrated, Pairs, calibrate, tried_on
from .labels import is_field, read_labels
from .measurements import REASONS, Measurements, Settings
from .ranking import RankedCorpus, keys_in_steps
from .relevance import JUNK, Judged, Relevance, SameValue, read_qrels

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """What was measured on one corpus in one set-up. Every query is in exactly one of the two tables.

    Attributes:
        name: of the job.
        setup: `all`, or `easy`, `medium` or `hard`.
        queries: path of the queries.
        generation: what was ranked.
        steps: what was done around the search, and to the index.
        items: number of items ranked.
        class_items: class -> its items in the corpus; empty without classes.
        per_query: `query_id`, `class` (string, null without), `relevant` (R), each metric, and of the first ranks
            `top` (ids), `top_classes` and `top_grades`. In input order.
        left_out: `query_id`, `reason` (one of `REASONS`), `detail`.
        curve: precision at recall 0, 0.1, ... 1, the mean over queries; None without queries.
        self_matches: queries whose own item was taken out of their ranking.
        unknown_items, unknown_queries: ids that are judged, but not in the corpus, or among the queries.
        calibrated: the probabilities of scores; None where there is no calibration, and none was asked for.
    """

    name: str
    setup: str
    queries: str
    generation: Generation
    steps: PostProcessing
    items: int
    class_items: Mapping[str, int]
    per_query: pa.Table
    left_out: pa.Table
    curve: np.ndarray | None
    self_matches: int
    unknown_items: list[str]
    unknown_queries: list[str]
    calibrated: Calibrated | None = None


@dataclass(frozen=True)
class _Method:
    """What is ranked and how, what is relevant, and whether the item whose id is the query's own is ranked too; and the
    pairs that a calibration is made of or tried on, if there is one."""

    corpus: RankedCorpus
    steps: PostProcessing
    judge: Relevance
    keep_self: bool
    pairs: Pairs | None


def evaluate(
    config: Config, path: str, relevance: str, settings: Settings | None = None, name: str = "job"
) -> list[Evaluation]:
    """Measures how well the encoder of a job ranks what is served for a file of queries.

    The rankings are exact, not ScaNN's: ids that are taken down, junk and the query itself are out of them, and
    items at the same distance go by id.

    Args:
        config: the job; its store and encoder are used.
        path: queries, as the query job takes them.
        relevance: a metadata field, `directory`, or a file of judgements.
        settings: how to measure.
        name: of the job, for the report.

    Returns:
        One evaluation, or those of easy, medium and hard.

    Raises:
        LookalikeError: for what the user can mend.
        OSError: if a file cannot be read.
    """
    settings = settings or Settings()
    with generations.reading(config.store) as generation:
        in_words = kind_of(path) == "table" and query_table(path).has_text
        steps = steps_of(config, generation, in_words)
        with waiting("opening the vectors"):
            shards = open_vectors(config.store, generation)
        corpus = RankedCorpus(shards, generation.metric, exclusions.excluded_ids(config.store))
        if not len(corpus):
            raise LookalikeError(f"Expected items to rank. Received: none in generation {generation.name}")
        judge = _relevance(config, path, relevance, settings, generation, corpus)
        labels = judge.labels if isinstance(judge, SameValue) else None
        if settings.classes:
            labels = read_labels(settings.classes, path, config.corpus, generation.metadata, corpus)
        by_setup = {setup: Measurements(corpus, labels, settings) for setup in judge.setups}
        there, pairs = None, Pairs(config.query.k) if settings.calibrate else None
        if not (settings.calibrate or settings.difficulty):
            there, _ = calibration_of(config.store, config.encoder, generation, steps)
            pairs = Pairs(there.k) if there else None
        method = _Method(corpus, steps, judge, settings.keep_self, pairs)
        seen: set[str] = set()
        pace = Pace()
        for block in _blocks(config, path, generation, shards):
            seen.update(block.ids, (failure.query_id for failure in block.failures))
            for _, query_id, stage, error in block.failures:
                for measured in by_setup.values():
                    measured.leave_out(query_id, "failed", masked(f"{stage}: {error}"))
            _measure_block(method, block, by_setup)
            if pace.due():
                logger.info("%s queries ranked", f"{len(seen):,}")
    if not seen:
        raise LookalikeError(f"Expected queries. Received: none in {path}")
    class_items = {} if labels is None else {str(value): n for value, n in labels.counts().items()}
    judged = judge if isinstance(judge, Judged) else None
    calibrated = None
    if pairs:
        calibrated = tried_on(pairs, there) if there else calibrate(pairs, generation, steps, relevance)
    return [
        Evaluation(
            name=name,
            setup=setup,
            queries=path,
            generation=generation,
            steps=steps,
            items=len(corpus),
            class_items=class_items,
            per_query=measured.per_query(),
            left_out=measured.left_out_table(),
            curve=measured.mean_curve(),
            self_matches=measured.self_matches,
            unknown_items=judged.unknown if judged else [],
            unknown_queries=sorted(judged.queries - seen) if judged else [],
            calibrated=calibrated,
        )
        for setup, measured in by_setup.items()
    ]


def _relevance(
    config: Config,
    path: str,
    named: str,
    settings: Settings,
    generation: Generation,
    corpus: RankedCorpus,
) -> Relevance:
    if is_field(named, generation.metadata):
        if settings.difficulty:
            raise LookalikeError(
                f"Easy, medium and hard need a file of judgements. Received: the field {named}"
            )
        return SameValue(read_labels(named, path, config.corpus, generation.metadata, corpus))
    if not files.exists(named):
        carried = ", ".join([*generation.metadata, DIRECTORY])
        raise LookalikeError(
            f"Expected a field that the index carries ({carried}) or a file of judgements. Received: {named}, which is "
            f"neither. A field must be in corpus.metadata when `lookalike nightly` runs"
        )
    judgements = read_qrels(named)
    asked = list(dict.fromkeys(item_id for items in judgements.values() for item_id in items))
    numbers = dict(zip(asked, corpus.numbers_of(asked).tolist(), strict=True))
    return Judged(judgements, numbers, len(corpus), settings.difficulty)


def _blocks(config: Config, path: str, generation: Generation, shards: list[IndexShard]) -> Iterator[Block]:
    kind = kind_of(path)
    table = query_table(path) if kind == "table" else None
    if table and WHERE in table.columns.names:
        raise LookalikeError(
            f"Expected queries without filters: every item is ranked. Received: {path}, with a column {WHERE}"
        )
    how = LookUpIds(None, exclusions.excluded_ids(config.store), "mean", generation.metric)
    if table and table.content == "item_id":
        return unique(item_blocks(table, shards, generation, how))
    if kind == "ids":
        return unique(id_blocks(path, shards, how))
    # No note is taken of a picture that ends the process which decodes it: none is decoded in this one.
    return unique(content_blocks(path, config, generation, suspect=True))


def _measure_block(method: _Method, block: Block, by_setup: Mapping[str, Measurements]) -> None:
    corpus, judge = method.corpus, method.judge
    reasons = [judge.why_not(query_id) for query_id in block.ids]
    for query_id, reason in zip(block.ids, reasons, strict=True):
        for measured in by_setup.values() if reason else ():
            measured.leave_out(query_id, "unjudged", reason or "")
    kept = np.flatnonzero([reason is None for reason in reasons])
    numbers = corpus.numbers_of(block.ids)
    own = np.full(len(block.ids), -1) if method.keep_self else numbers
    for start in range(0, len(kept), corpus.queries_at_once):
        part = kept[start : start + corpus.queries_at_once]
        ids = [block.ids[i] for i in part]
        keys, asked = keys_in_steps(corpus, block.vectors[part], numbers[part], method.steps)
        for setup, measured in by_setup.items():
            grades = judge.grades(ids, setup)
            with_own = np.flatnonzero(own[part] >= 0)
            grades[with_own, own[part][with_own]] = JUNK
            measured.self_matches += len(with_own)
            if method.pairs:
                method.pairs.add(corpus, asked, keys, grades)
            measured.add(ids, keys.copy() if len(by_setup) > 1 else keys, grades)


def left_out_counts(evaluation: Evaluation) -> dict[str, int]:
    """Reason -> queries that were not measured, every reason named."""
    counts = Counter(evaluation.left_out["reason"].to_pylist())
    return {reason: counts[reason] for reason in REASONS}
