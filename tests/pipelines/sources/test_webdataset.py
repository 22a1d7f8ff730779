import gzip
import io
import math
import tarfile
from decimal import Decimal

import pytest

from lookalike.filesystem import files
from lookalike.sources import Shard, SourceOptions
from lookalike.sources.records import Record, Reject
from lookalike.sources.webdataset import read
from tests.support.memory import measured

GIF = b"GIF89a"
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


def outcomes(items) -> list[tuple[str, str]]:
    """The image of a record, or the stage of a reject, by id."""
    return [(i.item_id, i.image.decode() if isinstance(i, Record) else i.stage) for i in items]


@pytest.mark.parametrize(
    ("members", "options", "expected"),
    [
        (["a.jpg", "a.json", "a.txt", "a.npy"], {}, [("a", "a.jpg")]),
        (["a.jpg", "a.seg.png"], {}, [("a", "a.jpg"), ("a.seg.png", "duplicate")]),
        (["a.seg.png", "a.v.jpg", "a.jpg"], {}, [("a", "a.jpg"), ("a.seg.png", "duplicate"), ("a.v.jpg", "duplicate")]),
        (["a.v2.jpg"], {}, [("a", "a.v2.jpg")]),
        (["a.left.png", "a.right.png"], {}, [("a.left.png", "read"), ("a.right.png", "read")]),
        (["3.14159.jpg", "3.2.jpg"], {}, [("3.14159.jpg", "read"), ("3.2.jpg", "read")]),
        (["a.jpg", "a.png", "a.x.gif"], {}, [("a.jpg", "read"), ("a.png", "read"), ("a.x.gif", "read")]),
        (["a.left.png", "a.right.png"], {"image_field": "right.png"}, [("a", "a.right.png")]),
        (["a.jpg", "a.seg.PNG"], {"image_field": ".seg.png"}, [("a", "a.seg.PNG")]),
        (["a.bin", "a.jpg"], {"image_field": "bin"}, [("a", "a.bin")]),
        (["a.jpg"], {"image_field": "left.png"}, [("a", "read")]),
        (["d/IMG.jfif", "d/IMG.json"], {}, [("d/IMG", "d/IMG.jfif")]),
    ],
)  # fmt: skip
def test_every_image_of_a_key_ends_in_one_place(tmp_path, members, options, expected):
    content = tar(*((name, name.encode()) for name in members), ("z.jpg", b"z"))
    items = read_bytes(tmp_path, content, **options)
    assert outcomes(items)[: len(expected)] == expected
    assert [item.position for item in items] == list(range(len(items)))
    assert len(items) == len(expected) + 1


def test_a_key_of_thousands_of_images_takes_no_longer_and_says_no_more(tmp_path):
    content = tar(*((f"0.{number}.jpg", b"1") for number in range(20_000)))
    items = read_bytes(tmp_path, content)
    assert len(items) == 20_000
    assert "20000 images of the key '0': 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg, .... A key" in items[-1].error


def test_a_reject_of_an_image_says_what_takes_it(tmp_path):
    _, right = read_bytes(tmp_path, tar(("a.left.png", b"1"), ("a.right.png", b"2")))
    assert right.error == (
        "'a.right.png' is one of 2 images of the key 'a': left.png, right.png. A key ends at the first dot of a name: "
        "give each image one of its own, or set corpus.image_field: right.png"
    )
    _, mask = read_bytes(tmp_path, tar(("a.jpg", b"1"), ("a.seg.png", b"2")))
    assert mask.error == (
        "'a.seg.png' is a further image of the key 'a', whose jpg is taken; corpus.image_field: seg.png takes this one"
    )


