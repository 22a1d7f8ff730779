"""Help fits a terminal of 80 columns, and every command can be quiet."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from lookalike.cli.main import app
from tests.conftest import picture, run


def commands(command: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All there are, groups and the whole included."""
    yield words, command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, *words, name)


ALL = dict(commands(typer.main.get_command(app)))
SINGLE = [words for words, command in ALL.items() if not hasattr(command, "commands")]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_fits_80_columns_and_cuts_no_word(words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = run(*words, "--help").out
    assert max(map(len, shown.splitlines())) <= 80
    command, text = ALL[words], " ".join(shown.split())
    helps = [command.help, *(parameter.help for parameter in command.params)]
    helps += [one.get_short_help_str(1000) for one in getattr(command, "commands", {}).values()]
    for one in filter(None, helps):
        assert " ".join(one.split()) in text
    for option in command.params:
        assert all(name in text.split() or f"{name}," in text.split() for name in option.opts if "-" in name)


def test_every_command_can_be_quiet():
    assert all(any("--quiet" in option.opts for option in ALL[words].params) for words in SINGLE)


@pytest.mark.parametrize("words", [["--quiet", "pack"], ["pack", "-q"]], ids=" ".join)
def test_a_quiet_command_says_its_results_alone(words, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(picture(1))
    from lookalike.sources import pack

    logger = logging.getLogger("lookalike.sources.pack")
    before = pack.pack

    def noisy(*arguments: Any, **options: Any) -> Any:
        logger.warning("noise")
        return before(*arguments, **options)

    monkeypatch.setattr(pack, "pack", noisy)
    arguments = [tmp_path / "photos", tmp_path / "out"]
    assert run(*words, *arguments).err == ""
    assert "1 (" in run(*words, *arguments).out
    assert "noise" in run("pack", *arguments).err


def test_a_quiet_command_says_its_errors(tmp_path):
    outcome = run("pack", "--quiet", tmp_path / "nothing", tmp_path / "out")
    assert outcome.code == 2
    assert "nothing" in outcome.sentence


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["pack", "--no\x1b[31m"], "--no\\x1b[31m"),
        (["p\u202eack"], "'p\\u202eack'"),
        (["exclude", "add", "--\u202ed"], "--\\u202ed"),
        (["pack", "a", "b", "c\u2028ERROR d"], "(c\\u2028ERROR d)"),
        (["pack", "a", "b", "s3://me:secret@bucket/c"], "(s3://***@bucket/c)"),
    ],
    ids=ascii,
)
def test_refused_arguments_are_told_without_what_acts_or_is_secret(words, shown):
    outcome = run(*words)
    assert outcome.code == 2
    assert shown in outcome.err
    assert outcome.err.replace("\n", "").isprintable()
