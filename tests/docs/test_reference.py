"""The reference is that of the code."""

import re
from importlib.util import module_from_spec, spec_from_file_location

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
    assert "| `--format <parquet/csv/jsonl>` | `parquet` | Format of the tables. |" in section
    assert "QUERIES" in section
