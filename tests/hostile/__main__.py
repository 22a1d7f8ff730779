"""Hostile files through whole jobs: what becomes of each, and the most memory that a job had.

    python -m tests.hostile bombs --encoder encoders/default      small files that ask for gigabytes
    python -m tests.hostile mutants --encoder encoders/default    100,000 damaged images of all formats

Each job runs as a process of its own. The exit code is 1 if one dies, or a file that must be rejected is not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import mutate_images
from tests.conftest import picture

from . import bombs
from .jobs import HostileJob
from .memory import Ended

GOOD = 64
PER_SHARD = 1_000


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.hostile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=["bombs", "mutants"])
    parser.add_argument("--encoder", type=Path, required=True, help="an encoder bundle")
    parser.add_argument("--count", type=int, default=100_000, help="how many mutants")
    parser.add_argument("--seed", type=int, default=1, help="of the mutants")
    parser.add_argument(
        "--folder", type=Path, help="where files and stores are kept; a temporary one without"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if options.what == "bombs":
            return _bombs(folder, options.encoder)
        return _mutants(folder, options.encoder, options.count, options.seed)


def _tell(what: str, ended: Ended) -> int:
    print(
        f"{what}: exit code {ended.code}, {ended.seconds:.1f} s, {ended.peak >> 20:,} MiB at most", flush=True
    )
    if ended.code:
        print(ended.text[-2000:])
    return int(ended.code != 0)


def _bombs(folder: Path, encoder: Path) -> int:
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for number in range(GOOD):
        (pictures / f"good{number:02}.jpg").write_bytes(picture(number, 640, 480))
    for name, made in (bombs.PICTURES | bombs.ALLOWED).items():
        (pictures / name).write_bytes(made())
    bombs.sparse_file(pictures / "sparse.jpg")
    bombs.tar_with_a_huge_member(folder / "member.tar.gz", picture(1))
    bombs.parquet_of_one_value(folder / "dictionary.parquet")
    inputs = [str(pictures), str(folder / "member.tar.gz"), str(folder / "dictionary.parquet")]
    job = HostileJob(folder / "job", encoder, inputs)
    failed = _tell("nightly", job.run("nightly"))
    rejects = job.rejects
    for row in rejects[:40]:
        print(f"  {row['item_id']}: {row['stage']}: {row['error']}")
    wanted = {*bombs.PICTURES, "sparse.jpg"}
    found = Counter(row["item_id"] for row in rejects)
    failed += any(found[name] != 1 for name in wanted)
    failed += not bombs.ALLOWED.keys() <= set(job.embedded)
    print(f"  {len(job.embedded):,} embedded")
    for path in inputs:
        failed += _tell(f"query {Path(path).name}", job.query(path))
        print(f"  {len(job.failures):,} failures")
    return int(failed > 0)


def _mutants(folder: Path, encoder: Path, count: int, seed: int) -> int:
    corpus = folder / "mutants"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, table in enumerate(_tables(count, seed)):
        pq.write_table(table, corpus / f"mutants-{number:05}.parquet")
    job = HostileJob(folder / "job", encoder, [str(corpus)])
    failed = _tell("nightly", job.run("nightly"))
    rejects = job.rejects
    reasons = Counter(" ".join(row["error"].split(":")[0].split()[:6]) for row in rejects)
    lost = [row for row in rejects if "its decoder ended" in row["error"] or "took more" in row["error"]]
    print(f"{count:,} mutants: {len(job.embedded):,} embedded, {len(rejects):,} rejected")
    for reason, number in reasons.most_common(30):
        print(f"  {number:7,}  {reason}")
    print(f"{len(lost)} ended their decoder's process, or took too long:")
    for row in lost[:30]:
        print(f"  {row['item_id']}: {row['error']}")
    failed += len(job.embedded) + len(rejects) != count
    failed += _tell("query", job.query(sorted(corpus.iterdir())[0]))
    return int(failed > 0)


def _tables(count: int, seed: int) -> Iterator[pa.Table]:
    rows: list[tuple[str, bytes]] = []
    for number, (name, data) in enumerate(mutate_images.mutants(count, seed)):
        rows.append((f"{number:06} {name}", data))
        if len(rows) == PER_SHARD or number == count - 1:
            yield pa.table({"id": [name for name, _ in rows], "image": pa.array([data for _, data in rows])})
            rows = []


if __name__ == "__main__":
    sys.exit(main())
