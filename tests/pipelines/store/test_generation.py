"""Generations: published whole, named by time, checked when read."""

import dataclasses
from datetime import datetime, timedelta, timezone

import pytest

from lookalike.filesystem import files
from lookalike.model.errors import LookalikeError
from lookalike.store.generation import (
    Generation,
    HiddenRows,
    IndexRef,
    current_name,
    generation_name,
    publish,
    read_current,
    read_generation,
)

GENERATION = Generation(
    format=1,
    name="20250102T030405Z-abcdef01",
    created="2025-01-02T03:04:05+00:00",
    encoder="e" * 64,
    encoder_name="tiny",
    dim=16,
    metric="cosine",
    metadata={"title": "string"},
    counts={"read": 1, "items": 1},
    shards=(),
    duplicates=0,
    indexes=(IndexRef("indexes/x", "f" * 64, 1, "brute_force", 1.0),),
    previous=None,
)


def test_names_sort_by_time_whatever_the_zone():
    noon = datetime(2025, 1, 2, 12, tzinfo=timezone.utc)
    later = (noon + timedelta(seconds=1)).astimezone(timezone(timedelta(hours=-9)))
    names = [generation_name(time, "0123456789") for time in (noon, later)]
    assert names == ["20250102T120000Z-01234567", "20250102T120001Z-01234567"]


def test_what_is_published_is_read_again_equal(tmp_path):
    assert current_name(str(tmp_path)) is None
    publish(str(tmp_path), GENERATION)
    assert current_name(str(tmp_path)) == GENERATION.name
    assert read_current(str(tmp_path)) == GENERATION
    assert read_generation(str(tmp_path), GENERATION.name) == GENERATION


def test_the_next_generation_leaves_the_one_before_as_it_was(tmp_path):
    publish(str(tmp_path), GENERATION)
    before = (tmp_path / "generations" / GENERATION.name / "manifest.json").read_bytes()
    following = dataclasses.replace(GENERATION, name="20250103T030405Z-0", previous=GENERATION.name)
    publish(str(tmp_path), following)
    assert read_current(str(tmp_path)) == following
    assert (tmp_path / "generations" / GENERATION.name / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_publication_that_fails_leaves_what_was_served(tmp_path, monkeypatch, fails_at):
    publish(str(tmp_path), GENERATION)
    write, calls = files.write_bytes, []

    def failing(path, data):
        calls.append(path)
        if len(calls) == fails_at:
            raise OSError(28, "No space left on device", path)
        write(path, data)

    monkeypatch.setattr(files, "write_bytes", failing)
    with pytest.raises(OSError, match="No space"):
        publish(str(tmp_path), dataclasses.replace(GENERATION, name="next"))
    assert read_current(str(tmp_path)) == GENERATION


def test_what_names_another_file_is_written_behind_it(tmp_path, monkeypatch):
    written, usual = [], files.write_bytes
    monkeypatch.setattr(files, "write_bytes", lambda path, data: written.append(path) or usual(path, data))
    publish(str(tmp_path), GENERATION)
    names = [path.removeprefix(f"{tmp_path}/") for path in written]
    folder = f"generations/{GENERATION.name}"
    assert names == [f"{folder}/manifest.sha256", f"{folder}/manifest.json", "CURRENT"]


def test_nothing_published_says_what_to_run(tmp_path):
    with pytest.raises(LookalikeError, match="run `lookalike nightly`"):
        read_current(str(tmp_path))


@pytest.mark.parametrize("text", ["{}", "[]", "", '{"format": 4}', '{"format": 2, "name": 3}'])
def test_what_is_no_manifest_is_refused(tmp_path, text):
    path = tmp_path / "generations" / "x" / "manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(LookalikeError, match="is no manifest of format 3"):
        read_generation(str(tmp_path), "x")


@pytest.mark.parametrize("seconds", [-86400, -1, 0, 1])
def test_a_name_sorts_behind_the_one_before_whatever_the_clock_says(seconds):
    noon = datetime(2025, 1, 2, 12, tzinfo=timezone.utc)
    before = generation_name(noon, "f" * 8)
    name = generation_name(noon + timedelta(seconds=seconds), "0" * 8, before)
    assert name == "20250102T120001Z-00000000" > before


def test_an_addition_is_no_index_shard_and_items_that_are_hidden_make_an_index_another():
    (shard,) = GENERATION.indexes
    addition = dataclasses.replace(shard, path="indexes/y", added_to=shard.path)
    assert dataclasses.replace(GENERATION, indexes=(shard, addition)).index_shards == (shard,)
    hidden = [dataclasses.replace(shard, hidden=HiddenRows("hidden/x", digest * 64, 1)) for digest in "ab"]
    assert len({one.key for one in (shard, *hidden)}) == 3


def test_a_name_in_current_that_no_generation_has_is_told_as_what_it_is(tmp_path):
    publish(str(tmp_path), GENERATION)
    current = tmp_path / "CURRENT"
    current.write_text(current.read_text().replace("2025", "2021", 1))
    with pytest.raises(
        LookalikeError, match=r"The generation 2021.*, which CURRENT names, cannot be read: No such"
    ):
        read_current(str(tmp_path))
