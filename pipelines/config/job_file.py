"""Any job file: YAML, `--set`, and one sentence for each key that is wrong."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from lookalike.model.errors import LookalikeError

from ..filesystem.paths import AnyPath, plain, written
from .yaml_text import Place, YamlError, decoded, read_yaml

Job = TypeVar("Job", bound=BaseModel)
_MOST_SHOWN = 200
"""Characters of a wrong value."""


def read_job(kind: type[Job], path: str | Path, overrides: list[str] | None = None) -> Job:
    """Reads a job file.

    Args:
        kind: the keys it may have.
        path: the YAML file.
        overrides: `key=value` with a dotted key, as given by `--set`; the value is read as YAML.

    Raises:
        LookalikeError: naming the key, what was found and what is allowed.
    """
    data, lines = _read(path)
    for override in overrides or ():
        _override(data, lines, override)
    return _checked(kind, data, lines, str(path))


def make_job(kind: type[Job], given: Job | Mapping[str, Any] | AnyPath, keys: Mapping[str, Any]) -> Job:
    """A job of a program.

    Args:
        kind: the keys it may have.
        given: the path of a YAML file, or what would stand in one, in which paths may be Path objects, or a job.
        keys: dotted key -> value, instead of what is given.

    Raises:
        LookalikeError: naming the key, what was found and what is allowed.
    """
    if isinstance(given, kind) and not keys:
        return given
    lines: dict[Place, int] = {}
    named = "the job"
    if isinstance(given, BaseModel):
        data = given.model_dump(mode="json", exclude_unset=True)
    elif isinstance(given, Mapping):
        data = _plain(given)
    else:
        named = plain(given)
        data, lines = _read(named)
    for key, value in keys.items():
        _put(data, lines, key, _plain(value), f"{key}={value}")
    return _checked(kind, data, lines, named)


def _plain(value: Any) -> Any:
    """A value of a program as YAML would give it."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return written(os.fspath(value)) if isinstance(value, os.PathLike) else value


def _read(path: str | Path) -> tuple[dict[str, Any], dict[Place, int]]:
    try:
        data, lines = read_yaml(decoded(Path(path).read_bytes()))
    except OSError as error:
        raise LookalikeError(f"Cannot read the job file {path}: {error.strerror}") from None
    except YamlError as error:
        raise LookalikeError(f"The job file {path} is not YAML: {error}") from None
    if not isinstance(data, dict):
        received = {type(None): "nothing", list: "a list"}.get(type(data), repr(data))
        raise LookalikeError(f"Expected keys such as `corpus:` in {path}. Received: {received}")
    return data, dict(lines)


def _checked(kind: type[Job], data: dict[str, Any], lines: Mapping[Place, int], named: str) -> Job:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise LookalikeError(f"{named}: " + "; ".join(_sentences(kind, error.errors(), lines))) from None


def _override(data: dict[str, Any], lines: dict[Place, int], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise LookalikeError(
            f"Expected --set key=value, such as index.recall_target=0.95. Received: {override}"
        )
    try:
        value, _ = read_yaml(text)
    except YamlError as error:
        raise LookalikeError(f"--set {override}: the value is not YAML: {error}") from None
    _put(data, lines, key, value, f"--set {override}")


def _put(data: dict[str, Any], lines: dict[Place, int], key: str, value: Any, told: str) -> None:
    place = tuple(key.split("."))
    *path, last = place
    for part in path:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise LookalikeError(f"{told}: `{part}` is a single value and has no keys")
    data[last] = value
    for known in [known for known in lines if known[: len(place)] == place]:
        del lines[known]


def _sentences(kind: type[BaseModel], errors: Sequence[Any], lines: Mapping[Place, int]) -> Iterator[str]:
    """One sentence for each key that is wrong, with its line; a key of two possible types has two errors."""
    by_place: dict[Place, list[Any]] = {}
    for error in errors:
        by_place.setdefault(tuple(_place(kind, error["loc"])), []).append(error)
    for place, wrong in by_place.items():
        line = lines.get(place)
        yield (f"line {line}: " if line else "") + _sentence(kind, ".".join(map(str, place)), wrong)


def _sentence(kind: type[BaseModel], key: str, errors: Sequence[Any]) -> str:
    first = errors[0]
    # What we say of a value counts more than what pydantic says of its other possible types.
    told = [e for e in errors if e["type"] == "value_error"] or errors
    messages = dict.fromkeys(e["msg"].removeprefix("Value error, ") for e in told)
    reason = " or ".join(message[0].lower() + message[1:] for message in messages)
    if first["type"] == "extra_forbidden":
        return _unknown(kind, key, first["loc"])
    if first["type"] == "missing":
        return f"the key `{key}` is missing"
    if first["type"] == "model_type":
        return f"`{key}`: keys and values are expected below it. Received: {_shown(first['input'])}"
    if not key:  # keys that do not go together
        return reason
    return f"`{key}`: {reason}. Received: {_shown(first['input'])}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _unknown(kind: type[BaseModel], key: str, place: Sequence[Any]) -> str:
    section = kind
    for part in place[:-1]:
        section = (
            section if isinstance(part, int) else _section(section.model_fields[part].annotation) or section
        )
    known = list(section.model_fields)
    nearest = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean `{nearest[0]}`?" if nearest else f"known keys: {', '.join(known)}"
    return f"unknown key `{key}`; {hint}"


def _place(kind: type[BaseModel], place: Sequence[Any]) -> Sequence[Any]:
    """An error's place as keys of the file, without what pydantic adds inside unions and lists."""
    section = kind
    for depth, part in enumerate(place):
        if isinstance(part, int):  # of a list of sections
            continue
        field = section.model_fields.get(part)
        below = field and _section(field.annotation)
        if not below:
            named = 2 if field is not None and get_origin(field.annotation) is dict else 1
            return place[: depth + named]
        section = below
    return place


def _section(annotation: Any) -> type[BaseModel] | None:
    """The keys below a key that has some, or a list of such; else None."""
    if get_origin(annotation) is list:
        (annotation,) = get_args(annotation)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
