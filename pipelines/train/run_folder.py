"""The folder of a training run: what it holds, and the network it gives to `encoder build`.

config.yaml        the job, with every default written out
checkpoint         to go on from; gone when the run is finished
features-*         of a frozen backbone, computed once
rejects.parquet    images that were not used, and why
tensorboard/       event files
network.keras      the network, to the embedding, with the averaged weights of the best epoch
metrics.json       each epoch
curves.png, card.md
run.json           what the run came to; written last
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lookalike.model.digests import parse_json, sha256_file, sha256_json
from lookalike.model.errors import LookalikeError

from ..filesystem import files

FORMAT = 2
CONFIG, CHECKPOINT, FEATURES, REJECTS = "config.yaml", "checkpoint", "features-", "rejects.parquet"
TENSORBOARD, NETWORK, METRICS, RUN = "tensorboard", "network.keras", "metrics.json", "run.json"
CURVES, CARD, BAD_BATCH = "curves.png", "card.md", "bad_batch.json"
_LOCK = ".lock"
_FEATURES = re.compile(FEATURES + "[0-9a-f]{16}")
_OURS = (CONFIG, CHECKPOINT, REJECTS, TENSORBOARD, NETWORK, METRICS, RUN, CURVES, CARD, BAD_BATCH, _LOCK)


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        preprocessing: spec of what the network takes.
        layer: name of the layer that gives the embedding.
        dim: length of an embedding.
        network_sha256: of `network.keras`.
        classes: of training.
        epochs: that were trained.
        best_epoch: the one whose weights the network has.
        metrics: of that epoch, on the validation images.
        identity: what decided the result.
    """

    preprocessing: str
    layer: str
    dim: int
    network_sha256: str
    classes: list[str]
    epochs: int
    best_epoch: int
    metrics: dict[str, float]
    identity: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Marks the run as finished."""
        content = {"format": FORMAT, **asdict(self)}
        text = json.dumps(content | {"digest": sha256_json(content)}, indent=2, ensure_ascii=False)
        files.write_bytes(str(folder / RUN), text.encode() + b"\n")


def read_run(folder: str | Path) -> Run | None:
    """The run of a folder; None if it is not finished, or there is none.

    Raises:
        LookalikeError: if `run.json` is damaged, or of another format.
    """
    path = Path(folder) / RUN
    try:
        stored = parse_json(path.read_bytes())
        if stored.pop("digest") != sha256_json(stored) or stored.pop("format") != FORMAT:
            raise ValueError
        return Run(**stored)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise LookalikeError(
            f"Expected a training run of format {FORMAT} in {path}. It is damaged, or of another version."
        ) from None


def trained_network(folder: str | Path) -> tuple[Run, Path]:
    """The finished run of a folder and its network file.

    Raises:
        LookalikeError: if the run is not finished, or the file is not the one it wrote.
    """
    run = read_run(folder)
    if run is None:
        raise LookalikeError(
            f"Expected a finished training run (`lookalike train`) in {folder}. Received: no {RUN} there"
        )
    path = Path(folder) / NETWORK
    found = sha256_file(path) if path.is_file() else "no such file"
    if found != run.network_sha256:
        raise LookalikeError(
            f"The run is damaged: {path} should have SHA-256 {run.network_sha256}. Received: {found}"
        )
    return run, path


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Makes the folder, and keeps a second training out of it while the block runs.

    Raises:
        LookalikeError: if there is one, or the folder holds something else than a run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = {path.name for path in folder.iterdir()}
    # Other programs call their files so, too: a run has a lock, which a copy may have lost.
    is_run = _LOCK in held or read_run(folder) is not None
    strangers = sorted(name for name in held if not (is_run and _is_ours(name)))
    if strangers:
        raise LookalikeError(
            f"Expected a new folder as `run`, or that of a training. Received: {folder}, which holds {strangers[0]}"
        )
    with open(folder / _LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LookalikeError(f"Another training is at work in {folder}") from None
        for path in folder.iterdir():
            if _is_unfinished(path.name):  # of a run that was killed
                path.unlink()
        yield


def clear(folder: Path) -> None:
    """Deletes what runs write, and nothing that somebody put there since."""
    files.delete(str(path) for path in folder.iterdir() if path.name != _LOCK and _is_ours(path.name))


def _is_ours(name: str) -> bool:
    return name in _OURS or bool(_FEATURES.fullmatch(name)) or _is_unfinished(name)


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") and files.TEMPORARY in name
