"""Queries as people have them: tables of paths, pictures, ids and vectors, parts of pictures, several of one thing."""

from __future__ import annotations

import base64
import csv
import json

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.model.images.decode import decode
from tests.conftest import DIM, Job, picture

FORMS = ("csv", "jsonl", "parquet")
K = ("-k", 3)


def write(job: Job, form: str, rows: list[dict], name: str = "asked") -> str:
    """A query table of a form; in CSV lists are JSON."""
    path = job.folder / f"{name}.{form}"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return str(path)
    rows = [
        {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in row.items()}
        for row in rows
    ]
    if form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)
    cells = [
        [json.dumps(v) if isinstance(v, list) else "" if v is None else str(v) for v in row.values()]
        for row in rows
    ]
    lines = [",".join('"' + cell.replace('"', '""') + '"' if cell else "" for cell in row) for row in cells]
    path.write_text("\n".join([",".join(rows[0]), *lines]) + "\n")
    return str(path)


def answers(job: Job, queries: object, *arguments: object) -> list[tuple]:
    done = job.query(queries, *K, *arguments)
    assert done.code == 0, done
    return [(r["query_id"], r["rank"], r["item_id"], r["score"]) for r in job.results.to_pylist()]


@pytest.fixture(scope="module")
def plain(published, tmp_path_factory) -> dict[str, list[tuple]]:
    """The answers to four pictures in a folder, by file name."""
    job = Job(tmp_path_factory.mktemp("plain"), published.settings["encoder"])
    job.settings = published.settings
    found = answers(job, job.query_file({f"q{i}.jpg": picture(500 + i, 80, 60) for i in range(4)}))
    return {name: [row[1:] for row in found if row[0] == name] for name in sorted({row[0] for row in found})}


@pytest.fixture
def mine(published, tmp_path) -> Job:
    """The published job; queries and answers in a folder of its own, in which the four pictures lie."""
    job = Job(tmp_path, published.settings["encoder"])
    job.settings, job.store = {**published.settings}, published.store
    job.query_file({f"q{i}.jpg": picture(500 + i, 80, 60) for i in range(4)}, "pictures")
    return job


@pytest.mark.parametrize("form", FORMS)
def test_a_table_of_paths_answers_like_the_folder(mine, plain, form):
    rows = [{"query_id": f"#{i}", "path": f"pictures/q{i}.jpg", "note": f"n{i}"} for i in (2, 0)]
    found = answers(mine, write(mine, form, rows))
    assert found == [("#2", *row) for row in plain["q2.jpg"]] + [("#0", *row) for row in plain["q0.jpg"]]
    assert mine.results["note"].to_pylist() == ["n2"] * 3 + ["n0"] * 3
    assert mine.failures == []


@pytest.mark.parametrize("form", FORMS)
def test_pictures_in_the_table_itself_are_asked_with(mine, plain, form):
    rows = [{"query_id": i, "image": (mine.folder / f"pictures/q{i}.jpg").read_bytes()} for i in range(3)]
    found = answers(mine, write(mine, form, rows))
    assert found == [(str(i), *row) for i in range(3) for row in plain[f"q{i}.jpg"]]


@pytest.mark.parametrize("form", FORMS)
def test_items_are_asked_with_under_ids_of_their_own_or_under_theirs(mine, form):
    mine.folder.joinpath("ids.txt").write_text("p03.png\nnone\np05.jpg\n")
    by_id = answers(mine, mine.folder / "ids.txt")
    rows = [{"item_id": name} for name in ("p03.png", "none", "p05.jpg")]
    assert answers(mine, write(mine, form, rows)) == by_id
    assert [tuple(one.values()) for one in mine.failures] == [
        ("none", "lookup", "no indexed item has this id")
    ]
    named = [{"query_id": f"of {row['item_id']}", **row} for row in rows]
    assert answers(mine, write(mine, form, named)) == [(f"of {one}", *row) for one, *row in by_id]


@pytest.mark.parametrize("form", FORMS)
def test_vectors_are_asked_with_and_carry_their_columns(mine, form):
    vectors = np.random.default_rng(1).normal(size=(3, DIM)).astype(np.float32)
    expected = answers(mine, mine.vectors_file(vectors, ["a", "b", "c"]))
    rows = [
        {"query_id": i, "vector": v.tolist(), "n": n}
        for i, v, n in zip("abc", vectors, range(3), strict=True)
    ]
    assert answers(mine, write(mine, form, rows)) == expected
    assert mine.results["n"].to_pylist() == [
        kind for n in range(3) for kind in [n if form != "csv" else str(n)] * 3
    ]
    mine.config.unlink()
    assert answers(mine, write(mine, form, [{"vector": row["vector"]} for row in rows])) == [
        (str("abc".index(one)), *row) for one, *row in expected
    ]


