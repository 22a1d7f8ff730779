"""Verifying: reads every file that is kept of standing queries again, and compares it with what the manifests say."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from .report import KINDS
from .state import (
    CHANGES,
    FAILURES,
    LATEST,
    MANIFEST,
    RESULTS,
    Answers,
    Latest,
    answers_name,
    parsed,
    standing_folder,
)


def damage(store: str) -> list[str]:
    """Checks digests, counts and pointers of all answers that are kept, of whatever standing query.

    Args:
        store: folder of the store.

    Returns:
        A sentence for each problem, naming the file; empty if there is none.

    Raises:
        OSError: if a folder cannot be listed.
    """
    return [
        problem
        for name in sorted(files.entries(standing_folder(store, "")))
        for problem in _of_one(store, name)
    ]


def _of_one(store: str, name: str) -> Iterator[str]:
    path = standing_folder(store, name, LATEST)
    try:
        latest = parsed(Latest, files.read_bytes(path), path)
    except FileNotFoundError:
        return  # none was answered yet
    except (LookalikeError, OSError) as error:
        yield _told(error, path)
        return
    if latest.answers not in latest.kept[-1:]:
        yield f"{path}: expected {latest.answers} as the last that is kept. Received: {', '.join(latest.kept)}"
    before: str | None = None
    for folder in latest.kept:
        sha256 = latest.sha256 if folder == latest.answers else None
        yield from _of_answers(store, name, folder, sha256, before)
        before = folder


def _of_answers(store: str, name: str, folder: str, sha256: str | None, before: str | None) -> Iterator[str]:
    path = standing_folder(store, name, folder, MANIFEST)
    try:
        data = files.read_bytes(path)
        if sha256 is not None:
            files.check_digest(path, data, sha256)
        answers = parsed(Answers, data, path)
    except (LookalikeError, OSError) as error:
        yield _told(error, path)
        return
    if not answers.name == folder == answers_name(answers.generation, answers.made_from, answers.previous):
        yield f"{path} is damaged: it is not of the answers {folder}"
    if before is not None and answers.previous not in (before, None):
        yield f"{path}: expected {before} as the answers before. Received: {answers.previous}"
    rows = {
        RESULTS: answers.counts.get("matches"),
        FAILURES: answers.counts.get("failed"),
        CHANGES: sum(answers.counts.get(kind, 0) for kind in KINDS),
    }
    for table, count in rows.items():
        yield from _of_table(standing_folder(store, name, folder, table), answers, table, count)


def _of_table(path: str, answers: Answers, table: str, count: int | None) -> Iterator[str]:
    try:
        if table not in answers.files:
            yield f"{path} is in no manifest"
            return
        if (sha256 := files.sha256(path)) != answers.files[table].sha256:
            yield f"{path} is damaged: expected SHA-256 {answers.files[table].sha256}. Received: {sha256}"
            return
        with files.open_read(path) as file:
            found = pq.ParquetFile(file).metadata.num_rows
        if found != count:
            yield f"{path}: expected {count} rows. Received: {found}"
    except (LookalikeError, OSError) as error:
        yield _told(error, path)
    except pa.ArrowException as error:
        yield f"{path} is damaged: {str(error).splitlines()[0]}"


def _told(error: LookalikeError | OSError, path: str) -> str:
    return f"{path} cannot be read: {files.reason(error)}" if isinstance(error, OSError) else str(error)
