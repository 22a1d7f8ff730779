"""The images of a training: read once from the shards, checked, and kept as files are, encoded.

Decoding takes a small part of the time of a training step, so nothing decoded is kept.
"""

from __future__ import annotations

import hashlib
import mmap
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lookalike.model.cores import cores
from lookalike.model.errors import ImageError, LookalikeError
from lookalike.model.images.preprocess import Preprocess
from lookalike.model.training.loss_kinds import LOSS_KINDS

from ..filesystem.naming import temporary_file
from ..sources import Shard, find_shards, read_records
from ..sources.fields import escape
from ..sources.records import DIRECTORY, DUPLICATE, Record, Reject, class_of
from ..store.notes import REJECTS_SCHEMA, reject_row, table_of
from .config import TrainConfig

REJECTS = pa.schema([pa.field("set", pa.string()), *REJECTS_SCHEMA])
TRAINING, VALIDATION = "training", "validation"
_LABEL = "label"
_AHEAD, _WAITING_BYTES = 64, 128 << 20
"""Images that wait to be decoded, and bytes of all that wait; one alone may have more."""


class Spool:
    """Encoded images in one file without a name, which is gone when the process is.

    Args:
        folder: where there is room for them.
        preprocess: how they are decoded.
        max_pixels: larger images are refused.
    """

    def __init__(self, folder: Path, preprocess: Preprocess, max_pixels: int) -> None:
        self._file = temporary_file(str(folder))
        self._ends = [0]
        self._preprocess, self._max_pixels = preprocess, max_pixels
        self._map: mmap.mmap | None = None
        self._pool = ThreadPoolExecutor(cores(), thread_name_prefix="decode")

    def check(self, image: bytes) -> Future[str | None]:
        """Decodes an image on a thread; gives why it cannot be, or None."""
        return self._pool.submit(self._why_not, image)

    def _why_not(self, image: bytes) -> str | None:
        try:
            # No picture has been met before, and one of them may end the process that decodes it.
            self._preprocess.pixels(image, max_pixels=self._max_pixels, suspect=True)
        except ImageError as error:
            return str(error)
        return None

    def add(self, image: bytes) -> int:
        """Keeps an image; gives its number."""
        self._file.write(image)
        self._ends.append(self._ends[-1] + len(image))
        return len(self._ends) - 2

    def pixels(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Images as uint8 (n, height, width, 3), decoded on all cores. None can be added after this."""
        if self._map is None:
            self._file.flush()
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.stack(list(self._pool.map(self._decode, numbers)))

    def _decode(self, number: int) -> np.ndarray:
        assert self._map is not None
        image = self._map[self._ends[number] : self._ends[number + 1]]
        return self._preprocess.pixels(image, max_pixels=self._max_pixels)[0]

    def close(self) -> None:
        """Ends the threads and lets the file go."""
        self._pool.shutdown()
        if self._map is not None:
            self._map.close()
        self._file.close()


@dataclass(frozen=True)
class LabelledImages:
    """Images with their classes, in the order they were read; `model.training.batches.Images`.

    Attributes:
        ids: of the images.
        labels: int64 (n,), positions in `TrainingData.classes`.
        digests: SHA-256 of each encoded image, in hexadecimal.
    """

    ids: Sequence[str]
    labels: np.ndarray
    digests: Sequence[str]
    _spool: Spool
    _numbers: np.ndarray

    def pixels(self, indices: np.ndarray) -> np.ndarray:
        """See `model.training.batches.Images`."""
        return self._spool.pixels(self._numbers[indices])

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of all ids, classes and images in order."""
        rows = zip(self.ids, self.labels.tolist(), self.digests, strict=True)
        return hashlib.sha256("\n".join(f"{i!r} {n} {d}" for i, n, d in rows).encode()).hexdigest()


@dataclass(frozen=True)
class TrainingData:
    """What a training reads.

    Attributes:
        training, validation: the images.
        classes: those of training, sorted, then those that only validation has.
        trained_classes: how many of them training has.
        rejects: what is in neither set, and why; schema `REJECTS`.
        damaged: shards of which only a part could be read.
    """

    training: LabelledImages
    validation: LabelledImages
    classes: list[str]
    trained_classes: int
    rejects: pa.Table
    damaged: list[str]

    def counts(self, images: LabelledImages) -> dict[str, int]:
        """Class -> images, of those classes that have some."""
        counts = np.bincount(images.labels, minlength=len(self.classes)).tolist()
        return {name: n for name, n in zip(self.classes, counts, strict=True) if n}

    def check(self, job: TrainConfig) -> None:
        """Refuses what cannot be trained on.

        Raises:
            LookalikeError: if there are images of fewer than two classes to train on, or none to validate on, or
                fewer classes than the loss wants in a batch.
        """
        if self.trained_classes < 2 or not self.validation.ids:
            refused = self.rejects["error"].to_pylist()
            reason = f"; of {len(refused)} that were refused, the first: {refused[0]}" if refused else ""
            raise LookalikeError(
                f"Expected images of two classes or more to train on, and some to validate on. Received: "
                f"{len(self.training.ids)} images of {self.trained_classes} classes by `{job.label}`, and "
                f"{len(self.validation.ids)}{reason}"
            )
        together = job.batch_size // job.images_per_class
        if LOSS_KINDS[job.loss.name].compares_images and self.trained_classes < together:
            raise LookalikeError(
                f"A batch for {job.loss.name} is of {together} classes: batch_size {job.batch_size} divided by "
                f"images_per_class {job.images_per_class}. Received: {self.trained_classes} classes; set batch_size "
                f"to {self.trained_classes * job.images_per_class} or less"
            )

    def _duplicates(self) -> list[str]:
        number = self.rejects["stage"].to_pylist().count(DUPLICATE)
        return [f"{number:,}"] if number else []

    def notices(self) -> list[str]:
        """What is odd about the classes and sets, a sentence each."""
        trained, validated = self.counts(self.training), self.counts(self.validation)
        shared = len(set(self.training.digests) & set(self.validation.digests))
        new = self.classes[self.trained_classes :]
        single, alone = ([n for n, count in c.items() if count == 1] for c in (trained, validated))
        sentences = (
            ("a single image in training: {}", single),
            ("a single image in validation, which can ask for no other: {}", alone),
            ("in validation, but not in training: {}", new),
            ("in training, but not in validation: {}", [n for n in trained if n not in validated]),
            ("shards of which only a part could be read: {}", self.damaged),
            ("left out, as their ids came before: {} images", self._duplicates()),
        )
        lines = [text.format(_names(names)) for text, names in sentences if names]
        if shared:
            lines.append(f"images that are in training as well as in validation: {shared}")
        return lines


def _names(names: list[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@dataclass
class _Taken:
    ids: list[str]
    names: list[str]
    digests: list[str]
    numbers: list[int]

    def add(self, record: Record, name: str, number: int) -> None:
        """Adds an image of the class `name`, which is the spool's `number`th."""
        self.ids.append(record.item_id)
        self.names.append(name)
        self.digests.append(hashlib.sha256(record.image).hexdigest())
        self.numbers.append(number)

    def images(self, classes: dict[str, int], spool: Spool) -> LabelledImages:
        labels = np.array([classes[name] for name in self.names], np.int64)
        return LabelledImages(self.ids, labels, self.digests, spool, np.array(self.numbers, np.int64))


def read_training_data(job: TrainConfig, spool: Spool) -> TrainingData:
    """Reads the images of both sets, decodes each once to see that it can be, and keeps those that can.

    Raises:
        LookalikeError: if no shard matches, or an id comes twice and `corpus.duplicate_ids` is `error`.
        OSError: if a file system fails.
    """
    reading = _Reading(job, spool)
    if job.validation.shards is None:
        share = job.validation.part
        reading.read(job.corpus.shards, lambda item_id: _set_of(item_id, share))
    else:
        reading.read(job.corpus.shards, lambda _: TRAINING)
        reading.read(job.validation.shards, lambda _: VALIDATION)
    taken = reading.taken
    trained = sorted(set(taken[TRAINING].names))
    classes = trained + sorted(set(taken[VALIDATION].names) - set(trained))
    positions = {name: position for position, name in enumerate(classes)}
    return TrainingData(
        taken[TRAINING].images(positions, spool),
        taken[VALIDATION].images(positions, spool),
        classes,
        len(trained),
        table_of(reading.rejects, REJECTS),
        reading.damaged,
    )


def _set_of(item_id: str, share: float) -> str:
    """By the id alone, so that an image stays where it is when others come."""
    digest = hashlib.blake2b(item_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return VALIDATION if int.from_bytes(digest, "big") < share * 2**64 else TRAINING


class _Reading:
    """Both sets as they fill.

    Attributes:
        taken: set -> its images.
        rejects: rows of `REJECTS`, in the order of the shards.
        damaged: shards of which only a part could be read.
    """

    def __init__(self, job: TrainConfig, spool: Spool) -> None:
        self.taken = {name: _Taken([], [], [], []) for name in (TRAINING, VALIDATION)}
        self.rejects: list[tuple[Any, ...]] = []
        self.damaged: list[str] = []
        self._job, self._spool = job, spool
        self._options = job.corpus.source_options()
        if job.label != DIRECTORY and job.label not in self._options.metadata:
            metadata = {**self._options.metadata, job.label: "string"}
            self._options = replace(self._options, metadata=metadata)

    def read(self, paths: str | Sequence[str], set_of: Callable[[str], str]) -> None:
        """Takes the images of some shards that are fit for it, each into the set of its id."""
        seen: set[str] = set()
        rejects: list[tuple[Shard, Reject]] = []
        for shard, record, decoding in self._decoding(paths, rejects):
            if reject := self._why_not(record, decoding.result(), seen):
                rejects.append((shard, reject))
                continue
            seen.add(record.item_id)
            number = self._spool.add(record.image)
            self.taken[set_of(record.item_id)].add(record, class_of(record, self._job.label) or "", number)
        # What cannot be read is known while the records before it are still decoded.
        rejects.sort(key=lambda found: (found[0].name, found[1].position))
        for shard, reject in rejects:
            self.rejects.append((set_of(reject.item_id or ""), *reject_row(escape(shard.name), reject)))
            self.damaged += [escape(shard.place)] if reject.ends_shard else []

    def _decoding(
        self, paths: str | Sequence[str], rejects: list[tuple[Shard, Reject]]
    ) -> Iterator[tuple[Shard, Record, Future[str | None]]]:
        """The records of some shards in order, each with why it cannot be decoded; the others go to `rejects`."""
        waiting: deque[tuple[Shard, Record, Future[str | None]]] = deque()
        held = 0
        for shard in find_shards(paths, self._options):
            unreadable: list[Reject] = []
            for record in read_records(shard, self._options, unreadable.append):
                waiting.append((shard, record, self._spool.check(record.image)))
                held += len(record.image)
                while len(waiting) > _AHEAD or (len(waiting) > 1 and held > _WAITING_BYTES):
                    held -= len(waiting[0][1].image)
                    yield waiting.popleft()
            rejects += [(shard, reject) for reject in unreadable]
        yield from waiting

    def _why_not(self, record: Record, unreadable: str | None, seen: set[str]) -> Reject | None:
        if record.item_id in seen:
            if self._job.corpus.duplicate_ids == "error":
                raise LookalikeError(
                    f"Expected each id once, as corpus.duplicate_ids says. Received: {record.item_id} twice"
                )
            return Reject(record.item_id, record.position, DUPLICATE, "the id occurred before")
        if unreadable is not None:
            return Reject(record.item_id, record.position, "decode", unreadable)
        if class_of(record, self._job.label) is None:
            return Reject(record.item_id, record.position, _LABEL, f"the record has no {self._job.label}")
        return None
