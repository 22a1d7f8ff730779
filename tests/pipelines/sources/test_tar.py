import io
import random
import struct
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.sources.tar import MOST_HEADER, MOST_NAME, DamagedError, Member, Tar, _pax


def members(content: bytes, size: bool = True) -> list[tuple[str, str, bytes]]:
    """Name, kind and content of each member."""
    tar = Tar(io.BytesIO(content), len(content) if size else None)
    found = [(member.name, member.kind, tar.read()) for member in tar]
    tar.check_end()
    return found


def packed(*entries: tuple[str, bytes], format: int = tarfile.PAX_FORMAT, **fields) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, errors="surrogateescape") as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def by_tarfile(content: bytes) -> list[tuple[str, str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = []
        for info in archive:
            file = archive.extractfile(info) if info.isreg() else None
            kind = "file" if file else "folder" if info.isdir() else "other"
            found.append((info.name, kind, file.read() if file else b""))
    return found


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300).filter(
    lambda name: name.strip("/") == name
)


@given(
    entries=st.lists(st.tuples(NAMES, st.binary(max_size=1200)), max_size=4),
    format=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    mtime=st.sampled_from([0, 1.5, 2**40]),
)
@settings(max_examples=100, deadline=None)
def test_members_are_those_that_tarfile_finds(entries, format, mtime):
    content = packed(*entries, format=format, mtime=mtime if format == tarfile.PAX_FORMAT else int(mtime))
    assert members(content) == members(content, size=False) == by_tarfile(content)
    assert [(name, data) for name, _, data in members(content)] == entries


@pytest.mark.parametrize(
    ("type_", "kind"),
    [(tarfile.DIRTYPE, "folder"), *((t, "other") for t in (b"1", b"2", b"3", b"4", b"6")), (b"7", "file")],
)
def test_kinds_are_told_and_reading_goes_on_behind(type_, kind):
    info = tarfile.TarInfo("a")
    info.type, info.linkname = type_, "b"
    assert members(info.tobuf() + packed(("z", b"1"))) == [("a", kind, b""), ("z", "file", b"1")]


def test_an_old_folder_is_told_by_its_slash():
    info = tarfile.TarInfo("a/")
    info.type = tarfile.AREGTYPE
    assert members(info.tobuf() + packed()) == [("a", "folder", b"")]


def header(size: int = 0, type_: bytes = b"0", name: str = "a", size_field: bytes | None = None) -> bytes:
    info = tarfile.TarInfo(name)
    info.type = type_
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = size_field or b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def test_a_size_may_be_binary_or_that_of_a_pax_header():
    binary = header(size_field=b"\x80" + (3).to_bytes(11, "big"))
    assert members(binary + b"abc".ljust(512, b"\0") + bytes(1024)) == [("a", "file", b"abc")]
    pax = header(10, b"x") + b"9 size=3\n"[:9].ljust(10, b"\0").ljust(512, b"\0")
    assert members(pax + header(0) + b"abc".ljust(512, b"\0") + bytes(1024)) == [("a", "file", b"abc")]


def test_a_checksum_of_signed_bytes_is_right_too():
    block = bytearray(header(0, name="a"))
    block[0] = 0xE9
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(struct.unpack("512b", block))
    assert members(bytes(block) + bytes(1024)) == [("\udce9", "file", b"")]


@pytest.mark.parametrize("type_", [b"x", b"g", b"L", b"K"])
def test_a_long_header_is_passed_over_with_what_it_describes(type_):
    size = MOST_HEADER + 1
    content = header(size, type_) + bytes(-(-size // 512) * 512) + packed(("a", b"1"), ("b", b"2"))
    tar = Tar(io.BytesIO(content), len(content))
    first, second = tar
    assert first == Member(
        "a", "other", 1, "has a header of 1,048,577 bytes, more than the 1,048,576 that are read"
    )
    assert second == Member("b", "file", 1)


def test_sparse_files_are_no_files_and_passed_over():
    old = bytearray(header(600, b"S"))
    old[482] = 1
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    more = bytes(504) + b"\1" + bytes(7)
    pax = header(25, b"x") + b"25 GNU.sparse.realsize=9\n"[:25].ljust(512, b"\0") + header(1) + bytes(512)
    content = bytes(old) + more + bytes(512) + bytes(1024) + pax + packed(("z", b"1"))
    found = members(content)
    assert [(name, kind) for name, kind, _ in found] == [("a", "other"), ("a", "other"), ("z", "file")]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "no header"),
        (packed(("a", b"1"))[:1024], "no header"),
        (packed(("a", b"1"))[:1300], "truncated header"),
        (packed(("a", b"1" * 600))[:900], "the archive is cut in member 'a'"),
        (packed(("a", b"1" * 600))[:1200], "the archive is cut in member 'a'"),
        (header(size_field=b"\xff" * 12) + bytes(1024), "invalid header"),
        (header(size_field=b"00000000_17\0") + bytes(1024), "invalid header"),
        (header(9, b"x") + b"99 path=x".ljust(512, b"\0") + packed(("a", b"1")), "invalid pax header"),
        (header(9, b"x") + b"9 size=x\n".ljust(512, b"\0") + packed(("a", b"1")), "invalid pax header"),
        (header(9, b"x") + b"9 path=x\n".ljust(512, b"\0") + packed(), "bad checksum"),
        (header(1 << 40, size_field=b"\x80\0\0\0\0\0\xff\0\0\0\0\0") + bytes(1024), "cut in member 'a'"),
        (packed(("a", b"1")) + packed(("a", b"1")), "a block of zeros ends the archive, but data follow it"),
    ],
)
def test_damage_is_told(content, error):
    for size in (True, False):
        with pytest.raises(DamagedError, match=error):
            members(content, size)


