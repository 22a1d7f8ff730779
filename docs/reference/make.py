"""Writes the pages of this folder that follow from the code: the keys of both job files, and every command.

python docs/reference/make.py
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import typer
from pydantic import BaseModel

from lookalike.cli.main import EXIT_CODES, app
from lookalike.config.job import Config
from lookalike.train.config import TrainConfig

HERE = Path(__file__).parent
NUMBERS = {"integer": "whole number", "number": "number"}
MORE = {
    "corpus.shards": "[Inputs](inputs.md)",
    "corpus.item_id": "[Inputs](inputs.md)",
    "corpus.metadata": "[Types](inputs.md#metadata)",
    "index.recall_target": "[Recall](../explanation/recall.md)",
    "index.tuning_queries": "[Recall](../explanation/recall.md#how-recall-is-measured)",
    "index.shard_vectors": "[Memory](../operations.md#memory)",
    "index.worker_memory": "[Memory](../operations.md#memory)",
    "index.grow": "[Growth](../explanation/growth.md#an-index-that-grows)",
    "index.bytes": "[Bytes](../explanation/recall.md#bytes-of-a-vector)",
    "query.where": "[Filters](../recipes/filters.md)",
    "query.group_by": "[Groups](../recipes/filters.md#groups-thresholds-diversity)",
    "query.diversify": "[Diversity](../recipes/filters.md#groups-thresholds-diversity)",
    "query.combine": "[Several pictures](../recipes/query-tables.md#several-pictures-of-one-thing)",
    "query.min_probability": "[Probability](../recipes/probability.md)",
    "query.memory": "[Memory](../explanation/memory.md#memory-of-queries)",
    "duplicates.keep": "[What is kept](../recipes/duplicates.md#what-is-kept)",
    "prices.worker_hour": "[Before a night](../operations.md#before-a-night)",
    "network.name": "[Networks](../encoders.md#networks)",
    "network.preprocessing": "[Preprocessing](../encoders.md#preprocessing)",
    "loss.name": "[Losses](../training.md#what-is-trained)",
}
"""Where more stands about a key."""

NOT_RUN = {
    "demo": "takes a minute",
    "embed": "starts processes of its own",
    "init": "asks for a file that is not there yet",
    "generations show": "names a generation of somebody's store",
    "train": "trains for minutes",
}
"""Examples that the tests do not run, and why."""


def pages() -> dict[str, str]:
    """File name -> text of each page that this makes."""
    return {
        "commands.md": "".join(_commands()),
        "job-file.md": _JOB_FILE + "".join(_keys(Config)),
        "training-file.md": _TRAINING_FILE + "".join(_keys(TrainConfig, {"corpus": "job-file.md#corpus"})),
    }


_MADE = "<!-- Made by docs/reference/make.py from the code: change that, and run `make docs`. -->\n"

_JOB_FILE = f"""{_MADE}# The job file

What every command but [`train`](training-file.md) reads with `-c`. `config/nightly.yaml` and `config/demo.yaml` are
annotated examples. A wrong key or value is refused, by name and line, before anything starts.

Job files are YAML 1.2 (its core schema): `010` is 10, `yes` and `1:30` are text, and only `true` and `false` are true
or false; a key given twice, tags and merge keys (`<<`) are refused. `--set key=value` on the command line overrides a
key, as in `--set index.grow=0`, and reads values by the same rules. In paths, wherever one is given, `~`, `$NAME` and
`${{NAME}}` are written out; a variable that is not set is an error, and `$$` is a plain `$`.

"""

_TRAINING_FILE = f"""{_MADE}# The job file of training

What [`lookalike train`](../training.md) reads with `-c`; `config/train-*.yaml` are annotated examples. It is YAML as
the [other job file](job-file.md) is, and a wrong key or value is refused in the same way.

"""


_COMMANDS = rf"""{_MADE}# Commands

What `lookalike COMMAND --help` tells, on one page. `lookalike --install-completion` completes commands and options in
your shell.

Results go to standard output, logs to standard error (`--log json` for machines). What is printed or logged shows
control characters, bidirectional overrides and other characters that act as `\x1b`, `\u202e`, and passwords, keys and
signatures in URLs as `***`; JSON and tables keep an id as it is.

