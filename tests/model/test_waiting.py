"""What is waited for is told when it takes long: a line that goes on a terminal, one that stays in a log."""

from __future__ import annotations

import io
import logging
import threading
import time
from types import SimpleNamespace

import pytest

from lookalike.model import waiting as module
from lookalike.model.waiting import CLEAR, awaited, shown_elsewhere, waiting


class Screen(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def screen(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "lookalike")
    shown = Screen()
    monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=shown))
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    return shown


def until(told: str | None) -> None:
    """Waits until that is what is waited for, 10 seconds at the most."""
    for _ in range(10_000):
        if awaited() == told:
            return
        time.sleep(0.001)
    raise AssertionError(awaited())


def test_a_terminal_shows_it_as_long_as_it_lasts(screen, caplog):
    with waiting("opening a\x1b[31m"):
        until("opening a\x1b[31m")
    assert screen.getvalue() == f"{CLEAR}opening a\\x1b[31m ...{CLEAR}"
    assert awaited() is None
    assert not caplog.messages


def test_within_another_the_inner_one_is_shown_and_then_the_outer_one_again(screen):
    with waiting("outer"):
        until("outer")
        with waiting("inner"):
            until("inner")
        assert awaited() == "outer"
    assert screen.getvalue() == f"{CLEAR}outer ...{CLEAR}inner ...{CLEAR}outer ...{CLEAR}"


def test_a_log_tells_it_once(screen, caplog, monkeypatch):
    monkeypatch.setattr(screen, "isatty", lambda: False, raising=False)
    with waiting("importing TensorFlow"):
        until("importing TensorFlow")
    assert caplog.messages == ["importing TensorFlow"]
    assert not screen.getvalue()


def test_what_is_quick_is_not_told(screen, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 60)
    with waiting("a moment"):
        pass
    assert not screen.getvalue()


def test_who_wants_errors_alone_is_told_nothing(screen, caplog):
    caplog.set_level(logging.ERROR, "lookalike")
    started = threading.active_count()
    with waiting("x"):
        while threading.active_count() > started:
            time.sleep(0.001)
    assert not screen.getvalue()


def test_a_progress_bar_has_the_terminal_to_itself(screen):
    with shown_elsewhere(), waiting("importing"):
        until("importing")
    assert screen.getvalue() == CLEAR


def test_an_error_inside_comes_out(screen):
    with pytest.raises(ZeroDivisionError), waiting("x"):
        raise ZeroDivisionError
    assert awaited() is None


def test_a_long_line_is_cut_to_the_terminal(screen, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    with waiting("reading " + "x" * 100):
        until("reading " + "x" * 100)
    assert all(len(shown) < 20 for shown in screen.getvalue().split(CLEAR))
