"""What is written down is what workers read, in order, whatever its number."""

import json

from hypothesis import given
from hypothesis import strategies as st

from lookalike.runner.work_list import write_work_list


@given(count=st.integers(0, 40), most=st.integers(1, 9))
def test_every_element_is_in_one_piece_and_pieces_are_about_as_large(tmp_path_factory, count, most):
    folder = str(tmp_path_factory.mktemp("work"))
    work = write_work_list(folder, ([n] for n in range(count)), count, tuple, most)
    pieces = [list(work.read(piece)) for piece in range(work.pieces)]
    assert [element for piece in pieces for element in piece] == [(n,) for n in range(count)]
    assert work.pieces == min(count, most)
    assert max(map(len, pieces), default=0) - min(map(len, pieces), default=0) <= 1


def test_names_that_are_no_utf8_come_back_as_they_were(tmp_path):
    name = b"caf\xe9 \xf0\x9f\x90\x9f\n".decode("utf-8", "surrogateescape")
    work = write_work_list(str(tmp_path), [name], 1, str)
    assert list(work.read(0)) == [name]
    assert json.loads((tmp_path / "00000.json").read_bytes()) == name
