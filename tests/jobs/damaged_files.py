"""Damages every file that a job reads, one at a time and in many ways, and runs the commands that read it.

Whatever the damage, a command ends with a documented exit code and, where it fails, with one sentence that names the
file; never with a stack trace, never after more than a minute; and nothing else of what is served is lost.

    python -m tests.jobs.damaged_files --seed 7 --each 40
    python -m tests.jobs.damaged_files --only 'store/generations/*'
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import fnmatch
import hashlib
import io
import json
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.model.encoder.calibration import calibration_json
from lookalike.model.encoder.manifest import CALIBRATION, fingerprint, read_manifest
from lookalike.store import generations
from lookalike.store.prune import named_artifacts
from tests import conftest
from tests.conftest import Job, picture, run
from tests.support.calibrations import calibration
from tests.support.fault_points import FaultPoints, no_permission, watched
from tests.support.texts import add_labels

MOST_SECONDS = 60
EXIT_CODES = {0, 2, 3, 4, *range(10, 19)}
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1e308, 10**30, float("nan"), "", "x", "\ud800", "a\nb\x1b[2J", "x" * 100_000),
    *([], {}, [[]], {"x": 1}, "../../x", "/etc/passwd"),
)
"""What is put in place of every value of a JSON file."""


def contents(original: bytes, is_json: bool, each: int, dice: random.Random) -> Iterator[tuple[str, bytes]]:
    """Damaged contents of a file, each with a name; of the ways that depend on a place at most `each`."""
    yield "empty", b""
    yield "half", original[: len(original) // 2]
    yield "last byte gone", original[:-1]
    yield "more behind", original + b"\n\x00x"
    yield "zeros", bytes(len(original))
    yield "not UTF-8", b"\xff\xfe" + original
    yield "byte order mark", b"\xef\xbb\xbf" + original
    yield "deep list", b"[" * 200_000
    yield "deep mapping", b'{"a":' * 100_000
    yield "deep and whole", b"[" * 50_000 + b"]" * 50_000
    for text in (
        b"null",
        b"[]",
        b"{}",
        b'"x"',
        b"7",
        b"NaN",
        b"-1e999",
        b"9" * 5_000,
        b"[1,",
        b"\x00",
        b"\n" * 9,
    ):
        yield f"just {text[:8]!r}", text
    for _ in range(each if original else 0):
        place, bit = dice.randrange(len(original)), 1 << dice.randrange(8)
        yield f"bit {place}", original[:place] + bytes([original[place] ^ bit]) + original[place + 1 :]
    if is_json:
        yield from json_contents(json.loads(original), each, dice)


def json_contents(value: Any, each: int, dice: random.Random) -> Iterator[tuple[str, bytes]]:
    changes = [(place, other) for place in places(value) for other in (*VALUES, "GONE", "MORE")]
    for place, other in dice.sample(changes, min(each, len(changes))):
        changed = copy.deepcopy(value)
        into = changed
        for key in place[:-1]:
            into = into[key]
        if not place:
            changed = other
        elif other == "GONE":
            del into[place[-1]]
        elif other == "MORE":
            if not isinstance(into, dict):
                continue
            into["another"] = 1
        else:
            into[place[-1]] = other
        yield f"{'.'.join(map(str, place))} is {str(other)[:20]!r}", json.dumps(changed).encode()


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield here
    within = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in within:
        yield from places(inner, (*here, key))


def tables(original: Path) -> Iterator[tuple[str, bytes]]:
    """Parquet files like the original, with something wrong in what they hold."""
    table = pq.read_table(original)
    first = table.column_names[0]
    yield "no rows", _parquet(table.slice(0, 0))
    yield "twice the rows", _parquet(pa.concat_tables([table, table]))
    yield "first column gone", _parquet(table.drop_columns([first]))
    yield "last column gone", _parquet(table.drop_columns([table.column_names[-1]]))
    yield "another column", _parquet(table.append_column("zzz", pa.nulls(len(table))))
    yield "same name twice", _parquet(table.append_column(first, table[first]))
    yield "metadata not UTF-8", _parquet(table.replace_schema_metadata({b"lookalike.encoder": b"\xff\xfe"}))
    yield "metadata key not UTF-8", _parquet(table.replace_schema_metadata({b"\xff": b"x"}))
    for name in table.column_names:
        at = table.column_names.index(name)
        column = table[name]
        for kind, other in (
            ("null", pa.nulls(len(table), column.type)),
            ("untyped", pa.nulls(len(table))),
            ("numbers", pa.array(range(len(table)))),
            ("text", pa.array(["x"] * len(table))),
            ("bytes", pa.array([b"\xff\xfe"] * len(table))),
            ("lists", pa.array([[b"\xff"]] * len(table))),
        ):
            yield f"{name} of {kind}", _parquet(table.set_column(at, name, other))
        if pa.types.is_string(column.type):
            wrong = pa.array([b"\xff\xfe"] * len(table), pa.binary()).view(pa.string())
            yield f"{name} not UTF-8", _parquet(table.set_column(at, name, wrong))
    # The same length, so that all offsets stay right.
    data = _parquet(table.rename_columns(["qqqqqqqq", *table.column_names[1:]]), arrow_schema=False)
    yield "column name not UTF-8", data.replace(b"qqqqqqqq", b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe")


def _parquet(table: pa.Table, arrow_schema: bool = True) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, store_schema=arrow_schema)
    return buffer.getvalue()


@dataclass(frozen=True)
class Reader:
    """Files, and the commands that read them.

    Attributes:
        pattern: of their paths in the world's folder.
        commands: each a list of arguments.
        named: what a sentence may call the file instead of by its name.
    """

    pattern: str
    commands: tuple[tuple[str, ...], ...]
    named: tuple[str, ...] = ()


JOB = ("-c", "job.yaml")
NIGHTLY = ("nightly", *JOB)
QUERY = ("query", "ids.txt", *JOB, "-o", "out")
STORE = (("generations", "list", *JOB), ("generations", "show", *JOB), ("generations", "verify", *JOB))
PRUNE = ("generations", "prune", *JOB, "--keep", "9")
EVALUATE = ("evaluate", *JOB, "--no-plots", "-o", "measured", "--resamples", "100")
OTHERS = (
    *(("standing", *JOB), ("duplicates", *JOB, "-o", "copies", "--min-score", "0.9")),
    *(("export", *JOB, "-o", "exported"), ("report", *JOB), ("explain", "p01.jpg", "p02.jpg", *JOB)),
    ("query", "asked.jsonl", *JOB, "-o", "out", "--where", "number > 3", "--group-by", "title"),
)
"""Commands that read what is served, each in a way of its own."""
NOTHING = ("or a store with the report of a night", "-c with the job file")
"""What is said where the file that is looked for is not there."""
READERS = (
    Reader(
        "store/CURRENT",
        (*STORE, QUERY, PRUNE, NIGHTLY, ("generations", "rollback", *JOB)),
        ("none, it is the first",),  # where it was gone, a night has published what knows of no other
    ),
    Reader(
        "store/generations/*/manifest.*",
        (*STORE, QUERY, ("generations", "rollback", *JOB), PRUNE, NIGHTLY),
        ("generation ", "indexes/", "embeddings/"),
    ),
    Reader("store/generations/*/duplicates.parquet", (*STORE, QUERY)),
    Reader("store/generations/*/shards.parquet", (*STORE, PRUNE, NIGHTLY, QUERY)),
    Reader("store/generations/*/pruned.json", (("generations", "list", *JOB), PRUNE, NIGHTLY)),
    Reader(
        "store/excluded.parquet", (("exclude", "list", *JOB), ("exclude", "add", *JOB, "x"), QUERY, NIGHTLY)
    ),
    Reader("store/excluded.lock", (("exclude", "add", *JOB, "x"),)),
    Reader("store/LOCK", (NIGHTLY, PRUNE)),
    Reader("store/reports/*", (NIGHTLY,)),
    Reader("store/notes/*", (("generations", "list", *JOB), NIGHTLY)),
    Reader(
        "store/embeddings/*/*.json",
        (NIGHTLY, ("generations", "verify", *JOB), ("index", *JOB)),
        ("run `lookalike embed` first",),  # where the night ended at the note
    ),
    Reader("store/embeddings/*/*.parquet", (NIGHTLY, ("generations", "verify", *JOB)), ("shard",)),
    Reader(
        "store/indexes/*/manifest.json", (QUERY, ("generations", "rollback", *JOB), NIGHTLY), ("ndex shard",)
    ),
    Reader(
        "store/indexes/*/*",
        (QUERY, ("exclude", "add", *JOB, "x"), ("generations", "verify", *JOB)),
        ("ndex shard",),
    ),
    Reader("encoder/*", (QUERY, ("query", "pictures", *JOB, "-o", "out"), NIGHTLY), ("encoder",)),
    Reader(
        "ids.txt",
        (
            QUERY,
            (*NIGHTLY, "--set", "index.tuning_queries=ids.txt"),
            ("exclude", "add", *JOB, "--from", "ids.txt"),
        ),
    ),
    Reader(
        "vectors.parquet",
        (
            ("query", "vectors.parquet", *JOB, "-o", "out"),
            (*NIGHTLY, "--set", "index.tuning_queries=vectors.parquet"),
            (*EVALUATE, "--queries", "vectors.parquet", "--relevance", "title"),
        ),
    ),
    Reader("qrels.txt", ((*EVALUATE, "--queries", "ids.txt", "--relevance", "qrels.txt"),)),
    Reader(
        "earlier/*", ((*EVALUATE, "--queries", "ids.txt", "--relevance", "number", "--against", "earlier"),)
    ),
    Reader("rows.csv", (("pack", "pictures", "packed", "--metadata", "rows.csv"),)),
    Reader("rows.jsonl", (("pack", "pictures", "packed", "--metadata", "rows.jsonl"),)),
    Reader("packed/.lookalike-pack.json", (("pack", "pictures", "packed"),)),
    Reader(
        "job.yaml",
        (
            NIGHTLY,
            QUERY,
            ("exclude", "list", *JOB),
            ("encoder", "build", "new", "--sample", "pictures", *JOB),
        ),
        ("A projection to",),  # where the job file is still whole, the world has too few pictures for it
    ),
    Reader("train.yaml", (("train", "-c", "train.yaml"),)),
    Reader(
        "run/*",
        (
            ("train", "-c", "train.yaml"),
            ("encoder", "build", "new", "--network", "run", "--sample", "pictures"),
        ),
    ),
)
MORE_READERS = (
    Reader(
        "store/generations/*/manifest.json",
        (
            ("standing", *JOB),
            ("duplicates", *JOB, "-o", "copies", "--min-score", "0.9"),
            ("export", *JOB, "-o", "exported"),
            ("report", *JOB),
            ("explain", "p01.jpg", "p02.jpg", *JOB),
        ),
        ("generation ", "indexes/", "embeddings/"),
    ),
    Reader("store/indexes/*/*", OTHERS, ("ndex shard",)),
    Reader("store/embeddings/*/*", OTHERS, ("shard", "p01.jpg")),
    Reader("store/excluded.parquet", OTHERS),
    Reader("store/standing/*/*", (("standing", *JOB), ("generations", "verify", *JOB))),
    Reader("store/standing/*/*/*", (("standing", *JOB), ("generations", "verify", *JOB), NIGHTLY)),
    Reader("store/kept/**/*", (NIGHTLY, ("nightly", *JOB, "--dry-run"))),
    Reader("store/encoders/*/*", (NIGHTLY, ("generations", "verify", *JOB), PRUNE), ("encoder",)),
    Reader("store/reports/*", (("report", *JOB), ("report", "store"), ("nightly", *JOB, "--dry-run"))),
    Reader(
        "encoder/*",
        (
            *(QUERY, ("query", "pictures", *JOB, "-o", "out"), NIGHTLY, ("encoder", "show", "encoder")),
            ("encoder", "tune", "encoder", "--query-expansion", "2,1"),
            ("explain", "pictures/p01.jpg", "p02.jpg", *JOB),
        ),
        ("encoder",),
    ),
    Reader(
        "encoder/text/*",
        (
            *(("query", "words.csv", *JOB, "-o", "out"), ("encoder", "show", "encoder"), NIGHTLY),
            ("evaluate", *JOB, "-o", "measured", "--text", "title", "--no-plots", "--resamples", "100"),
        ),
        ("text encoder",),
    ),
    *(
        Reader(
            asked,
            (
                ("query", asked, *JOB, "-o", "out"),
                (*EVALUATE, "--queries", asked, "--relevance", "title"),
                ("standing", *JOB, "--set", f"standing=[{{name: x, queries: {asked}}}]"),
                (*NIGHTLY, "--set", f"index.tuning_queries={asked}"),
            ),
        )
        for asked in ("asked.csv", "asked.jsonl", "asked.parquet", "asked.npy")
    ),
    Reader("answers/*", (("report", "answers"), ("report", "answers", *JOB, "-o", "page.html")), NOTHING),
    Reader("copies/*", (("report", "copies"), ("report", "copies", *JOB)), NOTHING),
    Reader("earlier/*", (("report", "earlier"), ("report", "earlier", *JOB)), NOTHING),
    Reader("exported/*", (("export", *JOB, "-o", "exported"),)),
)
"""What else reads these files, and files of their own: for hours, not for every day."""


class World:
    """A folder with a file of every kind that jobs read.

    Args:
        folder: new.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        pictures = {f"p{i:02}.jpg": picture(i) for i in range(12)}
        _build_encoder(folder / "encoder", [picture(i) for i in range(24)])
        add_labels(folder / "encoder", ("p01", "p02"))
        made = calibration(fingerprint(read_manifest(folder / "encoder")))
        (folder / "encoder" / CALIBRATION).write_bytes(calibration_json(made))
        job = Job(folder, folder / "encoder")
        (folder / "asked_ids.txt").write_text("p01.jpg\np02.jpg\n")
        job.set(standing=[{"name": "ids", "queries": str(folder / "asked_ids.txt")}])
        job.pack(pictures, per_shard=4)
        for night in range(3):
            job.pack({**pictures, "p00.jpg": picture(100 + night)}, per_shard=4)
            job.nightly()
        published = sorted((folder / "store" / "generations").iterdir())
        named = json.loads((published[0] / "manifest.json").read_bytes())
        tombstone = {"artifacts": [ref["path"] for ref in named["indexes"]], "shards": True}
        (published[0] / "pruned.json").write_text(json.dumps(tombstone))
        (published[0] / "manifest.json").unlink()
        self.served = published[-1]
        (folder / "pictures").mkdir()
        for name, content in list(pictures.items())[:3]:
            (folder / "pictures" / name).write_bytes(content)
        (folder / "ids.txt").write_text("p01.jpg\np02.jpg\n")
        vectors = np.random.default_rng(0).standard_normal((3, conftest.DIM)).astype(np.float32)
        columns = {"query_id": ["a", "b", "c"], "embedding": pa.array(list(vectors), pa.list_(pa.float32()))}
        pq.write_table(pa.table({**columns, "title": ["x", "y", "z"]}), folder / "vectors.parquet")
        (folder / "asked.csv").write_text(
            'query_id,path,box\na,pictures/p00.jpg,"1,1,20,20"\nb,pictures/p01.jpg,\n'
        )
        rows = [{"query_id": "a", "item_id": "p01.jpg", "where": "number > 2"}]
        rows += [{"query_id": "b", "vector": list(map(float, vectors[0]))}]
        (folder / "asked.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows[:1]))
        image = {"query_id": ["a"], "image": [picture(0)], "price": [3]}
        pq.write_table(pa.table(image), folder / "asked.parquet")
        np.save(folder / "asked.npy", vectors)
        (folder / "words.csv").write_text("query_id,text\na,p01\n")
        (folder / "qrels.txt").write_text("p01.jpg 0 p02.jpg 1\np02.jpg 0 p03.jpg 1\n")
        (folder / "rows.csv").write_text("path,price\np00.jpg,1\np01.jpg,2\n")
        (folder / "rows.jsonl").write_text('{"path": "p00.jpg", "price": 1}\n')
        job.pack({**pictures, "p00.jpg": picture(200)}, per_shard=4)  # so that a night has work to do
        with contextlib.chdir(folder):
            for arguments in (
                ("exclude", "add", *JOB, "p05.jpg"),
                ("pack", "pictures", "packed", "--format", "webdataset"),
                ("query", "pictures", *JOB, "-o", "answers"),
                ("duplicates", *JOB, "-o", "copies", "--min-score", "0.9"),
                ("export", *JOB, "-o", "exported"),
                (*EVALUATE[:-4], "-o", "earlier", "--queries", "ids.txt", "--relevance", "number"),
            ):
                done = run(*arguments)
                assert done.code in (0, 3), done
        store = folder / "store"
        self.digests = {
            path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in store.rglob("*")
            if path.is_file() and self._is_served(path)
        }

    def _is_served(self, path: Path) -> bool:
        store = str(self.folder / "store")
        shown = {*named_artifacts(store, generations.read(store, self.served.name))}
        shown.add(f"generations/{self.served.name}")
        return any(str(path.relative_to(self.folder / "store")).startswith(one) for one in shown)


def _build_encoder(folder: Path, pictures: list[bytes]) -> None:
    from lookalike.model.encoder.export import BundleRecipe, Example, build_bundle
    from lookalike.model.networks import Backbone

    backbone = Backbone(conftest.tiny_network(), conftest.SPEC)
    recipe = BundleRecipe(name="tiny", dim=conftest.DIM)
    build_bundle(folder, backbone, map(Example, pictures), recipe)


def damages(path: Path, each: int, dice: random.Random) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Ways to damage the file: a name, and what does it."""
    original = path.read_bytes()
    made = list(contents(original, path.suffix == ".json", each, dice))
    if original[:4] == b"PAR1":
        made += tables(path)
    for name, data in made:
        yield name, lambda place, data=data: place.write_bytes(data)

    def folder(place: Path) -> None:
        place.unlink()
        place.mkdir()
        (place / "x").write_text("x")

    def gone(place: Path) -> None:
        place.unlink()

    def loop(place: Path) -> None:
        place.unlink()
        place.symlink_to(place.name)

    yield "a folder", folder
    yield "gone", gone
    yield "a link to itself", loop
    yield "no permission", lambda place: None


class _Hang(BaseException):
    pass


def attempt(world: Path, reader: Reader, path: Path, name: str, digests: dict[Path, str]) -> list[str]:
    """Runs the commands on the damaged world; gives what is wrong with how they end."""
    problems = []
    shown = path.relative_to(world)

    def too_long(*_: object) -> None:
        raise _Hang

    signal.signal(signal.SIGALRM, too_long)
    points = FaultPoints(world, 0, no_permission, lambda op, where: op == "open" and where == str(shown))
    for arguments in reader.commands:
        command = " ".join(arguments)
        signal.alarm(MOST_SECONDS)
        try:
            with (
                watched(points) if name == "no permission" else contextlib.nullcontext(),
                contextlib.chdir(world),
            ):
                done = run(*arguments)
        except _Hang:
            problems.append(f"{shown} ({name}): `{command}` takes more than {MOST_SECONDS} s")
            continue
        except BaseException:
            last = traceback.format_exc().strip().splitlines()
            where = [line.strip() for line in last if "/pipelines/" in line or "/model/" in line][-1:]
            problems.append(f"{shown} ({name}): `{command}` ends with {last[-1][:200]} {' '.join(where)}")
            continue
        finally:
            signal.alarm(0)
        problems += [f"{shown} ({name}): `{command}` {told}" for told in _wrong(done, reader, shown)]
    for other, digest in digests.items():
        if name in ("gone", "a folder") and path.name == "manifest.json" and other.parent == shown.parent:
            continue  # without its manifest it is no generation, and prune deletes what is left of it
        found = world / other
        if other != shown and not (
            found.is_file() and hashlib.sha256(found.read_bytes()).hexdigest() == digest
        ):
            problems.append(f"{shown} ({name}): {other} is lost")
    return problems


def _wrong(done: conftest.Outcome, reader: Reader, path: Path) -> Iterator[str]:
    if done.code not in EXIT_CODES:
        yield f"exits with {done.code}: {done.err[-300:]}"
    elif done.code not in (0, 3, 4):
        sentences = [line for line in done.err.splitlines() if line.startswith("lookalike: error: ")]
        if len(sentences) != 1 or not done.err.rstrip("\n").endswith(sentences[0]):
            yield f"ends with {len(sentences)} sentences: {done.err[-300:]!r}"
        elif not any(known in sentences[0] for known in (path.name, *reader.named)):
            yield f"does not name it: {sentences[0]}"


def sweep(
    folder: Path,
    seed: int,
    each: int,
    most: int | None,
    only: str = "*",
    say: Any = print,
    readers: Sequence[Reader] = READERS,
) -> list[str]:
    """Damages every file of a new world; gives the problems.

    Args:
        folder: an empty one.
        seed: of the choice.
        each: random damages of each kind for a file.
        most: damages of a file, at random; None for all.
        only: pattern of the files.
        say: gets a line for each file.
        readers: the commands; of two that read a file those of the first.
    """
    made = World(folder / "world")
    dice = random.Random(seed)
    problems: list[str] = []
    seen = set()
    for reader in readers:
        for path in sorted(made.folder.glob(reader.pattern)):
            shown = path.relative_to(made.folder)
            if not path.is_file() or shown in seen or not fnmatch.fnmatch(str(shown), only):
                continue
            seen.add(shown)
            ways = list(damages(path, each, dice))
            ways = ways if most is None else dice.sample(ways, min(most, len(ways)))
            found: list[str] = []
            for number, (name, damage) in enumerate(ways):
                copied = folder / f"copy{number}"
                shutil.copytree(made.folder, copied, symlinks=True)
                _point_to(copied, made.folder)
                damage(copied / shown)
                found += attempt(copied, reader, copied / shown, name, made.digests)
                shutil.rmtree(copied)
            say(f"{shown}: {len(ways)} damages, {len(found)} problems")
            problems += found
    return problems


def _point_to(copied: Path, original: Path) -> None:
    """The job file of a copy names its own folders."""
    job = copied / "job.yaml"
    job.write_text(job.read_text().replace(str(original), str(copied)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of damages")
    parser.add_argument("--each", type=int, default=20, help="random damages of each kind for a file")
    parser.add_argument("--most", type=int, help="damages of a file; all by default")
    parser.add_argument("--only", default="*", help="pattern of the files, such as 'store/*'")
    parser.add_argument("--more", action="store_true", help="the commands that are not tried every day")
    given = parser.parse_args()

    def say(line: str) -> None:
        print(line, flush=True)

    readers = MORE_READERS if given.more else READERS
    with tempfile.TemporaryDirectory() as folder:
        problems = sweep(Path(folder), given.seed, given.each, given.most, given.only, say, readers)
    print("\n".join(problems))
    print(f"{len(problems)} problems")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
