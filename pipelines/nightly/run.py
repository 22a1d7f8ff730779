"""The nightly run: embed what is new, index what changed, check, publish, answer standing queries, prune, report."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from lookalike.model.errors import GateError, LookalikeError

from ..config.job import Config
from ..embedding.gone_files import GoneFilesError, naming_gone
from ..embedding.missing import embed_missing
from ..embedding.report import FEW, EmbedSummary
from ..filesystem import files
from ..store import exclusions, generations, index_manifest
from ..store.leftovers import writing
from ..store.notes import reasons_of, stage_seconds, totals
from ..store.prune import may_be_due, prune
from .pictures import look_at_pictures
from .report import RunReport, note_failure, now, reports_folder, write_report

if TYPE_CHECKING:
    from ..index.report import IndexSummary
    from ..index.tuning import AskedQueries
    from ..standing.report import StandingSummary


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NightlySummary:
    """What a nightly run did.

    Attributes:
        embedded: its first half.
        indexed: its second half.
        standing: what became of each standing query.
        report: the same in numbers.
        report_path: where that was written; the folder, if it could not be.
    """

    embedded: EmbedSummary
    indexed: IndexSummary
    standing: tuple[StandingSummary, ...]
    report: RunReport
    report_path: str


def nightly(config: Config, flags: Sequence[str] = ()) -> NightlySummary:
    """One nightly run; however it ends, a report of it is written.

    Args:
        config: the job.
        flags: Beam's flags.

    Raises:
        LookalikeError: for what the user can mend; what was served before still is.
        GateError: if a gate failed.
        OSError: if the store cannot be written.
    """
    report = RunReport(started=now())
    with writing(config, "nightly") as still_mine:
        try:
            embedded, indexed, standing = _run(config, flags, report, still_mine)
        except BaseException as error:
            note_failure(report, error)
            with contextlib.suppress(OSError, LookalikeError):
                report.generation = generations.served_name(config.store)
                write_report(config.store, report)
            raise
        try:
            path = write_report(config.store, report)
        except OSError as error:
            # What counts is done: a run that published does not end as one that did not.
            path = reports_folder(config.store)
            logger.warning("the run is done, but its report could not be written: %s", files.reason(error))
        return NightlySummary(embedded, indexed, standing, report, path)


def _run(
    config: Config, flags: Sequence[str], report: RunReport, still_mine: Callable[[], None]
) -> tuple[EmbedSummary, IndexSummary, tuple[StandingSummary, ...]]:
    started = time.perf_counter()
    from ..query.tuning_queries import tuning_queries

    asked = tuning_queries(config)
    try:
        embedded, indexed = _embed_and_index(config, flags, report, still_mine, asked)
    except GoneFilesError as error:
        logger.warning("%s; the night begins again", error)
        embedded, indexed = _embed_and_index(config, flags, report, still_mine, asked)
    standing = _answer_standing(config, flags, report)
    _look_at_pictures(config, embedded, report)
    keep = config.retention
    # Also where nothing changed: the run before may have been killed between publishing and pruning.
    if indexed.published or may_be_due(config.store, keep.generations):
        pruning = time.perf_counter()
        try:
            pruned = prune(config.store, keep.generations, keep.days)
        except OSError as error:
            served = f"{indexed.generation.name} is served, but old generations could not be deleted"
            raise LookalikeError(f"{served}: {files.reason(error)}") from error
        report.pruned = {"generations": len(pruned.deleted), "files": pruned.files, "bytes": pruned.bytes}
        report.seconds["prune"] = time.perf_counter() - pruning
    report.seconds["all"] = time.perf_counter() - started
    return embedded, indexed, standing


def _answer_standing(config: Config, flags: Sequence[str], report: RunReport) -> tuple[StandingSummary, ...]:
    """Also where nothing was published: the run before may have been killed after that, files of queries change."""
    if not config.standing:
        return ()
    from ..standing.job import answer_standing

    started = time.perf_counter()
    summaries = tuple(answer_standing(config, flags))
    report.standing = {one.name: one for one in summaries}
    report.seconds["standing"] = time.perf_counter() - started
    return summaries


def _look_at_pictures(config: Config, embedded: EmbedSummary, report: RunReport) -> None:
    """After all that counts is done."""
    started = time.perf_counter()
    report.pictures = look_at_pictures(config, embedded)
    if report.pictures:
        report.seconds["pictures"] = time.perf_counter() - started


def _embed_and_index(
    config: Config,
    flags: Sequence[str],
    report: RunReport,
    still_mine: Callable[[], None],
    asked: AskedQueries | None,
) -> tuple[EmbedSummary, IndexSummary]:
    started = time.perf_counter()
    embedded = embed_missing(config, flags)
    _note_embedding(report, embedded, time.perf_counter() - started)
    from ..index.job import index

    indexing = time.perf_counter()
    with naming_gone(config.store, embedded.plan), _naming(embedded.unfinished):
        indexed = index(config, embedded.plan, flags, still_mine, asked)
    _note_index(config, report, indexed, time.perf_counter() - indexing)
    return embedded, indexed


@contextlib.contextmanager
def _naming(unfinished: Mapping[str, str]) -> Iterator[None]:
    """Adds to what a gate says the shards that are missing from what it saw."""
    try:
        yield
    except GateError as error:
        if not unfinished:
            raise
        first = "; ".join([*unfinished.values()][:FEW])
        message = f"{error}; {len(unfinished):,} shards are not finished: {first}"
        raise GateError(message, error.gates, error.exit_code) from None


def _note_embedding(report: RunReport, embedded: EmbedSummary, seconds: float) -> None:
    plan = embedded.plan
    records = dict(totals(plan.notes))
    # What an earlier run embedded is used again by this one.
    records["embedded"] = embedded.counts["embedded"]
    records["reused"] = records["read"] - records["embedded"] - records["rejected"] - records["duplicates"]
    report.records = records
    report.rejects = dict(reasons_of(plan.notes))
    report.damaged = {note.shard: note.damaged for note in plan.notes if note.damaged}
    report.shards = {
        "read": len(embedded.embedded),
        "unchanged": embedded.skipped,
        "unfinished": len(embedded.unfinished),
        "late": len(embedded.late),
    }
    report.unfinished = dict([*embedded.unfinished.items()][:FEW])
    report.late = embedded.late[:FEW]
    report.seconds = {"embed": seconds, **(stage_seconds(embedded.embedded) if embedded.embedded else {})}
    report.images_per_second = records["embedded"] / embedded.seconds if embedded.seconds else 0.0
    report.bytes_read = sum(note.bytes for note in embedded.embedded)


def _note_index(config: Config, report: RunReport, indexed: IndexSummary, seconds: float) -> None:
    generation = indexed.generation
    report.outcome = "published" if indexed.published else "unchanged"
    report.generation = generation.name
    report.previous = generation.previous if indexed.published else generation.name
    report.records["items"] = generation.counts["items"]
    report.indexes = {"built": indexed.built, "grown": indexed.grown, "unchanged": indexed.unchanged}
    report.index_vectors = {
        "added": sum(ref.count for ref in generation.indexes if ref.added_to),
        "hidden": sum(ref.hidden.count for ref in generation.indexes if ref.hidden),
    }
    report.seconds["index"] = seconds
    recalls = [ref.recall for ref in generation.indexes if ref.recall is not None]
    report.recall = min(recalls, default=None)
    kinds = sorted({kind for ref in generation.indexes for kind in ref.recalls})
    report.recalls = {k: min(r.recalls[k] for r in generation.indexes if k in r.recalls) for k in kinds}
    report.searched_exactly = sum(ref.best_approximate is not None for ref in generation.indexes)
    report.drift = indexed.overlap
    report.health = indexed.health
    report.ids_duplicated = generation.duplicates
    try:
        report.excluded = len(exclusions.excluded_ids(config.store))
        for ref in generation.indexes:
            path = files.join(config.store, ref.path, index_manifest.MANIFEST)
            manifest = index_manifest.parse_manifest(files.read_bytes(path), path)
            settings = [asdict(one) for one in manifest.settings]
            report.settings[ref.path] = {"algorithm": ref.algorithm, "settings": settings}
    except OSError as error:
        # What counts is done: a run that published does not end as one that did not.
        logger.warning("the report is not complete: %s", files.reason(error))
