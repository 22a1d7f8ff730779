"""Answers standing queries against what is served, and tells what changed since they were answered last.

A standing query is answered again when anything differs that decides its answers: the generation, the content of its
file, how it is asked, the steps around the search, and which items are taken down. Then all its changes are told at
once, from the last answers to these, whatever made them: queries that are new have all their items entered, of queries
that are gone, or have failed, all have left.

    what decides the answers -> the folder's name -> results and failures -> changes -> manifest -> latest.json

A run that is killed at any moment is made up for by the next: it finds the folder whole and names it, or writes the
same bytes into it again, unless the answers are others by then; what was told before counts only once it is named.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields

from lookalike.model.digests import sha256_json
from lookalike.model.errors import LookalikeError

from ..config.job import Config, Standing
from ..filesystem import files
from ..index.post_processing import steps_of
from ..query.inputs import query_options, words_fingerprint
from ..query.job import QueryOptions, query
from ..store import exclusions
from ..store.calibrations import calibration_of
from ..store.generation import Generation, read_current
from .changes import write_changes
from .report import KINDS, StandingSummary
from .state import (
    CHANGES,
    FORMAT,
    RESULTS,
    Answers,
    Latest,
    answers_name,
    delete_others,
    make_latest,
    read_answers,
    read_latest,
    standing_folder,
    tables_of,
    write_answers,
)

logger = logging.getLogger(__name__)


def answer_standing(
    config: Config, flags: Sequence[str] = (), names: Sequence[str] | None = None
) -> Iterator[StandingSummary]:
    """Answers the standing queries of a job, one after another. Call it under `lock.hold`.

    One that cannot be answered is logged and told; its last answers stay as they are, and the others are answered.

    Args:
        config: the job.
        flags: Beam's flags; with any, workers answer, which must see the files of queries and the store.
        names: which of them; None for all.

    Yields:
        What became of each.
    """
    for standing in config.standing:
        if names is not None and standing.name not in names:
            continue
        try:
            yield _answered(config, standing.over(config.query), flags)
        except (LookalikeError, OSError) as error:
            reason = files.reason(error) if isinstance(error, OSError) else str(error)
            logger.warning("the standing query %s could not be answered: %s", standing.name, reason)
            yield StandingSummary(standing.name, "failed", error=reason)


def _answered(config: Config, standing: Standing, flags: Sequence[str]) -> StandingSummary:
    """Answers one, which has all keys of `query`. Raises LookalikeError, OSError as a query job."""
    generation = read_current(config.store)
    made_from = _made_from(config, standing, generation)
    latest, last = _last(config.store, standing.name)
    if latest and last and last.made_from == made_from:
        delete_others(config.store, standing.name, latest)  # of a run that was killed before it could
        return _summary(standing.name, "unchanged", last)
    before = last if last and _is_undamaged(config.store, standing.name, last) else None
    previous = before.name if before else None
    folder = answers_name(generation.name, made_from, previous)
    found = read_answers(config.store, standing.name, folder)
    answers = found or _answer(config, standing, flags, generation, made_from, previous, folder)
    make_latest(config.store, standing.name, answers, latest, config.retention.generations)
    return _summary(standing.name, "answered", answers)


def _answer(
    config: Config,
    standing: Standing,
    flags: Sequence[str],
    generation: Generation,
    made_from: dict[str, str],
    previous: str | None,
    folder: str,
) -> Answers:
    """Writes answers, and what changed since the previous ones, into their folder."""
    store, name = config.store, standing.name
    out = standing_folder(store, name, folder)
    job = config.model_copy(update={"query": standing})
    done = query(job, standing.queries, out, _options(standing), flags)
    if not done.searched:
        raise LookalikeError(
            f"none of its {done.failed:,} queries could be answered: {done.failures} tells why"
        )
    changes = write_changes(
        standing_folder(store, name, previous, RESULTS) if previous else None,
        files.join(out, RESULTS),
        files.join(out, CHANGES),
    )
    answers = Answers(
        format=FORMAT,
        name=folder,
        generation=generation.name,
        encoder=generation.encoder,
        previous=previous,
        made_from=made_from,
        counts={"answered": done.answered, "failed": done.failed, "matches": done.matches, **changes},
        files=tables_of(store, name, folder),
    )
    write_answers(store, name, answers)
    return answers


def _last(store: str, name: str) -> tuple[Latest, Answers] | tuple[None, None]:
    """The last answers; none, which is logged, where they are damaged or not there."""
    try:
        return read_latest(store, name) or (None, None)
    except LookalikeError as error:
        logger.warning("%s: all answers of the standing query %s are told as new", error, name)
        return None, None


def _is_undamaged(store: str, name: str, last: Answers) -> bool:
    """Whether the results are still what they were, as the log tells where not."""
    path = standing_folder(store, name, last.name, RESULTS)
    if files.sha256(path) == last.files[RESULTS].sha256:
        return True
    logger.warning("%s is damaged: all answers of the standing query %s are told as new", path, name)
    return False


def _options(standing: Standing) -> QueryOptions:
    """The options of `lookalike query` that a standing query has, by their names."""
    names = [field.name for field in fields(QueryOptions) if hasattr(standing, field.name)]
    return QueryOptions(**{name: getattr(standing, name) for name in names})


def _made_from(config: Config, standing: Standing, generation: Generation) -> dict[str, str]:
    """What decides the answers, by digests; the digest of the file is taken before it is read."""
    reading = [asdict(query_options(config.corpus)), config.corpus.max_pixels]
    reading += [config.corpus.group] if config.corpus.group else []
    steps = steps_of(config, generation)
    calibration, _ = calibration_of(config.store, config.encoder, generation, steps)
    words = words_fingerprint(config, standing.queries)
    return {
        **({"words": words} if words else {}),
        "generation": generation.name,
        "queries": _digest_of(standing.queries),
        "options": sha256_json([standing.model_dump(exclude={"name", "queries", "memory"}), reading]),
        "steps": sha256_json([steps.model_dump(), calibration and calibration.model_dump()]),
        "excluded": sha256_json(exclusions.excluded_ids(config.store).to_pylist()),
    }


def _digest_of(path: str) -> str:
    """The SHA-256 of what a path of queries names, by names and contents; not of what a table there names in turn."""
    if files.is_folder(path):
        listed = files.list_files(path)
        names = [file.path[len(path) :].strip("/") for file in listed]
    else:
        listed = files.glob(path)
        names = [os.path.basename(file.path) for file in listed]
    if not listed:
        raise LookalikeError(f"Expected queries. Received: the empty folder {path}")
    return sha256_json([[name, _content(file.path)] for name, file in zip(names, listed, strict=True)])


def _content(path: str) -> str:
    try:
        return files.sha256(path)
    except OSError as error:  # a failure among the answers
        return files.reason(error)


def _summary(name: str, outcome: str, answers: Answers) -> StandingSummary:
    told = dict(answers.counts)
    if outcome == "unchanged":
        told.update(dict.fromkeys(KINDS, 0))
    return StandingSummary(name, outcome, standing_folder("", name, answers.name).lstrip("/"), told)
