"""What a run did, as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..store.notes import COUNTS, EmbeddedShard

if TYPE_CHECKING:
    from ..index.job import IndexSummary
    from ..nightly.run import DryRun
    from ..query.job import QuerySummary
    from ..sources.pack import PackSummary
    from .plan import EmbedSummary


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


def count_lines(counts: Mapping[str, int], notes: Sequence[EmbeddedShard]) -> list[str]:
    """The reconciled counts, and the reasons of what was rejected in `notes`."""
    parts = " + ".join(f"{counts[name]:,} {name.removesuffix('s')}" for name in COUNTS[1:])
    lines = [f"records      {counts['read']:,} read = {parts}"]
    if reasons := reasons_of(notes):
        lines.append("rejects      " + ", ".join(f"{n:,} at {stage}" for stage, n in reasons.most_common()))
    lines += [f"DAMAGED      {note.shard}: {note.damaged}" for note in notes if note.damaged]
    return lines


def reasons_of(notes: Iterable[EmbeddedShard]) -> Counter[str]:
    """Stage of rejection -> records, of all shards together."""
    reasons: Counter[str] = Counter()
    for note in notes:
        reasons.update(note.reasons)
    return reasons


def stage_seconds(notes: Sequence[EmbeddedShard]) -> dict[str, float]:
    """Stage -> seconds of work, of all shards together; decoding and network run on all cores at once."""
    stages = ("read", "decode", "network", "write")
    return {stage: sum(note.seconds.get(stage, 0.0) for note in notes) for stage in stages}


def embed_report(summary: EmbedSummary, folder: str) -> str:
    """The summary of an embedding run whose embedding files lie in `folder`."""
    embedded, wall = summary.embedded, summary.seconds
    lines = [f"shards       {len(embedded):,} embedded, {summary.skipped:,} finished before"]
    if embedded:
        stages = ", ".join(f"{stage} {value:,.1f}" for stage, value in stage_seconds(embedded).items())
        rate = summary.counts["embedded"] / max(wall, 1e-9)
        lines += count_lines(summary.counts, embedded)
        lines.append(f"seconds      {wall:,.1f} in all, {rate:,.0f} images/s; of work: {stages}")
    lines.append(f"embeddings   {folder}")
    if any(note.rejected or note.duplicates for note in embedded):
        lines.append(f"rejected     {folder}/*.rejects.parquet")
    return "\n".join(lines)


def generation_report(summary: IndexSummary, folder: str) -> str:
    """The summary of an indexing run; `folder` is the generation's."""
    generation = summary.generation
    if not summary.published:
        return f"unchanged    nothing to build; generation {generation.name} is still served"
    reused = len(generation.indexes) - summary.built
    lines = [f"index        {summary.built:,} shards built in {summary.seconds:,.1f} s, {reused:,} as before"]
    for ref in generation.indexes:
        recall = f"recall at 10 {ref.recall:.4f}" if ref.recall is not None else "exact"
        lines.append(f"             {ref.path}: {ref.count:,} vectors, {ref.algorithm}, {recall}")
    if generation.duplicates:
        lines.append(
            f"duplicates   {generation.duplicates:,} ids occur in an earlier shard too: {folder}/duplicates.parquet"
        )
    if generation.excluded:
        lines.append(f"taken down   {generation.excluded:,} records are left out")
    if generation.augmentation:
        lines.append(f"augmented    each vector by its nearest: {generation.augmentation} (K,ALPHA)")
    if summary.overlap is not None:
        lines.append(f"drift        {summary.overlap:.1%} of a sample's top 10 as in the last generation")
    lines.append(f"published    {generation.counts['items']:,} items as generation {generation.name}")
    return "\n".join(lines)


def dry_run_report(plan: DryRun) -> str:
    """What a nightly run would do."""
    lines = [
        f"shards       {plan.unchanged:,} unchanged, {plan.changed:,} changed, {plan.new:,} new, "
        f"{plan.removed:,} removed",
        f"images       about {plan.images:,} to read; of a changed shard only new images meet the network",
        f"index        at most {plan.rebuilt:,} of {plan.indexes:,} shards to build",
    ]
    if plan.seconds is not None:
        minutes, seconds = divmod(round(plan.seconds), 60)
        lines.append(f"time         about {minutes}:{seconds:02} for embedding, if all images are new")
    return "\n".join(lines)


def query_report(summary: QuerySummary) -> str:
    """The summary of a query job."""
    total = summary.answered + summary.failed
    lines = [
        f"queries      {total:,} read = {summary.answered:,} answered + {summary.failed:,} failed",
        f"generation   {summary.generation}",
    ]
    if summary.steps.any:
        lines.append(f"steps        {summary.steps}")
    if summary.reasons:
        stages = ", ".join(f"{count:,} at {stage}" for stage, count in summary.reasons.items())
        lines.append(f"failed       {stages}")
    seconds = ", ".join(f"{stage} {value:,.2f}" for stage, value in summary.seconds.items())
    lines.append(f"seconds      {seconds}")
    lines.append(f"results      {summary.results} ({summary.matches:,} rows)")
    lines.append(f"failures     {summary.failures}")
    return "\n".join(lines)
