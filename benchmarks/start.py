"""What a small job costs beside its work: commands as processes of their own, from the command to the table.

    python benchmarks/start.py [--items 3000] [--rounds 9] [--json FILE]

An index of so many clothing photographs, 120 ids, 120 vectors and ten photographs that are not in it. In turns, so that
a busy machine slows all of them alike:
  numpy, pyarrow     python -c "import numpy, pyarrow", which the others are compared with
  help               lookalike --help
  ids, vectors, images  lookalike query
  unchanged night    lookalike nightly with nothing to do
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import common
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

LOOKALIKE = [sys.executable, "-m", "lookalike"]
IDS, PHOTOGRAPHS = 120, 10


def prepared(work: Path, data: Path, items: int) -> dict[str, list[str]]:
    """An index below `work`, published, and what is timed: its name -> the command."""
    photographs = work / "photographs"
    photographs.mkdir()
    for path in sorted(data.glob("train/*/*.jpg"))[:items]:
        shutil.copy(path, photographs)
    common.build_default_encoder(work / "encoder", data)
    config = work / "job.yaml"
    places = {"encoder": str(work / "encoder"), "store": str(work / "store")}
    config.write_text(yaml.safe_dump({"corpus": {"shards": str(photographs)}, **places}))
    night = [*LOOKALIKE, "nightly", "-c", str(config)]
    _run(night)
    (file,) = sorted(
        path for path in work.glob("store/embeddings/*/*.parquet") if ".rejects" not in path.name
    )[:1]
    table = pq.read_table(file)[:IDS]
    (work / "ids.txt").write_text("\n".join(table["item_id"].to_pylist()))
    pq.write_table(
        pa.table({"query_id": table["item_id"], "embedding": table["embedding"]}), work / "vectors.parquet"
    )
    (work / "new").mkdir()
    found = sorted(data.glob("validation/*/*.jpg"))
    for path in found[:: len(found) // PHOTOGRAPHS][:PHOTOGRAPHS]:
        shutil.copy(path, work / "new")

    def asked(queries: str) -> list[str]:
        return [*LOOKALIKE, "query", str(work / queries), "-c", str(config), "-o", str(work / "out")]

    return {
        "numpy, pyarrow": [sys.executable, "-c", "import numpy, pyarrow"],
        "help": [*LOOKALIKE, "--help"],
        "ids": asked("ids.txt"),
        "vectors": asked("vectors.parquet"),
        "images": asked("new"),
        "unchanged night": night,
    }


def _run(command: Sequence[str]) -> float:
    """The seconds that a command takes, which must end well."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command} failed: {done.stderr}")
    return time.perf_counter() - started


def measure(commands: dict[str, list[str]], rounds: int) -> list[dict[str, Any]]:
    """A row for each command: the median of some rounds, and of its ratios to the first command in the same round."""
    seconds = [{name: _run(command) for name, command in commands.items()} for _ in range(rounds)]
    first = next(iter(commands))
    return [
        {
            "command": name,
            "seconds": median(one[name] for one in seconds),
            f"of {first}": median(one[name] / one[first] for one in seconds),
        }
        for name in commands
    ]


def main() -> None:
    """Measures and prints."""
    parser = common.parser(__doc__)
    parser.add_argument("--items", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands = prepared(Path(folder), arguments.data, arguments.items)
        rows = measure(commands, arguments.rounds)
    common.show([("Small jobs", rows)], arguments.json)


if __name__ == "__main__":
    main()
