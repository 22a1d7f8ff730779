"""Whether the corpus has the fields of metadata that are to be carried to the results."""

from __future__ import annotations

import difflib

import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..embedding.plan import Plan
from ..filesystem import files
from ..sources.opening import NotAsListedError
from ..sources.present import fields_of


def check_carried(config: Config, plan: Plan) -> None:
    """Refuses a key of `corpus.metadata` that no record has; it may be null everywhere, or in some shards only.

    The footers of embedding files tell which fields have values: as a rule the first file tells of all. Only where
    one has none, image shards are opened.

    Args:
        config: the job.
        plan: the corpus, every shard embedded.

    Raises:
        LookalikeError: naming the key, and the fields that there are.
        OSError: if an embedding file or a shard cannot be read.
    """
    lacking = set(config.corpus.metadata)
    for note in plan.notes:
        if not lacking:
            return
        lacking -= _with_values(files.join(config.store, note.path), lacking)
    seen: set[str] = set()
    for shard in plan.shards:
        if not lacking:
            return
        try:
            seen |= fields_of(shard)
        except NotAsListedError:
            return  # it is served as it was; who knows what it has
        lacking -= seen
    if lacking:
        raise LookalikeError("; ".join(_sentence(name, seen) for name in sorted(lacking)))


def _with_values(path: str, names: set[str]) -> set[str]:
    """Those of some columns of an embedding file that hold a value."""
    with files.open_read(path) as file:
        try:
            footer = pq.ParquetFile(file).metadata
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            return names  # the gate of digests tells of damage
    found = set()
    for group in range(footer.num_row_groups):
        for number in range(footer.num_columns):
            column = footer.row_group(group).column(number)
            name = column.path_in_schema.removesuffix(".list.element")
            known = column.statistics
            if name in names and (known is None or not known.has_null_count or known.num_values):
                found.add(name)
    return found


def _sentence(name: str, seen: set[str]) -> str:
    near = difflib.get_close_matches(name, seen, n=1)
    hint = f"did you mean {near[0]}?" if near else f"they have {', '.join(sorted(seen)) or 'none'}"
    return f"corpus.metadata.{name}: expected a field that some record has. Received: a corpus without it; {hint}"
