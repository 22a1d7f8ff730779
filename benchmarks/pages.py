"""What a page of answers weighs, how long it takes to make, and how long Chromium takes to open it.

    python benchmarks/pages.py [--encoder FOLDER] [--times 5] [--million] [--json FILE]

The clothing photographs of validation/ are asked of those of train/, ten matches each, marked by their class folder;
then 10,000 queries that are items, of which the page shows 400. `opened` is the median, and `worst` the longest, of
several times from the start of navigation to the end of the load event and the frame behind it, in a new tab each.
--million makes a table of a million queries with ten matches, and tells the memory and time of the page's numbers.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
import pyarrow as pa
from playwright.sync_api import sync_playwright

from lookalike.config.job import Config
from lookalike.nightly.run import nightly
from lookalike.pages.answer_rows import rows_of
from lookalike.pages.answers import AnswersOptions
from lookalike.pages.choosing import choose
from lookalike.pages.job import report
from lookalike.pages.overview import look_over
from lookalike.pages.result_tables import find_answers
from lookalike.query.answering import FAILURES_SCHEMA, results_schema
from lookalike.query.job import QueryOptions, query
from lookalike.query.tables import open_table
from lookalike.sources.pack import pack

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
)
MANY, MILLION = 10_000, 1_000_000
_LOADED = """new Promise(done => requestAnimationFrame(() => setTimeout(() => done(
  [performance.now(), document.getElementsByTagName("*").length]))))"""


def opened(path: Path, times: int) -> dict[str, Any]:
    """Opens a page some times, each in a new tab of one browser."""
    found, elements, said = [], 0, []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        for _ in range(times + 1):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.goto(path.resolve().as_uri())
            milliseconds, elements = page.evaluate(_LOADED)
            found.append(milliseconds / 1000)
            page.close()
        browser.close()
    timed = found[1:]  # the first one also starts processes
    return {
        "opened s": statistics.median(timed),
        "worst s": max(timed),
        "elements": elements,
        "console": len(said),
    }


def page_of(name: str, answers: Path, options: AnswersOptions, times: int) -> dict[str, Any]:
    """Makes a page of answers, and opens it."""
    started = time.perf_counter()
    made = report(str(answers), None, None, options)
    seconds = time.perf_counter() - started
    return {"page": name, "MB": made.size / 1e6, "made s": seconds, **opened(Path(made.page), times)}


def published(folder: Path, encoder: Path | None, data: Path) -> Config:
    """A store that serves the photographs of train/."""
    if encoder is None:
        encoder = folder / "encoder"
        common.build_default_encoder(encoder, data)
    pack(str(data / "train"), str(folder / "shards"), format="tfrecord", images_per_shard=1000)
    config = common.job(folder / "shards", encoder, folder / "store")
    nightly(config)
    return config


def many_queries(folder: Path, data: Path) -> Path:
    """A query table of items, each several times under other names."""
    items = sorted(str(path.relative_to(data / "train")) for path in (data / "train").rglob("*.jpg"))
    rows = [f"query {number:05},{items[number % len(items)]}\n" for number in range(MANY)]
    (folder / "many.csv").write_text("query_id,item_id\n" + "".join(rows))
    return folder / "many.csv"


def million(folder: Path) -> dict[str, Any]:
    """Time and greatest memory, in a process of its own, of all that is read of a million answers."""
    schema, random = results_schema({"title": "string"}), np.random.default_rng(1)
    folder.mkdir()
    with open_table(str(folder / "results.parquet"), schema, "parquet") as table:
        for start in range(0, MILLION, 50_000):
            numbers = np.repeat(np.arange(start, start + 50_000), 10)
            items = random.integers(0, 3_000_000, len(numbers))
            columns = [
                pa.array([f"queries/{n:07}.jpg" for n in numbers.tolist()]),
                pa.array(np.tile(np.arange(1, 11, dtype=np.int32), 50_000)),
                pa.array([f"items/{n:07}.jpg" for n in items.tolist()]),
                pa.array(-np.sort(-random.random((50_000, 10), np.float32)).ravel()),
                pa.array(["a title"] * len(numbers)),
            ]
            table.write_table(pa.Table.from_arrays(columns, schema=schema))
    with open_table(str(folder / "failures.parquet"), FAILURES_SCHEMA, "parquet"):
        pass
    done = subprocess.run(
        [sys.executable, __file__, "--look-over", str(folder)], check=True, capture_output=True, text=True
    )
    seconds, mebibytes, before = map(float, done.stdout.split())
    return {"queries": MILLION, "matches": 10 * MILLION, "s": seconds, "MiB": mebibytes, "MiB before": before}


def look(folder: str) -> None:
    """What `million` runs in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    tables = find_answers(folder)
    assert tables
    chosen = choose(look_over(tables), "cosine", rows=400)
    rows_of(tables, [number for numbers in chosen.sections.values() for number in numbers])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(time.perf_counter() - started, most / 1024, before / 1024)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--encoder", type=Path, help="default: EfficientNet-Lite0, built")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--look-over", help="for the process that --million starts")
    arguments = parser.parse_args()
    if arguments.look_over:
        look(arguments.look_over)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = []
        if arguments.million:
            tables.append(("numbers of a million answers", [million(folder / "million")]))
        config = published(folder, arguments.encoder, arguments.data)
        query(config, str(arguments.data / "validation"), str(folder / "answers"), QueryOptions(10))
        query(config, str(many_queries(folder, arguments.data)), str(folder / "many"), QueryOptions(10))
        rows = [
            page_of(
                "clothing, 341 x 10",
                folder / "answers",
                AnswersOptions(relevance="directory"),
                arguments.times,
            ),
            page_of("10,000 x 10, 400 shown", folder / "many", AnswersOptions(), arguments.times),
        ]
        tables.append(("pages of answers", rows))
        common.show(tables, arguments.json)


if __name__ == "__main__":
    main()
