import io
import math
import tarfile
from decimal import Decimal

import pytest

from lookalike.filesystem import files
from lookalike.sources import Shard, SourceOptions
from lookalike.sources.records import Record, Reject
from lookalike.sources.webdataset import read

JSON = {"metadata": {"n": "int64"}}


def tar(*members: tuple[str, bytes], format=tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, errors="surrogateescape") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def read_bytes(tmp_path, content: bytes, **options):
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    shard = Shard(str(path), "webdataset", (files.look(str(path)),))
    return list(read(shard, SourceOptions(**options)))


def test_neighbours_with_one_key_are_one_record_whose_key_keeps_the_directory(tmp_path):
    content = tar(
        ("x.y/a.jpg", b"1"), ("x.y/a.json", b'{"n": 5}'), ("z/a.json", b'{"n": "6"}'), ("z/a.PNG", b"2")
    )
    assert read_bytes(tmp_path, content, **JSON) == [
        Record("x.y/a", b"1", 0, {"n": 5}),
        Record("z/a", b"2", 1, {"n": 6}),
    ]


def test_the_plain_image_extension_wins_then_the_alphabet(tmp_path):
    content = tar(
        ("a.mask.jpg", b"1"),
        ("a.png", b"2"),
        ("a.jpg", b"3"),
        ("a.webp", b"4"),
        ("b.seg.png", b"5"),
        ("c.mask.jpg", b"6"),
        ("c.png", b"7"),
    )
    assert [item.image for item in read_bytes(tmp_path, content)] == [b"3", b"5", b"7"]


def test_a_key_that_comes_again_is_another_record(tmp_path):
    content = tar(("a.jpg", b"1"), ("a.jpg", b"2"), ("b.jpg", b"3"), ("a.jpg", b"4"))
    assert [(item.item_id, item.image) for item in read_bytes(tmp_path, content)] == [
        ("a", b"1"),
        ("a", b"2"),
        ("b", b"3"),
        ("a", b"4"),
    ]


def test_txt_and_cls_members_are_metadata_unless_the_json_has_the_field(tmp_path):
    content = tar(
        ("a.jpg", b"1"),
        ("a.txt", "ü".encode()),
        ("a.cls", b"3\n"),
        ("b.jpg", b"2"),
        ("b.json", b'{"txt": "j"}'),
    )
    items = read_bytes(tmp_path, content, metadata={"txt": "string", "cls": "int64"})
    assert [item.metadata for item in items] == [{"txt": "ü", "cls": 3}, {"txt": "j", "cls": None}]


def test_directories_dotfiles_and_files_without_extension_belong_to_no_record(tmp_path):
    folder = tarfile.TarInfo("d.jpg")
    folder.type = tarfile.DIRTYPE
    content = folder.tobuf() + tar(
        (".__meta__", b"m"), ("d/._a.jpg", b"m"), ("README", b"m"), ("d/a.jpg", b"1")
    )
    assert read_bytes(tmp_path, content) == [Record("d/a", b"1", 0)]


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_whole(tmp_path, format):
    name = "ü" * 70 + "/" + "b" * 120
    assert [item.item_id for item in read_bytes(tmp_path, tar((name + ".jpg", b"1"), format=format))] == [
        name
    ]


@pytest.mark.parametrize(
    ("members", "stage", "item_id", "error"),
    [
        ([("a.json", b"{}"), ("a.txt", b"")], "read", "a", "no image member: this record has only json, txt"),
        ([("a.jpg", b"1")], "metadata", "a", "no .json member, which is to hold n"),
        ([("a.jpg", b"1"), ("a.json", b"{")], "metadata", "a", "the .json member cannot be read"),
        ([("a.jpg", b"1"), ("a.json", b"\xff")], "metadata", "a", "the .json member cannot be read"),
        ([("a.jpg", b"1"), ("a.json", b"[" * 100_000)], "metadata", "a", "the .json member cannot be read"),
        ([("a.jpg", b"1"), ("a.json", b"[1]")], "metadata", "a", "is to be an object. Received: list"),
        (
            [("a.jpg", b"1"), ("a.json", b'{"n": 1.5}')],
            "metadata",
            "a",
            "'n' does not fit int64. Received: 1.5",
        ),
        ([("\udce9.jpg", b"1"), ("\udce9.json", b"{}")], "id", "\\xe9", "not UTF-8"),
    ],
)
def test_a_bad_record_is_rejected_alone(tmp_path, members, stage, item_id, error):
    items = read_bytes(tmp_path, tar(*members, ("z.jpg", b"1"), ("z.json", b'{"n": 1}')), **JSON)
    assert (items[0].item_id, items[0].position, items[0].stage) == (item_id, 0, stage)
    assert error in items[0].error
    assert items[1:] == [Record("z", b"1", 1, {"n": 1})]


