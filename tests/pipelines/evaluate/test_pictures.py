"""Pictures of items and queries, read from the shards again."""

from pathlib import Path

import pytest

from lookalike.evaluate import pictures as pictures_module
from lookalike.evaluate.pictures import each_query_picture, item_pictures
from lookalike.model.errors import LookalikeError
from lookalike.store import generations


@pytest.fixture
def generation(published):
    with generations.reading(str(published.store)) as generation:
        yield generation


def test_items_have_the_picture_that_was_embedded(published, generation, pictures):
    found = item_pictures(published.loaded, generation, ["p00.jpg", "p23.png", "none"])
    assert found == {name: pictures[name] for name in ("p00.jpg", "p23.png")}


def test_only_the_shards_that_hold_an_item_are_read(published, generation, monkeypatch):
    read = []
    reader = pictures_module.read_records
    monkeypatch.setattr(
        pictures_module,
        "read_records",
        lambda shard, options: read.append(shard.name) or reader(shard, options),
    )
    item_pictures(published.loaded, generation, ["p00.jpg", "p01.jpg"])
    assert len(read) == 1
    assert item_pictures(published.loaded, generation, []) == {}
    assert len(read) == 1


def test_an_id_in_two_shards_has_the_picture_of_the_one_that_is_served(job, pictures):
    first, second = list(pictures.values())[:2]
    job.pack({"a.jpg": first})
    (shard,) = job.shards.iterdir()
    content = shard.read_bytes()
    job.pack({"a.jpg": second})
    Path(job.shards / "0-before.tfrecord").write_bytes(content)
    job.nightly()
    with generations.reading(str(job.store)) as generation:
        assert item_pictures(job.loaded, generation, ["a.jpg"]) == {"a.jpg": first}


def test_queries_have_their_own_pictures_unless_they_are_vectors(published, generation, pictures, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "q.jpg").write_bytes(pictures["p05.jpg"])
    (tmp_path / "ids.txt").write_text("p01.jpg\n")
    vectors = published.store / next(iter(published.notes.values()))["path"]

    def asked(path, query_id):
        return dict(each_query_picture(published.loaded, generation, str(path), [query_id]))

    assert asked(tmp_path / "folder", "q.jpg") == {"q.jpg": pictures["p05.jpg"]}
    assert asked(tmp_path / "ids.txt", "p01.jpg") == {"p01.jpg": pictures["p01.jpg"]}
    assert asked(vectors, "p01.jpg") == {}


def test_shards_that_are_gone_are_told(published, generation, tmp_path):
    corpus = published.loaded.corpus.model_copy(update={"shards": str(tmp_path / "gone")})
    with pytest.raises(LookalikeError, match="gone"):
        item_pictures(published.loaded.model_copy(update={"corpus": corpus}), generation, ["p00.jpg"])


def test_of_a_folder_no_other_file_is_read(published, generation, pictures, tmp_path, monkeypatch):
    for name in ("p01.jpg", "p02.jpg", "ä <b>.jpg"):
        (tmp_path / name).write_bytes(pictures["p01.jpg"])
    read = []
    reader = pictures_module.read_records
    monkeypatch.setattr(
        pictures_module,
        "read_records",
        lambda shard, options: read.extend(shard.files) or reader(shard, options),
    )
    found = dict(each_query_picture(published.loaded, generation, str(tmp_path), ["ä <b>.jpg"]))
    assert found == {"ä <b>.jpg": pictures["p01.jpg"]}
    assert [Path(file.path).name for file in read] == ["ä <b>.jpg"]
