"""Copies planted among photographs, and how many `lookalike duplicates` finds; or how long a million vectors take.

    python benchmarks/duplicates.py [--share 0.1] [--precision 0.95] [--encoder FOLDER] [--seed 0] [--split train]
        [--pairs N] [--json FILE]
    python benchmarks/duplicates.py --vectors 1000000 [--json FILE]

A tenth of the clothing photographs gets a copy: scaled, compressed anew, cropped to 90 % of its sides, recoloured or
flipped, a fifth of them each. Then the whole job runs. A copy is found if it is in one group with its photograph; an
item that is not kept is right if what is kept is of the same photograph. Photographs that were there twice before count
as wrong, and are named, so that one can look at them.

With --vectors there are no pictures: unit vectors about centres, a tenth of them copies of another one with a little
noise; all that are nearer than 0.95 are found. Told are the seconds of each stage and the peak of the process's memory.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import common
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from query import clustered

from lookalike.index.shard import ShardContent, write_index_shard
from lookalike.index.tuning import BuildOptions
from lookalike.store.generation import FORMAT, Generation, IndexRef, publish
from lookalike.store.index_manifest import MANIFEST
from lookalike.store.notes import EmbeddedShard

ENCODER, DIM = "0" * 64, 256
MIN_SCORE, NOISE = 0.95, 0.2
"""A copy has a cosine of about 1 / sqrt(1 + NOISE^2) = 0.981 with its vector."""
PROCESS = """
import json, re, sys, time
from lookalike.config.job import Config
from lookalike.duplicates.job import DuplicatesOptions, duplicates

store, out, score = sys.argv[1:]
job = Config.model_validate({"corpus": {"shards": "none"}, "encoder": "none", "store": store})
started = time.perf_counter()
done = duplicates(job, out, DuplicatesOptions(min_score=float(score)))
told = {"all": time.perf_counter() - started, "seconds": done.seconds, "groups": done.groups.groups}
# Not of getrusage, which also counts the process that this one was started by.
told["peak"] = int(re.search("VmHWM:\\s*([0-9]+) kB", open("/proc/self/status").read())[1]) * 1024
print(json.dumps(told))
"""

LOOKALIKE = [sys.executable, "-m", "lookalike"]
KINDS = ("scaled", "compressed", "cropped", "recoloured", "flipped")
FLIPPED = "flipped"


def copied(pixels: np.ndarray, kind: str, rng: np.random.Generator) -> tuple[str, bytes]:
    """A copy of BGR pixels as (extension, file)."""
    quality = 85
    if kind == "scaled":
        pixels = cv2.resize(
            pixels, None, fx=(scale := rng.uniform(0.4, 1.6)), fy=scale, interpolation=cv2.INTER_AREA
        )
    elif kind == "compressed":
        quality = int(rng.integers(20, 60))
    elif kind == "cropped":
        height, width = (round(side * 0.9) for side in pixels.shape[:2])
        top, left = rng.integers(pixels.shape[0] - height + 1), rng.integers(pixels.shape[1] - width + 1)
        pixels = pixels[top : top + height, left : left + width]
    elif kind == "recoloured":
        hsv = cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV).astype(np.float32)
        hsv *= np.float32([1, rng.uniform(0.6, 1.4), rng.uniform(0.75, 1.25)])
        pixels = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2BGR)
        pixels = np.clip(128 + (pixels.astype(np.float32) - 128) * rng.uniform(0.8, 1.2), 0, 255).astype(
            np.uint8
        )
    else:
        pixels = pixels[:, ::-1]
    extension = str(rng.choice(["jpg", "webp"]))
    flag = cv2.IMWRITE_JPEG_QUALITY if extension == "jpg" else cv2.IMWRITE_WEBP_QUALITY
    return extension, cv2.imencode(f".{extension}", np.ascontiguousarray(pixels), [flag, quality])[
        1
    ].tobytes()


def planted(folder: Path, photographs: list[Path], share: float, seed: int) -> dict[str, str]:
    """The photographs and copies of some; gives copy -> its kind. All of one photograph begin with the same number."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(photographs))[: round(share * len(photographs))]
    folder.mkdir(parents=True)
    kinds = {}
    for number, path in enumerate(photographs):
        (folder / f"{number:05}.jpg").write_bytes(path.read_bytes())
    for place, number in enumerate(chosen.tolist()):
        kind = KINDS[place % len(KINDS)]
        pixels = cv2.imread(str(folder / f"{number:05}.jpg"))
        extension, content = copied(pixels, kind, rng)
        name = f"{number:05}-{kind}.{extension}"
        (folder / name).write_bytes(content)
        kinds[name] = kind
    return kinds


