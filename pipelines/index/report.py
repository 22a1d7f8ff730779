"""What an indexing run did, in numbers and as text for people."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.model.printable import printable_lines

from ..store.generation import Generation, IndexRef
from .health import Health


@dataclass(frozen=True)
class IndexSummary:
    """What an indexing run did.

    Attributes:
        generation: what is served now.
        published: False if it was served before, and nothing changed.
        built: number of index shards built by this run; the others were there.
        seconds: wall-clock time of the pipeline.
        overlap: fraction of a sample's top 10 that is as in the last generation; None without one.
        grown: number of index shards that got another addition by this run.
        health: what a sample of the items finds; None if nothing was published, or nothing could be asked.
    """

    generation: Generation
    published: bool
    built: int
    seconds: float
    overlap: float | None
    grown: int = 0
    health: Health | None = None

    @property
    def unchanged(self) -> int:
        """Index shards that are as they were."""
        return len(self.generation.index_shards) - self.built - self.grown


def generation_report(summary: IndexSummary, folder: str) -> str:
    """The summary of an indexing run; `folder` is the generation's."""
    generation = summary.generation
    if not summary.published:
        return f"unchanged    nothing to build; generation {generation.name} is still served"
    grown = f"{summary.grown:,} grown, " if summary.grown else ""
    built = f"{summary.built:,} shards built in {summary.seconds:,.1f} s"
    lines = [f"index        {built}, {grown}{summary.unchanged:,} as before"]
    for ref in generation.indexes:
        hidden = f" and {ref.hidden.count:,} hidden" if ref.hidden else ""
        lines.append(
            f"             {ref.path}: {ref.count:,} vectors{hidden}, {ref.algorithm}, {_recall(ref)}"
        )
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
    return printable_lines(lines)


def _recall(ref: IndexRef) -> str:
    parts = [f"{kind.replace('_', ' ')} {recall:.4f}" for kind, recall in ref.recalls.items()]
    exact = ref.recall is None or (not parts and ref.recall == 1)
    found = "exact" if exact else f"recall {ref.recall:.4f}" + (f" ({', '.join(parts)})" if parts else "")
    if ref.best_approximate is None:
        return found
    where = "" if exact else ", exact for some k"
    return f"{found}{where}: no cheaper search reaches the target, the deepest {ref.best_approximate:.4f}"
