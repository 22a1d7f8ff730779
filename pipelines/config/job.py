"""The job file: YAML, checked as a whole before anything starts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from lookalike.model.errors import LookalikeError
from lookalike.model.images import MAX_PIXELS
from lookalike.model.settings import Section

from ..filesystem.paths import FolderPath, WrittenPath
from ..sources import ShardFormat, SourceOptions
from ..sources.base import MAX_BYTES, OUR_COLUMNS
from ..sources.types import TYPES, arrow_type
from .job_file import make_job, read_job

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


_UNITS = (
    {"B": 1}
    | {f"{p}B": 1000**n for n, p in enumerate("kMGT", 1)}
    | {f"{p}iB": 1024**n for n, p in enumerate("KMGT", 1)}
)
_SIZE = re.compile(rf"([0-9]+(?:\.[0-9]+)?) ?({'|'.join(_UNITS)})")


def _bytes(size: object) -> object:
    if not isinstance(size, str):
        return size
    found = _SIZE.fullmatch(size.strip())
    if not found:
        raise ValueError("a number of bytes, or a size such as 4GiB, is expected")
    count = float(found[1]) * _UNITS[found[2]]
    if math.isinf(count):
        raise ValueError("a size that a machine may have is expected")
    return int(count)


_SIZE_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}
Size = Annotated[int, BeforeValidator(_bytes), Field(ge=1), WithJsonSchema(_SIZE_SCHEMA)]
"""Bytes, from a number or from a text with a unit."""


def _check_type(kind: str) -> str:
    try:
        arrow_type(kind)
    except LookalikeError:
        raise ValueError(f"input should be one of {', '.join(TYPES)}") from None
    return kind


MetadataType = Annotated[str, AfterValidator(_check_type)]
_OF_IDS = ("string", "int64", "uint64")
"""Types of metadata whose values may be ids of items."""


class Corpus(Section):
    """Where the images are and how their shards are read."""

    shards: WrittenPath | list[WrittenPath] = Field(
        description="a glob, a brace list, a folder, a file of paths, or a list of these"
    )
    format: ShardFormat | None = Field(
        None, description="format of the shards; told from their names and first bytes when left out"
    )
    item_id: str = Field(
        "key",
        description="key: the record's own id; shard/key: for ids that repeat; position: for none; field:NAME",
    )
    id_field: str | None = Field(None, description="TFRecord feature or Parquet column of the id")
    image_field: str | None = Field(
        None, description="TFRecord feature, Parquet column or WebDataset extension of the image"
    )
    metadata: dict[str, MetadataType] = Field(
        default_factory=dict,
        description="fields carried to the result tables, name: type; one that no record has is refused",
    )
    group: str | None = Field(
        None,
        description="a field of metadata: records of one value of it are pictures of one item, which answers name once",
    )
    images_per_shard: Count = Field(1024, description="mean size of the virtual shards of a folder")
    max_pixels: Count = Field(MAX_PIXELS, description="larger images are refused from their header")
    max_bytes: Count = Field(
        MAX_BYTES, description="larger records are refused before they are read or unpacked"
    )
    follow_links: bool = Field(False, description="whether links may lead out of the corpus folder")
    trust: Literal["metadata", "content"] = Field(
        "metadata",
        description="what tells that a shard is unchanged: size and time of change, or reading all of it",
    )
    duplicate_ids: Literal["keep_first", "error"] = Field(
        "keep_first", description="an id in several shards: serve the first shard's, or publish nothing"
    )

    @field_validator("metadata")
    @classmethod
    def _check_names(cls, metadata: dict[str, str]) -> dict[str, str]:
        if taken := [name for name in metadata if name in OUR_COLUMNS or not name]:
            raise ValueError(
                f"a name that is no column of our own ({', '.join(OUR_COLUMNS)}) is expected, not {taken[0]!r}"
            )
        return metadata

    @field_validator("group")
    @classmethod
    def _check_group(cls, group: str | None, info: ValidationInfo) -> str | None:
        metadata = info.data.get("metadata", {})
        if group is not None and metadata.get(group) not in _OF_IDS:
            known = [name for name, kind in metadata.items() if kind in _OF_IDS]
            raise ValueError(
                f"a field of corpus.metadata of text or whole numbers ({', '.join(known) or 'none is there'}) is "
                f"expected, not {group!r}"
            )
        return group

    def source_options(self) -> SourceOptions:
        """What the readers need of this."""
        return SourceOptions(
            format=self.format,
            item_id=self.item_id,
            id_field=self.id_field,
            image_field=self.image_field,
            metadata=dict(self.metadata),
            images_per_shard=self.images_per_shard,
            max_bytes=self.max_bytes,
            follow_links=self.follow_links,
        )


class Embed(Section):
    """How the embedding job uses its machine."""

    threads: Count | None = Field(None, description="threads a worker process; default one for each core")


class Index(Section):
    """How index shards are built."""

    recall_target: Annotated[float, Field(gt=0, le=1)] = Field(
        0.99,
        description="recall against exact search, at 10, 100 and query.k, that the search settings must reach",
    )
    tuning_queries: WrittenPath | None = Field(
        None,
        description="real queries to measure recall with, too, in any form that `lookalike query` takes; other content "
        "builds every index shard anew",
    )
    shard_vectors: Count = Field(
        2_000_000, description="about how many vectors an index shard holds; decides the memory of a worker"
    )
    grow: Fraction = Field(
        0.1,
        description="of the vectors of an index shard, that may be new or gone before it is built anew; until then the "
        "new ones stand in an addition to it; 0 builds anew whatever changed",
    )
    bytes: Literal["float32", "bfloat16", "int8"] = Field(
        "float32",
        description="how an index shard stores vectors: bfloat16 takes half the bytes, int8 a quarter; scores are "
        "those of what is stored",
    )
    threads: Count | None = Field(None, description="threads a worker process; default one for each core")
    worker_memory: Size | None = Field(
        None,
        description="of a worker; an index shard that would take more is refused: bytes, or a text such as 4GiB; "
        "default this machine's, or its container's, where no runner is asked for",
    )


class Query(Section):
    """Defaults of the query job."""

    k: Count = Field(10, description="matches a query")
    exact: bool = Field(False, description="compare with every vector")
    exclude_self: bool = Field(
        False,
        description="leave out the item whose id is the query's own; with corpus.group, all its pictures",
    )
    min_probability: Fraction | None = Field(
        None,
        description="matches of a lower probability are left out; needs `lookalike evaluate --calibrate`; default none",
    )
    where: str | None = Field(None, description="a filter in SQL over the metadata that matches pass")
    min_score: Finite | None = Field(None, description="least score of a match, with metric: cosine")
    max_distance: Finite | None = Field(
        None, description="greatest distance of a match, with metric: euclidean"
    )
    group_by: str | None = Field(
        None,
        description="field of the metadata; of one value of it at most per_group items are matches; default "
        "corpus.group",
    )
    per_group: Count = Field(1, description="matches of one value of group_by")
    diversify: Fraction | None = Field(
        None,
        description="from 1, matches by score alone, to 0, by how little they are like those before them (MMR)",
    )
    combine: Literal["best", "mean"] = Field(
        "best",
        description="what several neighbouring rows of one query_id in a query table find together: by an item's best "
        "score, or nearest to the mean of their vectors",
    )
    memory: Size | None = Field(
        None,
        description="of this process, or of a worker, for index shards that are open at once: bytes, or a text such as "
        "4GiB; default half of the machine's, or of its container's",
    )


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise ValueError(
            "up to 64 letters, digits, - and _ are expected, of which the first is none of the two signs"
        )
    return name


class Standing(Query):
    """A file of queries that every night answers, with keys of `query` of its own where it has them."""

    name: Annotated[str, AfterValidator(_check_name)] = Field(description="of its folder in STORE/standing")
    queries: WrittenPath = Field(description="in any form that `lookalike query` takes")

    def over(self, query: Query) -> Standing:
        """The same with the keys of `query` that it has not itself."""
        return self.model_copy(
            update={key: value for key, value in query if key not in self.model_fields_set}
        )


class Duplicates(Section):
    """How `lookalike duplicates` finds copies."""

    keep: Annotated[str, Field(pattern="^(largest|oldest|first|field:.+)$")] = Field(
        "largest",
        description="what is kept of a group: largest, oldest, first, or field:NAME, field:NAME:min, field:NAME:max",
    )
    precision: Annotated[float, Field(gt=0, le=1)] = Field(
        0.95, description="wished share of right ones among the near copies that are found"
    )
    min_score: Finite | None = Field(
        None, description="least score of a copy, without a look at pictures; default: pictures are compared"
    )
    sample: Count = Field(500, description="pictures that copies are made of, to learn what copies are like")
    pairs: Count = Field(
        200_000,
        description="whose pictures are compared at most, the nearest first; how many copies that misses is told",
    )


class Gates(Section):
    """What a run must pass to be published."""

    max_reject_fraction: Fraction = Field(0.05, description="of the records read")
    max_shrink_fraction: Fraction = Field(0.2, description="of the items of the last generation")
    allow_damaged_shards: bool = Field(
        False, description="publish although a shard could be read only in part"
    )
    digests: Literal["all", "new"] = Field(
        "new",
        description="files of image shards to compare with their digests before publishing: what no run has compared, "
        "or all; what an index is made of is always compared",
    )
    min_recall: Fraction | None = Field(
        None, description="recall that every index shard must have; default index.recall_target"
    )
    min_top10_overlap: Fraction | None = Field(
        None, description="of a fixed sample's top 10 with the last generation; default no limit"
    )


class Retention(Section):
    """What a nightly run keeps of the past."""

    generations: Count = Field(7, description="newest generations to keep")
    days: Annotated[float, Field(ge=0)] | None = Field(None, description="also keep what is younger")


Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Prices(Section):
    """What `nightly --dry-run` tells the cost by; what has no price here is not in it."""

    currency: str = Field("", description="written behind the sums")
    worker_hour: Price | None = Field(None, description="an hour of a machine with embed.threads threads")
    gigabyte_month: Price | None = Field(None, description="10^9 bytes stored for a month")
    million_reads: Price | None = Field(None, description="a million requests that read or list")
    million_writes: Price | None = Field(None, description="a million requests that write or delete")


class Config(Section):
    """One job file."""

    corpus: Corpus
    encoder: FolderPath = Field(description="folder of the encoder bundle (`lookalike encoder build`)")
    store: FolderPath = Field(description="folder of the artifacts: embeddings, indexes, generations")
    metric: Literal["cosine", "euclidean"] = Field(
        "cosine", description="what a score is: a cosine, higher is nearer, or a distance, lower is nearer"
    )
    embed: Embed = Embed()
    index: Index = Index()
    query: Query = Field(Query(), validate_default=True)
    standing: list[Standing] = Field(
        default_factory=list, description="files of queries that every night answers"
    )
    duplicates: Duplicates = Duplicates()
    gates: Gates = Gates()
    retention: Retention = Retention()
    prices: Prices = Prices()

    @field_validator("query")
    @classmethod
    def _grouped(cls, query: Query, info: ValidationInfo) -> Query:
        corpus: Corpus | None = info.data.get("corpus")
        if corpus is None or corpus.group is None or "group_by" in query.model_fields_set:
            return query
        return query.model_copy(update={"group_by": corpus.group})

    @field_validator("standing")
    @classmethod
    def _check_names(cls, standing: list[Standing]) -> list[Standing]:
        names = [one.name for one in standing]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"a name of its own is expected for each entry, not {repeated[0]!r} twice")
        return standing


def load_config(path: str | Path, overrides: list[str] | None = None) -> Config:
    """Reads a job file; see `job_file.read_job`."""
    return read_job(Config, path, overrides)


Given: TypeAlias = "Config | Mapping[str, Any] | str | PathLike[str]"
"""A job as a program gives it: the path of its file, what would stand in one, or what was read from one."""


def make_config(given: Given, keys: Mapping[str, Any] | None = None) -> Config:
    """The job of a program; see `job_file.make_job`."""
    return make_job(Config, given, keys or {})
