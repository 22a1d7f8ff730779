"""The job file: every mistake is named with its key, what was found and what is allowed."""

from dataclasses import asdict, fields

import pytest
import typer
import yaml

from lookalike.cli.main import app
from lookalike.config.job import Duplicates, Query, load_config
from lookalike.sources import SourceOptions
from tests.support.job_files import LEAST, changed, loader, refused
from tests.support.places import CONFIG


@pytest.fixture
def load(tmp_path):
    return loader(tmp_path)


def test_what_is_left_out_has_its_default(load):
    config = load(LEAST)
    assert (config.metric, config.query.k, config.index.recall_target) == ("cosine", 10, 0.99)
    assert config.gates.model_dump() == {
        "max_reject_fraction": 0.05,
        "max_shrink_fraction": 0.2,
        "allow_damaged_shards": False,
        "digests": "new",
        "min_recall": None,
        "min_top10_overlap": None,
    }
    assert config.retention.model_dump() == {"generations": 7, "days": None}
    assert (config.index.grow, config.index.bytes, config.query.combine) == (0.1, "float32", "best")
    corpus = config.corpus
    assert (corpus.trust, corpus.duplicate_ids, corpus.follow_links) == ("metadata", "keep_first", False)


def test_the_readers_get_every_option_of_the_corpus(load):
    given = {
        "format": "tfrecord",
        "item_id": "shard/key",
        "image_field": "photo",
        "id_field": "name",
        "metadata": {"price": "float64"},
        "images_per_shard": 7,
        "max_bytes": 1000,
        "follow_links": True,
    }
    options = load(changed(corpus=given)).corpus.source_options()
    assert given == asdict(options)
    assert given.keys() == {field.name for field in fields(SourceOptions)}


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
        ("query.min_score", float("nan"), "`query.min_score`: input should be a finite number"),
        ("query.max_distance", float("inf"), "`query.max_distance`: input should be a finite number"),
        ("duplicates.min_score", float("nan"), "`duplicates.min_score`: input should be a finite number"),
        ("prices.worker_hour", float("inf"), "`prices.worker_hour`: input should be a finite number"),
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
        ("corpus.metadata.price", "money", "`corpus.metadata.price`: input should be one of string, bool,"),
        ("corpus.metadata.price", "decimal(39,2)", "Received: 'decimal(39,2)'"),
        ("corpus.metadata.score", "float64", "`corpus.metadata`: a name that is no column of our own"),
        ("corpus.metadata.item_id", "string", "is expected, not 'item_id'"),
        ("metric", "cosin", "`metric`: input should be 'cosine' or 'euclidean'. Received: 'cosin'"),
        ("encoder", 5, "`encoder`: input should be a valid string. Received: 5"),
        ("query.memory", "9" * 400 + "GiB", "`query.memory`: a size that a machine may have is expected"),
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


def test_standing_queries_are_a_list_with_a_name_each(load):
    assert load(LEAST).standing == []
    least = "corpus: {shards: a}\nencoder: e\nstore: s\n"
    text = least + "standing:\n- name: new\n  queries: q.txt\n- {name: b, queries: c}\n"
    first, second = load(text).standing
    assert (first.name, first.queries, second.exact) == ("new", "q.txt", False)
    assert load(LEAST, "standing=[{name: a, queries: b, k: 3}]").standing[0].k == 3


def test_a_standing_query_has_the_keys_of_query_that_it_does_not_name_itself(load):
    data = {**LEAST, "query": {"k": 3, "memory": "1GiB"}}
    data["standing"] = [{"name": "a", "queries": "q"}, {"name": "b", "queries": "q", "k": 10, "exact": True}]
    job = load(data)
    first, second = (one.over(job.query) for one in job.standing)
    assert (first.name, first.k, first.memory, first.exact) == ("a", 3, 1 << 30, False)
    assert (second.name, second.k, second.memory, second.exact) == ("b", 10, 1 << 30, True)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{"queries": "q"}], "the key `standing.0.name` is missing"),
        ([{"name": "a", "queries": "q"}, {"name": "b"}], "the key `standing.1.queries` is missing"),
        ([{"name": "a", "querys": "q"}], "unknown key `standing.0.querys`; did you mean `queries`?"),
        (
            [{"name": "a", "queries": "q", "k": 0}],
            "`standing.0.k`: input should be greater than or equal to 1",
        ),
        ([{"name": "a/b", "queries": "q"}], "`standing.0.name`: up to 64 letters, digits, - and _"),
        ([{"name": "..", "queries": "q"}], "Received: '..'"),
        ([{"name": "", "queries": "q"}], "Received: ''"),
        (
            [{"name": "a", "queries": "q"}] * 2,
            "`standing`: a name of its own is expected for each entry, not 'a'",
        ),
        ({"name": "a"}, "`standing`: input should be a valid list"),
        (["a"], "`standing.0`: keys and values are expected below it"),
        ([{"name": "a", "queries": ""}], "`standing.0.queries`: a path is expected"),
    ],
)
def test_a_mistake_in_a_standing_query_is_named_with_its_place(load, entries, said):
    assert said in refused(load, {**LEAST, "standing": entries})


def test_a_mistake_in_a_standing_query_is_told_with_its_line(load):
    text = "corpus: {shards: a}\nencoder: e\nstore: s\nstanding:\n- name: new\n  queries: q.txt\n  k: many\n"
    assert "line 7: `standing.0.k`" in refused(load, text)


OF_ONE_CALL = {
    *("config", "set", "out", "queries", "format", "generation", "against", "name", "as_json", "quiet"),
}
"""Files, formats and names of one call, which are no settings of a job."""


@pytest.mark.parametrize(
    ("command", "section"),
    [("query", Query), ("standing", Query), ("duplicates", Duplicates), ("export", None)],
)
def test_every_option_that_decides_an_answer_is_a_key_of_the_job_file(command, section):
    options = {one.name for one in typer.main.get_command(app).commands[command].params}
    assert options - OF_ONE_CALL <= (section.model_fields.keys() if section else set())


def test_answers_are_grouped_by_what_makes_pictures_one_item(load):
    shop = changed(corpus={"metadata": {"product": "int64", "kind": "string"}, "group": "product"})
    assert load(shop).query.group_by == "product"
    assert load(shop | {"query": {"k": 3, "per_group": 2}}).query.group_by == "product"
    assert load(shop | {"query": {"group_by": "kind"}}).query.group_by == "kind"
    assert load(shop | {"query": {"group_by": None}}).query.group_by is None
    standing = load(shop | {"standing": [{"name": "a", "queries": "q.csv"}]})
    assert standing.standing[0].over(standing.query).group_by == "product"
    assert load(LEAST).query.group_by is None


@pytest.mark.parametrize("field", ["colour", "tags", "price"])
def test_what_cannot_name_an_item_makes_no_pictures_one(load, tmp_path, field):
    kinds = {"tags": "list<string>", "price": "float64", "product": "uint64"}
    sentence = refused(load, changed(corpus={"metadata": kinds, "group": field}))
    assert (
        f"a field of corpus.metadata of text or whole numbers (product) is expected, not '{field}'"
        in sentence
    )
