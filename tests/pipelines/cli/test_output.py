"""The streams of a command, in processes of its own: their ends, and that its exit code stands."""

import os
import subprocess
import sys

import pytest

from lookalike.cli.output import standard_error

FULL = "No space left on device: standard output"
SIGNALLED = """
import os, signal, sys
from lookalike.cli import main

def command(**_):
    try:
        os.kill(os.getpid(), signal.Signals[sys.argv[1]])
        signal.pause()
    except KeyboardInterrupt:
        if sys.argv[2] == "wrapped":
            raise ValueError("error of a library") from None
        raise

main.app = command
main.main()
"""


def ended(*arguments, **streams):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "lookalike", *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.run(command, env=environment, text=True, check=False, **streams)


@pytest.fixture
def full():
    with open("/dev/full", "w") as file:
        yield file


@pytest.fixture
def left():
    """A pipe whose reader has left."""
    readable, writable = os.pipe()
    os.close(readable)
    yield writable
    os.close(writable)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["generations", "--help"]], ids=" ".join)
def test_output_that_nothing_takes_is_named(arguments, full, left):
    done = ended(*arguments, stdout=full)
    assert (done.returncode, done.stderr) == (2, f"lookalike: error: {FULL}\n")
    done = ended(*arguments, stdout=left)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_failure_keeps_its_code_whatever_takes_its_words(full, left, tmp_path):
    for stream in (full, left):
        for arguments in (["nonsense"], ["nightly", "-c", tmp_path / "none.yaml"]):
            assert ended(*arguments, stdout=stream, stderr=stream).returncode == 2


def test_a_log_that_nothing_takes_is_no_error(full):
    with standard_error(full.fileno(), "utf-8", closefd=False) as errors:
        print("x", file=errors, flush=True)


@pytest.mark.parametrize(
    ("name", "code", "word"), [("SIGTERM", 143, "terminated"), ("SIGINT", 130, "interrupted")]
)
@pytest.mark.parametrize("how", ["plain", "wrapped"])
def test_a_signal_has_its_code_whatever_a_library_makes_of_it(name, code, word, how):
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED, name, how], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.split(";")[0]) == (code, f"lookalike: error: {word}")
