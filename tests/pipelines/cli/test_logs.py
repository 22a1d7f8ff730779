"""Logs: short lines for people, objects for machines."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys

import pytest

from lookalike.cli.logs import current_format, set_up


@pytest.mark.slow
def test_json_logs_are_one_object_a_line(job, pictures):
    job.pack(pictures | {"bad.jpg": b"x"})
    job.config.write_text(json.dumps(job.settings))
    command = [sys.executable, "-m", "lookalike", "--log", "json", "nightly", "-c", str(job.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in done.stderr.splitlines():
        assert {"time", "level", "logger", "message"} <= set(json.loads(line))
    assert "published    24 items" in done.stdout


@pytest.fixture(autouse=True)
def as_before():
    root = logging.getLogger()
    handlers, level, ours = root.handlers[:], root.level, logging.getLogger("lookalike").level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("lookalike").setLevel(ours)


def logged(capsys, *arguments, **options) -> list[str]:
    """What one message of each kind leaves on standard error."""
    set_up(*arguments, **options)
    logging.getLogger("lookalike.some.job").debug("a detail")
    logging.getLogger("lookalike.some.job").info("ours, %s", "ü")
    logging.getLogger("a_library").info("a library's talk")
    logging.getLogger("a_library").warning("a library's warning")
    logging.warning("nameless warning")
    logging.error("nameless error")
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_people_get_our_messages_and_warnings_of_libraries_with_the_time(capsys):
    lines = logged(capsys)
    assert [line.partition(" ")[2] for line in lines] == ["ours, ü", "a library's warning", "nameless error"]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", line.partition(" ")[0]) for line in lines)


def test_verbose_hides_nothing(capsys):
    assert len(logged(capsys, verbose=True)) == 6


def test_machines_get_the_time_in_utc_and_an_exception_in_one_line(capsys):
    set_up("json")
    try:
        raise ValueError("inside")
    except ValueError:
        logging.getLogger("lookalike.x").exception("it failed")
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"])
    assert (entry["level"], entry["logger"], entry["message"]) == ("error", "lookalike.x", "it failed")
    assert entry["exception"].endswith("ValueError: inside")


@pytest.mark.parametrize("name", ["text", "json"])
def test_the_format_that_was_set_up_can_be_asked_for(name):
    set_up(name)
    assert current_format() == name


def test_a_terminal_shows_a_message_in_the_place_of_what_is_waited_for(monkeypatch):
    class Screen(io.StringIO):
        def isatty(self):
            return True

    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    set_up()
    logging.getLogger("lookalike.some.job").info("done")
    assert re.fullmatch(r"\r\x1b\[K\d\d:\d\d:\d\d done\n", screen.getvalue())


def test_a_log_that_was_closed_stops_no_work(monkeypatch):
    closed = io.StringIO()
    monkeypatch.setattr("sys.stderr", closed)
    set_up()
    closed.close()
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logging.getLogger("lookalike.some.job").info("done")
