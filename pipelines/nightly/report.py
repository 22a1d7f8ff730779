"""The report of a nightly run: JSON for programs, text for people, OpenMetrics for node_exporter."""

from __future__ import annotations

import contextlib
import json
import os
import resource
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.openmetrics.exposition import generate_latest

from lookalike.model.errors import GateError
from lookalike.model.printable import masked, printable_lines

from ..filesystem import files
from ..index.gates import EXIT_CODES
from ..index.health import Health, health_lines
from ..standing.report import StandingSummary, standing_report
from .pictures import Pictures, picture_lines

SUCCESSES = ("published", "unchanged")
STANDING = {
    "answered": "Queries of the last answers to a standing query that were answered.",
    "failed": "Queries of them that were not.",
    "entered": "Items that entered the answers to a standing query in the last run.",
    "left": "Items that left them.",
    "moved": "Items that moved in them.",
}
"""What is counted of a standing query -> what the metric says of itself."""
OUTCOMES = (*SUCCESSES, "gate failed", "failed", "interrupted")


@dataclass
class RunReport:
    """What a nightly run did; filled in as it goes, so that a failed run reports how far it came.

    Attributes:
        started, finished: ISO 8601 in UTC.
        outcome: one of `OUTCOMES`.
        message: the sentence that a run which did not publish ends with.
        failed_gates: names of the gates that failed, keys of `gates.EXIT_CODES`.
        last_success: end of the last run that published or found nothing new, ISO 8601 in UTC; None before one.
        generation: name of what is served now.
        previous: name of what was served before.
        records: read, embedded, reused, rejected, duplicates, and items served. `embedded` met the network in
            this run; `reused` kept the vector of an earlier one.
        rejects: stage -> records.
        damaged: name of a shard that could be read only in part -> how far.
        shards: image shards that were read, were unchanged, are left unfinished, and came late: arrived or changed
            during the run.
        unfinished: name of a shard that is not as it was listed -> one sentence; the first few.
        late: names of the first few that came late.
        indexes: index shards that were built, grew and are unchanged.
        index_vectors: vectors that stand in additions to index shards, and that are hidden in these.
        seconds: stage -> seconds; read, decode, network and write are work of all threads, the others wall
            clock.
        images_per_second: embedded images over the wall clock of embedding.
        bytes_read: size of the image shards that were read.
        peak_memory_bytes: highest resident memory of this process and of any child.
        recall: lowest recall of an index shard, at any k and for any kind of query; None without one.
        recalls: kind of query -> the lowest recall of an index shard.
        searched_exactly: index shards for which nothing but exact search reaches the target.
        settings: index shard -> its algorithm, and how it is searched for each k.
        drift: fraction of the top 10 of a fixed sample that is as in the last generation; None for the first.
        ids_duplicated: ids that occur in more than one shard.
        excluded: ids that are taken down.
        pictures: what a look at some pictures of the image shards that were read found; None without any.
        health: what a sample of the items finds; None where nothing was published.
        standing: name of a standing query -> what became of it.
        pruned: generations that were deleted, the files that went with them, and their bytes; empty where pruning was
            not due.
    """

    started: str
    finished: str = ""
    outcome: str = "failed"
    message: str = ""
    failed_gates: tuple[str, ...] = ()
    last_success: str | None = None
    generation: str | None = None
    previous: str | None = None
    records: dict[str, int] = field(default_factory=dict)
    rejects: dict[str, int] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    shards: dict[str, int] = field(default_factory=dict)
    unfinished: dict[str, str] = field(default_factory=dict)
    late: tuple[str, ...] = ()
    indexes: dict[str, int] = field(default_factory=dict)
    index_vectors: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    images_per_second: float = 0.0
    bytes_read: int = 0
    peak_memory_bytes: int = 0
    recall: float | None = None
    recalls: dict[str, float] = field(default_factory=dict)
    searched_exactly: int = 0
    settings: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    drift: float | None = None
    ids_duplicated: int = 0
    excluded: int = 0
    pictures: Pictures | None = None
    health: Health | None = None
    standing: dict[str, StandingSummary] = field(default_factory=dict)
    pruned: dict[str, int] = field(default_factory=dict)


