"""A field of metadata that no record has is refused before anything is published."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.config.job import make_config
from lookalike.index import carried
from lookalike.model.errors import LookalikeError
from lookalike.sources.opening import NotAsListedError
from lookalike.sources.pack import pack
from tests.conftest import Job, picture
from tests.support.shards import FORMATS, corpus


def test_a_wrong_key_leaves_the_last_generation_served(copied):
    before = copied.generation["name"]
    copied.set(corpus={"metadata": {"title": "string", "nomber": "int64"}})
    done = copied.run("nightly")
    assert (done.code, copied.generation["name"]) == (2, before)
    assert done.sentence == (
        "corpus.metadata.nomber: expected a field that some record has. Received: a corpus without it; did you mean "
        "number?"
    )


def test_a_field_that_is_to_be_the_id_is_named_where_no_record_has_it(copied):
    copied.set(corpus={"item_id": "field:titel"})
    done = copied.run("nightly")
    assert (done.code, done.sentence) == (
        2,
        "corpus.item_id: field:titel: expected a field that some record has. Received: a corpus without it; did you "
        "mean title?",
    )
    assert copied.set(corpus={"item_id": "position"}).run("nightly").code == 0


def test_a_shard_that_changes_meanwhile_may_have_any_field(monkeypatch):
    job = make_config({"corpus": {"shards": "s", "metadata": {"x": "string"}}, "encoder": "e", "store": "s"})

    def changed(shard):
        raise NotAsListedError(shard, "is another")

    monkeypatch.setattr(carried, "fields_of", changed)
    carried.check_carried(job, ["one"], ())
    monkeypatch.setattr(carried, "fields_of", lambda shard: {"y"})
    with pytest.raises(LookalikeError, match=r"corpus\.metadata\.x"):
        carried.check_carried(job, ["one"], ())


def test_a_column_that_is_not_counted_may_have_values():
    table = pa.table({"a": pa.array([None], pa.string()), "b": ["x"]})
    for counted in (True, False):
        sink = io.BytesIO()
        pq.write_table(table, sink, write_statistics=counted)
        found = carried.with_values(pq.read_metadata(sink), ["a", "b"])
        assert found == ({"b"} if counted else {"a", "b"})


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_a_key_that_no_record_has_is_named_and_nothing_is_published(job, pictures, format):
    corpus(job, dict(list(pictures.items())[:6]), format)
    right = job.settings["corpus"]["metadata"]
    job.set(corpus={"metadata": {**right, "prize": "float64"}})
    done = job.run("nightly")
    assert done.code == 2
    assert done.sentence.startswith(
        "corpus.metadata.prize: expected a field that some record has. Received: a corpus without it; they have "
    )
    assert all(name in done.sentence for name in right)
    assert not (job.store / "CURRENT").exists()
    job.set(corpus={"metadata": {**right, "titel" if "title" in right else "directori": "string"}})
    assert f"did you mean {'title' if 'title' in right else 'directory'}?" in job.run("nightly").sentence
    job.settings["corpus"]["metadata"] = right
    job.nightly()


def rows(job: Job, format: str, *metadata: dict[str, object]) -> None:
    """A corpus of one shard for each image, whose metadata are these."""
    images = job.folder / "images"
    images.mkdir()
    table = job.folder / "rows.jsonl"
    table.write_text(
        "".join(json.dumps({"path": f"{n}.jpg", **row}) + "\n" for n, row in enumerate(metadata))
    )
    for number in range(len(metadata)):
        (images / f"{number}.jpg").write_bytes(picture(number))
    pack(str(images), str(job.shards), format=format, images_per_shard=1, metadata=str(table))


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS[:3])
def test_a_field_may_be_rare_or_null_everywhere(job, format):
    rows(job, format, {"a": None, "b": None, "c": []}, {"a": None, "b": 1, "c": []}, {"a": None})
    job.set(corpus={"metadata": {"a": "string", "b": "int64", "c": "list<string>"}})
    job.nightly()
