"""The weights reader: values as stored, and nothing else is ever unpickled."""

import collections
import io
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from lookalike.model.digests import sha256_file
from lookalike.model.errors import LookalikeError
from lookalike.model.networks.torch_file import read_state_dict

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Global:
    """Pickles as the global `module.name` called with arguments."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def named(module: str, name: str):
    """A function that pickles under another name."""

    def function(*_):
        raise AssertionError("only to be pickled")

    function.__module__, function.__qualname__ = module, name
    return function


class Pickler(pickle._Pickler):
    """Writes what PyTorch wrote: globals by name, unchecked, and storages by persistent id."""

    def save_global(self, obj, name=None):
        self.write(f"c{obj.__module__}\n{obj.__qualname__}\n".encode())
        self.memoize(obj)

    dispatch = {**pickle._Pickler.dispatch, type(lambda: None): save_global}  # noqa: RUF012

    def persistent_id(self, obj):
        return obj[1:] if isinstance(obj, tuple) and obj and obj[0] == "persistent" else None


def dumped(value) -> bytes:
    buffer = io.BytesIO()
    Pickler(buffer, 2).dump(value)
    return buffer.getvalue()


def storage(key: str, count: int, kind: str = "FloatStorage"):
    return ("persistent", "storage", named("torch", kind), key, "cpu", count, None)


def tensor(kept, offset, shape, stride):
    return Global(named("torch._utils", "_rebuild_tensor_v2"), kept, offset, shape, stride, False, None)


def legacy(state, keys, data: bytes, *, magic=MAGIC, protocol=PROTOCOL) -> bytes:
    return b"".join(map(dumped, (magic, protocol, {}, state, keys))) + data


def values(*numbers: float) -> bytes:
    return struct.pack(f"<q{len(numbers)}f", len(numbers), *numbers)


def read(path: Path, content: bytes):
    path.write_bytes(content)
    return read_state_dict(path, sha256_file(path))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pth"


def test_tensors_share_storages_with_offsets_and_strides(path):
    state = collections.OrderedDict(
        whole=tensor(storage("a", 6), 0, (2, 3), (3, 1)),
        transposed=tensor(storage("a", 6), 0, (3, 2), (1, 3)),
        part=tensor(storage("a", 6), 4, (2,), (1,)),
        scalar=tensor(storage("a", 6), 5, (), ()),
    )
    tensors = read(path, legacy(state, ["a"], values(0, 1, 2, 3, 4, 5)))
    np.testing.assert_array_equal(tensors["whole"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(tensors["transposed"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(tensors["part"], [4, 5])
    assert tensors["scalar"] == 5


def test_a_file_of_another_digest_is_never_opened(path):
    path.write_bytes(dumped(Global(os.system, "false")))
    with pytest.raises(LookalikeError, match="not the known weights file"):
        read_state_dict(path, "0" * 64)


@pytest.mark.parametrize("function", [os.system, eval, getattr])
def test_a_pickle_that_would_run_code_is_refused(path, function):
    with pytest.raises(LookalikeError, match=r"asks for .*, which is refused"):
        read(path, legacy(Global(function, "touch ran"), [], b""))
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [(0, (7,), (1,)), (6, (1,), (1,)), (0, (2,), (-1,)), (-1, (1,), (1,)), (0, (0,), (1,))],
)
def test_a_tensor_that_reaches_outside_its_storage_is_refused(path, offset, shape, stride):
    state = collections.OrderedDict(x=tensor(storage("a", 6), offset, shape, stride))
    with pytest.raises(LookalikeError, match="outside its storage"):
        read(path, legacy(state, ["a"], values(*range(6))))


def test_what_follows_the_last_tensor_is_refused(path):
    state = collections.OrderedDict(x=tensor(storage("a", 1), 0, (1,), (1,)))
    with pytest.raises(LookalikeError, match="behind its last tensor"):
        read(path, legacy(state, ["a"], values(1) + b"x"))


def test_another_magic_number_is_refused(path):
    with pytest.raises(LookalikeError, match="not a legacy PyTorch file"):
        read(path, legacy({}, [], b"", magic=7))
