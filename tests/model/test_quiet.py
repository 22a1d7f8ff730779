"""Quiet: what native code prints is gone while it lasts, and heard again behind it."""

import os
import sys

import pytest

from lookalike.model.quiet import quiet


def test_what_is_written_past_python_is_hidden_and_only_inside(capfd):
    os.write(2, b"before\n")
    with quiet():
        os.write(2, b"hidden\n")
        print("hidden too", file=sys.__stderr__, flush=True)
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\nafter\n"


def test_an_error_inside_comes_out_and_what_follows_is_heard(capfd):
    with pytest.raises(ValueError, match="inside"), quiet():
        raise ValueError("inside")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_no_file_descriptor_is_left_open():
    before = len(os.listdir("/proc/self/fd"))
    with quiet():
        pass
    assert len(os.listdir("/proc/self/fd")) == before
