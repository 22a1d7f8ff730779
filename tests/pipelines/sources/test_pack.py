import io
import json
import os
import re
import shutil
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from lookalike.config.yaml_text import read_yaml
from lookalike.model.errors import LookalikeError
from lookalike.sources import FILE_FORMATS, SourceOptions, find_shards, read_shard
from lookalike.sources.pack import PackSummary, pack, pack_report
from lookalike.sources.pack_note import NOTE


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b/2.jpg", "a.jpg", "b/1.PNG"):
        Path("images", name).parent.mkdir(parents=True, exist_ok=True)
        Path("images", name).write_bytes(name.encode())
    return tmp_path


def listed(out: str) -> list[str]:
    return sorted(name for name in os.listdir(out) if not name.startswith("."))


def read(out: str, **metadata: str):
    options = SourceOptions(metadata=metadata)
    return [item for shard in find_shards(out, options) for item in read_shard(shard, options)]


@pytest.mark.parametrize("format", FILE_FORMATS)
def test_shards_hold_the_images_sorted_by_path(here, format):
    summary = pack("images", "out", format=format, images_per_shard=1)
    ending = {"tfrecord": "tfrecord", "webdataset": "tar", "parquet": "parquet"}[format]
    names = [f"shard-{name}.{ending}" for name in ("000000000000", "419a5ce9953c", "46cad2d63190")]
    assert summary.shards == tuple(f"out/{name}" for name in names)
    assert listed("out") == sorted(names)
    items = [item for shard in summary.shards for item in read(shard)]
    assert [(item.item_id, item.image) for item in items] == [
        ("a.jpg", b"a.jpg"),
        ("b/1.PNG", b"b/1.PNG"),
        ("b/2.jpg", b"b/2.jpg"),
    ]
    assert (summary.images, summary.bytes) == (3, 19)


@pytest.mark.parametrize("format", FILE_FORMATS)
def test_the_same_input_gives_the_same_bytes_and_leaves_the_shards_of_before(here, format):
    (first,) = pack("images", "out", format=format).shards
    content = Path(first).read_bytes()
    for path in (first, "images/a.jpg"):
        os.utime(path, (1, 1))
    again = pack("images", "out", format=format)
    assert (again.shards, again.unchanged, again.removed) == ((first,), 1, 0)
    assert (Path(first).read_bytes(), Path(first).stat().st_mtime) == (content, 1)
    assert Path(*pack("images", "other", format=format).shards).read_bytes() == content
    again = pack(f"file://{here}/images/", f"file://{here}/out/", format=format)
    assert (again.images, again.unchanged, again.skipped) == (3, 1, ())
    assert [item.item_id for item in read("out")] == ["a.jpg", "b/1.PNG", "b/2.jpg"]


@pytest.mark.parametrize("format", FILE_FORMATS)
def test_a_csv_is_joined_by_path_and_what_does_not_match_is_counted(here, format):
    Path("rows.csv").write_text(
        'other,path,price,sold,title,day,count\n1,./a.jpg,1.5,true,"x, ü",2024-01-05,7\n'
        '2,b/2.jpg,2,false,"",,\n3,gone.jpg,,,,,\n'
    )
    types = {"price": "float64", "sold": "bool", "count": "int64"}
    summary = pack("images", "out", format=format, metadata="rows.csv", types=types)
    assert (summary.rows_without_image, summary.images_without_row) == (1, 1)
    items = read("out", price="float64", sold="bool", title="string", day="string", count="int64")
    assert [item.metadata for item in items] == [
        {"price": 1.5, "sold": True, "title": "x, ü", "day": "2024-01-05", "count": 7},
        {"price": None, "sold": None, "title": None, "day": None, "count": None},
        {"price": 2.0, "sold": False, "title": "", "day": None, "count": None},
    ]


def test_a_row_whose_accents_are_encoded_otherwise_is_told_so(here):
    Path("images/ü.jpg").write_bytes(b"x")
    Path("rows.csv").write_text("path,n\nu\u0308.jpg,1\ngone.jpg,2\n")
    summary = pack("images", "out", format="parquet", metadata="rows.csv")
    assert (summary.rows_without_image, summary.encoded_otherwise) == (2, 1)
    assert "1 of these rows differ from an image only in how accents are encoded" in pack_report(
        summary, "out"
    )
    Path("rows.csv").write_text("path,n\nü.jpg,1\ngone.jpg,2\n")
    summary = pack("images", "out", format="parquet", metadata="rows.csv")
    assert summary.encoded_otherwise == 0
    assert "accents" not in pack_report(summary, "out")


