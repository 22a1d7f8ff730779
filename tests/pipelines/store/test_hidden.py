"""The file of hidden rows."""

import hashlib

import numpy as np
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.store.generation import HiddenRows
from lookalike.store.hidden import read_hidden, written_rows


def hidden(folder, rows):
    data = written_rows(np.array(rows))
    (folder / "hidden.npy").write_bytes(data)
    return HiddenRows("hidden.npy", hashlib.sha256(data).hexdigest(), len(rows))


@pytest.mark.parametrize("rows", [[], [3, 7, 2**40]])
def test_rows_are_read_as_they_were_written(tmp_path, rows):
    found = read_hidden(str(tmp_path), hidden(tmp_path, rows))
    assert (found.tolist(), found.dtype) == (rows, np.int64)


def test_nothing_is_hidden_where_no_file_is_named(tmp_path):
    assert read_hidden(str(tmp_path), None).tolist() == []


def test_damage_and_loss_are_named(tmp_path):
    told = hidden(tmp_path, [1, 2])
    path = tmp_path / "hidden.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(LookalikeError, match=r"damaged: .*hidden\.npy"):
        read_hidden(str(tmp_path), told)
    path.unlink()
    with pytest.raises(LookalikeError, match=r"hidden\.npy cannot be read"):
        read_hidden(str(tmp_path), told)