def now() -> str:
    """The time in UTC, ISO 8601 to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def reports_folder(store: str) -> str:
    """Where a store keeps the reports of its runs."""
    return files.join(store, "reports")


def note_failure(report: RunReport, error: BaseException) -> None:
    """Notes in the report how a run ended that raised `error`."""
    report.outcome = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    report.message = files.reason(error) if isinstance(error, OSError) else str(error) or type(error).__name__
    if isinstance(error, GateError):
        report.outcome, report.failed_gates = "gate failed", error.gates


def write_report(store: str, report: RunReport) -> str:
    """Writes `STARTED.json`, `latest.json`, `latest.txt` and `lookalike.prom`. Returns the first one's path.

    Raises:
        OSError: if the store cannot be written.
    """
    folder = reports_folder(store)
    report.finished = now()
    report.last_success = report.finished if report.outcome in SUCCESSES else _last_success(folder)
    report.peak_memory_bytes = _peak_memory()
    data = masked(json.dumps(asdict(report), indent=1)).encode() + b"\n"
    path = files.join(folder, report.started.replace(":", "").replace("+0000", "Z") + ".json")
    for name in (path, files.join(folder, "latest.json")):
        files.write_bytes(name, data)
    files.write_bytes(files.join(folder, "latest.txt"), (as_text(report) + "\n").encode())
    files.write_bytes(files.join(folder, "lookalike.prom"), as_openmetrics(report, store))
    return path


def _last_success(folder: str) -> str | None:
    try:
        told = json.loads(files.read_bytes(files.join(folder, "latest.json")))["last_success"]
        return told if told is None else datetime.fromisoformat(told).isoformat()
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        RecursionError,
    ):  # the first run, or a damaged report: no reason to fail
        return None


def _peak_memory() -> int:
    own, children = (
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    # What getrusage tells of a process begins with the size of whoever started it; /proc does not.
    with contextlib.suppress(OSError, IndexError):
        own = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    return max(own, children) * 1024


def as_text(report: RunReport) -> str:
    """The report for people, a fact a line."""
    return printable_lines(_lines(report))


def _lines(report: RunReport) -> Iterator[str]:
    yield f"outcome      {report.outcome}" + (f": {report.message}" if report.message else "")
    if report.failed_gates:
        yield f"gates        {', '.join(report.failed_gates)}"
    yield f"run          {report.started} to {report.finished}; last success {report.last_success or 'never'}"
    before = f" (before: {report.previous or 'nothing'})" if report.outcome == "published" else ""
    yield f"serving      {report.generation or 'nothing yet'}{before}"
    if report.records:
        parts = ", ".join(f"{count:,} {name}" for name, count in report.records.items())
        yield f"records      {parts}"
    if report.rejects:
        yield "rejects      " + ", ".join(f"{count:,} at {stage}" for stage, count in report.rejects.items())
    for shard, how_far in report.damaged.items():
        yield f"DAMAGED      {shard}: {how_far}"
    for shard, sentence in report.unfinished.items():
        yield f"UNFINISHED   {shard}: {sentence}"
    if report.late:
        yield f"late         {', '.join(report.late)}" + (
            ", ..." if report.shards["late"] > len(report.late) else ""
        )
    for name in ("shards", "indexes"):
        if counts := getattr(report, name):
            yield f"{name:<12} " + ", ".join(f"{count:,} {what}" for what, count in counts.items())
    if any(report.index_vectors.values()):
        parts = ", ".join(f"{count:,} {what}" for what, count in report.index_vectors.items())
        yield f"grown by     {parts} vectors since the index shards were built"
    yield "seconds      " + ", ".join(f"{stage} {value:,.1f}" for stage, value in report.seconds.items())
    yield (
        f"speed        {report.images_per_second:,.0f} images/s, {report.bytes_read / 1e6:,.1f} MB read, "
        f"peak memory {report.peak_memory_bytes / 2**20:,.0f} MiB"
    )
    if report.recall is not None:
        kinds = "".join(f", {kind.replace('_', ' ')} {value:.4f}" for kind, value in report.recalls.items())
        yield f"recall       {report.recall:.4f} against exact search{kinds}"
    if report.searched_exactly:
        yield f"EXACT        {report.searched_exactly:,} index shards: no cheaper search reaches the recall target"
    searched = Counter(
        (shard["algorithm"], s["k"], s["leaves_to_search"], s["pre_reorder"])
        for shard in report.settings.values()
        for s in shard["settings"]
    )
    for (algorithm, k, leaves, reordered), count in searched.items():
        how = f"{leaves:,} leaves, {reordered:,} reordered" if reordered else "all compared"
        yield f"search       {algorithm}, k up to {k:,}: {how}: {count:,} index shards"
    if report.drift is not None:
        yield f"drift        {report.drift:.1%} of the top 10 as in the last generation"
    if report.ids_duplicated or report.excluded:
        yield f"left out     {report.ids_duplicated:,} ids of earlier shards, {report.excluded:,} taken down"
    if report.pictures:
        yield from picture_lines(report.pictures)
    if report.health:
        yield from health_lines(report.health)
    yield from standing_report(report.standing.values())


def as_openmetrics(report: RunReport, store: str) -> bytes:
    """The report in the OpenMetrics text format, all gauges, for node_exporter's textfile collector.

    Each is labelled with the store: of two files with equal labels node_exporter would show only one.
    """
    registry = CollectorRegistry()
    place = masked(store) if files.is_remote(store) else os.path.abspath(store.removeprefix("file://"))

    def gauge(name: str, text: str, values: Mapping[str, float], label: str) -> None:
        metric = Gauge(f"lookalike_{name}", text, ["store", label], registry=registry)
        for key, value in values.items():
            metric.labels(place, key).set(value)

    def single(name: str, text: str, value: float | None) -> None:
        if value is not None:
            Gauge(f"lookalike_{name}", text, ["store"], registry=registry).labels(place).set(value)

    outcomes = {outcome: float(outcome == report.outcome) for outcome in OUTCOMES}
    gauge("run_outcome", "1 for how the last run ended.", outcomes, "outcome")
    failed = {name: float(name in report.failed_gates) for name in EXIT_CODES}
    gauge("gate_failed", "1 for each gate that the last run failed.", failed, "gate")
    single("run_finished_timestamp_seconds", "End of the last run.", _since_1970(report.finished))
    if report.last_success:
        success = _since_1970(report.last_success)
        single("last_success_timestamp_seconds", "End of the last run that did not fail.", success)
    gauge("run_records", "Records of the last run.", report.records, "outcome")
    gauge("run_rejects", "Rejected records of the last run.", report.rejects, "stage")
    gauge("run_shards", "Image shards of the last run.", report.shards, "state")
    gauge("run_indexes", "Index shards of the last run.", report.indexes, "state")
    gauge(
        "index_vectors",
        "Vectors that came and went since index shards were built.",
        report.index_vectors,
        "state",
    )
    gauge("run_stage_seconds", "Seconds of the last run.", report.seconds, "stage")
    single("run_damaged_shards", "Shards that could be read only in part.", len(report.damaged))
    single("run_images_per_second", "Embedding speed of the last run.", report.images_per_second)
    single("run_read_bytes", "Size of the image shards that were read.", report.bytes_read)
    single("run_peak_memory_bytes", "Highest resident memory of a process.", report.peak_memory_bytes)
    single("recall", "Lowest recall of an index shard.", report.recall)
    gauge("recall_by_kind", "Lowest recall of an index shard for a kind of query.", report.recalls, "kind")
    single("exact_index_shards", "Searched exactly for want of recall.", report.searched_exactly)
    targets = [s["target"] for shard in report.settings.values() for s in shard["settings"]]
    single("recall_target", "Recall that was asked for.", max(targets, default=None))
    single("top10_overlap", "Top 10 as in the last generation, fraction.", report.drift)
    if report.pictures:
        flaws = {
            flaw: found.count / report.pictures.looked_at for flaw, found in report.pictures.flaws.items()
        }
        gauge("flawed_pictures", "Of a few new pictures, fraction with a flaw.", flaws, "flaw")
    if report.health:
        low, middle, _ = report.health.scores
        at = {"0.05": low, "0.5": middle}
        gauge("nearest_item_score", "Of a sample of items, to the nearest other item.", at, "quantile")
        single("hubs", "Items in the answers of too many of a sample.", report.health.hub_count)
    single("duplicate_ids", "Ids in more than one shard.", report.ids_duplicated)
    single("excluded_ids", "Ids that are taken down.", report.excluded)
    answered = {name: one for name, one in report.standing.items() if one.outcome != "failed"}
    for what, text in STANDING.items():
        values = {name: float(one.counts[what]) for name, one in answered.items()}
        gauge(f"standing_{what}", text, values, "standing")
    failed = {name: float(name not in answered) for name in report.standing}
    gauge("standing_unanswered", "1 for a standing query that could not be answered.", failed, "standing")
    return bytes(generate_latest(registry))


def _since_1970(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
