"""PTransforms for Beam pipelines of your own: image shards read, images embedded, vectors searched for.

Each gives two collections: what came of it, and `rejects`, (id, reason) of what could not be done. Workers must see the
shards, the encoder and the store under the paths that are given.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import numpy as np

from lookalike.model.encoder.manifest import fingerprint, read_manifest
from lookalike.model.errors import LookalikeError

from .api.encoders import Encoder, open_encoder
from .api.stores import Store
from .config.job import Corpus, Given, make_config
from .config.job_file import make_job
from .filesystem.paths import AnyPath, anchored, plain
from .sources import Reject, Shard, SourceOptions, find_shards, read_shard
from .store.generation import read_current

if TYPE_CHECKING:
    from .api.images import Image

REJECTS = "rejects"
BATCH = 64
"""Images that a worker encodes, or vectors that it searches for, at once."""
_opening = threading.Lock()


class ReadImages(beam.PTransform):
    """The start of a pipeline: image shards to `images`, (id, bytes), and `rejects`.

    >>> import apache_beam as beam
    >>> import lookalike.beam
    >>> with beam.Pipeline(runner="apache_beam.runners.portability.fn_api_runner.FnApiRunner") as pipeline:
    ...     images, rejects = pipeline | lookalike.beam.ReadImages("photos")
    ...     _ = images | beam.Map(lambda image: image[0]) | beam.combiners.Count.Globally() | beam.Map(print)
    5

    Args:
        shards: as `corpus.shards` of a job file: a folder, a glob, a list of these.
        corpus: other keys of `corpus`, such as item_id or image_field.

    Raises:
        LookalikeError: for a key that is none; and, when it is applied, if no shard matches.
    """

    def __init__(self, shards: AnyPath | list[str], **corpus: Any) -> None:
        super().__init__()
        self._corpus = make_job(Corpus, {"shards": shards, **corpus}, {})

    def expand(self, begin: Any) -> Any:
        options = self._corpus.source_options()
        found = [shard.to_json() for shard in find_shards(self._corpus.shards, options)]
        read = beam.ParDo(_Read(options)).with_outputs(REJECTS, main="images")
        return begin | beam.Create(found) | "Spread" >> beam.Reshuffle() | "Read" >> read


class _Read(beam.DoFn):
    def __init__(self, options: SourceOptions) -> None:
        self._options = options

    def process(self, shard: Any) -> Iterator[Any]:
        opened = Shard.from_json(shard)
        for one in read_shard(opened, self._options):
            if isinstance(one, Reject):
                named = one.item_id or f"{opened.place}#{one.position}"
                yield beam.pvalue.TaggedOutput(REJECTS, (named, one.error))
            else:
                yield one.item_id, one.image


class Embed(beam.PTransform):
    """(id, image) to `vectors`, (id, float32 (dimensions,)), and `rejects`.

    >>> import apache_beam as beam
    >>> import lookalike.beam
    >>> with beam.Pipeline(runner="apache_beam.runners.portability.fn_api_runner.FnApiRunner") as pipeline:
    ...     images = pipeline | beam.Create([("a", "photos/p00.jpg"), ("b", b"no image")])
    ...     vectors, rejects = images | lookalike.beam.Embed("encoder")
    ...     _ = vectors | "Shapes" >> beam.Map(lambda one: print(one[0], one[1].shape))
    ...     _ = rejects | "Ids" >> beam.Map(lambda one: print(one[0], "is rejected"))
    a (16,)
    b is rejected

    Args:
        encoder: folder of the encoder, as workers see it.
        options: keywords of `open_encoder`.

    Raises:
        LookalikeError: for a folder that is no encoder; when it is applied, for Beam's Dask runner, which loses the
            last batch; when it runs, for what is no image at all, or where a worker sees another encoder.
    """

    def __init__(self, encoder: AnyPath, **options: Any) -> None:
        super().__init__()
        folder = anchored(plain(encoder))
        expected = fingerprint(read_manifest(folder), options.get("variant"))
        self._encode = _Encode(folder, expected, tuple(sorted(options.items())))

    def expand(self, images: Any) -> Any:
        work_on = beam.ParDo(self._encode).with_outputs(REJECTS, main="vectors")
        return _in_batches(images) | "Encode" >> work_on


class _Encode(beam.DoFn):
    def __init__(self, folder: str, expected: str, options: tuple[tuple[str, Any], ...]) -> None:
        self._folder = folder
        self._expected = expected
        self._options = options

    def process(self, batch: Iterable[tuple[Any, Image]]) -> Iterator[Any]:
        ids, images = zip(*batch, strict=True)
        with _opening:
            encoder = _encoder(self._folder, self._options)
        if encoder.fingerprint != self._expected:
            raise LookalikeError(
                f"Expected the encoder {self._expected[:16]} in {self._folder}, as where the pipeline was made. "
                f"Received: {encoder.fingerprint[:16]}"
            )
        vectors, errors = encoder.encode(images, errors="collect")
        yield from _told(ids, vectors, errors)


class Search(beam.PTransform):
    """(id, vector) to `matches`, (id, list of dictionaries: rank, item_id, score, metadata), and `rejects`.

    >>> import apache_beam as beam
    >>> import lookalike.beam
    >>> vectors = lookalike.open_encoder("encoder").encode(["photos/p00.jpg", "photos/p01.jpg"])
    >>> with beam.Pipeline(runner="apache_beam.runners.portability.fn_api_runner.FnApiRunner") as pipeline:
    ...     asked = pipeline | beam.Create(list(zip("ab", vectors)))
    ...     matches, rejects = asked | lookalike.beam.Search("job.yaml", k=2)
    ...     _ = matches | beam.Map(lambda one: print(one[0], [match["item_id"] for match in one[1]][0]))
    a p00.jpg
    b p01.jpg

    All workers ask the generation that is served when this is made. Each holds the index in memory.

    Args:
        job: a job, as `open_job` takes it.
        how: keywords of `Store.search`, such as k and where.

    Raises:
        LookalikeError: for a job that is wrong, or a store that is empty; when it is applied, for the Dask runner.
    """

    def __init__(self, job: Given, **how: Any) -> None:
        super().__init__()
        config = make_config(job)
        self._search = _Search(config.model_dump_json(), read_current(config.store).name, how)

    def expand(self, vectors: Any) -> Any:
        work_on = beam.ParDo(self._search).with_outputs(REJECTS, main="matches")
        return _in_batches(vectors) | "Search" >> work_on


class _Search(beam.DoFn):
    def __init__(self, config: str, generation: str, how: Mapping[str, Any]) -> None:
        self._config = config
        self._generation = generation
        self._how = how

    def process(self, batch: Iterable[tuple[Any, np.ndarray]]) -> Iterator[Any]:
        ids, vectors = zip(*batch, strict=True)
        with _opening:
            store = _store(self._config, self._generation)
        found, failed = store.search(vectors=np.stack(vectors), errors="collect", **self._how)
        matches: list[list[dict[str, Any]]] = [[] for _ in ids]
        for row in found.to_pylist():
            matches[int(row.pop("query_id"))].append(row)
        errors = {int(row["query_id"]): row["error"] for row in failed.to_pylist()}
        yield from _told(ids, matches, errors)


def _told(ids: Iterable[Any], results: Iterable[Any], errors: Mapping[int, str]) -> Iterator[Any]:
    for place, (name, result) in enumerate(zip(ids, results, strict=True)):
        if place in errors:
            yield beam.pvalue.TaggedOutput(REJECTS, (name, errors[place]))
        else:
            yield name, result


def _in_batches(elements: Any) -> Any:
    runner = type(elements.pipeline.runner).__name__
    if "Dask" in runner:
        raise LookalikeError(
            f"Expected a runner that keeps what the end of a bundle gives. Received: {runner}, which loses it; the "
            "commands and `Job` work on Dask"
        )
    return elements | "Batch" >> beam.BatchElements(min_batch_size=BATCH, max_batch_size=BATCH)


@functools.lru_cache(maxsize=1)
def _encoder(folder: str, options: tuple[tuple[str, Any], ...]) -> Encoder:
    """The one of this process: all threads of a worker share it."""
    return open_encoder(folder, **dict(options))


@functools.lru_cache(maxsize=1)
def _store(config: str, generation: str) -> Store:
    import json

    return Store(make_config(json.loads(config)), generation)
