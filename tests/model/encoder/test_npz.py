"""Arrays of a file that may come from anyone: nothing is unpickled, nothing grows."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from lookalike.model.encoder.npz import read_npz
from lookalike.model.errors import LookalikeError


def saved(save=np.savez, **arrays) -> bytes:
    target = io.BytesIO()
    save(target, **arrays)
    return target.getvalue()


def test_arrays_come_back_by_name():
    found = read_npz(saved(a=np.arange(3), b=np.float32([[1]])), "x.npz", "arrays")
    assert (list(found), found["a"].tolist(), found["b"].shape) == (["a", "b"], [0, 1, 2], (1, 1))


def archive(name: str, data: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        file.writestr(name, data)
    return target.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        saved(a=np.arange(9))[:-30],
        saved(a=np.array([{}], object)),
        archive("a.npy", b"\x93NUMPY\x01\x00"),
        saved(np.savez_compressed, a=np.zeros(1 << 20)),
    ],
    ids=["empty", "other", "cut", "pickle", "damaged", "larger"],
)
def test_anything_else_is_one_sentence(data):
    with pytest.raises(LookalikeError, match=r"^Expected a thing in x\.npz\. Received: "):
        read_npz(data, "x.npz", "a thing")