def test_the_folder_of_images_is_never_told_to_be_removed(here):
    with pytest.raises(LookalikeError, match=r"name another folder\. Received: a\.jpg"):
        pack("images", "images", format="parquet")


def test_keys_of_a_csv_that_look_like_numbers_or_dates_stay_text(here):
    Path("rows.csv").write_text("id,n\n007,1\n2024-01-05,2\n")
    assert pack("images", "out", format="parquet", metadata="rows.csv").rows_without_image == 2


CODES = [
    "00123",
    "40063813333931234567",
    "1E10",
    "1.10",
    "NA",
    " x ",
    "NaN",
    "true",
    "2024-01-05",
    "1,5",
    "a\nb",
]


@pytest.mark.parametrize("format", FILE_FORMATS)
@pytest.mark.parametrize("code", CODES)
def test_text_of_a_csv_stays_as_it_is(here, format, code):
    Path("rows.csv").write_text(f'\ufeffpath,code\na.jpg,"{code}"\n')
    pack("images", "out", format=format, metadata="rows.csv")
    assert read("out", code="string")[0].metadata == {"code": code}


def test_a_declared_type_is_the_columns_and_what_does_not_fit_is_named(here):
    Path("rows.csv").write_text('path,n,tags\na.jpg,007,"[""x"", """"]"\nb/2.jpg,"",\n')
    pack("images", "out", format="parquet", metadata="rows.csv", types={"n": "int64", "tags": "list<string>"})
    table = pq.read_table("out/shard-000000000000.parquet")
    assert table["n"].to_pylist() == [7, None, None]
    assert table["tags"].to_pylist() == [["x", ""], None, None]
    for types, message in [
        ({"n": "date"}, "rows.csv: expected date in column 'n'. Received: '007' in row 1"),
        ({"m": "date"}, "expected a type for one of n, tags. Received: m"),
    ]:
        with pytest.raises(LookalikeError, match=message):
            pack("images", "out", format="parquet", metadata="rows.csv", types=types)


def test_the_lines_for_the_job_file_are_told(here):
    Path("rows.csv").write_text("path,price,on,rank,ü\na.jpg,1,2,3,4\nc.jpg,,,,\n")
    summary = pack("images", "out", format="parquet", metadata="rows.csv", types={"price": "decimal(10,2)"})
    text = pack_report(summary, "out")
    block = yaml.safe_load(text[text.index("corpus:") :])
    assert block == {"corpus": {"metadata": {"price": "decimal(10,2)", "on": "string", "ü": "string"}}}
    assert "'rank' is a column of our own" in text
    assert "no image is called 'c.jpg'" in text
    assert "corpus:" not in pack_report(pack("images", "other", format="parquet"), "other")


NAMES = [
    "1e5",
    "0o17",
    ".5",
    "-",
    "no",
    "null",
    "?",
    "*",
    "# a",
    "a #b",
    "a: b",
    "'q'",
    " a",
    "\\u202e",
    "日本 1",
]
UNSEEN = ["a\nb", "a\x85b", "a\u2028b", "\u202ea", "\ufeffa", "\x1b[2J", "x\U000e0001", "b" * 300, "c" * 3000]


