"""The job file: every mistake is named with its key, what was found and what is allowed."""

import pytest
import yaml

from lookalike.config.job import Config, load_config
from lookalike.model.errors import LookalikeError
from tests.support.places import CONFIG

LEAST = {"corpus": {"shards": "a"}, "encoder": "e", "store": "s"}


@pytest.fixture
def load(tmp_path):
    def load(data: object, *overrides: str) -> Config:
        path = tmp_path / "job.yaml"
        path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
        return load_config(path, list(overrides))

    return load


def refused(load, data: object, *overrides: str) -> str:
    with pytest.raises(LookalikeError) as error:
        load(data, *overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


def changed(**sections):
    return {name: {**LEAST.get(name, {}), **keys} for name, keys in sections.items()} | {
        name: value for name, value in LEAST.items() if name not in sections
    }


def test_what_is_left_out_has_its_default(load):
    config = load(LEAST)
    assert (config.metric, config.query.k, config.index.recall_target) == ("cosine", 10, 0.99)
    assert (config.gates.max_reject_fraction, config.gates.allow_damaged_shards) == (0.05, False)


@pytest.mark.parametrize("name", ["demo.yaml", "nightly.yaml"])
def test_the_job_files_of_the_project_are_valid(name):
    load_config(CONFIG / name)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("index.recal_target", 0.9, "unknown key `index.recal_target`; did you mean `recall_target`?"),
        ("qurey.k", 3, "unknown key `qurey`; did you mean `query`?"),
        ("corpus.zzz", 3, "unknown key `corpus.zzz`; known keys: shards, format, item_id,"),
        ("query.k", "ten", "`query.k`: input should be a valid integer. Received: 'ten'"),
        ("query.k", True, "`query.k`: input should be a valid integer. Received: True"),
        ("query.k", 0, "`query.k`: input should be greater than or equal to 1. Received: 0"),
        ("query.k", 2.5, "`query.k`: "),
        ("index.recall_target", 1.1, "`index.recall_target`: input should be less than or equal to 1"),
        ("index.recall_target", 0, "`index.recall_target`: input should be greater than 0"),
        ("gates.max_reject_fraction", "5%", "`gates.max_reject_fraction`: input should be a valid number"),
        ("gates.allow_damaged_shards", "maybe", "`gates.allow_damaged_shards`: "),
        (
            "corpus.shards",
            3,
            "`corpus.shards`: input should be a valid string or input should be a valid list",
        ),
        ("corpus.shards", [1], "`corpus.shards`: input should be a valid string"),
        ("corpus.format", "zip", "`corpus.format`: input should be 'tfrecord', 'webdataset', 'parquet'"),
        ("corpus.metadata.price", "money", "`corpus.metadata.price`: input should be 'string', 'int64'"),
        ("corpus.metadata.score", "float64", "`corpus.metadata`: a name that is no column of our own"),
        ("corpus.metadata.item_id", "string", "is expected, not 'item_id'"),
        ("metric", "cosin", "`metric`: input should be 'cosine' or 'euclidean'. Received: 'cosin'"),
        ("encoder", 5, "`encoder`: input should be a valid string. Received: 5"),
        ("index", None, "`index`: keys and values are expected below it. Received: None"),
        ("index", 7, "`index`: keys and values are expected below it. Received: 7"),
    ],
)
@pytest.mark.parametrize("by", ["file", "set"])
def test_a_mistake_is_named_with_its_key_and_what_was_found(load, by, key, value, said):
    if by == "set":
        sentence = refused(
            load, LEAST, f"{key}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}"
        )
    else:
        data = changed(corpus={}, index={}, query={}, gates={})
        *path, last = key.split(".")
        place = data
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
        sentence = refused(load, data)
    assert said in sentence
    assert "job.yaml" in sentence


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
    assert load(LEAST, "store=a=b").store == "a=b"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("query.k", "Expected --set key=value"),
        ("=3", "Expected --set key=value"),
        ("store.x=3", "`store` is a single value and has no keys"),
        ("query.k={", "the value is not YAML"),
        ("query.k=2024-13-01", "the value is not YAML"),
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
