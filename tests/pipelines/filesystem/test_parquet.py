"""Damaged Parquet is one sentence that names the file; what a file system says keeps its number."""

import errno

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.filesystem.parquet import damage_named
from lookalike.model.errors import LookalikeError


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"text"])
def test_what_is_no_parquet_is_named(tmp_path, data):
    path = tmp_path / "some.parquet"
    path.write_bytes(data)
    with (
        pytest.raises(LookalikeError, match=f"{path} is not a whole Parquet file: "),
        damage_named(str(path)),
    ):
        pq.read_table(path)


def test_a_column_name_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "some.parquet"
    pq.write_table(pa.table({"qqqq": [1]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"qqqq", b"\xff\xfe\xff\xfe"))
    with (
        pytest.raises(LookalikeError, match=r"is not a whole Parquet file: .*utf-8"),
        damage_named(str(path)),
    ):
        _ = pq.read_schema(path).names


@pytest.mark.parametrize(
    "error", [KeyError("id"), pa.ArrowNotImplementedError("two\nlines"), OSError("of Arrow"), OSError()]
)
def test_every_other_word_of_arrow_is_one_line(error):
    with pytest.raises(LookalikeError) as raised, damage_named("a.parquet"):
        raise error
    assert str(raised.value).startswith("a.parquet is not a whole Parquet file: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "broken", "b"), LookalikeError("else"), ZeroDivisionError()]
)
def test_what_is_no_damage_passes(error):
    with pytest.raises(type(error)) as raised, damage_named("a.parquet"):
        raise error
    assert raised.value is error
