"""Metadata on their whole way, from a table by way of shards, embedding files and the index to results: exactly."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lookalike.query.answering import results_schema
from lookalike.query.tables import FORMATS, open_table, unguarded
from lookalike.sources import FILE_FORMATS, SourceOptions, find_shards, read_records
from lookalike.sources.pack import pack
from lookalike.sources.types import arrow_type, convert, plain
from tests.conftest import Job, picture
from tests.support.metadata import KINDS, VALUES

Rows = Sequence[Mapping[str, Any]]
TYPES = {f"f {kind}, 'x'.y": kind for kind in KINDS}
"""Name -> type; the names are as awkward as a table's may be."""
ROW = st.tuples(*(st.none() | VALUES[kind] for kind in KINDS)).map(
    lambda values: dict(zip(TYPES, values, strict=True))
)
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
"""Rows of many fields take minutes to be made smaller."""
HARD: list[Any] = [
    *(
        "",
        "00123",
        "40063813333931234567",
        "1E10",
        "1.10",
        "NA",
        "null",
        "\ufeffx",
        ' a,"b"\n',
        "=1+1",
        "日本",
    ),
    *(2**64 - 1, 2**63 - 1, -(2**63), 2**53 + 1, 214.81, 5e-324, -0.0, math.nan, math.inf, 0.1 + 0.2),
    *("1900-01-01", "2024-01-05T12:30:00.000001Z", "79228162514264337593543950335.123456789", "true", False),
    *([], [""], ["a", ""], [1], [0.1, 1e300]),
]


def write_csv(path: Path, rows: Rows) -> None:
    """Nulls are empty, all else is quoted."""
    out = io.StringIO()
    quoted = csv.writer(out, quoting=csv.QUOTE_ALL)
    quoted.writerow(["path", *TYPES])
    for number, row in enumerate(rows):
        cells = [f"{number}.jpg", *(None if v is None else text(plain(v)) for v in row.values())]
        out.write(",".join("" if c is None else '"' + c.replace('"', '""') + '"' for c in cells) + "\r\n")
    path.write_bytes(out.getvalue().encode())


def text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def write_json_lines(path: Path, rows: Rows) -> None:
    lines = [
        json.dumps({"path": f"{n}.jpg", **{k: plain(v) for k, v in row.items()}})
        for n, row in enumerate(rows)
    ]
    path.write_text("\n".join(lines))


def same(found: Rows, expected: Rows) -> None:
    """Compares what is written of values: NaN is NaN, 1 is not 1.0, and -0.0 not 0.0."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert {k: repr(plain(v)) for k, v in one.items()} == {k: repr(plain(v)) for k, v in other.items()}


@pytest.mark.parametrize("table", ["rows.csv", "rows.jsonl"])
@pytest.mark.parametrize("format", FILE_FORMATS)
@settings(max_examples=15, deadline=None, phases=QUICK)
@given(rows=st.lists(ROW, min_size=1, max_size=3))
def test_every_value_comes_back_from_every_format(tmp_path_factory, format, table, rows):
    here = tmp_path_factory.mktemp("pack")
    (here / "images").mkdir()
    for number in range(len(rows)):
        (here / f"images/{number}.jpg").write_bytes(b"x")
    (write_csv if table.endswith("csv") else write_json_lines)(here / table, rows)
    pack(str(here / "images"), str(here / "out"), format=format, metadata=str(here / table), types=TYPES)
    options = SourceOptions(metadata=TYPES)
    (shard,) = find_shards(str(here / "out"), options)
    same([record.metadata for record in read_records(shard, options)], rows)


def read_table(path: Path, form: str, types: Mapping[str, str]) -> Rows:
    """A table of results as its reader takes it, text turned into the types that the job file names."""
    if form == "parquet":
        return [{name: row[name] for name in types} for row in pq.read_table(path).to_pylist()]
    if form == "jsonl":
        rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    else:
        rows = pyarrow.csv.read_csv(
            path,
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(["query_id", "rank", "item_id", "score", *types], pa.string()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
            ),
        ).to_pylist()
    if form == "excel":
        rows = [{unguarded(name): unguarded(value) for name, value in row.items()} for row in rows]
    return [{name: convert(kind, row[name]) for name, kind in types.items()} for row in rows]


def in_json(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, list):
        return [in_json(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=40, deadline=None, phases=QUICK)
@given(rows=st.lists(ROW, min_size=1, max_size=3))
def test_every_value_comes_back_from_every_table(tmp_path_factory, form, rows):
    if form == "jsonl":
        rows = [{name: in_json(value) for name, value in row.items()} for row in rows]
        rows = [{k: None if isinstance(v, list) and None in v else v for k, v in row.items()} for row in rows]
    path = tmp_path_factory.mktemp("tables") / form
    schema = results_schema(TYPES)
    values = [{"query_id": "q", "rank": 1, "item_id": "i", "score": 0.5, **row} for row in rows]
    with open_table(str(path), schema, form) as writer:
        writer.write_table(pa.Table.from_pylist(values, schema))
    same(read_table(path, form, TYPES), rows)


def hard_rows() -> list[dict[str, Any]]:
    """A row for each hard value, which every type that takes it has; and one of nulls."""
    rows = []
    for value in [*HARD, None]:
        row = {}
        for name, kind in TYPES.items():
            try:
                row[name] = convert(kind, value)
            except ValueError:
                row[name] = None
        rows.append(row)
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("format", FILE_FORMATS)
def test_a_night_carries_every_value_to_every_table(job: Job, format):
    rows = hard_rows()
    images = job.folder / "images"
    images.mkdir()
    for number in range(len(rows)):
        (images / f"{number}.jpg").write_bytes(picture(number))
    write_csv(job.folder / "rows.csv", rows)
    pack(
        str(images),
        str(job.shards),
        format=format,
        images_per_shard=9,
        metadata=str(job.folder / "rows.csv"),
        types=TYPES,
    )
    job.set(corpus={"metadata": TYPES}, index={"shard_vectors": 20})
    job.nightly()
    assert len(job.generation["indexes"]) == 2
    embedded = {row["item_id"]: {n: row[n] for n in TYPES} for row in job.embeddings.to_pylist()}
    order = [f"{number}.jpg" for number in range(len(rows))]
    same([embedded[item_id] for item_id in order], rows)
    assert [job.embeddings.schema.field(n).type for n in TYPES] == [arrow_type(k) for k in TYPES.values()]
    ids = job.folder / "ids.txt"
    ids.write_text("\n".join(order))
    for form in FORMATS:
        if form == "excel":
            continue  # for people: its cells are guarded
        assert job.query(ids, "-k", "1", "--exact", form=form).code == 0
        found = read_table(job.folder / "out" / f"results.{form}", form, TYPES)
        expected = rows
        if form == "jsonl":
            expected = [{name: in_json(value) for name, value in row.items()} for row in rows]
        same(found, expected)
    # Renamed and moved, the shards are known: what is recorded of them is exact, too.
    before = job.notes
    for path in job.shards.iterdir():
        if not path.name.startswith("."):
            path.rename(path.with_name(path.name.replace("shard", "other")))
    job.nightly()
    assert len(job.notes) == 2 * len(before)
    again = {row["item_id"]: {n: row[n] for n in TYPES} for row in job.embeddings.to_pylist()}
    same([again[item_id] for item_id in order], rows)
