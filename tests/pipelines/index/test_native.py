import numpy as np

from lookalike.index import native


def built(vectors):
    return (
        native.builder(vectors, "cosine", 2, 1)
        .score_ah(2, training_sample_size=len(vectors))
        .reorder(20)
        .build()
    )


def unit(count):
    rows = np.random.default_rng(0).standard_normal((count, 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_what_is_missing_is_row_minus_one():
    rows, distances = native.asked(built(unit(3)), unit(3)[:1], 5, 1)
    assert rows[0, 0] == 0
    assert rows[0, 3:].tolist() == [-1, -1]
    assert np.isnan(distances[0, 3:]).all()


def test_files_that_were_moved_are_opened(tmp_path):
    vectors = unit(50)
    (tmp_path / "one").mkdir()
    native.write(built(vectors), str(tmp_path / "one"))
    assert str(tmp_path) not in (tmp_path / "one" / "scann_assets.pbtxt").read_text()
    moved = (tmp_path / "one").rename(tmp_path / "two")
    rows, _ = native.asked(native.opened(str(moved)), vectors, 1, 1)
    assert rows[:, 0].tolist() == list(range(50))


def test_what_is_not_given_is_made_again(tmp_path):
    vectors = unit(50)
    native.write(built(vectors), str(tmp_path))
    (tmp_path / "hashed_dataset.npy").write_bytes(b"")
    again = native.made_from(str(tmp_path), {"DATASET_NPY": "dataset.npy"})
    rows, _ = native.asked(again, vectors, 1, 1)
    assert rows[:, 0].tolist() == list(range(50))