@pytest.mark.parametrize("name", [*NAMES, *UNSEEN])
def test_the_lines_for_the_job_file_mean_the_name_whatever_it_is(name):
    text = pack_report(PackSummary(1, 1, (), 0, 0, (), {}, {name: "string"}, 0, (), 0), "out")
    block, _ = read_yaml(text[text.index("corpus:") :])
    assert block == {"corpus": {"metadata": {name: "string"}}}
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("format", FILE_FORMATS)
def test_json_lines_may_lack_fields(here, format):
    Path("rows.jsonl").write_text(
        '{"file": "a.jpg", "n": 1}\n\n{"file": "b/2.jpg", "x": 1, "n": null}\n{"file": "b/1.PNG", "x": 2.5}\n'
    )
    pack("images", "out", format=format, metadata="rows.jsonl")
    assert [item.metadata for item in read("out", n="int64", x="float64")] == [
        {"n": 1, "x": None},
        {"n": None, "x": 2.5},
        {"n": None, "x": 1.0},
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.csv", b"", "expected CSV with commas and a header"),
        ("r.csv", b"path,n\na.jpg\n", "expected CSV with commas and a header"),
        ("r.csv", b"path,n\na\xff.jpg,1\n", "in UTF-8"),
        ("r.csv", b"path,n\na.jpg,\xff\n", "in UTF-8. Received: 'utf-8' codec"),
        ("r.csv", b"n\n1\n", "relative paths, named one of path, file, .* Received: n"),
        ("r.csv", b"path\na.jpg\nb.jpg\n./a.jpg\n", "names 'a.jpg' twice, in rows 1 and 3"),
        ("r.csv", b"path,item_id\na.jpg,1\n", "the column name 'item_id' is taken"),
        ("r.csv", b"path,n,n\na.jpg,1,2\n", "the column name 'n' is taken"),
        ("r.jsonl", b'{"path": "a.jpg"}\n{', "expected JSON in line 2"),
        ("r.jsonl", b"[1]\n", r"expected an object in line 1. Received: \[1\]"),
        ("r.jsonl", b'{"path": 1}\n', "expected text in column 'path'. Received: 1 in row 1"),
        ("r.jsonl", b'{"path": "a", "n": 1}\n{"path": "b", "n": "x"}', "values of one type in field 'n'"),
        ("r.jsonl", b'{"path": "a", "n": [[1]]}\n', "of one type in field 'n', or .* Received: list<list>"),
        ("r.jsonl", b'{"path": "a", "n": {}}\n', "of one type in field 'n', or a declared .* Received: dict"),
        ("r.jsonl", b'{"path": "a", "n": [1, "x"]}\n', "Received: list<int64>, list<string>"),
        ("r.jsonl", b'{"path": "a", "n": 18446744073709551616}\n', "expected uint64 in column 'n'"),
        (
            "r.jsonl",
            b'{"path": "a", "n": 1, "n": 2}\n',
            "expected each key once in line 1. Received: 'n' twice",
        ),
        ("r.jsonl", b"", "Received: no column"),
    ],
)
def test_a_metadata_file_that_cannot_be_used_is_refused(here, name, content, message):
    Path(name).write_bytes(content)
    with pytest.raises(LookalikeError, match=message):
        pack("images", "out", format="parquet", metadata=name)
    assert not Path("out").exists()


NAMES = (
    *("17.png", "17.jpg", "17_2.png", "17.tar.jpg", "a.b/17.png", "a.b/c.d/x.y.jpg", "A.jpg", "a.JPG"),
    *(
        "with space.jpg",
        " lead.jpg",
        "trail .jpg",
        "per%2Ecent.jpg",
        "per%cent.jpg",
        "per.cent.jpg",
        "x\ny.jpg",
    ),
    *(
        "caf\u00e9.jpg",
        "cafe\u0301.jpg",
        "\u65e5\u672c.jpg",
        "\U0001f600.png",
        'quo"te.jpg',
        "back\\slash.jpg",
    ),
    *("long" * 60 + ".jpg", "/".join(["deep" * 50] * 5) + "/1.jpg", "-dash.jpg", "100%.jpg", "a,b;c.jpg"),
)
"""Names of files that all are different ids."""


def many_names() -> list[str]:
    shutil.rmtree("images")
    for name in NAMES:
        Path("images", name).parent.mkdir(parents=True, exist_ok=True)
        Path("images", name).write_bytes(name.encode())
    return sorted(NAMES)


def test_all_formats_give_the_ids_of_the_folder(here):
    names = many_names()
    assert {item.item_id: item.image for item in read("images")} == {name: name.encode() for name in names}
    for format in FILE_FORMATS:
        pack("images", format, format=format, images_per_shard=4)
        # Also if the fields are read.
        for metadata in ({}, {"item_id": "string"} if format == "webdataset" else {}):
            found = [(item.item_id, item.image) for item in read(format, **metadata)]
            assert sorted(found) == sorted((name, name.encode()) for name in names)


@pytest.mark.parametrize("format", FILE_FORMATS)
def test_an_id_is_of_the_same_picture_whatever_else_comes_or_goes(here, format):
    names = many_names()
    for number, gone in enumerate(names):
        Path("images", gone).unlink()
        if number % 7 == 0:
            pack("images", "out", format=format)
            left = names[number + 1 :]
            assert {item.item_id: item.image for item in read("out")} == {
                name: name.encode() for name in left
            }


