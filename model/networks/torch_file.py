"""Reads the tensors of a PyTorch state dict in the legacy (not zip) format, without PyTorch.

The file is a row of pickles (magic number, protocol, system info, state dict, list of storage keys) and then,
for each key, an int64 count and the raw little-endian values. Unpickling is restricted to the four names that
such a file needs, so that a hostile file cannot run code.
"""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..digests import sha256_file
from ..errors import LookalikeError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


class _Storage:
    """Values of one storage, filled in after the state dict has been read."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.values = np.empty(0, self.dtype)


class _Tensor:
    def __init__(
        self, storage: _Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any
    ):
        self.storage, self.offset, self.shape, self.stride = storage, offset, shape, stride

    def array(self) -> np.ndarray:
        values = self.storage.values
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True))
        if min(self.shape, default=1) < 1 or min((self.offset, *self.stride)) < 0 or last >= values.size:
            raise LookalikeError(
                f"A tensor of shape {self.shape} reaches outside its storage of {values.size}."
            )
        steps = tuple(step * values.itemsize for step in self.stride)
        return np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, steps, writeable=False)


class _RestrictedUnpickler(pickle.Unpickler):
    _names = {  # noqa: RUF012
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
    }

    def __init__(self, file: BinaryIO, storages: dict[str, _Storage]) -> None:
        super().__init__(file)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._names[module, name]
        except KeyError:
            raise LookalikeError(f"The weights file asks for {module}.{name}, which is refused.") from None

    def persistent_load(self, pid: Any) -> _Storage:
        _kind, dtype, key, _location, _count, _view = pid
        return self._storages.setdefault(key, _Storage(dtype))


def read_state_dict(path: str | Path, sha256: str) -> dict[str, np.ndarray]:
    """Reads all tensors of a legacy PyTorch file.

    Args:
        path: the `.pth` file.
        sha256: what its SHA-256 must be, in hexadecimal.

    Returns:
        Tensor name -> array, in PyTorch's own layouts (convolutions are (out, in, height, width)).

    Raises:
        LookalikeError: if the digest differs, or the file is not exactly of this format.
    """
    found = sha256_file(path)
    if found != sha256:
        raise LookalikeError(
            f"{path} is not the known weights file. Expected SHA-256 {sha256}. Received: {found}"
        )
    with open(path, "rb") as file:
        storages: dict[str, _Storage] = {}
        magic, protocol, _system = (_RestrictedUnpickler(file, storages).load() for _ in range(3))
        if (magic, protocol) != (_MAGIC, _PROTOCOL):
            raise LookalikeError(
                f"{path} is not a legacy PyTorch file. Received magic {magic!r}, {protocol!r}"
            )
        tensors = _RestrictedUnpickler(file, storages).load()
        for key in _RestrictedUnpickler(file, storages).load():
            storage = storages[key]
            count = int(np.frombuffer(file.read(8), "<i8")[0])
            storage.values = np.frombuffer(file.read(count * storage.dtype.itemsize), storage.dtype)
        if file.read(1):
            raise LookalikeError(f"{path} goes on behind its last tensor.")
    return {name: tensor.array() for name, tensor in tensors.items()}