def test_a_pax_header_of_digits_takes_no_longer_than_any_other():
    size = MOST_HEADER
    record = b"%d comment=" % size
    content = header(size, b"x") + record + b"1" * (size - len(record) - 1) + b"\n" + packed(("a", b"1"))
    assert members(content) == [("a", "file", b"1")]


def test_changed_bytes_are_damage_or_members_that_tarfile_finds_too():
    """Of 2,000 changes, in headers mostly; `tarfile` takes damage for the end, so its members may be fewer."""
    chance = random.Random(1)
    whole = packed(("d/ü" * 40, b"12" * 300), ("b", b""), ("c" * 120, b"3"))
    for _ in range(2000):
        content = bytearray(whole)
        content[chance.randrange(len(whole))] = chance.randrange(256)
        if chance.random() < 0.2:
            del content[chance.randrange(len(whole)) :]
        try:
            found = members(bytes(content))
        except DamagedError:
            continue
        assert found == by_tarfile(bytes(content))


def test_times_of_an_incremental_gnu_archive_are_no_part_of_a_name():
    block = bytearray(packed(("sub/a.jpg", b"x"), format=tarfile.GNU_FORMAT))
    block[345:369] = b"15302132477\0" * 2
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    assert members(bytes(block)) == [("sub/a.jpg", "file", b"x")]


def test_an_empty_path_of_a_pax_header_is_none():
    # Python's tarfile never writes one.
    described = header(8, b"x", "pax") + b"8 path=\n".ljust(512, b"\0")
    assert members(described + header(1) + b"x".ljust(512, b"\0") + bytes(1024)) == [("a", "file", b"x")]


def test_a_sparse_file_has_the_name_that_it_was_packed_with():
    content = packed(("GNUSparseFile.7/a.jpg", b"x"), pax_headers={"GNU.sparse.name": "a.jpg"})
    assert members(content) == [("a.jpg", "other", b"x")]


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_name_beyond_the_limit_is_cut_and_its_member_passed_over(format):
    content = packed(("a" * MOST_NAME, b"1"), ("b" * (MOST_NAME + 1), b"2"), ("c", b"3"), format=format)
    found = list(Tar(io.BytesIO(content), len(content)))
    assert [(member.name[0], len(member.name), member.kind) for member in found] == [
        ("a", MOST_NAME, "file"),
        ("b", MOST_NAME, "other"),
        ("c", 1, "file"),
    ]
    assert found[1].problem == "has a name of 4,097 characters, more than the 4,096 that are read"


def test_nothing_of_a_pax_header_is_kept_but_what_counts():
    """Those of all members would add up to as much memory as the archive has of them."""
    long = "v" * 100_000
    header = {f"GNU.sparse.{n}": long for n in range(3)} | {"comment": long, "path": "p"}
    records = [f" {key}={value}\n".encode() for key, value in header.items()]
    lengths = [next(n for n in range(len(r), len(r) + 8) if n == len(r) + len(str(n))) for r in records]
    kept = _pax(b"".join(str(n).encode() + record for n, record in zip(lengths, records, strict=True)))
    assert kept == {b"GNU.sparse": b"", b"path": b"p"}
