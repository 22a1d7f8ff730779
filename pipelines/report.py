"""What a run did, as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pipelines.embeddings import COUNTS, EmbeddedShard
from pipelines.pack import PackSummary
from pipelines.query import QuerySummary
from pipelines.store import Generation


def pack_report(summary: PackSummary, out: str) -> str:
    """The summary of packing a folder."""
    lines = [
        f"images       {summary.images:,} ({summary.bytes / 1e6:,.1f} MB) in {len(summary.shards):,} shards",
        f"shards       {out}",
    ]
    lines += [f"skipped      {path}: {reason}" for path, reason in summary.skipped]
    if summary.left_out:
        others = ", ".join(f"{count:,} {extension}" for extension, count in summary.left_out.items())
        lines.append(f"left out     files that are no images: {others}")
    if summary.rows_without_image or summary.images_without_row:
        lines.append(
            f"metadata     {summary.rows_without_image:,} rows without an image, "
            f"{summary.images_without_row:,} images without a row"
        )
    return "\n".join(lines)


def totals(notes: Iterable[EmbeddedShard]) -> Counter[str]:
    """The counts of all shards, added up."""
    total: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
    for note in notes:
        total.update({name: getattr(note, name) for name in COUNTS})
    return total


def count_lines(notes: Sequence[EmbeddedShard]) -> list[str]:
    """The reconciled counts, and the reasons of what was rejected."""
    total = totals(notes)
    parts = " + ".join(f"{total[name]:,} {name.removesuffix('s')}" for name in COUNTS[1:])
    lines = [f"records      {total['read']:,} read = {parts}"]
    reasons: Counter[str] = Counter()
    for note in notes:
        reasons.update(note.reasons)
    if reasons:
        lines.append("rejects      " + ", ".join(f"{n:,} at {stage}" for stage, n in reasons.most_common()))
    lines += [f"DAMAGED      {note.shard}: {note.damaged}" for note in notes if note.damaged]
    return lines


def seconds_line(notes: Sequence[EmbeddedShard], wall: float) -> str:
    """Where the time went: seconds of work by stage; decoding and network run on all cores at once."""
    stages = ", ".join(
        f"{stage} {sum(note.seconds[stage] for note in notes):,.1f}"
        for stage in ("read", "decode", "network", "write")
    )
    images = sum(note.embedded for note in notes)
    return f"seconds      {wall:,.1f} in all, {images / max(wall, 1e-9):,.0f} images/s; of work: {stages}"


def embed_report(embedded: Sequence[EmbeddedShard], skipped: int, wall: float, folder: str) -> str:
    """The summary of an embedding run.

    Args:
        embedded: notes of the shards this run embedded.
        skipped: shards that were finished before.
        wall: seconds the pipeline took.
        folder: where the embedding files lie.
    """
    lines = [f"shards       {len(embedded):,} embedded, {skipped:,} finished before"]
    if embedded:
        lines += [*count_lines(embedded), seconds_line(embedded, wall)]
    lines.append(f"embeddings   {folder}")
    if any(note.rejected or note.duplicates for note in embedded):
        lines.append(f"rejected     {folder}/*.rejects.parquet")
    return "\n".join(lines)


def generation_report(generation: Generation, built: int, seconds: float, folder: str) -> str:
    """The summary of an indexing run.

    Args:
        generation: what was published.
        built: index shards this run built.
        seconds: wall-clock time of that.
        folder: of the generation.
    """
    reused = len(generation.indexes) - built
    lines = [f"index        {built:,} shards built in {seconds:,.1f} s, {reused:,} as before"]
    for ref in generation.indexes:
        recall = f"recall at 10 {ref.recall:.4f}" if ref.recall is not None else "exact"
        lines.append(f"             {ref.path}: {ref.count:,} vectors, {ref.algorithm}, {recall}")
    if generation.duplicates:
        lines.append(
            f"duplicates   {generation.duplicates:,} ids occur in an earlier shard too: {folder}/duplicates.parquet"
        )
    lines.append(f"published    {generation.counts['items']:,} items as generation {generation.name}")
    return "\n".join(lines)


def query_report(summary: QuerySummary) -> str:
    """The summary of a query job."""
    total = summary.answered + summary.failed
    lines = [
        f"queries      {total:,} read = {summary.answered:,} answered + {summary.failed:,} failed",
        f"generation   {summary.generation}",
    ]
    if summary.reasons:
        stages = ", ".join(f"{count:,} at {stage}" for stage, count in summary.reasons.items())
        lines.append(f"failed       {stages}")
    seconds = ", ".join(f"{stage} {value:,.2f}" for stage, value in summary.seconds.items())
    lines.append(f"seconds      {seconds}")
    lines.append(f"results      {summary.results} ({summary.matches:,} rows)")
    lines.append(f"failures     {summary.failures}")
    return "\n".join(lines)
