"""Any job file: YAML, `--set`, and one sentence for each key that is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from lookalike.model.errors import LookalikeError

Job = TypeVar("Job", bound=BaseModel)


def read_job(kind: type[Job], path: str | Path, overrides: list[str] | None = None) -> Job:
    """Reads a job file.

    Args:
        kind: the keys it may have.
        path: the YAML file.
        overrides: `key=value` with a dotted key, as given by `--set`; the value is read as YAML.

    Raises:
        LookalikeError: naming the key, what was found and what is allowed.
    """
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise LookalikeError(f"Cannot read the job file {path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise LookalikeError(f"The job file {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise LookalikeError(f"Expected keys such as `corpus:` in {path}. Received: {type(data).__name__}")
    for override in overrides or ():
        _override(data, override)
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise LookalikeError(f"{path}: " + "; ".join(_sentences(kind, error.errors()))) from None


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise LookalikeError(
            f"Expected --set key=value, such as index.recall_target=0.95. Received: {override}"
        )
    *path, last = key.split(".")
    for part in path:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise LookalikeError(f"--set {override}: `{part}` is a single value and has no keys")
    try:
        data[last] = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise LookalikeError(f"--set {override}: the value is not YAML") from None


def _sentences(kind: type[BaseModel], errors: Sequence[Any]) -> Iterator[str]:
    """One sentence for each key that is wrong; a key of two possible types has two errors."""
    by_key: dict[str, list[Any]] = {}
    for error in errors:
        by_key.setdefault(".".join(map(str, _place(kind, error["loc"]))), []).append(error)
    for key, (first, *others) in by_key.items():
        messages = dict.fromkeys(e["msg"].removeprefix("Value error, ") for e in (first, *others))
        reason = " or ".join(message[0].lower() + message[1:] for message in messages)
        if first["type"] == "extra_forbidden":
            yield _unknown(kind, key, first["loc"])
        elif first["type"] == "missing":
            yield f"the key `{key}` is missing"
        elif first["type"] == "model_type":
            yield f"`{key}`: keys and values are expected below it. Received: {first['input']!r}"
        elif not key:  # keys that do not go together
            yield reason
        else:
            yield f"`{key}`: {reason}. Received: {first['input']!r}"


def _unknown(kind: type[BaseModel], key: str, place: Sequence[Any]) -> str:
    section: Any = kind
    for part in place[:-1]:
        section = section.model_fields[part].annotation
    known = list(section.model_fields)
    nearest = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean `{nearest[0]}`?" if nearest else f"known keys: {', '.join(known)}"
    return f"unknown key `{key}`; {hint}"


def _place(kind: type[BaseModel], place: Sequence[Any]) -> Sequence[Any]:
    """An error's place as keys of the file, without what pydantic adds inside unions and lists."""
    section: Any = kind
    for depth, part in enumerate(place):
        field = section.model_fields.get(part)
        if field is None or not (
            isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        ):
            named = 2 if field is not None and get_origin(field.annotation) is dict else 1
            return place[: depth + named]
        section = field.annotation
    return place
