"""The reference is that of the code."""

import inspect
import re
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location

import pyarrow.parquet as pq
import pytest

from lookalike.config.job import Config
from lookalike.train.config import TrainConfig
from tests.support.places import DOCS


@pytest.fixture(scope="module")
def make():
    spec = spec_from_file_location("make_reference", DOCS / "reference" / "make.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_those_that_the_code_makes_today(make):
    for name, text in make.pages().items():
        kept = (DOCS / "reference" / name).read_text("utf-8")
        assert kept == text, f"docs/reference/{name} is not what the code says: run `make docs`"


@pytest.mark.parametrize(("page", "model"), [("job-file.md", Config), ("training-file.md", TrainConfig)])
def test_every_key_has_a_row_with_a_sentence(page, model):
    rows = re.findall(
        r"^\| `([\w.]+)` \|(.*)\|(.*)\| (.*) \|$",
        (DOCS / "reference" / page).read_text("utf-8"),
        re.MULTILINE,
    )
    told = {key: sentence for key, *_, sentence in rows}
    assert set(told) >= set(_keys(model, ""))
    assert not [key for key, sentence in told.items() if not sentence]


def _keys(model, before):
    for name, field in model.model_fields.items():
        kind = field.annotation
        if (name == "corpus" and model is TrainConfig) or name == "standing":
            continue
        if isinstance(kind, type) and hasattr(kind, "model_fields"):
            yield from _keys(kind, f"{name}.")
        else:
            yield before + name


def test_defaults_types_and_bounds_are_told_in_words(make):
    page = make.pages()["job-file.md"]
    for row in (
        "| `corpus.shards` | text or list of text | **needed** |",
        "| `corpus.follow_links` | `true`, `false` | `false` |",
        "| `index.recall_target` | number above 0 to 1 | `0.99` |",
        "| `index.worker_memory` | whole number from 1 or text |  |",
        "| `metric` | `cosine`, `euclidean` | `cosine` |",
    ):
        assert row in page


def test_every_place_that_tells_more_is_of_a_key_that_there_is(make):
    page = make.pages()["job-file.md"] + make.pages()["training-file.md"]
    for key, more in make.MORE.items():
        assert re.search(rf"^\| `{re.escape(key)}` .*{re.escape(more)}", page, re.MULTILINE), key


def test_every_command_has_its_options_and_an_example(make):
    page = make.pages()["commands.md"]
    assert page.count("\n## `") == page.count("\n```\nlookalike ")
    section = page.partition("\n## `query`\n")[2].partition("\n## ")[0]
    assert "| `--format <parquet/csv/jsonl/excel>` | `parquet` | csv is exact, for programs; excel" in section
    assert "| `--combine <best/mean>` |  | Rows of one query_id" in section
    assert "QUERIES" in section


def test_every_metric_is_on_the_page_and_alerts_ask_for_no_other():
    page = (DOCS / "reference" / "metrics.md").read_text("utf-8")
    told = {
        name
        for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
        for name in re.findall(r"`(\w+)", row)
    }
    report = inspect.getsource(import_module("lookalike.nightly.report"))
    made = set(re.findall(r"\b(?:gauge|single)\(\s*\"(\w+)\"", report))
    assert len(made) > 15
    assert made <= told
    asked = set(re.findall(r"\blookalike_(\w+)", (DOCS / "alerts.yaml").read_text("utf-8")))
    assert asked <= told


@pytest.mark.slow
def test_the_page_on_outputs_has_the_columns_that_there_are(copied, pictures):
    copied.query(copied.query_file({"p00.jpg": pictures["p00.jpg"], "broken.jpg": b"no picture"}))
    page = (DOCS / "reference" / "outputs.md").read_text("utf-8")
    note = next(iter(copied.notes.values()))
    metadata = {"title", "number"}
    for heading, file in {
        "Results": copied.folder / "out" / "results.parquet",
        "Embedding files": copied.store / note["path"],
        "Rejects": copied.store / note["rejects_path"],
    }.items():
        section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        told = {
            name: kind
            for names, kind in re.findall(r"^\| (`.*?`) \| (.*?) \|", section, re.MULTILINE)
            for name in re.findall(r"`(\w+)`", names)
        }
        told.pop("probability", None)  # where there is a calibration
        there = {field.name: str(field.type) for field in pq.read_schema(file) if field.name not in metadata}
        assert list(told) == list(there)
        for name, kind in told.items():
            assert (
                kind.replace("fixed-size list of float32", "fixed_size_list<element: float not null>[16]")
                == there[name]
            )
    assert "`query_id`, `stage`, `error`" in page
    assert pq.read_schema(copied.folder / "out" / "failures.parquet").names == ["query_id", "stage", "error"]
