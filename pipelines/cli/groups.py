"""The group of all commands: help that fits its terminal, printable errors, and --quiet behind every command's name."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup

from lookalike.model.printable import printable

from . import logs, native

_HYPHEN = "\ue000"
"""Stands for a hyphen while lines are broken, which would cut `--per-group` in two; of Unicode's private use."""
_UNCUT = 10_000
QUIET = "Only errors and results: neither log nor progress."
OWN_PROCESS = object()
"""Of a context: nothing runs in this process but the command, so that its standard error is the command's."""


class _Formatter(typer.Context.formatter_class):  # type: ignore[valid-type,misc]  # typer keeps it to itself
    """Help whose lines end between words."""

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", _HYPHEN))

    def write_dl(self, rows: Any, *arguments: Any, **options: Any) -> None:
        super().write_dl([(name, text.replace("-", _HYPHEN)) for name, text in rows], *arguments, **options)

    def getvalue(self) -> str:
        return super().getvalue().replace(_HYPHEN, "-")


class _Context(typer.Context):
    formatter_class = _Formatter


class Commands(TyperGroup):
    """Commands, and groups of them."""

    context_class = _Context

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for command in self.commands.values():
            command.context_class = _Context
            if not isinstance(command, TyperGroup):
                command.params.append(_quiet_option())

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """As typer does, with the whole first sentence of each."""
        rows = [(name, command.get_short_help_str(_UNCUT)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _printable_errors():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with _printable_errors():
            return super().invoke(ctx)


Group = functools.partial(typer.Typer, cls=Commands, no_args_is_help=True, rich_markup_mode=None)
"""Makes a group of commands, whose help is plain text: in 80 columns, panels leave 16 of them to a long option's."""


def _quieten(ctx: typer.Context, given: bool) -> None:
    if given:
        logs.only_errors()
        if ctx.obj is OWN_PROCESS:
            native.only_errors()


def _quiet_option() -> Any:
    """The option as typer makes it of a command's parameter."""
    one = typer.Typer(add_completion=False)

    @one.command()
    def command(
        quiet: Annotated[
            bool, typer.Option("--quiet", "-q", help=QUIET, callback=_quieten, expose_value=False)
        ] = False,
    ) -> None: ...

    return typer.main.get_command(one).params[0]


@contextlib.contextmanager
def _printable_errors() -> Iterator[None]:
    """What typer says of arguments that it does not know has words of the user's in it."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):  # typer keeps to itself the class of what it prints
            vars(error)["message"] = printable(vars(error)["message"])
        raise
