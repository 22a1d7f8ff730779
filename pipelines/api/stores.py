"""What a store serves, opened: searched, listed, and read as Arrow."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

import pyarrow as pa

from lookalike.model.encoder.manifest import MANIFEST
from lookalike.model.errors import LookalikeError
from lookalike.model.printable import printable

from ..config.job import Config, Given, make_config
from ..export.job import each_served
from ..export.writers import Content, columns_of
from ..filesystem import files
from ..filesystem.cache import local_copy
from ..filesystem.paths import AnyPath, anchored, plain, written
from ..index.conditions import Conditions
from ..index.opening import open_index
from ..index.shard import IndexShard
from ..query.answering import FAILURES_SCHEMA, Done, Served
from ..query.blocks import Block, unique
from ..query.far_queries import FarQueries
from ..query.job import QueryOptions, answer, is_large, serving
from ..query.matching import CheckFilters
from ..store import generations
from ..store.encoders import encoder_path
from ..store.generation import Generation
from ..store.generations import GenerationSummary
from .answers import Answers
from .queries import id_blocks, image_blocks, names_of, vector_blocks

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .encoders import Encoder, OnError
    from .images import Image

    class How(TypedDict, total=False):
        """The keywords of `Store.search`."""

        vectors: Any
        ids: str | Iterable[str] | None
        query_ids: Iterable[str] | None
        k: int | None
        where: str | None
        min_score: float | None
        max_distance: float | None
        group_by: str | None
        per_group: int | None
        diversify: float | None
        min_probability: float | None
        exclude_self: bool | None
        exact: bool | None


class Store:
    """A generation of a store, opened; `open_store` opens one.

    It stays what it was when it was opened, whatever is published meanwhile, and is kept from being pruned until it is
    closed. What is taken down is left out of answers from then on.

    Attributes:
        folder: of the store, or its URL.
        manifest: the generation: its name, encoder, metric, metadata, counts and more.
    """

    def __init__(self, config: Config, generation: str | None = None) -> None:
        self.folder = config.store
        self._open = contextlib.ExitStack()
        self.manifest: Generation = self._open.enter_context(generations.reading(config.store, generation))
        self._config = config
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return printable(
            f"<lookalike.Store {self.folder}, {len(self):,} items of generation {self.manifest.name}>"
        )

    def __len__(self) -> int:
        return self.manifest.counts["items"]

    def close(self) -> None:
        """Ends it; `prune` may then delete what it reads, if another generation is served."""
        self._closed = True
        self.__dict__.pop("_shards", None)
        self._open.close()

    def generations(self) -> list[GenerationSummary]:
        """All generations of the store, oldest first.

        >>> import lookalike
        >>> [(one.items, one.current) for one in lookalike.open_store("store").generations()]
        [(24, True)]
        """
        return generations.list_generations(self.folder)

    @functools.cached_property
    def encoder(self) -> Encoder:
        """The encoder that the vectors are of.

        Raises:
            LookalikeError: if the job names another one, or it is no whole encoder.
        """
        from ..query.inputs import matching_encoder
        from .encoders import Encoder

        return Encoder(matching_encoder(self._config, self.manifest))

    def items(self) -> pa.Table:
        """What is served, without vectors: `item_id` and the metadata, in the order of the index.

        >>> import lookalike
        >>> lookalike.open_store("store").items().slice(0, 1).to_pylist()
        [{'item_id': 'p00.jpg', 'title': 'tïtle, p00.jpg', 'number': 0}]
        """
        schema = self._content.schema(with_vectors=False)
        parts = [columns_of(rows, None, schema) for rows, _, _ in each_served(self.folder, self.manifest)]
        return pa.concat_tables([schema.empty_table(), *parts])

    def vectors(self) -> pa.RecordBatchReader:
        """What is served with its vectors, as `lookalike export` writes it: `item_id`, `embedding` and the metadata.

        >>> import lookalike
        >>> table = lookalike.open_store("store").vectors().read_all()
        >>> table.num_rows, table.column_names
        (24, ['item_id', 'embedding', 'title', 'number'])

        A part at a time, of some 16 MiB. `read_all()` makes a table of it; DuckDB and Polars take it as it is.
        """
        schema = self._content.schema(with_vectors=True)

        def batches() -> Iterator[pa.RecordBatch]:
            for rows, vectors, _ in each_served(self.folder, self.manifest):
                yield from columns_of(rows, vectors, schema).to_batches()

        return pa.RecordBatchReader.from_batches(schema, batches())

    @overload
    def search(
        self,
        images: Image | Iterable[Image] | None = None,
        *,
        errors: Literal["raise"] = "raise",
        **how: Unpack[How],
    ) -> pa.Table: ...

    @overload
    def search(
        self,
        images: Image | Iterable[Image] | None = None,
        *,
        errors: Literal["collect"],
        **how: Unpack[How],
    ) -> Answers: ...

    def search(
        self,
        images: Image | Iterable[Image] | None = None,
        *,
        vectors: Any = None,
        ids: str | Iterable[str] | None = None,
        query_ids: Iterable[str] | None = None,
        k: int | None = None,
        where: str | None = None,
        min_score: float | None = None,
        max_distance: float | None = None,
        group_by: str | None = None,
        per_group: int | None = None,
        diversify: float | None = None,
        min_probability: float | None = None,
        exclude_self: bool | None = None,
        exact: bool | None = None,
        errors: OnError = "raise",
    ) -> pa.Table | Answers:
        """The nearest items of images, of vectors, or of items: the rows that the query job writes for them.

        >>> import lookalike
        >>> store = lookalike.open_store("store")
        >>> found = store.search("photos/p00.jpg", k=2)
        >>> found.select(["query_id", "rank", "item_id"]).to_pylist()[0]
        {'query_id': '0', 'rank': 1, 'item_id': 'p00.jpg'}
        >>> same = store.search(vectors=store.encoder.encode("photos/p00.jpg"), k=2)
        >>> same == found
        True
        >>> store.search(ids=["p00.jpg", "p01.jpg"], k=3, exclude_self=True, where="number > 10").num_rows
        6

        The index stays in memory from the first search to `close`. For more queries than fit into memory, or an index
        that does not, there is `Job.query`, which reads and writes files.

        Args:
            images: as `Encoder.encode` takes them; one, or many.
            vectors: an array (queries, dimensions), or (dimensions,) for one, or an Arrow column of them.
            ids: of items of the index, one or many.
            query_ids: the ids of the queries. Without them those of items are their own, and those of images and
                vectors their positions, from 0.
            k: matches of a query; None is `query.k` of the job, 10, and so on for all that follow but `errors`.
            where: only items that pass this filter in SQL over `item_id` and the metadata.
            min_score: only items of at least this score, with metric cosine.
            max_distance: only items that near, with metric euclidean.
            group_by: a field of the metadata; of the items of one value of it `per_group` are matches.
            per_group: 1 without it.
            diversify: from 1, by score alone, to 0, unlike each other.
            min_probability: leave out matches below; needs `lookalike evaluate --calibrate`.
            exclude_self: leave out the item whose id is the query's own.
            exact: compare with every vector.
            errors: `raise`, or `collect` queries that cannot be answered. A query that nothing meets the conditions of
                is no error: it has no rows, and is told among the failures that are collected.

        Returns:
            The table of results; or `Answers`, if errors are collected.

        Raises:
            LookalikeError: for what cannot be asked; naming the first query that fails, unless errors are collected.
        """
        from .encoders import check_on_error

        check_on_error(errors)
        if sum(one is not None for one in (images, vectors, ids)) != 1:
            raise LookalikeError(
                "Expected one of images, vectors and ids to search with. Received: none, or several"
            )
        given = {
            "where": where,
            "min_score": min_score,
            "max_distance": max_distance,
            "group_by": group_by,
            "per_group": per_group,
            "diversify": diversify,
        }
        settings = self._config.query
        options = QueryOptions(
            settings.k if k is None else k,
            exact=settings.exact if exact is None else exact,
            exclude_self=settings.exclude_self if exclude_self is None else exclude_self,
            conditions=Conditions.of(settings, given),
            min_probability=min_probability,
        )
        served = serving(self._config, self.manifest, options)
        names = names_of(query_ids)
        metric, dim, size = self.manifest.metric, self.manifest.dim, served.block
        if images is not None:
            blocks = image_blocks(images, names, self.encoder, metric)
        elif vectors is not None:
            blocks = vector_blocks(vectors, names, dim, metric, size)
        else:
            assert ids is not None
            named = None if query_ids is None else names
            blocks = id_blocks(ids, named, self._opened(served), served.look_up_ids)
        found = self._answered(served, blocks, errors)
        if query_ids is not None and next(names, None) is not None:
            raise LookalikeError("Expected an id for each query in query_ids. Received: more")
        return found if errors == "collect" else found.results

    def _answered(self, served: Served, blocks: Iterator[Block], errors: OnError) -> Answers:
        found, failed = _Kept(served.schema), _Kept(FAILURES_SCHEMA)
        checked = unique(map(CheckFilters.of(served), blocks))
        checked = _without_failures(checked) if errors == "raise" else checked
        far = None if served.asked.exact else self._far(served)
        answer(served, self._opened(served), checked, (found, failed), Done(), far)
        return Answers(found.table(), failed.table())

    def _opened(self, served: Served) -> list[IndexShard]:
        with self._lock:
            if self._closed:
                raise LookalikeError("Expected a store that is open. Received: one that was closed")
            if "_shards" not in self.__dict__ and is_large(served):
                raise LookalikeError(
                    f"Expected an index that fits into query.memory. Received: {len(self.manifest.indexes)} index "
                    "shards that do not; `Job.query` opens them in turn"
                )
            return self._shards

    @functools.cached_property
    def _shards(self) -> list[IndexShard]:
        return [open_index(self.folder, ref) for ref in self.manifest.indexes]

    def _far(self, served: Served) -> FarQueries:
        return FarQueries([shard.manifest for shard in self._opened(served)])

    @property
    def _content(self) -> Content:
        made_by = {"lookalike.generation": self.manifest.name, "lookalike.encoder": self.manifest.encoder}
        return Content(self.manifest.dim, self.manifest.metadata, made_by)


class _Kept:
    """A table that is put together in memory; see `answer`."""

    def __init__(self, schema: pa.Schema) -> None:
        self._parts = [schema.empty_table()]

    def write_table(self, table: pa.Table) -> None:
        self._parts.append(table)

    def table(self) -> pa.Table:
        return pa.concat_tables(self._parts).combine_chunks()


def _without_failures(blocks: Iterable[Block]) -> Iterator[Block]:
    for block in blocks:
        for failure in block.failures[:1]:
            raise LookalikeError(
                f"Expected queries that can be answered. Received: {failure.query_id!r} at position "
                f"{failure.number}: {failure.error}"
            )
        yield block


def open_store(job: Given, generation: str | None = None, *, set: Mapping[str, Any] | None = None) -> Store:
    """Opens what a store serves.

    >>> import lookalike
    >>> with lookalike.open_store("store") as store:
    ...     len(store), store.manifest.metric, store.encoder.name
    (24, 'cosine', 'tiny')
    >>> lookalike.open_store("job.yaml", set={"query.k": 3}).search(ids="p00.jpg").num_rows
    3

    Args:
        job: the folder or URL of a store; or a job, as `open_job` takes it, whose encoder, its query expansion and
            re-ranking, calibration and settings of queries are then used. A store alone is searched with the encoder
            that is kept in it, as it was when the store first met it.
        generation: name of one; None is the one that is served.
        set: dotted key -> value, instead of what the job says.

    Raises:
        LookalikeError: if nothing is published there, or it is damaged.
    """
    if isinstance(job, (Config, Mapping)) or _is_job_file(job):
        return Store(make_config(job, set), generation)
    folder = anchored(plain(job))
    named = written(folder)
    made = {"corpus": {"shards": named}, "encoder": named, "store": named}
    store = Store(make_config(made, set), generation)
    kept = files.join(folder, encoder_path(store.manifest.encoder))
    if files.exists(files.join(kept, MANIFEST)):
        local = local_copy(kept, store.manifest.encoder)
        store._config = store._config.model_copy(update={"encoder": local})
    return store


def _is_job_file(path: AnyPath) -> bool:
    return str(path).lower().endswith((".yaml", ".yml")) or os.path.isfile(plain(path))
