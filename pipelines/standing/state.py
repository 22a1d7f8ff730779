"""What a store keeps of a standing query.

    standing/NAME/latest.json               which answers are the last ones, and which before them are still there
    standing/NAME/ANSWERS/results.parquet   as a query job writes them
                          failures.parquet
                          changes.parquet   since the answers before
                          answers.json      what made them, counts and digests; written last

ANSWERS is the generation that answered and a digest of all else that decides the content, the answers before among it.
So a run that was killed finds its folder again, whole or not, and after a rollback one generation answers twice under
two names. Only `latest.json` is ever replaced, in one step, once all it names is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeVar

import pydantic

from lookalike.model.digests import sha256_json
from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..store.own_names import is_answers

FORMAT: Literal[1] = 1
LATEST, MANIFEST = "latest.json", "answers.json"
RESULTS, FAILURES, CHANGES = "results.parquet", "failures.parquet", "changes.parquet"
_TABLES = (RESULTS, FAILURES, CHANGES)

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class File:
    """SHA-256 and bytes of a file."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Answers:
    """What a standing query was answered once.

    Attributes:
        format: version of this layout.
        name: of the folder.
        generation: that answered.
        encoder: its encoder; scores of two encoders are not comparable.
        previous: folder of the answers that the changes begin with; None if they begin with nothing.
        made_from: digests of what decides the answers; equal where there is nothing new to answer.
        counts: queries that were answered and failed, matches, and changes by their kind.
        files: name of a table -> what it holds.
    """

    format: Literal[1]
    name: str
    generation: str
    encoder: str
    previous: str | None
    made_from: Mapping[str, str]
    counts: Mapping[str, int]
    files: Mapping[str, File]


@dataclass(frozen=True)
class Latest:
    """The last answers.

    Attributes:
        answers: folder.
        sha256: of its manifest.
        kept: folders that are still there, the oldest first and the last answers last.
    """

    answers: str
    sha256: str
    kept: Sequence[str]


def standing_folder(store: str, name: str, *below: str) -> str:
    """The folder of a standing query, or what is below it."""
    return files.join(store, "standing", name, *below)


def answers_name(generation: str, made_from: Mapping[str, str], previous: str | None) -> str:
    """The folder of the answers that are made from this, after those of another folder."""
    return f"{generation}-{sha256_json([made_from, previous])[:12]}"


def read_latest(store: str, name: str) -> tuple[Latest, Answers] | None:
    """The last answers to a standing query; None before the first.

    Raises:
        LookalikeError: if what is kept of them is damaged, or is not there.
        OSError: if it cannot be read.
    """
    path = standing_folder(store, name, LATEST)
    try:
        data = files.read_bytes(path)
    except FileNotFoundError:
        return None
    latest = parsed(Latest, data, path)
    path = standing_folder(store, name, latest.answers, MANIFEST)
    try:
        data = files.read_bytes(path)
    except FileNotFoundError:
        raise LookalikeError(f"{path} is not there") from None
    files.check_digest(path, data, latest.sha256)
    answers = parsed(Answers, data, path)
    if not _is_whole(standing_folder(store, name), answers):
        raise LookalikeError(f"Expected the tables of {path} beside it. Received: others, or none")
    return latest, answers


def read_answers(store: str, name: str, folder: str) -> Answers | None:
    """Answers that are all there; None if they are not."""
    path = standing_folder(store, name, folder, MANIFEST)
    try:
        answers = parsed(Answers, files.read_bytes(path), path)
    except (FileNotFoundError, LookalikeError):
        return None
    return answers if _is_whole(standing_folder(store, name), answers) else None


def parsed(kind: type[Kept], data: bytes, path: str) -> Kept:
    """`Latest` or `Answers` from the bytes of their file. Raises LookalikeError if they are damaged."""
    try:
        return pydantic.TypeAdapter(kind).validate_json(data)
    except pydantic.ValidationError as error:
        raise LookalikeError(f"{path} is damaged: {str(error).splitlines()[0]}") from None


def _is_whole(folder: str, answers: Answers) -> bool:
    held = {os.path.basename(f.path): f.size for f in files.list_files(files.join(folder, answers.name))}
    return all(held.get(name) == file.size for name, file in answers.files.items())


def write_answers(store: str, name: str, answers: Answers) -> None:
    """Writes the manifest of answers whose tables are there; what else is in their folder goes. Raises OSError."""
    folder = standing_folder(store, name, answers.name)
    files.delete(files.join(folder, entry) for entry in files.entries(folder) - {*_TABLES, MANIFEST})
    files.write_bytes(files.join(folder, MANIFEST), _json(answers))


def tables_of(store: str, name: str, folder: str) -> dict[str, File]:
    """The tables of a folder. Raises OSError."""
    paths = {table: standing_folder(store, name, folder, table) for table in _TABLES}
    return {table: File(files.sha256(path), files.look(path).size) for table, path in paths.items()}


def make_latest(store: str, name: str, answers: Answers, before: Latest | None, keep: int) -> None:
    """Makes these the last answers; then deletes all but them and the last of those before.

    Args:
        store: folder of the store.
        name: of the standing query.
        answers: they are all there.
        before: what was the last until now.
        keep: answers to keep, with these.

    Raises:
        OSError: if it cannot be written.
    """
    kept = [*(before.kept if before else ()), answers.name][-keep:]
    path = standing_folder(store, name, answers.name, MANIFEST)
    latest = Latest(answers.name, files.sha256(path), kept)
    files.write_bytes(standing_folder(store, name, LATEST), _json(latest))
    delete_others(store, name, latest)


def delete_others(store: str, name: str, latest: Latest) -> None:
    """Deletes answers that are neither the last nor kept with them. Raises OSError."""
    folder = standing_folder(store, name)
    left = files.entries(folder) - {*latest.kept, latest.answers}
    files.delete(files.join(folder, entry) for entry in sorted(left) if is_answers(entry))


def _json(value: Answers | Latest) -> bytes:
    return json.dumps(asdict(value), indent=1).encode() + b"\n"
