from __future__ import annotations

import hashlib

from lookalike.duplicates.alignment import correlation
from lookalike.duplicates.run import read_files
from lookalike.duplicates.thumbnails import ImageShard, MakeThumbnails, look_of
from lookalike.sources import SourceOptions, find_shards
from tests.support.drawn import as_file, drawn


def test_pictures_that_are_still_what_they_were(tmp_path) -> None:
    images = {"a.png": as_file(drawn(1)), "b.bmp": as_file(drawn(1), ".bmp"), "c.png": b"no picture"}
    (tmp_path / "images").mkdir()
    for name, content in images.items():
        (tmp_path / "images" / name).write_bytes(content)
    wanted = {
        name: (n, hashlib.sha256(content).hexdigest(), True)
        for n, (name, content) in enumerate(images.items())
    }
    wanted["gone.png"] = (7, "0" * 64, False)
    options = SourceOptions()
    (shard,) = find_shards(str(tmp_path / "images"), options)
    piece = ImageShard(0, 0, shard, wanted)
    assert ImageShard.from_json(piece.to_json()) == piece
    MakeThumbnails(str(tmp_path / "run"), (options,), (10**6,))([piece])
    rows = [row for batch in read_files(str(tmp_path / "run"), "thumbnails") for row in batch.to_pylist()]
    assert [row["item"] for row in rows] == [0, 1]
    assert rows[0]["pixels"] == rows[1]["pixels"] is not None
    assert correlation(look_of(rows[0]["picture"]), look_of(rows[1]["picture"])) > 0.99


def test_one_whose_bytes_changed_is_left_out(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(as_file(drawn(2)))
    (shard,) = find_shards(str(tmp_path), SourceOptions())
    piece = ImageShard(0, 0, shard, {"a.png": (0, hashlib.sha256(b"before").hexdigest(), False)})
    MakeThumbnails(str(tmp_path / "run"), (SourceOptions(),), (10**6,))([piece])
    assert [len(batch) for batch in read_files(str(tmp_path / "run"), "thumbnails")] == [0]
