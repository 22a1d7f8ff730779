import shutil

import numpy as np
import pyarrow as pa
import pytest

from lookalike.index.shard import ShardContent, open_index_shard, write_index_shard
from lookalike.index.tuning import BuildOptions
from lookalike.model.errors import LookalikeError
from lookalike.store.index_manifest import MANIFEST, read_manifest
from tests.support.fault_points import after_a_power_cut

DIM = 8
TREE_FILES = (
    "ah_codebook.pb",
    "datapoint_to_token.npy",
    "dataset.npy",
    "hashed_dataset.npy",
    "items.arrow",
    "scann_assets.pbtxt",
    "scann_config.pb",
    "searcher.json",
    "serialized_partitioner.pb",
)


def rows(count):
    return np.random.default_rng(0).standard_normal((count, DIM)).astype(np.float32)


def items(count):
    ids = [f"ü-{i:04d}" for i in range(count)]
    return pa.table({"item_id": pa.array(ids, pa.string()), "price": pa.array(range(count), pa.int32())})


def write(folder, count, algorithm=None, **changes):
    given = {"items": items(count), "vectors": rows(count), "metric": "cosine", "encoder_fingerprint": "abc"}
    return write_index_shard(
        str(folder), ShardContent(**(given | changes)), BuildOptions(algorithm=algorithm)
    )


@pytest.fixture(scope="module")
def tree_shard(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree") / "shard"
    write(folder, 600, "tree")
    return folder


@pytest.fixture
def copy(tree_shard, tmp_path):
    return shutil.copytree(tree_shard, tmp_path / "copy")


def test_a_shard_opens_with_its_items_and_answers(tree_shard):
    shard = open_index_shard(str(tree_shard))
    assert shard.items.equals(items(600))
    assert shard.searcher.search(rows(600)[5:6], 1)[0].item() == 5
    assert shard.manifest.count == 600
    assert shard.manifest.parameters.algorithm == "tree"
    assert all(settings.recall_lower >= 0.99 for settings in shard.manifest.settings)


def test_the_manifest_names_every_file_and_survives_a_round_trip(tree_shard):
    manifest = read_manifest(str(tree_shard))
    assert tuple(manifest.files) == TREE_FILES
    assert manifest.to_json() == (tree_shard / MANIFEST).read_bytes()


def test_two_writes_give_the_same_bytes(tree_shard, tmp_path):
    write(tmp_path / "again", 600, "tree")
    assert (tmp_path / "again" / MANIFEST).read_bytes() == (tree_shard / MANIFEST).read_bytes()


@pytest.mark.parametrize("name", TREE_FILES)
def test_one_changed_byte_in_any_file_is_found(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(
        LookalikeError, match=rf"expected {name} with SHA-256 [0-9a-f]{{64}}\. Received: [0-9a-f]{{64}}"
    ):
        open_index_shard(str(copy))


@pytest.mark.parametrize("name", TREE_FILES)
def test_a_truncated_file_is_found(copy, name):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-1])
    with pytest.raises(
        LookalikeError, match=rf"{name} of {len(content)} bytes. Received: {len(content) - 1} bytes"
    ):
        open_index_shard(str(copy))


@pytest.mark.parametrize("name", TREE_FILES)
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(LookalikeError, match=f"expected a file. Received: none named {name}"):
        open_index_shard(str(copy))


def test_an_unknown_file_is_named(copy):
    (copy / "scann_docids.pkl").write_bytes(b"")
    with pytest.raises(LookalikeError, match=r"no such file. Received: one named scann_docids.pkl"):
        open_index_shard(str(copy))


@pytest.mark.parametrize("count", [0, 1, 50])
def test_small_shards_open(tmp_path, count):
    write(tmp_path / "shard", count)
    shard = open_index_shard(str(tmp_path / "shard"))
    assert shard.items.equals(items(count))
    assert (shard.searcher.search(rows(1), 3)[0] >= 0).sum() == min(3, count)
    assert shard.rows_of(pa.array(["ü-0000"])).tolist() == ([0] if count else [-1])


def test_a_manifest_that_cannot_be_read_is_refused_when_the_shard_is_opened(copy):
    (copy / MANIFEST).write_bytes((copy / MANIFEST).read_bytes()[:-20])
    with pytest.raises(LookalikeError, match="Received: the file: "):
        open_index_shard(str(copy))


def test_rows_of_finds_few_and_many_ids(tree_shard):
    shard = open_index_shard(str(tree_shard))
    some = pa.array(["ü-0007", None, "none", "ü-0599", "ü-0007"])
    assert shard.rows_of(some).tolist() == [7, -1, -1, 599, 7]
    many = pa.concat_arrays([some, shard.item_ids])
    assert shard.rows_of(many).tolist() == [7, -1, -1, 599, 7, *range(600)]
    assert shard.rows_of(pa.array([], pa.string())).tolist() == []
    assert shard.rows_of(pa.array([None, None])).tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"items": items(4)}, "4 items, 5 vectors"),
        ({"items": items(5).rename_columns(["id", "price"])}, "id: string, price: int32"),
        ({"items": pa.table({"item_id": pa.array(["a", "b", None, "c", "d"])})}, "1 nulls"),
        ({"items": pa.table({"item_id": pa.array(["a", "b", "b", "c", "b"])})}, "'b' 3 times"),
        ({"vectors": np.zeros((5, DIM), np.float32)}, "vector 0 of 5 is zero"),
    ],
)
def test_items_and_vectors_that_do_not_fit_are_refused(tmp_path, changes, message):
    with pytest.raises(LookalikeError, match=message):
        write(tmp_path / "shard", 5, **changes)


def test_a_folder_with_files_is_refused(tmp_path):
    (tmp_path / "left over").touch()
    with pytest.raises(LookalikeError, match="empty folder"):
        write(tmp_path, 5)


def test_an_index_shard_that_was_written_is_whole_after_a_power_cut(tmp_path):
    (folder := tmp_path / "shard").mkdir()
    after_a_power_cut(folder, lambda: write(folder, 40))
    assert len(open_index_shard(str(folder)).items) == 40


@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
def test_vectors_that_are_the_same_once_rounded_are_indexed_once(kind, tmp_path):
    vectors = rows(40)
    vectors[20:] = vectors[:20] * 1.0001
    content = ShardContent(items(40), vectors, "euclidean", "abc")
    write_index_shard(str(tmp_path), content, BuildOptions(bytes=kind))
    shard = open_index_shard(str(tmp_path))
    assert shard.manifest.parameters.bytes == kind
    assert len(shard.items) == 40
    assert len(shard.searcher) < 40
    for number in range(20):
        same = shard.rows_of(pa.array([f"ü-{number:04d}", f"ü-{number + 20:04d}"]))
        np.testing.assert_allclose(*shard.vectors_of(same), rtol=0.02)