@pytest.mark.parametrize("form", FORMS)
def test_only_what_a_box_covers_is_asked_with(mine, form):
    whole = decode((mine.folder / "pictures/q1.jpg").read_bytes()).pixels
    cut = cv2.imencode(".png", whole[5:45, 11:61, ::-1])[1].tobytes()
    asked = {"cut.png": cut, "whole.jpg": (mine.folder / "pictures/q1.jpg").read_bytes()}
    expected = answers(mine, mine.query_file(asked, "cut"))
    box: object = {"csv": "11, 5, 50, 40", "jsonl": {"x": 11, "y": 5, "width": 50, "height": 40.2}}.get(
        form, [11.0, 4.6, 50.0, 40.0]
    )
    rows = [
        {"query_id": i, "path": "pictures/q1.jpg", "box": b}
        for i, b in [("cut.png", box), ("whole.jpg", None)]
    ]
    assert answers(mine, write(mine, form, rows)) == expected


def test_a_box_is_of_the_picture_as_it_is_shown(mine):
    """A photograph that lies on its side, as its EXIF says: stored 80 wide and 60 high, shown 60 wide and 80 high."""
    from PIL import Image

    image = Image.open(mine.folder / "pictures/q2.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(mine.folder / "lying.jpg", exif=exif, quality=95)
    shown = decode((mine.folder / "lying.jpg").read_bytes()).pixels
    assert shown.shape[:2] == (80, 60)
    cut = cv2.imencode(".png", shown[30:80, 0:41, ::-1])[1].tobytes()
    expected = answers(mine, mine.query_file({"a": cut}, "cut"))
    assert (
        answers(mine, write(mine, "csv", [{"query_id": "a", "path": "lying.jpg", "box": "0,30,41,50"}]))
        == expected
    )


def nearest(mine: Job, names: list[str]) -> np.ndarray:
    """Scores of some pictures of the folder with all items, in order of their ids: (pictures, items)."""
    done = mine.query(mine.folder / "pictures", "-k", 24, "--exact")
    assert done.code == 0
    table = mine.results.to_pylist()
    scores = {(row["query_id"], row["item_id"]): row["score"] for row in table}
    items = sorted({row["item_id"] for row in table})
    return np.array([[scores[name, item] for item in items] for name in names]), items


@pytest.mark.parametrize("combine", ["best", "mean"])
def test_rows_of_one_id_are_pictures_of_one_thing(mine, combine):
    scores, items = nearest(mine, ["q0.jpg", "q3.jpg", "q1.jpg"])
    rows = [
        {"query_id": "thing", "path": "pictures/q0.jpg", "note": "first"},
        {"query_id": "thing", "path": "pictures/q3.jpg", "note": "second"},
        {"query_id": "other", "path": "pictures/q1.jpg", "note": "third"},
    ]
    done = mine.query(write(mine, "csv", rows), "-k", 24, "--exact", "--combine", combine)
    assert done.code == 0
    assert "2 read = 2 answered" in done.out
    found = mine.results.to_pylist()
    both = scores[:2].max(axis=0) if combine == "best" else scores[:2].mean(axis=0)
    expected = [items[i] for i in np.argsort(-both, kind="stable")]
    assert [row["item_id"] for row in found if row["query_id"] == "thing"] == expected
    assert [row["rank"] for row in found if row["query_id"] == "thing"] == list(range(1, 25))
    if combine == "best":
        got = {row["item_id"]: row["score"] for row in found if row["query_id"] == "thing"}
        assert [got[item] for item in items] == both.tolist()
    assert {row["note"] for row in found if row["query_id"] == "thing"} == {"first"}
    assert [row["score"] for row in found if row["query_id"] == "other"] == sorted(
        scores[2].tolist(), reverse=True
    )


def test_rows_of_one_id_that_do_not_stand_together_are_two_queries_of_which_the_second_fails(mine, plain):
    rows = [
        {"query_id": i, "path": f"pictures/q{n}.jpg"} for i, n in (("a", 0), ("b", 1), ("a", 2), ("a", 3))
    ]
    assert answers(mine, write(mine, "csv", rows)) == [
        *(("a", *row) for row in plain["q0.jpg"]),
        *(("b", *row) for row in plain["q1.jpg"]),
    ]
    assert [(f["query_id"], f["stage"]) for f in mine.failures] == [("a", "duplicate")]


def test_a_query_fails_with_any_of_its_pictures_and_says_which(mine, plain):
    (mine.folder / "pictures" / "bad.jpg").write_bytes(b"none")
    rows = [
        {"query_id": i, "path": f"pictures/{n}"}
        for i, n in [("a", "q0.jpg"), ("a", "bad.jpg"), ("b", "q1.jpg")]
    ]
    assert answers(mine, write(mine, "jsonl", rows)) == [("b", *row) for row in plain["q1.jpg"]]
    (failure,) = mine.failures
    assert (failure["query_id"], failure["stage"]) == ("a", "decode")
    assert failure["error"].startswith("row 2 of 2 of this query: ")


def test_columns_whose_names_are_taken_are_carried_under_another(mine):
    rows = [
        {
            "query_id": "a",
            "path": "pictures/q0.jpg",
            "title": "mine",
            "rank": 7,
            "probability": 0.5,
            "x": None,
        }
    ]
    answers(mine, write(mine, "parquet", rows))
    assert mine.results.schema.names == [
        *("query_id", "rank", "item_id", "score", "title", "number"),
        *("query.title", "query.rank", "query.probability", "x"),
    ]
    assert [str(mine.results.schema.field(n).type) for n in ("query.rank", "query.probability", "x")] == [
        *("int64", "double", "string"),
    ]
    assert mine.results["query.title"].to_pylist() == ["mine"] * 3
    assert mine.results["title"].to_pylist() != ["mine"] * 3


@pytest.mark.parametrize("form", FORMS)
def test_carried_columns_are_in_results_of_every_form(mine, form):
    rows = [{"query_id": "a", "path": "pictures/q0.jpg", "tags": ["x", "y"], "price": 2.5}]
    done = mine.query(write(mine, "jsonl", rows), "-k", 1, form=form)
    assert done.code == 0, done
    path = mine.folder / "out" / f"results.{form}"
    row = {
        "csv": lambda: next(csv.DictReader(path.open())),
        "jsonl": lambda: json.loads(path.read_text()),
        "parquet": lambda: pq.read_table(path).to_pylist()[0],
    }[form]()
    assert row["tags"] == ('["x", "y"]' if form == "csv" else ["x", "y"])
    assert float(row["price"]) == 2.5


MANY = [
    {"query_id": i, "path": f"pictures/{n}", "box": b, "price": p}
    for i, n, b, p in [
        ("a", "q0.jpg", None, 1),
        ("a", "q1.jpg", [3, 3, 40, 30], 2),
        ("b", "gone.jpg", None, 3),
        ("c", "q2.jpg", [500, 0, 10, 10], 4),
        ("d", "q3.jpg", [-10, -10, 60, 60], None),
        ("a", "q3.jpg", None, 6),
        ("e", "q3.jpg", None, 7),
        ("e", "bad.jpg", None, 8),
        (None, "q3.jpg", None, 9),
    ]
]
VECTORS = np.random.default_rng(3).normal(size=(9, DIM)).tolist()
VECTORS[4][2] = float("nan")
CONTENTS = {
    "path": MANY,
    "item_id": [
        {"query_id": row["query_id"], "item_id": item, "price": row["price"]}
        for row, item in zip(MANY, [f"p{n:02}.jpg" for n in (0, 1, 99, 2, 4, 5, 6, 98, 8)], strict=True)
    ],
    "vector": [
        {"query_id": row["query_id"], "vector": vector, "price": row["price"]}
        for row, vector in zip(MANY, VECTORS, strict=True)
    ],
}


@pytest.mark.parametrize(
    "content", ["path", *(pytest.param(one, marks=pytest.mark.slow) for one in ("item_id", "vector"))]
)
def test_the_same_bytes_in_blocks_in_stages_and_with_workers(mine, content, monkeypatch):
    from lookalike.index import post_processing
    from lookalike.query import reading, row_files, table_parts

    (mine.folder / "pictures" / "bad.jpg").write_bytes(b"none")
    path = write(mine, "jsonl", CONTENTS[content])

    def tables(*arguments):
        done = mine.query(path, *K, *arguments)
        assert done.code == 0, done
        folder = mine.folder / "out"
        assert sorted(one.name for one in folder.iterdir()) == [
            "failures.parquet",
            "query.json",
            "results.parquet",
        ]
        return [(folder / f"{name}.parquet").read_bytes() for name in ("results", "failures")]

    expected = tables()
    assert len(mine.failures) >= 3
    monkeypatch.setattr(post_processing, "BLOCK", 2)
    assert tables() == expected
    for room, name, size in ((reading, "ROWS", 3), (table_parts, "ROWS", 3), (table_parts, "PICTURES", 3)):
        monkeypatch.setattr(room, name, size)
    assert row_files.FORM == "rows"
    assert tables("--", "--runner=DirectRunner") == expected


def test_one_photograph_is_a_query(mine, plain):
    assert answers(mine, mine.folder / "pictures" / "q1.jpg") == [("q1.jpg", *row) for row in plain["q1.jpg"]]


@pytest.mark.slow
def test_workers_answer_one_photograph(mine):
    assert mine.query(mine.folder / "pictures" / "q1.jpg", *K, "--", "--runner=DirectRunner").code == 0
    assert mine.results["query_id"].to_pylist() == ["q1.jpg"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_table_in_a_bucket_names_pictures_beside_it(mine, plain, server, bucket, form):
    for i in range(4):
        body = (mine.folder / f"pictures/q{i}.jpg").read_bytes()
        server.client.put_object(Bucket=bucket, Key=f"asked/pictures/q{i}.jpg", Body=body)
    names = [
        "pictures/q2.jpg",
        f"s3://{bucket}/asked/pictures/q0.jpg",
        "gone.jpg",
        "pictures",
        "s3://no-such/x.jpg",
    ]
    table = write(mine, form, [{"query_id": str(i), "path": name} for i, name in enumerate(names)])
    with open(table, "rb") as file:
        server.client.put_object(Bucket=bucket, Key=f"asked/t.{form}", Body=file.read())
    found = answers(mine, f"s3://{bucket}/asked/t.{form}")
    assert found == [("0", *row) for row in plain["q2.jpg"]] + [("1", *row) for row in plain["q0.jpg"]]
    assert [(f["query_id"], f["stage"]) for f in mine.failures] == [
        ("2", "read"),
        ("3", "read"),
        ("4", "read"),
    ]
    again = mine.query(f"s3://{bucket}/asked/pictures/q1.jpg", *K)
    assert again.code == 0
    assert mine.results["query_id"].to_pylist() == ["q1.jpg"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_long_table_streams_through(mine, form, tmp_path):
    """Rows of 4 KiB that are carried: 200 MB of them, and some 64 MiB blocks at a time."""
    from lookalike.query.query_files import query_table
    from lookalike.query.table_rows import read_table
    from tests.support.memory import measured

    text = "x" * 4096
    path = tmp_path / f"t.{form}"
    if form == "parquet":
        with pq.ParquetWriter(
            path, pa.schema([("query_id", pa.int64()), ("path", pa.string()), ("note", pa.string())])
        ) as out:
            for i in range(50):
                notes = [f"{n}{text}" for n in range(1000)]
                ids = range(i * 1000, i * 1000 + 1000)
                out.write_table(
                    pa.table({"query_id": ids, "path": ["x"] * 1000, "note": notes}), row_group_size=1000
                )
    else:
        with open(path, "w") as file:
            file.write("query_id,path,note\n" if form == "csv" else "")
            for i in range(50_000):
                row = (
                    json.dumps({"query_id": i, "path": "x", "note": text})
                    if form == "jsonl"
                    else f"{i},x,{text}"
                )
                file.write(row + "\n")
    count, grown = measured(lambda: sum(map(len, read_table(query_table(str(path)), 512, DIM, "f"))))
    assert count == 50_000
    assert grown < 450 << 20


HOSTILE = {
    "numbers": [1, -1, 2**70, 0.5, True, None, "NaN", [], {}, [[[]]]],
    "text": [
        "",
        " ",
        "\0",
        "a\0b",
        "../" * 50,
        "/",
        "/dev/zero",
        "/proc/self/fd/0",
        "s3://",
        "file://",
        "http://[",
        "x" * 9000,
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("content", ["path", "image", "item_id", "vector"])
def test_whatever_stands_in_a_cell_ends_as_a_failure(mine, content):
    values = [*HOSTILE["numbers"], *HOSTILE["text"]]
    good = {"path": "pictures/q0.jpg", "item_id": "p01.jpg", "vector": [1.0] * DIM}
    good["image"] = base64.b64encode((mine.folder / "pictures/q0.jpg").read_bytes()).decode()
    rows = [{"query_id": "good", content: good[content]}]
    rows += [{"query_id": str(i), content: value} for i, value in enumerate(values)]
    rows += [{"query_id": value, content: good[content]} for value in values if value not in (1, True)]
    rows += [{"query_id": f"box {i}", content: good[content], "box": value} for i, value in enumerate(values)]
    found = answers(mine, write(mine, "jsonl", rows))
    assert found[0][0] == "good"
    answered = {query_id for query_id, *_ in found}
    failed = [row["query_id"] for row in mine.failures]
    assert len(answered) + len(failed) == len(rows)