def test_a_packed_tar_is_a_plain_webdataset(here):
    many_names()
    (shard,) = pack("images", "out", format="webdataset").shards
    with tarfile.open(shard) as archive:
        members = archive.getmembers()
        ids = [json.load(archive.extractfile(m))["item_id"] for m in members[1::2]]
    assert {(m.mtime, m.uid, m.gid, m.uname) for m in members} == {(0, 0, 0, "")}
    # As the library of that name splits them.
    split = [re.fullmatch(r"((?:.*/|)[^.]+)[.]([^/]*)", m.name, re.DOTALL).groups() for m in members]
    keys = [key for key, _ in split]
    assert keys[::2] == keys[1::2]
    assert len(set(keys)) == len(ids)
    assert {kind for _, kind in split[1::2]} == {"json"}
    assert {kind for _, kind in split[::2]} == {"jpg", "png"}


def test_a_tar_of_an_earlier_version_keeps_its_ids(here):
    with tarfile.open("old.tar", "w") as archive:
        for name, content in (("17.jpg", b"1"), ("17.json", b'{"item_id": "17.jpg"}')):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert [item.item_id for item in read("old.tar")] == ["17"]
    assert [item.item_id for item in read("old.tar", item_id="string")] == ["17"]


def test_row_groups_are_of_256_rows_and_images_are_not_compressed(here):
    for i in range(300):
        Path("images", f"x{i}.jpg").write_bytes(b"0" * 100)
    (shard,) = pack("images", "out", format="parquet").shards
    meta = pq.ParquetFile(shard).metadata
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [256, 47]
    codecs = {
        meta.row_group(0).column(i).path_in_schema: meta.row_group(0).column(i).compression for i in (0, 1)
    }
    assert codecs == {"item_id": "ZSTD", "image": "UNCOMPRESSED"}


def test_what_cannot_be_packed_is_listed(here):
    Path("images/notes.txt").write_text("")
    Path("images/.hidden.jpg").write_text("")
    Path("images/link.jpg").symlink_to("a.jpg")
    with open(b"images/caf\xe9.jpg", "wb"):
        pass
    summary = pack("images", "out", format="tfrecord")
    assert summary.images == 4
    assert summary.skipped == (("caf\\xe9.jpg", "the file's name is not UTF-8"),)
    assert summary.left_out == {"hidden": 1, "txt": 1}


def test_an_image_that_cannot_be_read_is_listed(here, monkeypatch):
    from lookalike.filesystem import files

    def fails(path):
        if path.endswith("2.jpg"):
            raise PermissionError(13, "Permission denied")
        return io.BytesIO(b"x")

    monkeypatch.setattr(files, "open_read", fails)
    summary = pack("images", "out", format="tfrecord")
    assert (summary.images, summary.skipped) == (2, (("b/2.jpg", "Permission denied"),))


@pytest.mark.parametrize(
    "other", ["shard-00000-of-00002.tfrecord", "notes.txt", "shard-0123456789ab.tfrecord"]
)
def test_a_folder_with_other_files_is_refused_and_left_alone(here, other):
    pack("images", "out", format="tfrecord", images_per_shard=1)
    Path("out", other).write_text("mine")
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    Path("images/a.jpg").unlink()
    with pytest.raises(LookalikeError, match=rf"name another folder\. Received: {other}"):
        pack("images", "out", format="webdataset")
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before


def test_without_its_note_a_shard_of_the_same_name_is_somebody_elses(here):
    (shard, *_) = pack("images", "out", format="tfrecord").shards
    assert pack("images", "out", format="tfrecord").unchanged == 1
    Path("out", NOTE).unlink()
    Path(shard).write_text("mine")
    with pytest.raises(LookalikeError, match="name another folder"):
        pack("images", "out", format="tfrecord")
    assert Path(shard).read_text() == "mine"


def many(count: int) -> None:
    for number in range(count):
        Path("images", f"b/{number:03}.jpg").write_bytes(b"%d" % number)


def test_one_image_more_changes_one_shard(here):
    many(60)
    pack("images", "out", format="tfrecord", images_per_shard=8)
    for path in Path("out").iterdir():
        os.utime(path, (1, 1))
    Path("images/b/0305.jpg").write_bytes(b"new")
    done = pack("images", "out", format="tfrecord", images_per_shard=8)
    assert (len(done.shards) - done.unchanged, done.removed) == (1, 0)
    assert sum(Path(shard).stat().st_mtime != 1 for shard in done.shards) == 1
    assert "1 written, 8 unchanged, 0 removed" in pack_report(done, "out")


