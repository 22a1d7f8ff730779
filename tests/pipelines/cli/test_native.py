"""What native libraries print becomes records of the log, and their last words reach the user."""

import json
import logging
import subprocess
import sys

import pytest

from lookalike.cli.native import NativeLines

RUN = """
import os, signal, sys
from lookalike.cli import jobs, main
from lookalike.model.errors import LookalikeError
def load(*_):
    {body}
jobs.load_config = load
sys.argv = ["lookalike", *{options}, "embed", "-c", "x"]
main.main()
"""
TALK = (
    r'os.write(2, b"libpng warning: iCCP: \x1b[2J\xff\n" * 500); '
    r'os.write(2, b"Corrupt JPEG data: 7 bytes\nCorrupt JPEG data: 9 bytes\n")'
)


def ended(body: str, *options: str) -> subprocess.CompletedProcess:
    code = RUN.format(body=body, options=list(options))
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


def test_every_line_of_standard_error_is_json():
    done = ended(f"{TALK}; raise LookalikeError('our own')", "--log", "json")
    entries = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 2
    assert all({"time", "level", "logger", "message"} <= entry.keys() for entry in entries)
    native = [entry["message"] for entry in entries if entry["logger"] == "native"]
    assert native == [
        "libpng warning: iCCP: \\x1b[2J\\xff",
        "Corrupt JPEG data: 7 bytes",
        "499 more like: libpng warning: iCCP: \\x0b[0J\\xff",
        "1 more like: Corrupt JPEG data: 0 bytes",
    ]
    assert [entry["message"] for entry in entries if entry["logger"] != "native"] == ["our own"]


def test_people_see_each_kind_of_line_once_and_then_our_sentence():
    done = ended(f"{TALK}; raise LookalikeError('our own')")
    lines = done.stderr.splitlines()
    assert sum("libpng" in line for line in lines) == 2
    assert "lookalike: error: our own" in lines


@pytest.mark.parametrize(
    ("crash", "code", "said"),
    [
        ("os.abort()", -6, "Fatal Python error: Aborted"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -11, "Fatal Python error: Segmentation fault"),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
    ],
)
def test_the_last_words_of_a_crash_reach_the_user(crash, code, said):
    done = ended(f"os.write(2, b'F tensor.cc:9] Check failed: 1 == 2'); {crash}")
    assert done.returncode == code
    assert "Check failed: 1 == 2" in done.stderr
    assert said in done.stderr


def test_a_bug_keeps_its_stack_trace():
    done = ended("raise ZeroDivisionError('a bug')")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError: a bug" in done.stderr


def test_the_process_never_waits_for_a_full_pipe():
    much = "[os.write(2, b'x' * 99 + b'\\n') for _ in range(20_000)]; os.write(2, b'y' * 3_000_000)"
    done = ended(f"{much}; raise LookalikeError('our own')")
    assert done.returncode == 2
    assert "lookalike: error: our own" in done.stderr
    assert len(done.stderr) < 200_000


def test_lines_that_differ_in_numbers_alone_are_one_kind():
    told = []
    lines = NativeLines(lambda level, text: told.append((level, text)))
    for number in range(100):
        lines.add(b"tile %d at 0xff%d" % (number, number))
        lines.add(b"kind " + b"x" * number)
    lines.add(b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.")
    lines.add(b"  ")
    lines.end()
    texts = [text for _, text in told]
    assert texts[0] == "tile 0 at 0xff0"
    assert "99 more like: tile 0 at 0" in texts
    assert texts[-1] == "52 more lines of other kinds"
    assert len(texts) < 60


def test_noise_is_for_those_who_ask_for_it():
    told = []
    lines = NativeLines(lambda level, text: told.append(level))
    for text in (
        b"I0000 00:00 cpu",
        b"INFO: Created a delegate",
        b"2026-11-26 20:00:00.1: I tensorflow/core",
    ):
        lines.add(text)
    lines.add(b"W0000 something")
    assert told == [logging.DEBUG] * 3 + [logging.WARNING]


@pytest.mark.parametrize(
    ("number", "code", "what"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")]
)
def test_a_signal_ends_a_command_with_one_sentence(number, code, what):
    done = ended(f"os.kill(os.getpid(), signal.{number}); import time; time.sleep(30)")
    assert done.returncode == code
    assert (
        done.stderr == f"lookalike: error: {what}; what is finished is kept, run the same command to go on\n"
    )


def test_a_quiet_command_keeps_what_libraries_print_to_itself():
    code = RUN.format(body=f"{TALK}; raise LookalikeError('our own')", options=[]).replace(
        '"-c"', '"-q", "-c"'
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (2, "lookalike: error: our own\n")
