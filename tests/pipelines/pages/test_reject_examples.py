"""What is told of a record that could not be embedded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lookalike.pages import reject_examples
from lookalike.pages.album import Album
from lookalike.pages.reject_examples import beginning


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (b"<html>404", "9 bytes: <html>404"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 20, "24 bytes: ff d8 ff e0 " + "00 " * 11 + "00 …"),
        (b"a" * 40, "40 bytes: " + "a" * 32 + " …"),
    ],
)
def test_a_file_is_told_by_its_size_and_how_it_begins(data: bytes, told: str) -> None:
    assert beginning(data) == told


def test_a_record_without_an_id_is_called_by_its_place(tmp_path, monkeypatch) -> None:
    told = {"shard": "a.tar", "stage": "id", "error": "the id is empty"}
    rejects = [told | {"item_id": None, "position": 3}, told | {"item_id": "x", "position": 4}]
    monkeypatch.setattr(reject_examples, "served_notes", lambda *_: [])
    monkeypatch.setattr(reject_examples, "read_rejects", lambda *_: rejects)
    generation: Any = None
    (reason,) = reject_examples.reject_examples(str(tmp_path), generation, None, Album(), ())
    assert (reason.count, [one.name for one in reason.examples]) == (2, ["a.tar, position 3", "x"])


def test_the_picture_of_a_record_that_is_taken_down_is_not_read(monkeypatch, published) -> None:
    told = {"shard": "a.tar", "stage": "decode", "error": "no image", "position": 3}
    asked: dict[str, set[str]] = {}

    def pictures_in(_: Any, wanted: dict[str, set[str]]) -> Iterator[Any]:
        asked.update(wanted)
        return iter(())

    monkeypatch.setattr(reject_examples, "served_notes", lambda *_: [])
    monkeypatch.setattr(reject_examples, "read_rejects", lambda *_: [told | {"item_id": x} for x in "ab"])
    monkeypatch.setattr(reject_examples, "pictures_in", pictures_in)
    generation: Any = None
    reject_examples.reject_examples("", generation, published.loaded, Album(), ("a",))
    assert asked == {"a.tar": {"b"}}