def run(arguments: list[Any]) -> str:
    """Runs a command; gives what it prints. Raises SystemExit with its errors if it fails."""
    done = subprocess.run([*LOOKALIKE, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    return done.stdout


def measure_planted(work: Path, options: Any) -> list[tuple[str, list[dict[str, Any]]]]:
    """Precision and recall of the whole job."""
    photographs = sorted(options.data.glob(f"{options.split}/*/*.jpg"))
    kinds = planted(work / "photographs", photographs, options.share, options.seed)
    encoder = options.encoder or work / "encoder"
    if not options.encoder:
        common.build_default_encoder(encoder, options.data)
    job = work / "job.yaml"
    job.write_text(
        yaml.safe_dump(
            {
                "corpus": {"shards": str(work / "photographs")},
                "encoder": str(encoder),
                "store": str(work / "store"),
            }
        )
    )
    run(["nightly", "-c", job])
    started = time.perf_counter()
    limit = ["--set", f"duplicates.pairs={options.pairs}"] if options.pairs else []
    print(run(["duplicates", "-c", job, "-o", work / "out", "--precision", options.precision, *limit]))
    seconds = time.perf_counter() - started
    table = pq.read_table(work / "out" / "duplicates.parquet").to_pylist()
    group_of = {row["item_id"]: row["group"] for row in table}
    members = [row for row in table if not row["keep"]]
    wrong = [row for row in members if row["item_id"][:5] != row["representative_id"][:5]]
    found: Counter[str] = Counter()
    for name, kind in kinds.items():
        group = group_of.get(name)
        found[kind] += group is not None and group == group_of.get(f"{name[:5]}.jpg")
    every = Counter(kinds.values())
    rows = [{"copies": kind, "planted": every[kind], "recall": found[kind] / every[kind]} for kind in KINDS]
    but_flipped = [kind for kind in KINDS if kind != FLIPPED]
    for name, some in ("without flipped", but_flipped), ("all", list(KINDS)):
        right = sum(found[kind] for kind in some)
        rows.append(
            {
                "copies": name,
                "planted": sum(every[k] for k in some),
                "recall": right / sum(every[k] for k in some),
            }
        )
    shown = [
        {
            "not kept": row["item_id"],
            "kept": row["representative_id"],
            "score": row["score"],
            "correlation": row["correlation"],
        }
        for row in wrong
    ]
    summary = [
        {
            "items": len(kinds) + len(list((work / "photographs").iterdir())) - len(kinds),
            "not kept": len(members),
            "wrong": len(wrong),
            "precision": 1 - len(wrong) / max(1, len(members)),
            "seconds": seconds,
        }
    ]
    return [("recall", rows), ("precision", summary), *([("wrong", shown)] if shown else [])]


def published(store: Path, vectors: np.ndarray) -> None:
    """Vectors as an index shard, an embedding file without them, and a generation of both."""
    ids = pa.array([f"{row:08}" for row in range(len(vectors))])
    content = ShardContent(pa.table({"item_id": ids}), vectors, "cosine", ENCODER)
    folder = store / "indexes" / "one"
    built = write_index_shard(str(folder), content, BuildOptions())
    sha256 = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    ref = IndexRef("indexes/one", sha256, len(vectors), built.parameters.algorithm, 1.0)
    size = pa.array(np.full(len(vectors), 400, np.int32))
    (store / "embeddings").mkdir()
    pq.write_table(
        pa.table({"item_id": ids, "content_hash": ids, "width": size, "height": size}),
        store / "embeddings" / "one.parquet",
    )
    told = dict.fromkeys(("shard", "token", "digest", "options", "sha256", "rejects_sha256"), "one")
    counts = dict.fromkeys(("rejected", "reused", "duplicates", "bytes"), 0)
    note = EmbeddedShard(
        **told,
        **counts,
        encoder=ENCODER,
        path="embeddings/one.parquet",
        rejects_path="embeddings/one.rejects.parquet",
        read=len(vectors),
        embedded=len(vectors),
        reasons={},
        damaged=None,
        seconds={},
    )
    generation = Generation(
        format=FORMAT,
        name="20260101T000000Z-00000000",
        created="2026-01-01T00:00:00+00:00",
        encoder=ENCODER,
        encoder_name="none",
        dim=DIM,
        metric="cosine",
        metadata={},
        counts={"items": len(vectors)},
        shards=(note,),
        duplicates=0,
        indexes=(ref,),
        previous=None,
    )
    publish(str(store), generation)


def measure_vectors(work: Path, count: int) -> list[tuple[str, list[dict[str, Any]]]]:
    """Time and memory of a job that judges by scores alone."""
    rng = np.random.default_rng(0)
    vectors, _ = clustered(count, 1, dim=DIM)
    copies = count // 11
    noise = rng.normal(size=(copies, DIM)).astype(np.float32) * np.float32(NOISE / np.sqrt(DIM))
    lengths = np.linalg.norm(vectors[:copies], axis=1, keepdims=True)
    vectors[-copies:] = vectors[:copies] + noise * lengths
    started = time.perf_counter()
    published(work / "store", vectors)
    built = time.perf_counter() - started
    del vectors
    arguments = [str(work / "store"), str(work / "out"), str(MIN_SCORE)]
    ran = subprocess.run(
        [sys.executable, "-c", PROCESS, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    told = json.loads(ran.stdout.splitlines()[-1])
    table = pq.read_table(work / "out" / "duplicates.parquet", columns=["item_id", "group"])
    group_of = np.full(count, -1, np.int64)
    group_of[table["item_id"].to_numpy(zero_copy_only=False).astype(np.int64)] = table["group"].to_numpy()
    found = (group_of[:copies] == group_of[-copies:]) & (group_of[:copies] >= 0)
    first = {"vectors": count, "copies": copies, "recall": float(found.mean()), "groups": told["groups"]}
    second = {
        "building the index": built,
        **told["seconds"],
        "all": told["all"],
        "peak MB": told["peak"] / 1e6,
    }
    return [("what was found", [first]), ("seconds, and memory at its peak", [second])]


def main() -> None:
    made = common.parser(__doc__)
    made.add_argument("--share", type=float, default=0.1, help="of the photographs, that get a copy")
    made.add_argument("--precision", type=float, default=0.95, help="that is wished")
    made.add_argument("--encoder", type=Path, help="a bundle, instead of one that is built")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--split", default="train", help="of the photographs: train or validation")
    made.add_argument(
        "--pairs", type=int, help="whose pictures are compared at most; default that of the job"
    )
    made.add_argument("--vectors", type=int, help="so many vectors without pictures")
    options = made.parse_args()
    with tempfile.TemporaryDirectory(prefix="duplicates-") as folder:
        work = Path(folder)
        tables = measure_vectors(work, options.vectors) if options.vectors else measure_planted(work, options)
        common.show(tables, options.json)


if __name__ == "__main__":
    main()
