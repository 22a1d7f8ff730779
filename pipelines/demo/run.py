"""The demo: a catalogue made from a few photographs, embedded, indexed and asked for views it has not seen."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.model.encoder.export import BundleRecipe
from lookalike.model.errors import LookalikeError
from lookalike.model.printable import say
from lookalike.model.waiting import waiting

from ..config.job import Config, load_config
from ..config.yaml_text import yaml_text
from ..embedding.report import embed_report
from ..encoder.build import NetworkChoice, Sample, build_encoder, default_variant
from ..filesystem import files
from ..filesystem.paths import expanded, written
from ..index.report import generation_report
from ..nightly.run import nightly
from ..pages.answers import AnswersOptions
from ..pages.job import report, report_text
from ..query.job import QueryOptions, query
from ..query.report import query_report
from ..sources.pack import pack
from ..sources.records import DIRECTORY
from ..store.generation import CURRENT, generation_folder
from ..store.notes import embeddings_folder, read_rejects
from .catalogue import (
    BROKEN,
    IMAGES,
    QUERIES,
    QUERY_VIEWS,
    ROWS,
    built_in_photographs,
    find_photographs,
    make_catalogue,
)

MARKER = ".lookalike-demo"
MADE = (IMAGES, QUERIES, ROWS, "shards", "encoder", "store", "answers")
CORPUS_VIEWS, MOST_VIEWS = 2200, 110
"""Views in all, and of one photograph: what 2 cores get through in a minute or two."""
IMAGES_PER_SHARD = 500
PROJECT_FROM = 512
"""Fewer images than this are too few to find 256 dimensions to project to; the network's own are kept."""


@dataclass(frozen=True)
class DemoSummary:
    """How the demo went.

    Attributes:
        views: readable images in the corpus.
        scores: photograph -> (queries, found at rank 1, found in the top 10).
        rejects: (item id, reason) of what could not be embedded.
        failures: (query id, reason) of what could not be answered.
        seconds: of everything.
    """

    views: int
    scores: Mapping[str, tuple[int, int, int]]
    rejects: tuple[tuple[str, str], ...]
    failures: tuple[tuple[str, str], ...]
    seconds: float