@pytest.mark.parametrize("format", FILE_FORMATS)
def test_what_is_no_longer_made_is_removed_and_nothing_else(here, format):
    many(30)
    pack("images", "out", format="tfrecord", images_per_shard=4)
    Path("out/.mine").write_text("")
    for number in range(5, 25):
        Path("images", f"b/{number:03}.jpg").unlink()
    done = pack("images", "out", format=format, images_per_shard=4)
    assert listed("out") == sorted(Path(shard).name for shard in done.shards)
    assert done.removed > 0
    assert Path("out/.mine").exists()
    fresh = pack("images", "fresh", format=format, images_per_shard=4)
    assert [Path(s).read_bytes() for s in done.shards] == [Path(s).read_bytes() for s in fresh.shards]


class Killed(BaseException):
    """What no handler of errors catches."""


def held(out: str) -> set[bytes]:
    return {
        record.image
        for shard in find_shards(out, SourceOptions(format="tfrecord"))
        for record in read_shard(shard, SourceOptions())
    }


@pytest.mark.parametrize(("first", "then"), [(4, 8), (8, 4)])
def test_a_pack_that_is_killed_keeps_every_image_and_is_completed_by_the_next(here, monkeypatch, first, then):
    many(40)
    pack("images", "before", format="tfrecord", images_per_shard=first)
    kept = {path.read_bytes() for path in Path("images").rglob("*.*")}
    for name in ("a0.jpg", "b/0035.jpg", "b/0135.jpg", "b/0205.jpg", "b/0206.jpg", "c.jpg"):
        Path("images", name).write_bytes(name.encode())
    fresh = pack("images", "fresh", format="tfrecord", images_per_shard=then)
    moments = 0
    while True:
        shutil.rmtree("out", ignore_errors=True)
        shutil.copytree("before", "out")
        left = moments

        def killed_at_last(change):
            def changed(*arguments, **options):
                nonlocal left
                if left <= 0:
                    raise Killed
                left -= 1
                return change(*arguments, **options)

            return changed

        with monkeypatch.context() as patch:
            for name in ("replace", "unlink"):
                patch.setattr(os, name, killed_at_last(getattr(os, name)))
            try:
                pack("images", "out", format="tfrecord", images_per_shard=then)
            except Killed:
                killed = True
            else:
                killed = False
        assert kept <= held("out")
        pack("images", "out", format="tfrecord", images_per_shard=then)
        assert listed("out") == listed("fresh") == sorted(Path(shard).name for shard in fresh.shards)
        assert all(
            Path("out", name).read_bytes() == Path("fresh", name).read_bytes() for name in listed("out")
        )
        if not killed:
            break
        moments += 1
    assert moments > 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "zip"}, "format: expected one of tfrecord, webdataset, parquet. Received: 'zip'"),
        ({"format": "tfrecord", "images_per_shard": 0}, "expected 1 or more. Received: 0"),
        ({"format": "tfrecord", "images": "bare"}, "No image in the folder bare"),
        ({"format": "tfrecord", "images": "none"}, "images: expected a folder. Received: none"),
        ({"format": "tfrecord", "metadata": "none.csv"}, "Received: none.csv"),
    ],
)
def test_wrong_arguments_are_refused(here, arguments, message):
    Path("bare").mkdir()
    with pytest.raises(LookalikeError, match=message):
        pack(**{"images": "images", "out": "out"} | arguments)


@pytest.mark.parametrize("format", FILE_FORMATS)
def test_images_without_an_images_name_are_packed_and_what_cannot_be_read_is_told(tmp_path, format):
    gif = b"GIF89a" + bytes(100)
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.jpg", "b", "c.jfif", "d.txt"):
        (images / name).write_bytes(gif)
    (images / "e.txt").write_bytes(b"text")
    (images / "gone").symlink_to("nowhere")
    os.mkfifo(images / "pipe.jpg")
    with open(images / "sparse.jpg", "wb") as file:
        file.truncate(3 << 30)
    summary = pack(str(images), str(tmp_path / "out"), format=format)
    assert (summary.images, summary.left_out) == (4, {"txt": 1})
    assert summary.skipped == (
        ("gone", "'gone' is a link to nowhere, which cannot be followed: No such file or directory"),
        ("pipe.jpg", "'pipe.jpg' is a named pipe, not an image"),
        ("sparse.jpg", "3,221,225,472 bytes, more than 268,435,456"),
    )
    options = SourceOptions(item_id="field:item_id" if format == "webdataset" else "key")
    (shard,) = find_shards(str(tmp_path / "out"), options)
    assert [(item.item_id, item.image) for item in read_shard(shard, options)] == [
        (name, gif) for name in ("a.jpg", "b", "c.jfif", "d.txt")
    ]