def test_a_member_without_extension_is_a_record_if_its_content_is_an_image(tmp_path):
    gif = b"GIF89a" + bytes(1000)
    content = tar(("d/a", gif), ("README", b"text"), ("b", b""), ("c", gif), ("c.json", b'{"n": 1}'))
    assert outcomes(read_bytes(tmp_path, content)) == [("d/a", gif.decode()), ("c", gif.decode())]


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_record_above_the_limit_is_rejected_alone_and_reading_goes_on(tmp_path, compress):
    content = tar(
        ("a.jpg", bytes(1001)),
        ("b.jpg", bytes(900)),
        ("b.json", b'{"n": 1}' + b" " * 100),
        ("c.jpg", bytes(990)),
        ("c.json", b'{"n": 1}'),
    )
    items = read_bytes(tmp_path, compress(content), **JSON, max_bytes=1000)
    assert items[0] == Reject("a", 0, "read", "1,001 bytes, more than corpus.max_bytes allows: 1,000")
    assert items[1] == Reject("b", 1, "read", "1,008 bytes, more than corpus.max_bytes allows: 1,000")
    assert items[2] == Record("c", bytes(990), 2, {"n": 1})
    assert [type(item) for item in read_bytes(tmp_path, compress(content), max_bytes=1000)] == [
        Reject,
        Record,
        Record,
    ]


def test_metadata_above_its_own_limit_is_not_read(tmp_path):
    content = tar(
        ("a.json", b" " * ((16 << 20) + 1)), ("a.jpg", b"1"), ("b.jpg", b"2"), ("b.json", b'{"n": 1}')
    )
    first, second = read_bytes(tmp_path, content, **JSON)
    assert first == Reject(
        "a", 0, "metadata", "'a.json' is 16,777,217 bytes, more than the 16,777,216 that are read"
    )
    assert second == Record("b", b"2", 1, {"n": 1})


@pytest.mark.slow
@pytest.mark.parametrize("type_", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_gigabytes_out_of_megabytes_of_gzip_are_one_reject_in_small_memory(tmp_path, type_):
    large = tarfile.TarInfo("large.jpg")
    large.size, large.type = 600 << 20, type_
    behind = tar(("large.jpg", b"0"), ("z.jpg", b"1")) if type_ != tarfile.REGTYPE else tar(("z.jpg", b"1"))
    with gzip.open(tmp_path / "a.tar", "wb", 1) as file:
        file.write(large.tobuf())
        for _ in range(600):
            file.write(bytes(1 << 20))
        file.write(behind)
    path = str(tmp_path / "a.tar")
    shard = Shard(path, "webdataset", (files.look(path),))
    items, grown = measured(lambda: list(read(shard, SourceOptions())))
    assert grown < 100 << 20
    assert outcomes(items) == [("large", "read"), ("z", "1")]
    assert "629,145,600 bytes, more than" in items[0].error


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


def special(name: str, kind: bytes) -> bytes:
    """The header of a member without content."""
    member = tarfile.TarInfo(name)
    member.type = kind
    return member.tobuf()


def test_what_cannot_be_told_by_its_content_is_not_passed_over_for_want_of_an_extension(tmp_path):
    links = special("hard", tarfile.LNKTYPE) + special("d/soft", tarfile.SYMTYPE)
    no_files = special("label of 2024.01", b"V") + special("folder.x", b"D")
    content = no_files + links + tar(("README", b"text"), ("z", GIF))
    assert [(i.item_id, i.position) for i in read_bytes(tmp_path, content)] == [
        ("hard", 0),
        ("d/soft", 1),
        ("z", 2),
    ]
    assert read_bytes(tmp_path, content, image_field="jpg") == []


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


def test_a_key_with_a_percent_sign_needs_no_json_but_one_that_can_be_read(tmp_path):
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
        None,
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


def test_a_packed_record_whose_id_cannot_be_read_is_served_under_no_other(tmp_path):
    broken = b'{"item_id": "17.png"'
    content = tar(
        ("17%2Epng.png", b"1"), ("17%2Epng.json", broken), ("100%.png", b"2"), ("100%.json", broken)
    )
    first, second = read_bytes(tmp_path, content)
    assert (first.item_id, first.stage) == (None, "id")
    assert first.error.startswith("the id of '17%2Epng' stands in its .json member, which cannot be read")
    assert second == Record("100%", b"2", 1)
