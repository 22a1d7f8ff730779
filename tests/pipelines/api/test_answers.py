"""What a query job wrote, read as Arrow."""

import pytest

import lookalike
from lookalike.model.errors import LookalikeError


def test_both_tables_are_read(copied, tmp_path, pictures):
    asked = tmp_path / "ids.txt"
    asked.write_text("p03.png\nnowhere\n")
    copied.query(asked)
    found = lookalike.read_answers(tmp_path / "out")
    assert found.results.equals(copied.results)
    assert found.failures.to_pylist() == copied.failures
    assert lookalike.read_answers(str(tmp_path / "out")).results.num_rows == 10


def test_what_is_not_there_or_has_no_types_is_a_sentence(copied, tmp_path):
    with pytest.raises(LookalikeError, match=r"out/results.parquet, which `query` writes. Received: none"):
        lookalike.read_answers(tmp_path / "out")
    asked = tmp_path / "ids.txt"
    asked.write_text("p03.png\n")
    copied.query(asked, form="csv")
    with pytest.raises(LookalikeError, match=r"Received: results.csv, which has no types"):
        lookalike.read_answers(tmp_path / "out")
    (tmp_path / "out" / "results.parquet").write_bytes(b"PAR1")
    with pytest.raises(LookalikeError, match=r"results.parquet"):
        lookalike.read_answers(tmp_path / "out")
