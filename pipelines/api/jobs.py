"""A job, opened: the commands of every day as methods, which return what the commands print in short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lookalike.model.errors import LookalikeError
from lookalike.model.printable import printable

from ..config.job import Config, Given, make_config
from ..filesystem.paths import AnyPath, anchored, plain

if TYPE_CHECKING:
    from ..duplicates.report import DuplicatesSummary
    from ..embedding.report import EmbedSummary
    from ..export.job import ExportSummary
    from ..index.report import IndexSummary
    from ..nightly.run import NightlySummary
    from ..query.report import QuerySummary
    from .stores import Store


@dataclass(frozen=True, repr=False)
class Job:
    """What a job file asks for; `open_job` reads one.

    `flags`, of the methods that have it, are Beam's own, as the commands take them behind `--`; with any, workers do
    it. Each method raises LookalikeError for what the user can mend, GateError where a run must not be published, and
    OSError where a file system fails.

    Attributes:
        config: the job file as it was read; `config.query.k` is its key `query.k`.
    """

    config: Config

    def __repr__(self) -> str:
        return printable(f"<lookalike.Job on {self.config.store}>")

    def embed(self, flags: Sequence[str] = ()) -> EmbedSummary:
        """Embeds every image shard that has no embedding file yet, as `lookalike embed`.

        >>> import lookalike
        >>> done = lookalike.open_job("job.yaml").embed()
        >>> len(done.plan.shards), len(done.plan.missing)
        (3, 0)
        """
        from ..embedding.missing import embed_missing
        from ..store.leftovers import writing

        with writing(self.config, "embed"):
            return embed_missing(self.config, flags)

    def index(self, flags: Sequence[str] = ()) -> IndexSummary:
        """Builds the index from the embedding files and publishes it, as `lookalike index`.

        >>> import lookalike
        >>> done = lookalike.open_job("job.yaml").index()
        >>> done.published, done.generation.counts["items"]
        (False, 24)
        """
        from ..embedding.gone_files import naming_gone
        from ..embedding.plan import make_plan
        from ..index.job import index
        from ..query.tuning_queries import tuning_queries
        from ..store.leftovers import writing

        with writing(self.config, "index") as still_mine:
            asked = tuning_queries(self.config)
            plan = make_plan(self.config, trust="metadata")
            with naming_gone(self.config.store, plan):
                return index(self.config, plan, flags, still_mine, asked)

    def nightly(self, flags: Sequence[str] = ()) -> NightlySummary:
        """Embeds what is new, indexes what changed, checks and publishes, as `lookalike nightly`.

        >>> import lookalike
        >>> done = lookalike.open_job("job.yaml").nightly()
        >>> done.indexed.published, done.indexed.generation.counts["items"]
        (False, 24)
        """
        from ..nightly.run import nightly

        return nightly(self.config, flags)

    def query(
        self,
        queries: AnyPath,
        out: AnyPath,
        *,
        k: int | None = None,
        format: Literal["parquet", "csv", "jsonl", "excel"] = "parquet",
        where: str | None = None,
        min_score: float | None = None,
        max_distance: float | None = None,
        group_by: str | None = None,
        per_group: int | None = None,
        diversify: float | None = None,
        min_probability: float | None = None,
        combine: Literal["best", "mean"] | None = None,
        exclude_self: bool | None = None,
        exact: bool | None = None,
        flags: Sequence[str] = (),
    ) -> QuerySummary:
        """Answers a file of queries, as `lookalike query`; `read_answers(out)` then reads the two tables.

        >>> import lookalike
        >>> done = lookalike.open_job("job.yaml").query("photos", "found", k=3, where="number < 20")
        >>> done.answered, done.failed, done.matches
        (5, 0, 15)

        Args:
            queries: image shards, a folder or a photograph; a query table; files of vectors; a `.txt` of ids.
            out: the folder for the two tables.
            k: matches of a query; None is the job's `query.k`, and so on for all that follow.
            format: of the tables.
            where: only items that pass this filter in SQL over `item_id` and the metadata.
            min_score: only items of at least this score, with metric cosine.
            max_distance: only items that near, with metric euclidean.
            group_by: a field of the metadata; of the items of one value of it `per_group` are matches.
            per_group: 1 without it.
            diversify: from 1, by score alone, to 0, unlike each other.
            min_probability: leave out matches below; needs `lookalike evaluate --calibrate`.
            combine: how several rows of one query_id in a query table are one query.
            exclude_self: leave out the item whose id is the query's own.
            exact: compare with every vector.
        """
        from ..index.conditions import Conditions
        from ..query.job import QueryOptions, query

        given = {
            "where": where,
            "min_score": min_score,
            "max_distance": max_distance,
            "group_by": group_by,
            "per_group": per_group,
            "diversify": diversify,
        }
        options = QueryOptions(
            self.config.query.k if k is None else k,
            format,
            exact=self.config.query.exact if exact is None else exact,
            exclude_self=self.config.query.exclude_self if exclude_self is None else exclude_self,
            conditions=Conditions.of(self.config.query, given),
            combine=combine,
            min_probability=min_probability,
        )
        return query(self.config, plain(queries), plain(out), options, flags)

    def evaluate(
        self,
        queries: AnyPath,
        relevance: AnyPath,
        out: AnyPath | None = None,
        *,
        k: Sequence[int] = (1, 5, 10),
        classes: str | None = None,
        keep_self: bool = False,
        calibrate: bool = False,
        resamples: int = 10_000,
    ) -> dict[str, Any]:
        """Measures how well what is served is ranked for some queries, as `lookalike evaluate`, exactly.

        >>> import lookalike
        >>> report = lookalike.open_job("job.yaml").evaluate("photos", "judged.txt", k=[1, 10])
        >>> found = report["evaluations"][0]
        >>> found["counts"]["measured"], round(found["metrics"]["hit_rate@10"]["mean"], 2)
        (2, 1.0)

        Args:
            queries: as for `query`.
            relevance: a field of the metadata, `directory` of the id, or a file of TREC qrels.
            out: the folder for `evaluation.json` and the tables; None writes nothing.
            k: cut-offs.
            classes: field of the classes; None is the one of `relevance`.
            keep_self: rank the item whose id is the query's own, too.
            calibrate: fit the probability that a match is relevant, and keep it beside the encoder.
            resamples: of the bootstrap.

        Returns:
            What `evaluation.json` holds: docs/evaluation.md.
        """
        from ..config.noted import noted
        from ..evaluate.job import evaluate
        from ..evaluate.measurements import Settings
        from ..evaluate.report import make_report, refuse_own_output, write_report
        from ..evaluate.summary import ClassSizes
        from ..store.calibrations import keep_calibration

        settings = Settings(tuple(sorted(set(k))), keep_self=keep_self, classes=classes, calibrate=calibrate)
        if out is not None:
            refuse_own_output(
                plain(out), [plain(queries)], [plain(relevance), *([classes] if classes else [])]
            )
        found = evaluate(self.config, plain(queries), plain(relevance), settings)
        report, tables = make_report(found, [plain(relevance)], settings, ClassSizes(), resamples=resamples)
        if out is not None:
            made_by = {"job": noted(self.config), "queries": anchored(plain(queries))}
            report["jobs"] = {one["job"]: made_by for one in report["evaluations"]}
            write_report(plain(out), report, tables)
        for one in found:
            if calibrate and one.calibrated and one.calibrated.fitted:
                keep_calibration(self.config.store, self.config.encoder, one.calibrated.calibration)
        return report

    def duplicates(
        self,
        out: AnyPath,
        *,
        against: Given | None = None,
        keep: str | None = None,
        precision: float | None = None,
        min_score: float | None = None,
        format: Literal["parquet", "csv", "jsonl", "excel"] = "parquet",
        flags: Sequence[str] = (),
    ) -> DuplicatesSummary:
        """Finds equal and near-equal pictures, as `lookalike duplicates`.

        >>> import lookalike
        >>> done = lookalike.open_job("job.yaml").duplicates("copies", min_score=0.9999)
        >>> done.items, done.groups.groups
        (24, 0)

        Args:
            out: the folder for the table.
            against: another job, what of this one it has already is found; all that is kept is the other one's.
            keep: what is kept of a group: largest, oldest, first, field:NAME, field:NAME:max.
            precision: wished share of right ones; None is the job's `duplicates.precision`.
            min_score: judge by this score alone, without a look at pictures.
            format: of the table.
        """
        from ..duplicates.job import DuplicatesOptions, duplicates

        if precision is not None and min_score is not None:
            raise LookalikeError("Expected precision or min_score. Received: both")
        settings = self.config.duplicates
        options = DuplicatesOptions(
            keep=keep or settings.keep,
            precision=settings.precision if precision is None else precision,
            min_score=None
            if precision is not None
            else settings.min_score
            if min_score is None
            else min_score,
            sample=settings.sample,
            pairs=settings.pairs,
            table_format=format,
        )
        other = None if against is None else make_config(against)
        return duplicates(self.config, plain(out), options, other, flags)

    def export(
        self,
        out: AnyPath,
        format: Literal["parquet", "npy", "fvecs"] = "parquet",
        generation: str | None = None,
    ) -> ExportSummary:
        """Writes what is served for other programs, as `lookalike export`.

        >>> import lookalike
        >>> lookalike.open_job("job.yaml").export("vectors", "npy").files
        {'ids.parquet': 24, 'vectors.npy': 24}
        """
        from ..export.job import export

        return export(self.config, plain(out), format, generation)

    def open_store(self, generation: str | None = None) -> Store:
        """Opens what is served: see `open_store`."""
        from .stores import Store

        return Store(self.config, generation)


def open_job(job: Given, *, set: Mapping[str, Any] | None = None) -> Job:
    """Reads a job.

    >>> import lookalike
    >>> job = lookalike.open_job("job.yaml", set={"query.k": 5})
    >>> job.config.query.k
    5
    >>> lookalike.open_job({"corpus": {"shards": "shards"}, "encoder": "encoder", "store": "store"}).config.metric
    'cosine'

    Args:
        job: the path of a job file, or its keys and values as a dictionary, in which paths may be Path objects.
        set: dotted key -> value, instead of what the job says, as `--set` of the commands.

    Raises:
        LookalikeError: naming the key that is wrong, what was found and what is allowed.
    """
    return Job(make_config(job, set))
