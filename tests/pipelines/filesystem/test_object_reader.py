"""An object that is read: the same one throughout, in as few requests as can be."""

import errno
import io
import os
import random
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.filesystem import files
from lookalike.filesystem.object_reader import AHEAD
from tests.support.s3_server import from_the

CONTENT = random.Random(1).randbytes(3 * AHEAD + 77)


@pytest.fixture
def url(server, bucket) -> str:
    files.write_bytes(f"s3://{bucket}/x", CONTENT)
    server.reset()
    return f"s3://{bucket}/x"


def test_reading_on_is_one_request(server, url):
    with files.open_read(url) as file:
        pieces = list(iter(lambda: file.read(10_000), b""))
    assert b"".join(pieces) == CONTENT
    assert {len(piece) for piece in pieces[:-1]} == {10_000}
    assert server.kinds() == {"GET": 1}


def test_it_reads_as_a_file_in_memory_does(url):
    """Whatever is read, sought and told, in any order."""
    chance, same = random.Random(2), io.BytesIO(CONTENT)
    with files.open_read(url) as file:
        for _ in range(150):
            doing, number = (
                chance.choice("rrrsseclp1"),
                chance.choice([0, 1, 9, 4000, AHEAD, AHEAD + 1, 2 * AHEAD]),
            )
            if doing == "r":
                assert file.read(number) == same.read(number)
            elif doing == "s":
                assert file.seek(number) == same.seek(number)
            elif doing == "e":
                assert file.seek(-number, os.SEEK_END) == same.seek(-number, os.SEEK_END)
            elif doing == "c":
                assert file.seek(number, os.SEEK_CUR) == same.seek(number, os.SEEK_CUR)
            elif doing == "l":
                assert file.readline() == same.readline()
            elif doing == "p":
                peeked = file.peek(1)  # type: ignore[attr-defined]
                assert CONTENT[same.tell() : same.tell() + len(peeked)] == peeked
            else:
                ours, theirs = bytearray(number), bytearray(number)
                assert file.readinto(ours) == same.readinto(theirs)  # type: ignore[attr-defined]
                assert ours == theirs
            assert file.tell() == same.tell()
        assert file.read() == same.read()
        with pytest.raises(ValueError, match="0 or more"):
            file.seek(-1)
    with pytest.raises(ValueError, match="closed"):
        file.read()


def test_lines_are_read(server, bucket):
    files.write_bytes(f"s3://{bucket}/l", b"a\nbb\n\nc")
    with files.open_read(f"s3://{bucket}/l") as file:
        assert list(file) == [b"a\n", b"bb\n", b"\n", b"c"]


def test_the_foot_of_a_large_table_costs_two_requests_and_a_column_one(server, bucket):
    table = pa.table({name: [random.random() for _ in range(200_000)] for name in "abc"})
    pq.write_table(
        table, out := io.BytesIO(), compression="none", use_dictionary=False, row_group_size=1 << 20
    )
    files.write_bytes(f"s3://{bucket}/t", out.getvalue())
    server.reset()
    with files.open_read(f"s3://{bucket}/t") as file:
        parquet = pq.ParquetFile(file)
        assert server.kinds() == {"GET": 2}
        assert parquet.read(["b"])["b"].equals(table["b"])
    assert server.kinds() == {"GET": 3}


@pytest.mark.parametrize("content", [b"", b"x" * AHEAD])
def test_what_is_small_costs_one_request_wherever_it_is_read(server, bucket, content):
    files.write_bytes(f"s3://{bucket}/s", content)
    server.reset()
    with files.open_read(f"s3://{bucket}/s") as file:
        assert file.seek(-len(content), os.SEEK_END) == 0
        assert file.read() == content
        assert file.seek(len(content) + 5) == len(content) + 5
        assert file.read(1) == b""
    assert server.kinds() == ({"GET": 1} if content else {"GET": 1, "HEAD": 1})


def test_an_object_that_cannot_be_read_is_not_taken_for_an_empty_one(server, url, environ):
    environ(AWS_MAX_ATTEMPTS="1")
    for status in ("500 Internal Server Error", "416 Requested Range Not Satisfiable"):
        server.reset(lambda request, status=status: status if request.startswith("GET") else None)
        with files.open_read(url) as file, pytest.raises(OSError, match="said the test"):
            file.seek(0, os.SEEK_END)


def test_after_a_jump_no_more_is_brought_than_is_wanted(url):
    with files.open_read(url) as file:
        for position, wanted, brought in ((5, 1, AHEAD), (2 * AHEAD, 1, AHEAD), (9, 2 * AHEAD, 2 * AHEAD)):
            file.seek(position)
            file.read(wanted)
            assert len(file._piece) == brought  # type: ignore[attr-defined]


def test_a_size_that_is_asked_for_elsewhere_moves_nothing(url):
    for position in (5, 2 * AHEAD):
        with files.open_read(url) as file:
            file.seek(position)
            assert files.look_at(url, file).size == len(CONTENT)
            assert (file.tell(), file.read(3)) == (position, CONTENT[position : position + 3])


def test_a_tar_is_read_by_one_request(server, bucket):
    with tarfile.open(fileobj=(out := io.BytesIO()), mode="w") as tar:
        for number in range(30):
            info = tarfile.TarInfo(f"x{number}")
            info.size = 100_000
            tar.addfile(info, io.BytesIO(CONTENT[:100_000]))
    files.write_bytes(f"s3://{bucket}/t.tar", out.getvalue())
    server.reset()
    with files.open_read(f"s3://{bucket}/t.tar") as file, tarfile.open(fileobj=file, mode="r|") as tar:
        assert sum(len(tar.extractfile(member).read()) for member in tar) == 3_000_000
    assert server.kinds() == {"GET": 1}


@pytest.mark.parametrize("asked_before", [True, False])
def test_a_file_that_is_replaced_while_it_is_read_is_no_mixture(url, asked_before):
    with files.open_read(url) as file:
        files.look_at(url, file) if asked_before else file.read(1)
        files.write_bytes(url, CONTENT[::-1])
        file.seek(2 * AHEAD)  # behind what was read
        with pytest.raises(OSError, match="changed while it was read") as raised:
            file.read(1)
    assert (raised.value.errno, raised.value.filename) == (errno.ESTALE, url)


def test_what_is_open_is_listed_as_it_was_compared(server, url):
    with files.open_read(url) as file:
        file.read(1)
        assert files.look_at(url, file) == files.look(url)
    assert server.kinds() == {"GET": 1, "HEAD": 1}


def test_an_object_that_is_not_there_is_told_by_the_first_read(bucket):
    with files.open_read(f"s3://{bucket}/no") as file, pytest.raises(FileNotFoundError, match="no"):
        file.read(1)


def test_an_object_breaks_off_while_it_is_read(server, url, environ):
    environ(AWS_MAX_ATTEMPTS="1")
    with files.open_read(url) as file:
        server.reset(from_the(1, "503 Slow Down"))
        with pytest.raises(OSError, match="SlowDown") as raised:
            file.read()
    assert raised.value.filename == url


def _broken():
    raise OSError("connection reset")
    yield b""


@pytest.mark.parametrize("stream", [_broken(), iter([])], ids=["broken", "ended"])
def test_reading_goes_on_where_the_connection_broke(server, url, stream):
    with files.open_read(url) as file:
        first = file.read(10)
        file._stream = stream  # type: ignore[attr-defined]
        assert first + file.read() == CONTENT
    assert server.kinds() == {"GET": 2}
