from __future__ import annotations

import pyarrow as pa

from lookalike.duplicates.alignment import correlation, thumbnail
from lookalike.duplicates.checking import CheckPairs, write_pairs
from lookalike.duplicates.run import read_files
from lookalike.duplicates.thumbnails import look_of, packed
from tests.support.drawn import drawn


def test_each_pair_has_the_correlation_of_its_pictures(tmp_path) -> None:
    pictures = [packed(thumbnail(pixels)) for pixels in (drawn(1), drawn(2), drawn(1)[:, ::-1])]
    batch = pa.record_batch({"picture": pa.array(pictures, pa.binary())})
    with (
        pa.OSFile(str(tmp_path / "looks.arrow"), "wb") as file,
        pa.ipc.new_file(file, batch.schema) as writer,
    ):
        writer.write_batch(batch.slice(0, 2))
        writer.write_batch(batch.slice(2))
    write_pairs(str(tmp_path), 1, pa.array([0, 0]), pa.array([1, 2]))
    write_pairs(str(tmp_path), 2, pa.array([1]), pa.array([2]))
    CheckPairs(str(tmp_path))([1, 2])
    rows = [row for batch in read_files(str(tmp_path), "correlations") for row in batch.to_pylist()]
    assert [(row["one"], row["other"]) for row in rows] == [(0, 1), (0, 2), (1, 2)]
    looks = [look_of(picture) for picture in pictures]
    assert [row["correlation"] for row in rows] == [
        pa.scalar(correlation(looks[a], looks[b]), pa.float32()).as_py() for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    assert rows[1]["correlation"] > 0.9 > rows[0]["correlation"]