def demo(out: Path, config_file: Path, images: Path | None = None) -> DemoSummary:
    """Runs the whole of Lookalike on views of photographs, telling what it does on standard output.

    Args:
        out: folder for everything; what an earlier demo made there is deleted.
        config_file: the job file; its paths are overridden where they lie elsewhere than `out`.
        images: folder of photographs; None takes those inside the wheels of scikit-image and scikit-learn.

    Raises:
        LookalikeError: if `out` holds something else than a demo, or there are no two photographs.
    """
    started = time.perf_counter()
    photographs, left_out = find_photographs(images, out) if images else (built_in_photographs(), [])
    config, overrides = _config(config_file, out)
    make_room(out)
    job = ["-c", str(config_file), *(word for override in overrides for word in ("--set", override))]
    each = min(MOST_VIEWS, CORPUS_VIEWS // len(photographs))
    pictures, queries, shards, encoder = (out / name for name in (IMAGES, QUERIES, "shards", "encoder"))

    with _step(1, f"Make a catalogue: {len(photographs)} photographs, {each} views of each, broken files"):
        with waiting(f"making {len(photographs) * each:,} views"):
            count, unreadable = make_catalogue(out, photographs, each)
        for name, reason in (*left_out, *unreadable):
            say(f"left out     {name}: {reason}")
        say(f"images       {pictures}: {count:,} views, and broken files in {pictures / BROKEN}")
        say(f"queries      {queries}: {QUERY_VIEWS} other views of each, and a broken file")

    size, rows = IMAGES_PER_SHARD, out / ROWS
    command: tuple[object, ...] = ("pack", pictures, shards, "--images-per-shard", size, "--metadata", rows)
    with _step(2, "Pack the images to shards", *command):
        packed = pack(
            str(pictures), str(shards), format="tfrecord", images_per_shard=size, metadata=str(rows)
        )
        say(f"shards       {shards}: {len(packed.shards)} with {packed.images:,} images")

    dim = 256 if count >= PROJECT_FROM else None
    command = ("encoder", "build", encoder, "--sample", shards, *(() if dim else ("--dim", 0)))
    with _step(3, "Build the encoder: a pretrained network, calibrated on the catalogue", *command):
        built = build_encoder(
            encoder,
            NetworkChoice(),
            Sample(str(shards), config.corpus.source_options()),
            BundleRecipe("efficientnet_lite0", dim=dim, variant=default_variant()),
        )
        say(f"encoder      {encoder}: {built.dim} dimensions, fingerprint {built.fingerprint[:16]}")
        say(f"variant      {built.speeds}")
        say(f"{built.variant:12} mean cosine {built.agreement:.4f} with float")

    with _step(4, "Run the nightly job: embed, index, check, publish", "nightly", *job):
        night = nightly(config)
        embedded, published = night.embedded, night.indexed
        embeddings = embeddings_folder(config.store, embedded.plan.fingerprint)
        print(embed_report(embedded, embeddings))
        generation = generation_folder(config.store, published.generation.name)
        print(generation_report(published, generation))

    command = ("query", queries, "-o", out / "answers", *job)
    with _step(5, "Ask for the photographs of views that the catalogue does not hold", *command):
        answered = query(config, str(queries), str(out / "answers"), QueryOptions(config.query.k))
        print(query_report(answered))

    command = ("report", out / "answers", "--relevance", DIRECTORY)
    with _step(6, "Make a page of the answers, to look at", *command):
        page = report(str(out / "answers"), None, None, AnswersOptions(relevance=DIRECTORY))
        print(report_text(page))

    summary = DemoSummary(
        views=count,
        scores=score(pq.read_table(answered.results)),
        rejects=tuple((r["item_id"], r["error"]) for r in read_rejects(config.store, embedded.plan.notes)),
        failures=tuple((r["query_id"], r["error"]) for r in pq.read_table(answered.failures).to_pylist()),
        seconds=time.perf_counter() - started,
    )
    places = {
        "page": f"{page.page}: open it in a browser",
        "results": answered.results,
        "failures": answered.failures,
        "embeddings": f"{embeddings}/*.parquet",
        "rejects": f"{embeddings}/rejects/*.parquet",
        "index": ", ".join(files.join(config.store, ref.path) for ref in published.generation.indexes),
        "generation": f"{generation}/manifest.json, named by {files.join(config.store, CURRENT)}",
        "encoder": f"{encoder}/encoder.json",
        "catalogue": f"{pictures} and {queries}; packed: {shards}",
    }
    again = {
        _words("nightly", *job): "again: all is there, nothing is computed twice",
        _words("query", "FOLDER", "-o", "answers", "--format", "csv", *job): "images of your own as queries",
        _words("report", "answers"): "a page of the answers, with pictures",
        "demo --images FOLDER": "the same as this on photographs of your own",
    }
    print("What came of it", *_result_lines(summary), sep="\n  ")
    print("\nWhere everything lies", *(f"{name:12} {place}" for name, place in places.items()), sep="\n  ")
    print(
        f"\nWhat to try next{_before_all()}",
        *(f"lookalike {words}\n      {why}" for words, why in again.items()),
        sep="\n  ",
    )
    print(f"\nDone in {summary.seconds:.0f} s. To look at what was found, open {page.page} in a browser.")
    return summary


def _words(*words: object) -> str:
    return " ".join(shlex.quote(str(word)) for word in words)


@contextmanager
def _step(number: int, what: str, *command: object) -> Iterator[None]:
    print(f"{number}. {what}" + (f"\n   $ lookalike {_words(*command)}" if command else ""), flush=True)
    started = time.perf_counter()
    yield
    print(f"   {time.perf_counter() - started:.1f} s\n", flush=True)


def _config(config_file: Path, out: Path) -> tuple[Config, list[str]]:
    """The job on the folders in `out`, and the overrides that this takes."""
    found = load_config(config_file)
    now = (found.corpus.shards, found.encoder, found.store, found.corpus.metadata.get("photo"))
    wanted = {
        "corpus.shards": written(str(out / "shards")),
        "encoder": written(str(out / "encoder")),
        "store": written(str(out / "store")),
        "corpus.metadata.photo": "string",
    }
    overrides = [
        # As YAML, which is what --set reads: a path such as `1` or `a: b` needs quotes.
        f"{key}={yaml_text(value, width=10_000).splitlines()[0]}"
        for (key, value), is_now in zip(wanted.items(), now, strict=True)
        if not _says(is_now, value)
    ]
    return load_config(config_file, overrides), overrides


def _says(now: object, wanted: str) -> bool:
    """Whether a job says what is wanted; of a path, in whatever words."""
    return now == wanted or (isinstance(now, str) and _absolute(now) == _absolute(wanted))


def _absolute(path: str) -> str:
    return path if files.is_remote(path) else os.path.abspath(expanded(path))


def _before_all() -> str:
    """What has to be typed before a shell finds `lookalike`, if it does not."""
    activate = os.path.join(sys.prefix, "bin", "activate")
    if shutil.which("lookalike") or not os.path.exists(activate):
        return ""
    return f", after: source {shlex.quote(os.path.relpath(activate))}"


def make_room(out: Path) -> None:
    """Makes the folder, or deletes what an earlier demo made in it, and nothing else.

    Raises:
        LookalikeError: if it is something else than a new folder, an empty one or one of a demo.
    """
    marker = out / MARKER
    unused = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    if not unused and not marker.is_file():
        raise LookalikeError(
            f"--out: expected a new folder, an empty one or one that a demo made. Received: {out}, which was not "
            f"made by a demo; nothing was changed"
        )
    out.mkdir(parents=True, exist_ok=True)
    marker.write_text(
        f"Made by `lookalike demo`, which deletes these when it runs again: {', '.join(MADE)}\n"
    )
    files.delete(str(out / name) for name in MADE)


def score(results: pa.Table) -> dict[str, tuple[int, int, int]]:
    """Photograph -> (queries answered, those that found it at rank 1, those that found it in the top 10).

    Args:
        results: a result table with the column `photo`; the photograph of a query is the folder in its id.
    """
    ranks: dict[str, int | None] = {}
    for row in results.select(["query_id", "rank", "photo"]).to_pylist():
        best = ranks.setdefault(row["query_id"], None)
        if row["photo"] == row["query_id"].rpartition("/")[0] and (best is None or row["rank"] < best):
            ranks[row["query_id"]] = row["rank"]
    scores: dict[str, tuple[int, int, int]] = {}
    for query_id, rank in ranks.items():
        photograph = query_id.rpartition("/")[0]
        count, first, ten = scores.get(photograph, (0, 0, 0))
        scores[photograph] = (count + 1, first + (rank == 1), ten + (rank is not None and rank <= 10))
    return scores


def _result_lines(summary: DemoSummary) -> list[str]:
    count, first, ten = (sum(s[i] for s in summary.scores.values()) for i in range(3))
    missed = {name: s for name, s in summary.scores.items() if s[1] < s[0]}
    return [
        f"{first:,} of {count:,} queries found their photograph at rank 1 ({first / max(1, count):.1%})",
        f"{ten:,} of {count:,} queries found it in the top 10 ({ten / max(1, count):.1%})",
        *(f"  {name}: {s[1]} of {s[0]} at rank 1" for name, s in missed.items()),
        f"images rejected: {len(summary.rejects)}",
        *(f"  {name}: {reason}" for name, reason in summary.rejects),
        f"queries failed: {len(summary.failures)}",
        *(f"  {name}: {reason}" for name, reason in summary.failures),
    ]