"""


def _keys(model: type[BaseModel], elsewhere: dict[str, str] | None = None) -> Iterator[str]:
    """A table of the keys of the file itself, then one for each section; `elsewhere` says where others are told."""
    schema = model.model_json_schema(by_alias=True)
    sections, plain = {}, {}
    for name, field in schema["properties"].items():
        kind = model.model_fields[_field_name(model, name)].annotation
        inner = [k for k in (kind, *get_args(kind)) if inspect.isclass(k) and issubclass(k, BaseModel)]
        if inner:
            sections[name] = (inner[0], kind is not inner[0])
        else:
            plain[name] = field
    yield from _table("", plain, schema)
    for name, (section, is_list) in sections.items():
        if elsewhere and name in elsewhere:
            yield f"\n## `{name}`\n\nImages to train on: the [section of the same name]({elsewhere[name]}).\n"
            continue
        yield f"\n## `{name}`\n\n{(inspect.getdoc(section) or '').partition(chr(10))[0]}\n\n"
        inner_schema = section.model_json_schema(by_alias=True)
        keys = inner_schema["properties"]
        if is_list:
            keys = {key: keys[key] for key in inspect.get_annotations(section)}
            yield "A list; each entry may have these keys and those of `query`.\n\n"
        yield from _table("" if is_list else f"{name}.", keys, inner_schema)


def _field_name(model: type[BaseModel], alias: str) -> str:
    return next(
        name for name, field in model.model_fields.items() if alias in (name, field.serialization_alias)
    )


def _table(prefix: str, fields: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    yield "| key | type | default | |\n|---|---|---|---|\n"
    required = schema.get("required", ())
    for name, field in sorted(fields.items(), key=lambda item: item[0] not in required):
        told = [field.get("description", ""), MORE.get(prefix + name, "")]
        default = _default(field, name in required)
        cells = [f"`{prefix}{name}`", _type(field, schema), default, ". ".join(filter(None, told))]
        yield _row(cells)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _type(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """The JSON schema of a value in words."""
    if "$ref" in field:
        return _type(schema["$defs"][field["$ref"].rpartition("/")[2]], schema)
    if "anyOf" in field:
        kinds = [_type(kind, schema) for kind in field["anyOf"] if kind.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if choices := field.get("enum") or ([field["const"]] if "const" in field else []):
        return ", ".join(f"`{choice}`" for choice in choices)
    kind = field.get("type")
    if kind in NUMBERS:
        return NUMBERS[kind] + _bounds(field)
    if kind == "array":
        items = field.get("items") or {"anyOf": field["prefixItems"]}
        return f"list of {_type(items, schema)}"
    return {"boolean": "`true`, `false`", "object": "keys and values"}.get(kind, "text")


def _bounds(field: dict[str, Any]) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    above, below = field.get("exclusiveMinimum"), field.get("exclusiveMaximum")
    told = [
        f"from {low:g}" if low is not None else f"above {above:g}" if above is not None else "",
        f"to {high:g}" if high is not None else f"below {below:,}" if below is not None else "",
    ]
    return "".join(f" {part}" for part in told if part)


def _default(field: dict[str, Any], required: bool) -> str:
    if required:
        return "**needed**"
    default = field.get("default")
    if default is None:
        return "" if "default" in field else "`{}`" if field.get("type") == "object" else "`[]`"
    return f"`{json.dumps(default) if isinstance(default, bool) or default == '' else default}`"


def _commands() -> Iterator[str]:
    yield _COMMANDS
    yield f"{EXIT_CODES.replace('docs/reference/exit-codes.md', '[Exit codes](exit-codes.md)')}\n"
    group = typer.main.get_command(app)
    yield "\n## For every command\n\n"
    yield from _options(group)
    for name, command in sorted(_leaves(group, "")):
        yield f"\n## `{name}`\n\n"
        told, *examples = re.split(r"\n*^Example: ", inspect.cleandoc(command.help), flags=re.MULTILINE)
        yield f"{told.strip()}\n"
        shown = "\n".join(" ".join(example.split()) for example in examples)
        why = f"<!-- checked: {NOT_RUN[name]} -->\n" if name in NOT_RUN else ""
        yield f"\n{why}```\n{shown}\n```\n\n"
        yield from _options(command)


def _leaves(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, f"{before}{name} ")
        else:
            yield before + name, command


def _options(command: Any) -> Iterator[str]:
    """Arguments and options of a command, in the order of its help."""
    context = type(command).context_class(command)
    yield "| | default | |\n|---|---|---|\n"
    for parameter in command.params:
        names, _ = parameter.get_help_record(context)
        default = "**needed**" if parameter.required else _shown(parameter.default)
        names = " ".join(names.split()).replace(
            "|", "/"
        )  # of a `\\|` in code some readers show both characters
        yield _row([f"`{names}`", default, parameter.help or ""])


def _shown(default: Any) -> str:
    return (
        ""
        if default in (None, False) or default == []
        else f"`{str(default).lower() if default is True else default}`"
    )


def main() -> None:
    for name, text in pages().items():
        (HERE / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
