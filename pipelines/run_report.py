"""The report of a nightly run: JSON for programs, text for people, OpenMetrics for node_exporter."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.openmetrics.exposition import generate_latest

from pipelines import files

OUTCOMES = ("published", "unchanged", "gate failed", "failed")


@dataclass
class RunReport:
    """What a nightly run did; filled in as it goes, so that a failed run reports how far it came.

    Attributes:
        started, finished: ISO 8601 in UTC.
        outcome: one of `OUTCOMES`.
        message: the sentence that a run which did not publish ends with.
        generation: name of what is served now.
        previous: name of what was served before.
        records: read, embedded, reused, rejected, duplicates, and items served. `embedded` met the network in
            this run; `reused` kept the vector of an earlier one.
        rejects: stage -> records.
        damaged: name of a shard that could be read only in part -> how far.
        shards: embedded and unchanged image shards.
        indexes: built and unchanged index shards.
        seconds: stage -> seconds; read, decode, network and write are work of all threads, the others wall
            clock.
        images_per_second: embedded images over the wall clock of embedding.
        bytes_read: size of the image shards that were read.
        peak_memory_bytes: highest resident memory of this process and of any child.
        recall: lowest recall at 10 of an index shard; None without one.
        settings: index shard -> how it is searched.
        drift: fraction of the top 10 of a fixed sample that is as in the last generation; None for the first.
        ids_duplicated: ids that occur in more than one shard.
        excluded: ids that are taken down.
    """

    started: str
    finished: str = ""
    outcome: str = "failed"
    message: str = ""
    generation: str | None = None
    previous: str | None = None
    records: dict[str, int] = field(default_factory=dict)
    rejects: dict[str, int] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    shards: dict[str, int] = field(default_factory=dict)
    indexes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    images_per_second: float = 0.0
    bytes_read: int = 0
    peak_memory_bytes: int = 0
    recall: float | None = None
    settings: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    drift: float | None = None
    ids_duplicated: int = 0
    excluded: int = 0


def now() -> str:
    """The time in UTC, ISO 8601 to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def reports_folder(store: str) -> str:
    """Where a store keeps the reports of its runs."""
    return files.join(store, "reports")


def write_report(store: str, report: RunReport) -> str:
    """Writes `STARTED.json`, `latest.json`, `latest.txt` and `lookalike.prom`. Returns the first one's path.

    Raises:
        OSError: if the store cannot be written.
    """
    report.finished = now()
    report.peak_memory_bytes = _peak_memory()
    folder = reports_folder(store)
    data = json.dumps(asdict(report), indent=1).encode() + b"\n"
    path = files.join(folder, report.started.replace(":", "").replace("+0000", "Z") + ".json")
    for name in (path, files.join(folder, "latest.json")):
        files.write_bytes(name, data)
    files.write_bytes(files.join(folder, "latest.txt"), (as_text(report) + "\n").encode())
    files.write_bytes(files.join(folder, "lookalike.prom"), as_openmetrics(report))
    return path


def _peak_memory() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    usages = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(usages) * unit


def as_text(report: RunReport) -> str:
    """The report for people, a fact a line."""
    return "\n".join(_lines(report))


def _lines(report: RunReport) -> Iterator[str]:
    yield f"outcome      {report.outcome}" + (f": {report.message}" if report.message else "")
    yield f"run          {report.started} to {report.finished}"
    yield f"serving      {report.generation or 'nothing yet'} (before: {report.previous or 'nothing'})"
    if report.records:
        parts = ", ".join(f"{count:,} {name}" for name, count in report.records.items())
        yield f"records      {parts}"
    if report.rejects:
        yield "rejects      " + ", ".join(f"{count:,} at {stage}" for stage, count in report.rejects.items())
    for shard, how_far in report.damaged.items():
        yield f"DAMAGED      {shard}: {how_far}"
    for name in ("shards", "indexes"):
        if counts := getattr(report, name):
            yield f"{name:<12} " + ", ".join(f"{count:,} {what}" for what, count in counts.items())
    yield "seconds      " + ", ".join(f"{stage} {value:,.1f}" for stage, value in report.seconds.items())
    yield (
        f"speed        {report.images_per_second:,.0f} images/s, {report.bytes_read / 1e6:,.1f} MB read, "
        f"peak memory {report.peak_memory_bytes / 2**20:,.0f} MiB"
    )
    if report.recall is not None:
        yield f"recall       {report.recall:.4f} at 10 against exact search"
    if report.drift is not None:
        yield f"drift        {report.drift:.1%} of the top 10 as in the last generation"
    if report.ids_duplicated or report.excluded:
        yield f"left out     {report.ids_duplicated:,} ids of earlier shards, {report.excluded:,} taken down"


def as_openmetrics(report: RunReport) -> bytes:
    """The report in the OpenMetrics text format, all gauges, for node_exporter's textfile collector."""
    registry = CollectorRegistry()

    def gauge(name: str, text: str, values: Mapping[str, float], label: str) -> None:
        metric = Gauge(f"lookalike_{name}", text, [label], registry=registry)
        for key, value in values.items():
            metric.labels(key).set(value)

    def single(name: str, text: str, value: float | None) -> None:
        if value is not None:
            Gauge(f"lookalike_{name}", text, registry=registry).set(value)

    outcomes = {outcome: float(outcome == report.outcome) for outcome in OUTCOMES}
    gauge("run_outcome", "1 for how the last run ended.", outcomes, "outcome")
    finished = datetime.fromisoformat(report.finished or now()).timestamp()
    single("run_finished_seconds", "End of the last run, seconds since 1970.", finished)
    gauge("run_records", "Records of the last run.", report.records, "outcome")
    gauge("run_rejects", "Rejected records of the last run.", report.rejects, "stage")
    gauge("run_shards", "Image shards of the last run.", report.shards, "state")
    gauge("run_indexes", "Index shards of the last run.", report.indexes, "state")
    gauge("run_stage_seconds", "Seconds of the last run.", report.seconds, "stage")
    single("run_damaged_shards", "Shards that could be read only in part.", len(report.damaged))
    single("run_images_per_second", "Embedding speed of the last run.", report.images_per_second)
    single("run_read_bytes", "Size of the image shards that were read.", report.bytes_read)
    single("run_peak_memory_bytes", "Highest resident memory of a process.", report.peak_memory_bytes)
    single("recall_at_10", "Lowest recall of an index shard.", report.recall)
    single("top10_overlap", "Top 10 as in the last generation, fraction.", report.drift)
    single("duplicate_ids", "Ids in more than one shard.", report.ids_duplicated)
    single("excluded_ids", "Ids that are taken down.", report.excluded)
    return bytes(generate_latest(registry))
