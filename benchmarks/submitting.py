"""What the process that submits a night holds, and for how long, by the number of shards of the corpus.

    python benchmarks/submitting.py [--shards 1000 10000 100000] [--json FILE]

The corpus is as many empty files, and the store has the three files of each: what is read of them is names and notes.
Every step is a process of its own. Its memory is the peak, less that of a process that has imported the same and done
nothing. Behind them stand the exponent b of time ~ shards^b between the two largest, and what a million shards come to:
time by b, memory by what each shard more took between those two.

  first plan    no file of all notes yet: every note is opened
  keep notes    writes that file
  plan          lists corpus and store, and reads that file
  digest        of all that decides what is served, by which a night finds that nothing changed
  work          what workers are to read: image shards, embedding files, and what each index shard is made of
  known         table of the embedding files that were read, written and read again, and which of them are there
  manifest      table of shards and manifest, written and read again
  prune         looks at every file of the store
  query start   reads what a query reads of a generation
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import common
import pyarrow as pa
import yaml

MILLION = 1_000_000


def make(folder: Path, shards: int) -> None:
    """Writes the corpus and the store."""
    from lookalike.config.job import load_config
    from lookalike.embedding.plan import make_plan
    from lookalike.sources import find_shards
    from lookalike.store.notes import EmbeddedShard, base_path

    corpus, store = folder / "corpus", folder / "store"
    for number in range(shards):
        path = corpus / f"{number // 10_000:03}" / f"shard-{number:07}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    job = {"corpus": {"shards": str(corpus)}, "store": str(store), "encoder": str(folder / "encoder")}
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    write_bundle(folder / "encoder")
    config = load_config(folder / "job.yaml")
    (store / "embeddings").mkdir(parents=True)
    plan = make_plan(config)
    (store / "embeddings" / plan.fingerprint[:16]).mkdir()
    for number, shard in enumerate(find_shards(config.corpus.shards, config.corpus.source_options())):
        digest = f"{number:064x}"
        base = base_path(shard.name, digest, plan.fingerprint, plan.options_digest)
        note = EmbeddedShard(
            shard=shard.name,
            token=shard.token,
            digest=digest,
            encoder=plan.fingerprint,
            options=plan.options_digest,
            path=f"{base}.parquet",
            sha256=digest,
            rejects_path=f"{base}.rejects.parquet",
            rejects_sha256=digest,
            read=1000,
            embedded=999,
            reused=0,
            rejected=1,
            duplicates=0,
            reasons={"decode": 1},
            damaged=None,
            bytes=10**8,
            seconds={"read": 0.51, "decode": 1.02, "network": 2.03, "write": 0.25},
        )
        (store / note.path).touch()
        (store / note.rejects_path).touch()
        (store / f"{base}.json").write_text(
            json.dumps({"format": 2, **asdict(note)}, indent=1, sort_keys=True)
        )


def write_bundle(folder: Path) -> None:
    """An encoder of a manifest only, which is all that a plan reads of it."""
    from lookalike.model.encoder.manifest import FORMAT, MANIFEST, manifest_digest

    manifest = {"format": FORMAT, "name": "none", "dim": 8, "preprocessing": "decode", "pooling": "avg"}
    manifest |= {
        "projection": None,
        "unit_length": True,
        "variant": "int8",
        "files": {"int8.tflite": "0" * 64},
    }
    folder.mkdir()
    (folder / MANIFEST).write_text(json.dumps({**manifest, "digest": manifest_digest(manifest)}))


def _config(folder: Path) -> Any:
    from lookalike.config.job import load_config

    return load_config(folder / "job.yaml")


def nothing(folder: Path) -> None:
    from lookalike.embedding.plan import make_plan  # noqa: F401
    from lookalike.index.inputs import write_inputs  # noqa: F401
    from lookalike.index.job import made_from  # noqa: F401
    from lookalike.store.prune import prune  # noqa: F401

    _config(folder)


def plan(folder: Path) -> None:
    from lookalike.embedding.plan import make_plan

    made = make_plan(_config(folder))
    assert made.finished.all()


def keep(folder: Path) -> None:
    from lookalike.embedding.plan import make_plan
    from lookalike.store.note_listing import keep_notes

    made = make_plan(_config(folder))
    started = time.perf_counter()
    keep_notes(str(folder / "store"), made.fingerprint, made.stored)
    print(time.perf_counter() - started)


def digest(folder: Path) -> None:
    from lookalike.embedding.plan import make_plan
    from lookalike.index.job import made_from

    config = _config(folder)
    made = make_plan(config)
    started = time.perf_counter()
    made_from(config, made.notes, made.fingerprint, pa.array([], pa.string()), None)
    print(time.perf_counter() - started)


def work(folder: Path) -> None:
    from lookalike.embedding.plan import make_plan
    from lookalike.index.ids import StoredShard
    from lookalike.index.inputs import write_inputs
    from lookalike.runner.work_list import write_work_list
    from lookalike.sources import Shard

    made = make_plan(_config(folder))
    run, count = str(folder / "store" / "runs" / "r"), len(made.notes)
    started = time.perf_counter()
    write_work_list(f"{run}/embed", (shard.to_json() for shard in made.shards), count, Shard.from_json)
    stored = (StoredShard.of(number, note).to_json() for number, note in enumerate(made.notes))
    write_work_list(f"{run}/ids", stored, count, StoredShard.from_json)
    write_inputs(f"{run}/inputs.arrow", made.notes, iter(()), 512, {})
    print(time.perf_counter() - started)


def known(folder: Path) -> None:
    import numpy as np

    from lookalike.embedding.plan import make_plan
    from lookalike.store import kept

    store = str(folder / "store")
    made = make_plan(_config(folder))
    started = time.perf_counter()
    files = kept.files_of(made.notes)
    table = kept.KeptTable(files, (("title",),), np.zeros(len(files), np.int32)).split_into(256)
    kept.replace_rows(store, made.fingerprint, table)
    assert (kept.read_table(store, made.fingerprint).rows_of(made.notes) >= 0).all()
    print(time.perf_counter() - started)


def manifest(folder: Path) -> None:
    from lookalike.embedding.plan import make_plan
    from lookalike.store import generation as g
    from lookalike.store.generations import served_notes
    from lookalike.store.notes import totals

    store = str(folder / "store")
    made = make_plan(_config(folder))
    started = time.perf_counter()
    name = g.generation_name(datetime.now(timezone.utc), "0" * 8)
    fields: dict[str, Any] = {"format": 2, "name": name, "created": "", "encoder": made.fingerprint}
    fields |= {"encoder_name": "x", "dim": 8, "metric": "cosine", "metadata": {}, "duplicates": 0}
    fields |= {"counts": totals(made.notes), "indexes": (), "previous": None}
    g.publish(store, g.Generation(shards=g.write_shards(store, name, made.notes), **fields))
    assert len(served_notes(store, g.read_current(store))) == len(made.notes)
    print(time.perf_counter() - started)


def prune(folder: Path) -> None:
    from lookalike.store.prune import prune

    assert prune(str(folder / "store"), dry_run=True).files == 0


def query_start(folder: Path) -> None:
    from lookalike.store.generation import read_current

    read_current(str(folder / "store"))


STEPS: dict[str, Callable[[Path], None]] = {
    "nothing": nothing,
    "first plan": plan,
    "keep notes": keep,
    "plan": plan,
    "digest": digest,
    "work": work,
    "known": known,
    "manifest": manifest,
    "prune": prune,
    "query start": query_start,
}


def measured(step: str, folder: Path) -> tuple[float, float]:
    """Runs a step in a process of its own: seconds, and MB at its peak."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, peak = map(float, done.stdout.split()[-2:])
    return seconds, peak


