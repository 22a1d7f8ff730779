"""Checkpoints: whole or not at all, and only for the training they are of."""

import hashlib
import io
import os

import numpy as np
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.model.training.checkpoints import Checkpoint, refuse_other

ARRAYS = {"a/0": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(7, np.int64)}


def test_arrays_and_note_come_back_as_they_were(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    assert checkpoint.load() is None
    checkpoint.save(ARRAYS, {"epoch": 3, "ids": ["ä"]})
    arrays, note = checkpoint.load()
    assert note == {"epoch": 3, "ids": ["ä"]}
    assert {name: (array.dtype, array.tolist()) for name, array in arrays.items()} == {
        name: (array.dtype, array.tolist()) for name, array in ARRAYS.items()
    }
    checkpoint.delete()
    checkpoint.delete()
    assert not list(tmp_path.iterdir())


def test_a_save_that_is_broken_off_leaves_the_one_before(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.save(ARRAYS, {"epoch": 1})
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space") as error:
        checkpoint.save(ARRAYS, {"epoch": 2})
    assert error.value.filename == str(tmp_path / "c")
    assert checkpoint.load()[1] == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:100] + b"?" + data[101:], lambda _: b""]
)
def test_a_damaged_file_is_refused_by_name(tmp_path, damage):
    path = tmp_path / "c"
    Checkpoint(path).save(ARRAYS, {})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(LookalikeError, match=f"damaged: {path}"):
        Checkpoint(path).load()


def test_what_differs_is_named_with_both_values():
    refuse_other({"a": 1, "b": 2}, {"b": 2, "a": 1}, "x")
    with pytest.raises(
        LookalikeError, match=r"^x is of another training: a was 1 and is 2; c was None and is 3\."
    ):
        refuse_other({"a": 1}, {"a": 2, "c": 3}, "x")


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK"])
def test_a_file_that_is_no_checkpoint_is_refused_although_its_digest_is_right(tmp_path, content):
    path = tmp_path / "c"
    path.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    with pytest.raises(LookalikeError, match=f"Expected a checkpoint in {path}"):
        Checkpoint(path).load()


@pytest.mark.parametrize("note", [b"{", b"7", b"\xff", None])
def test_a_checkpoint_without_a_note_is_refused(tmp_path, note):
    path, buffer = tmp_path / "c", io.BytesIO()
    np.savez(buffer, **({} if note is None else {"note": np.frombuffer(note, np.uint8)}))
    content = buffer.getvalue()
    path.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    with pytest.raises(LookalikeError, match=rf"in {path}\. Received: no note .* --fresh"):
        Checkpoint(path).load()
