"""YAML as version 1.2 means it (its core schema), in one pass: no key twice, no tags, no more than a job needs.

PyYAML itself follows version 1.1, in which `010` is 8, `1:30` is 90, `no` is false and `1e-4` is text; it takes the
last of two equal keys, descends by recursion, and writes aliases of aliases out. Here its parser's events are built
up with a stack. https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from lookalike.model.errors import LookalikeError

MOST_BYTES = 4 << 20
MOST_DEPTH = 32
MOST_VALUES = 100_000
"""With all aliases written out."""

Place = tuple[Any, ...]
"""Keys of mappings and positions in lists, from the top."""

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,4000}")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,3000}|0o[0-7]{1,4000}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BEYOND = re.compile(r"\\U(?!00(0[0-9a-fA-F]|10))[0-9a-fA-F]{8}")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class YamlError(LookalikeError):
    """Text that is not YAML, or not of the kind that is read here; one sentence, with the line."""


@dataclass
class _Open:
    """A mapping or list that is not closed yet."""

    value: dict[Any, Any] | list[Any]
    place: Place
    anchor: str | None
    before: int
    key: Any = None
    has_key: bool = False


@dataclass
class _Built:
    """What has been read so far. `anchors` has a value, and how many values that is, for each anchor."""

    result: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, tuple[Any, int]] = field(default_factory=dict)
    values: int = 0


def decoded(data: bytes) -> str:
    """The text of a file: UTF-8, with a byte order mark or without. Raises YamlError, naming the line."""
    if len(data) > MOST_BYTES:
        raise YamlError(f"expected at most {MOST_BYTES:,} bytes. Received: {len(data):,}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise YamlError(
            f"line {line}: expected UTF-8. Received: the byte 0x{data[error.start]:02x}"
        ) from None


def read_yaml(text: str) -> tuple[Any, Mapping[Place, int]]:
    """Reads one document.

    Args:
        text: mappings, lists, text, numbers, true, false and null; anchors and aliases.

    Returns:
        value: what it holds; None for nothing. What an alias names is copied.
        lines: place -> number of its line, of all that is in mappings and lists.

    Raises:
        YamlError: for anything else, naming the line.
    """
    built = _Built()
    documents = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise YamlError(f"{_line(event)}: expected one document. Received: a second one")
            elif isinstance(event, yaml.NodeEvent):
                _take(built, event)
            elif isinstance(event, yaml.CollectionEndEvent):
                _close(built)
    except yaml.MarkedYAMLError as error:
        where = f"{_line(error.problem_mark)}: " if error.problem_mark else ""
        raise YamlError(f"{where}{error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(
            f"line {line}: the character U+{ord(text[error.position]):04X} is not allowed"
        ) from None
    except (ValueError, OverflowError):  # of `chr`
        found = _BEYOND.search(text)
        line = text.count("\n", 0, found.start() if found else 0) + 1
        raise YamlError(f"line {line}: expected characters up to \\U0010FFFF. Received: one beyond") from None
    return built.result, built.lines


def _line(of: Any) -> str:
    mark = getattr(of, "start_mark", of)
    return f"line {mark.line + 1}"


def _take(built: _Built, event: Any) -> None:
    if isinstance(event, yaml.AliasEvent):
        value, size = built.anchors.get(str(event.anchor), (None, 0))
        if not size:
            raise YamlError(f"{_line(event)}: no value before this is named &{event.anchor}")
        _count(built, size, event)
        _put(built, copy.deepcopy(value), event)
        return
    _check_tag(event)
    _count(built, 1, event)
    if isinstance(event, yaml.ScalarEvent):
        value = _scalar(event)
        if event.anchor:
            built.anchors[event.anchor] = value, 1
        _put(built, value, event)
        return
    value = {} if isinstance(event, yaml.MappingStartEvent) else []
    if len(built.stack) == MOST_DEPTH:
        raise YamlError(f"{_line(event)}: expected at most {MOST_DEPTH} values within each other")
    place = _put(built, value, event)
    built.stack.append(_Open(value, place, event.anchor, built.values - 1))


def _check_tag(event: Any) -> None:
    # "!" makes text of a value, as quotes do.
    if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
        raise YamlError(f"{_line(event)}: expected values without a tag. Received: {event.tag}")


def _count(built: _Built, values: int, event: Any) -> None:
    built.values += values
    if built.values > MOST_VALUES:
        raise YamlError(f"{_line(event)}: expected at most {MOST_VALUES:,} values, aliases written out")


def _put(built: _Built, value: Any, event: Any) -> Place:
    """Puts a value where it belongs, or keeps it as the key of the next one. Gives its place."""
    if not built.stack:
        built.result = value
        return ()
    into = built.stack[-1]
    line = event.start_mark.line + 1
    if isinstance(into.value, list):
        place = (*into.place, len(into.value))
        into.value.append(value)
    elif into.has_key:
        place = (*into.place, into.key)
        into.value[into.key], into.has_key = value, False
        return place
    else:
        if isinstance(value, dict | list):
            raise YamlError(f"line {line}: expected a key that is a single value")
        place = (*into.place, value)
        if value in into.value:
            first = built.lines[place]
            raise YamlError(f"line {line}: the key `{value}` is given twice, first in line {first}")
        into.key, into.has_key = value, True
    built.lines[place] = line
    return place


def _close(built: _Built) -> None:
    closed = built.stack.pop()
    if closed.anchor:
        built.anchors[closed.anchor] = closed.value, built.values - closed.before


def _scalar(event: yaml.ScalarEvent) -> Any:
    text: str = event.value
    if event.style is not None or event.tag is not None:
        return text
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    if _INT.fullmatch(text):
        return int(text)
    if _HEX.fullmatch(text):
        return int(text, 0)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return float(text) if _FLOAT.fullmatch(text) else text


class _Dumper(yaml.SafeDumper):
    """Quotes what version 1.1 would not read as text, and what version 1.2 would not."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(f"(?:{_FLOAT.pattern})$"), list("-+.0123456789")
)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(f"(?:{_HEX.pattern})$"), ["0"])


def yaml_text(value: Any, **options: Any) -> str:
    """A value as YAML that either version reads as the same value; `options` are those of `yaml.dump`."""
    return str(yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, **options))