def run_step(step: str, folder: Path) -> None:
    nothing(folder)
    started = time.perf_counter()
    STEPS[step](folder)
    print(
        time.perf_counter() - started
        if step not in ("keep notes", "digest", "work", "known", "manifest")
        else ""
    )
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.step:
        run_step(options.step, options.folder)
        return
    rows: dict[str, list[tuple[float, float]]] = {step: [] for step in STEPS}
    for shards in options.shards:
        with tempfile.TemporaryDirectory() as work:
            make(Path(work), shards)
            for step in STEPS:
                rows[step].append(measured(step, Path(work)))
    common.show([("the submitting process", _table(options.shards, rows))], options.json)


def _table(shards: Sequence[int], rows: dict[str, list[tuple[float, float]]]) -> list[dict[str, Any]]:
    base = [peak for _, peak in rows.pop("nothing")]
    table = []
    for step, found in rows.items():
        row: dict[str, Any] = {"step": step}
        for count, (seconds, peak), before in zip(shards, found, base, strict=True):
            row |= {f"{count:,}: s": round(seconds, 2), f"MB of {count:,}": round(peak - before)}
        (less, more), (few, many) = [seconds for seconds, _ in found[-2:]], shards[-2:]
        exponent = math.log(max(more, 1e-3) / max(less, 1e-3)) / math.log(many / few)
        row["exponent"] = round(exponent, 2)
        row["1,000,000: s"] = round(more * (MILLION / many) ** max(exponent, 1.0))
        small, large = (peak - before for (_, peak), before in zip(found[-2:], base[-2:], strict=True))
        row["MB of 1,000,000"] = round(large + (large - small) / (many - few) * (MILLION - many))
        table.append(row)
    return table


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
