"""Whether the corpus has the fields that are to be carried to the results, or to be ids."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping

import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..sources import Shard
from ..sources.opening import NotAsListedError
from ..sources.present import fields_of


def check_carried(config: Config, shards: Iterable[Shard], with_values: Collection[str]) -> None:
    """Refuses a key of `corpus.metadata` that no record has; it may be null everywhere.

    Only where no embedding file has a value of it, image shards are opened.

    Args:
        config: the job.
        shards: the corpus.
        with_values: fields of which embedding files have values.

    Raises:
        LookalikeError: naming the key, and the fields that there are.
        OSError: if a shard cannot be read.
    """
    lacking = set(config.corpus.metadata).difference(with_values)
    _check({f"corpus.metadata.{name}": name for name in sorted(lacking)}, shards)


def check_id_field(config: Config, shards: Iterable[Shard]) -> None:
    """Refuses `corpus.item_id: field:NAME` for a field that no record has; of a corpus without any item.

    Raises:
        LookalikeError: naming the key, and the fields that there are.
        OSError: if a shard cannot be read.
    """
    if name := config.corpus.source_options().id_from_field:
        _check({f"corpus.item_id: field:{name}": name}, shards)


def _check(lacking: Mapping[str, str], shards: Iterable[Shard]) -> None:
    """Raises LookalikeError for the keys whose fields are in no shard."""
    seen: set[str] = set()
    for shard in shards if lacking else ():
        try:
            seen |= fields_of(shard)
        except NotAsListedError:
            return  # it is served as it was; who knows what it has
        lacking = {key: name for key, name in lacking.items() if name not in seen}
        if not lacking:
            return
    if lacking:
        raise LookalikeError("; ".join(_sentence(key, name, seen) for key, name in lacking.items()))


def with_values(footer: pq.FileMetaData, names: Collection[str]) -> set[str]:
    """Those of some columns of an embedding file that hold a value, as its footer tells."""
    found: set[str] = set()
    for group in range(footer.num_row_groups if names else 0):
        for number in range(footer.num_columns):
            column = footer.row_group(group).column(number)
            name = column.path_in_schema.removesuffix(".list.element")
            known = column.statistics
            if name in names and (known is None or not known.has_null_count or known.num_values):
                found.add(name)
    return found


def _sentence(key: str, name: str, seen: set[str]) -> str:
    near = difflib.get_close_matches(name, seen, n=1)
    hint = f"did you mean {near[0]}?" if near else f"they have {', '.join(sorted(seen)) or 'none'}"
    return f"{key}: expected a field that some record has. Received: a corpus without it; {hint}"