def test_a_link_is_no_image(tmp_path):
    link = tarfile.TarInfo("a.jpg")
    link.type, link.linkname = tarfile.LNKTYPE, "z.jpg"
    items = read_bytes(tmp_path, link.tobuf() + tar(("z.jpg", b"1")))
    assert items == [
        Reject("a", 0, "read", "'a.jpg' is a link or a special file, not an image"),
        Record("z", b"1", 1),
    ]


def test_a_damaged_header_in_the_middle_is_not_the_end_of_the_archive(tmp_path):
    damaged = bytearray(tar(("a.jpg", b"1"), ("b.jpg", b"2"), ("c.jpg", b"3")))
    damaged[2 * 1024] ^= 1
    items = read_bytes(tmp_path, bytes(damaged))
    assert items[0] == Record("a", b"1", 0)
    assert (items[1].position, items[1].ends_shard) == (1, True)
    assert "next header is damaged (bad checksum), at byte 2048 of 10240: 1 records" in items[1].error
    assert len(items) == 2


def test_a_record_that_may_have_been_cut_is_not_given_as_whole(tmp_path):
    items = read_bytes(tmp_path, tar(("a.jpg", b"1"), ("b.jpg", b"2"), ("b.json", b'{"n": 1}'))[: 4 * 512])
    assert items[:-1] == [Record("a", b"1", 0)]
    assert items[-1].ends_shard


def test_data_behind_the_end_mark_are_damage(tmp_path):
    one = tar(("a.jpg", b"1"))
    items = read_bytes(tmp_path, one + one)
    assert items[0] == Record("a", b"1", 0)
    assert items[1].ends_shard
    assert "a block of zeros ends the archive, but data follow it" in items[1].error


def test_an_archive_without_members_has_no_records(tmp_path):
    assert read_bytes(tmp_path, tar()) == []


def test_a_field_of_the_json_goes_before_the_member_of_its_name(tmp_path):
    content = tar(("a.txt", b"of the member"), ("a.jpg", b"1"), ("a.json", b'{"txt": "of the json"}'))
    (item,) = read_bytes(tmp_path, content, metadata={"txt": "string"})
    assert item.metadata == {"txt": "of the json"}


def test_a_key_with_a_percent_sign_needs_no_json(tmp_path):
    content = tar(
        ("a%2Ejpg.jpg", b"1"),
        ("b%2Ejpg.jpg", b"2"),
        ("b%2Ejpg.json", b'{"item_id": "other.jpg"}'),
        ("c%2Ejpg.jpg", b"3"),
        ("c%2Ejpg.json", b"{"),
        ("d%2Ejpg.jpg", b"4"),
        ("d%2Ejpg.json", b'{"item_id": "d.jpg"}'),
    )
    assert [item.item_id for item in read_bytes(tmp_path, content)] == [
        "a%2Ejpg",
        "b%2Ejpg",
        "c%2Ejpg",
        "d.jpg",
    ]


@pytest.mark.parametrize(
    ("stored", "kind", "expected"),
    [
        ("1.10", "decimal(5,2)", Decimal("1.10")),
        ("0.1", "float64", 0.1),
        ("18446744073709551615", "uint64", 2**64 - 1),
        ('"NaN"', "float64", math.nan),
        ("NaN", "float64", math.nan),
        ('"true"', "bool", True),
        ('""', "string", ""),
        ("null", "string", None),
        ('["a", ""]', "list<string>", ["a", ""]),
    ],
)
def test_a_value_in_json_becomes_what_is_declared(tmp_path, stored, kind, expected):
    content = tar(("a.jpg", b"1"), ("a.json", f'{{"f": {stored}}}'.encode()))
    (item,) = read_bytes(tmp_path, content, metadata={"f": kind})
    assert repr(item.metadata["f"]) == repr(expected)


@pytest.mark.parametrize(
    ("stored", "kind", "reason"),
    [
        ("1e400", "float64", "does not fit float64. Received: 1E+400 (Decimal)"),
        ("1" * 5000, "int64", "the .json member cannot be read"),
        ("true", "string", "does not fit string. Received: True (bool)"),
        ("1.5", "int64", "does not fit int64. Received: 1.5 (Decimal)"),
        ('1, "f": 2', "int64", "the .json member has 'f' twice"),
    ],
)
def test_a_value_in_json_that_cannot_be_kept_is_refused(tmp_path, stored, kind, reason):
    content = tar(("a.jpg", b"1"), ("a.json", f'{{"f": {stored}}}'.encode()))
    (item,) = read_bytes(tmp_path, content, metadata={"f": kind})
    assert reason in item.error


def test_another_key_may_be_there_twice(tmp_path):
    content = tar(("a.jpg", b"1"), ("a.json", b'{"f": 1, "g": 1, "g": 2}'))
    assert read_bytes(tmp_path, content, metadata={"f": "int64"})[0].metadata == {"f": 1}
