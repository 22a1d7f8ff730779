"""Rows that are split into parts come back part by part, in the order in which they came."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.runner import parts as parts_module
from lookalike.runner.parts import read_part, write_parts

SCHEMA = pa.schema([("text", pa.string()), ("many", pa.list_(pa.int32()))])


def rows(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch([texts, [[len(text)] * len(text) for text in texts]], schema=SCHEMA)


@given(
    batches=st.lists(st.lists(st.tuples(st.text(max_size=5), st.integers(0, 6)), max_size=6), max_size=6),
    most=st.sampled_from([1, 60, 1 << 20]),
)
def test_a_part_has_its_rows_and_no_others_in_order(tmp_path_factory, batches, most):
    path = str(tmp_path_factory.mktemp("parts") / "rows.arrow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_module, "_BYTES", most)
        with write_parts(path, SCHEMA, 7) as writer:
            for batch in batches:
                writer.add(rows([text for text, _ in batch]), np.array([part for _, part in batch], np.int64))
    for part in range(7):
        found = [text for batch in read_part(path, part, 7) for text in batch["text"].to_pylist()]
        assert found == [text for batch in batches for text, told in batch if told == part]


def test_what_ends_early_leaves_no_file(tmp_path):
    def interrupted():
        with write_parts(str(tmp_path / "rows.arrow"), SCHEMA, 2) as writer:
            writer.add(rows(["a"]), np.zeros(1, np.int64))
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_rows_do_not_wait_longer_than_told(tmp_path, monkeypatch):
    monkeypatch.setattr(parts_module, "_BYTES", 1000)
    with write_parts(str(tmp_path / "rows.arrow"), SCHEMA, 3) as writer:
        for number in range(300):
            writer.add(rows([f"{number:09}"]), np.array([number % 3]))
            assert sum(batch.nbytes for batch, _ in writer._waiting) < 1000
