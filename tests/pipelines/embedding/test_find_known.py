"""Embeddings that are known by their content, wherever they lie."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.embedding import content_join
from lookalike.embedding import find_known as find_known_module
from lookalike.embedding.find_known import find_known
from lookalike.embedding.known import KnownEmbeddings
from lookalike.embedding.outcomes import run_file
from lookalike.embedding.writer import EmbeddingWriter
from lookalike.filesystem.files import FileInfo
from lookalike.sources import Shard
from lookalike.store import splits
from lookalike.store.notes import EmbeddedShard
from tests.support.small_stores import a_note, flip


def content(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


class Case:
    """A store of embedding files, and shards whose contents were read."""

    def __init__(self, root: Path) -> None:
        self.store, self.run = str(root / "store"), str(root / "store" / "runs" / "r")
        self.notes: list[EmbeddedShard] = []
        self.shards: list[Shard] = []

    def holds(self, *images: int, side: int = 8, value: float = 0.0) -> EmbeddedShard:
        """An embedding file; the vector of image 7 is [7, value]."""
        name = f"s{len(self.notes)}"
        writer = EmbeddingWriter(self.store, name, "e" * 64, 2, {})
        for image in images:
            writer.add((f"i{image}", content(image), side, 4), np.array([image, value], np.float32))
        self.notes.append(a_note(**writer.close(name, "o"), embedded=len(images)))
        return self.notes[-1]

    def wants(self, *images: int) -> Shard:
        """A shard of those images."""
        name = f"w{len(self.shards)}.tar"
        shard = Shard(name, "webdataset", (FileInfo(name, 1, "1"),))
        path = Path(run_file(self.run, "contents", shard))
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {"position": range(len(images)), "content_hash": [content(image) for image in images]}
        table = pa.table(columns, schema=pa.schema([("position", pa.int64()), ("content_hash", pa.string())]))
        pq.write_table(table, path)
        self.shards.append(shard)
        return shard

    def find(self, max_pixels: int = 1000) -> list[list[list[float] | None]]:
        """The vector that is known of each image of each shard."""
        shutil.rmtree(f"{self.run}/known", ignore_errors=True)
        find_known(self.store, self.notes, self.shards, self.run, 2, max_pixels)
        found = []
        for shard in self.shards:
            wanted = pq.read_table(run_file(self.run, "contents", shard))["content_hash"].to_pylist()
            known = KnownEmbeddings(run_file(self.run, "known", shard), 2)
            embeddings = [known.get(position, image) for position, image in enumerate(wanted)]
            found.append([None if e is None else e.vector.tolist() for e in embeddings])
        return found


@pytest.fixture
def case(tmp_path) -> Case:
    return Case(tmp_path)


def test_a_content_is_known_wherever_it_lies_and_as_often_as_it_is_asked_for(case):
    case.holds(1, 2)
    case.holds(3)
    case.wants(3, 9, 1, 1)
    case.wants(8)
    case.wants(2, 3)
    assert case.find() == [[[3, 0], None, [1, 0], [1, 0]], [None], [[2, 0], [3, 0]]]


def test_many_rows_in_many_groups_come_each_to_its_place(case, monkeypatch):
    monkeypatch.setattr(content_join, "_BATCH", 3)
    monkeypatch.setattr(content_join, "_GROUP", 3)
    monkeypatch.setattr("lookalike.embedding.writer.ROW_GROUP", 4)
    images = np.random.default_rng(1).permutation(100).tolist()
    for start in range(0, 100, 25):
        case.holds(*images[start : start + 25])
    wanted = np.random.default_rng(2).integers(0, 130, (7, 20)).tolist()
    for row in wanted:
        case.wants(*row)
    assert case.find() == [[[image, 0] if image < 100 else None for image in row] for row in wanted]


def test_of_several_files_the_last_one_is_taken_and_a_damaged_one_never(case, caplog):
    case.holds(1, 2, value=1)
    last = case.holds(2, 1, 3, value=2)
    case.wants(1, 2, 3)
    assert case.find() == [[[1, 2], [2, 2], [3, 2]]]
    path = Path(case.store) / last.path
    whole = path.read_bytes()
    for damage in range(0, len(whole), 301):
        flip(path, damage)
        assert case.find() == [[[1, 1], [2, 1], None]], damage
        path.write_bytes(whole)
    assert f"{last.path} is damaged and not used again" in caplog.text
    path.unlink()
    assert case.find() == [[[1, 1], [2, 1], None]]


@pytest.mark.parametrize("group", [1, 16])
def test_files_that_are_damaged_one_after_another_while_they_are_fetched_are_not_used_again(
    case, monkeypatch, group
):
    monkeypatch.setattr(content_join, "_GROUP", group)
    case.holds(1, value=1)
    later = [case.holds(1, value=value).path for value in (2, 3)]
    case.wants(1)
    looked_at = []

    def is_whole(_, path: str, __) -> bool:
        looked_at.append(path)
        assert len(looked_at) < 9
        return path not in later

    monkeypatch.setattr(content_join, "is_whole", is_whole)
    assert case.find() == [[[1, 1]]]
    assert looked_at == [*reversed(later), case.notes[0].path]


def test_what_is_above_the_limit_is_not_known(case):
    case.holds(1, side=8)
    case.holds(2, side=9)
    case.wants(1, 2)
    assert case.find(max_pixels=32) == [[[1, 0], None]]
    assert case.find(max_pixels=31) == [[None, None]]


def test_an_image_of_more_pixels_than_32_bits_count_is_compared_with_the_limit(case):
    writer = EmbeddingWriter(case.store, "huge", "e" * 64, 2, {})
    writer.add((content(7), content(7), 65_536, 65_536), np.array([7, 0], np.float32))
    case.notes.append(a_note(**writer.close("huge", "o"), embedded=1))
    (shard,) = [case.wants(7)]
    find_known(case.store, case.notes, [shard], case.run, 2, (1 << 32) - 1)
    assert not Path(run_file(case.run, "known", shard)).exists()
    find_known(case.store, case.notes, [shard], case.run, 2, 1 << 32)
    assert KnownEmbeddings(run_file(case.run, "known", shard), 2).get(0, content(7)).size == [65_536, 65_536]


def test_sizes_come_with_the_vectors(case):
    case.holds(1)
    shard = case.wants(5, 1)
    case.find()
    known = KnownEmbeddings(run_file(case.run, "known", shard), 2)
    assert known.get(1, content(1)).size == [8, 4]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_is_known_is_the_last_files_whatever_the_parts_groups_and_pieces(tmp_path_factory, data):
    case = Case(tmp_path_factory.mktemp("case"))
    images = st.lists(st.integers(0, 12), min_size=1, max_size=6)
    held = data.draw(st.lists(images, min_size=1, max_size=5))
    wanted = data.draw(st.lists(images, min_size=1, max_size=5))
    for value, row in enumerate(held):
        case.holds(*dict.fromkeys(row), value=value)
    for row in wanted:
        case.wants(*row)
    last = {image: value for value, row in enumerate(held) for image in row}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits, "PART", data.draw(st.sampled_from([2, 5, 100])))
        patch.setattr(find_known_module, "pieces_at_most", lambda _: data.draw(st.integers(1, 5)))
        patch.setattr(content_join, "_GROUP", data.draw(st.integers(1, 5)))
        found = case.find()
    assert found == [[[i, last[i]] if i in last else None for i in row] for row in wanted]


def test_workers_of_beam_find_the_same(case, monkeypatch):
    monkeypatch.setattr(splits, "PART", 2)
    for value in range(3):
        case.holds(1, value + 2, value=value)
    for _ in range(2):
        case.wants(2, 1, 9, 3)
    find_known(case.store, case.notes, case.shards, case.run, 2, 1000, ["--runner=FnApiRunner"])
    for shard in case.shards:
        known = KnownEmbeddings(run_file(case.run, "known", shard), 2)
        found = [known.get(position, content(image)) for position, image in enumerate((2, 1, 9, 3))]
        assert [one and one.vector.tolist() for one in found] == [[2, 0], [1, 2], None, [3, 1]]


def test_a_file_system_that_fails_is_told(case, monkeypatch):
    case.holds(1)
    case.wants(1)
    real = content_join.files.open_read

    def fails(path: str):
        if "embeddings" in path:
            raise OSError(5, "Input/output error", path)
        return real(path)

    monkeypatch.setattr(content_join.files, "open_read", fails)
    with pytest.raises(OSError, match=r"Input/output error: .*embeddings"):
        case.find()


@pytest.mark.slow
def test_many_vectors_come_each_to_its_place_among_more(case, monkeypatch):
    """60 MB of vectors and 400,000 places, more than are looked for by their keys."""
    monkeypatch.setattr(content_join, "_FEW", 100_000)
    number = 60_000
    case.notes.append(_wide(case, number))
    shards = [case.wants(*range(number)), case.wants(*range(number, 400_000)), case.wants(5)]
    find_known(case.store, case.notes, case.shards, case.run, 256, 1000)
    known = KnownEmbeddings(run_file(case.run, "known", shards[0]), 256)
    assert all(known.get(i, content(i)).vector[-1] == i for i in range(0, number, 7))
    assert not Path(run_file(case.run, "known", shards[1])).exists()
    assert KnownEmbeddings(run_file(case.run, "known", shards[2]), 256).get(0, content(5)).vector[0] == 5
    assert {path.name for path in Path(case.run).iterdir()} == {"contents", "known"}


def _wide(case: Case, number: int) -> EmbeddedShard:
    """An embedding file of vectors that take 1 KiB each."""
    writer = EmbeddingWriter(case.store, "wide", "e" * 64, 256, {})
    for image in range(number):
        writer.add((f"i{image}", content(image), 8, 4), np.full(256, image, np.float32))
    return a_note(**writer.close("wide", "o"), embedded=number)
