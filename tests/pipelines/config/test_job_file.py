"""Any job file: YAML, --set, and a sentence for each mistake."""

from __future__ import annotations

import os

import pytest
from pydantic import BaseModel, ConfigDict, model_validator

from lookalike.config.job import load_config
from lookalike.config.job_file import make_job, read_job
from lookalike.model.errors import LookalikeError
from tests.support.job_files import LEAST, changed, loader, refused


@pytest.fixture
def load(tmp_path):
    return loader(tmp_path)


def test_every_mistake_is_told_at_once(load):
    sentence = refused(load, {"corpus": {}, "store": "s", "query": {"k": -1, "x": 1}})
    for said in (
        "`corpus.shards` is missing",
        "`encoder` is missing",
        "`query.k`: ",
        "unknown key `query.x`",
    ):
        assert said in sentence


def test_set_overrides_and_adds_keys(load):
    config = load(LEAST, "query.k=3", "corpus.metadata.price=float64", "gates.allow_damaged_shards=true")
    assert (config.query.k, dict(config.corpus.metadata)) == (3, {"price": "float64"})
    assert config.gates.allow_damaged_shards
    assert load(LEAST, "corpus.shards=[a, b]").corpus.shards == ["a", "b"]
    assert load(LEAST, "store=a=b").store == os.path.abspath("a=b")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("query.k", "Expected --set key=value"),
        ("=3", "Expected --set key=value"),
        ("store.x=3", "`store` is a single value and has no keys"),
        ("query.k={", "the value is not YAML"),
        ("query.k=2024-13-01", "input should be a valid integer. Received: '2024-13-01'"),
        ("query={k: 1, k: 2}", "the value is not YAML: line 1: the key `k` is given twice"),
        ("query.k=1:30", "Received: '1:30'"),
        ("query..k=3", "unknown key"),
        ("query.k=", "Received: None"),
        ("quer.k=3", "did you mean `query`?"),
    ],
)
def test_a_mistake_in_set_is_named(load, override, said):
    assert said in refused(load, LEAST, override)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text", "3"])
def test_a_file_that_holds_no_keys_is_refused(load, text):
    assert "Expected keys such as `corpus:`" in refused(load, text)


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\tx: 1", "!!python/object:os.system {}", "a: \x00"])
def test_a_file_that_is_not_plain_yaml_is_refused(load, text):
    assert "is not YAML" in refused(load, text)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    for path in (tmp_path / "nothing.yaml", tmp_path):
        with pytest.raises(LookalikeError, match="Cannot read the job file"):
            load_config(path)
    (tmp_path / "latin1.yaml").write_bytes(b"store: caf\xe9")
    with pytest.raises(LookalikeError, match="is not YAML"):
        load_config(tmp_path / "latin1.yaml")


def test_keys_that_are_no_text_are_refused(load):
    assert "`1`" in refused(load, {**LEAST, 1: 2})
    assert "corpus.metadata.1" in refused(load, changed(corpus={"metadata": {1: "string"}}))


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    number: int
    words: dict[str, str] = {}


class File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    section: Section
    either: int | bool = 1

    @model_validator(mode="after")
    def _check(self) -> File:
        if self.section.number == self.either:
            raise ValueError("Either and number are to differ")
        return self


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("section: {number: 2, numbr: 3}", "line 1: unknown key `section.numbr`; did you mean `number`?"),
        ("section: {number: 2}\nzzz: 3", "line 2: unknown key `zzz`; known keys: section, either"),
        ("section: {}", "the key `section.number` is missing"),
        ("section: 3", "line 1: `section`: keys and values are expected below it. Received: 3"),
        (
            "section: {number: 2, words: {a: 1}}",
            "line 1: `section.words.a`: input should be a valid string. Received: 1",
        ),
        (
            "section: {number: 2}\neither: x",
            "line 2: `either`: input should be a valid integer or input should be a valid boolean. Received: 'x'",
        ),
        ("section: {number: 1}", "either and number are to differ"),
    ],
)
def test_a_key_that_is_wrong_is_told_in_one_sentence_whatever_the_file_is_of(tmp_path, text, said):
    path = tmp_path / "some.yaml"
    path.write_text(text)
    with pytest.raises(LookalikeError) as error:
        read_job(File, path)
    assert str(error.value) == f"{path}: {said}"


def test_a_line_is_told_only_of_what_stands_in_the_file(tmp_path):
    path = tmp_path / "some.yaml"
    path.write_text("either: x\n\nsection:\n  number: a\n  words: {b: 1}\n")
    with pytest.raises(LookalikeError) as error:
        read_job(File, path, ["section.number=b", "section.words={b: 2}"])
    *ours, last = str(error.value).removeprefix(f"{path}: ").split("; ")
    assert [text.partition(": ")[0] for text in (*ours, last)] == [
        "`section.number`",
        "`section.words.b`",
        "line 1",
    ]


def test_a_value_that_is_wrong_is_shown_in_part_if_it_is_long(tmp_path):
    path = tmp_path / "some.yaml"
    path.write_text(f"section: {{number: {'x' * 10_000}}}")
    with pytest.raises(LookalikeError) as error:
        read_job(File, path)
    assert len(str(error.value)) < 500


def test_a_file_that_is_right_is_what_it_says(tmp_path):
    (tmp_path / "some.yaml").write_text("section: {number: 2}")
    job = read_job(File, tmp_path / "some.yaml", ["either=true", "section.words.a=b"])
    assert (job.section.number, job.section.words, job.either) == (2, {"a": "b"}, True)


def test_keys_of_a_program_count_instead_of_those_of_a_job_and_the_job_stays(tmp_path):
    (tmp_path / "some.yaml").write_text("section: {number: 2}")
    job = read_job(File, tmp_path / "some.yaml")
    made = make_job(File, job, {"section.number": 3})
    assert (made.section.number, job.section.number) == (3, 2)
    assert make_job(File, job, {}) is job


def test_what_a_job_of_a_program_does_not_set_stays_unset(tmp_path):
    (tmp_path / "some.yaml").write_text("section: {number: 2}")
    made = make_job(File, read_job(File, tmp_path / "some.yaml"), {"section.number": 3})
    assert made.model_fields_set == {"section"}
    assert made.section.model_fields_set == {"number"}
