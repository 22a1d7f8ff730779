"""What is known of a shard's images is asked for in order of their positions, and compared with their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from lookalike.embedding import known as known_module
from lookalike.embedding.known import KnownEmbeddings, read_known, record_of


def content(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def written(folder: Path, *images: tuple[int, int]) -> str:
    """The file of what is known of images: position and number of each, whose vector is the number twice."""
    known = np.zeros(len(images), record_of(2))
    for row, (position, image) in zip(known, images, strict=True):
        row["position"], row["content"], row["width"], row["height"] = position, content(image).encode(), 8, 4
        row["vector"] = image
    (folder / "known").write_bytes(known.tobytes())
    return str(folder / "known")


@pytest.mark.parametrize("batch", [1, 2, 1024])
def test_an_image_that_is_another_at_its_place_is_not_known(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(known_module, "_BATCH", batch)
    known = KnownEmbeddings(written(tmp_path, (0, 1), (1, 2), (2, 3), (5, 4)), 2)
    assert known.get(0, content(2)) is None
    assert known.get(2, content(3)).vector.tolist() == [3, 3], "a place that is not asked for is passed over"
    assert known.get(4, content(4)) is None
    assert known.get(5, content(4)).size == [8, 4]
    assert known.get(6, content(4)) is None


def test_of_a_shard_without_a_file_nothing_is_known(tmp_path):
    assert KnownEmbeddings(str(tmp_path / "none"), 2).get(0, content(1)) is None


def test_all_records_come_in_order(tmp_path):
    assert [int(row["position"]) for row in read_known(written(tmp_path, (0, 1), (3, 2)), 2)] == [0, 3]
