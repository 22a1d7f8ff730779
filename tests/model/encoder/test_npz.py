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


def archive(*members: tuple[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for name, data in members:
            file.writestr(name, data)
    return target.getvalue()


def headed(header: str) -> bytes:
    """A file of an array with this header."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        saved(a=np.arange(9))[:-30],
        saved(a=np.array([{}], object)),
        archive(("a.npy", b"\x93NUMPY\x01\x00")),
        saved(np.savez_compressed, a=np.zeros(1 << 20)),
        archive(("a.npy", b"no array")),
        archive(("a", saved(a=np.arange(3))), ("a.npy", b"no array")),
        archive(("a.npy", headed("(" * 8000))),
        archive(("a.npy", headed(f"{{'descr': '<f4', 'fortran_order': False, 'shape': (0, {10**20})}}\n"))),
    ],
    ids=["empty", "other", "cut", "pickle", "damaged", "larger", "text", "twice", "brackets", "shape"],
)
def test_anything_else_is_one_sentence(data):
    with pytest.raises(LookalikeError, match=r"^Expected a thing in x\.npz\. Received: "):
        read_npz(data, "x.npz", "a thing")
