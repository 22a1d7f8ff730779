"""Whatever a decoder does to its process, the caller hears of it, and the next picture is decoded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lookalike.model.errors import ImageError, LookalikeError, TooManyPixelsError
from lookalike.model.images.decoder_processes import DecoderProcesses, LostProcessError
from tests.support.decoders import HEAD, PROGRAM

MEMORY = 100 << 20


@pytest.fixture(scope="module")
def shared() -> Iterator[DecoderProcesses]:
    processes = DecoderProcesses(PROGRAM)
    yield processes
    while process := processes._waiting():
        process.end()


@pytest.fixture
def processes(shared: DecoderProcesses) -> Iterator[DecoderProcesses]:
    yield shared
    ask(shared, "good")


def ask(processes: DecoderProcesses, words: str, **options: object) -> tuple[int, int]:
    """Process id, and number of the picture in that process."""
    image = processes.decode(HEAD + words.encode(), {"max_pixels": 100}, MEMORY, **options)  # type: ignore[arg-type]
    assert np.array_equal(image.pixels, np.arange(6).reshape(1, 2, 3))
    return image.width, image.height


def test_one_process_takes_one_picture_after_the_other(processes: DecoderProcesses) -> None:
    first, number = ask(processes, "good")
    assert ask(processes, "good") == (first, number + 1)
    assert first != os.getpid()


def test_a_fresh_process_has_had_no_picture(processes: DecoderProcesses) -> None:
    first, _ = ask(processes, "good")
    other, number = ask(processes, "good", fresh=True)
    assert number == 1
    assert other != first


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL", "SIGBUS"])
def test_the_signal_that_ended_a_process_is_told(processes: DecoderProcesses, name: str) -> None:
    with pytest.raises(LostProcessError, match=f"^GIF: its decoder ended by {name}$"):
        ask(processes, name)


def test_the_exit_code_that_a_process_ended_with_is_told(processes: DecoderProcesses) -> None:
    with pytest.raises(LostProcessError, match=r"^GIF: its decoder ended by exit code 3$"):
        ask(processes, "exit")


@pytest.mark.slow
def test_a_loop_ends_by_its_processor_time(processes: DecoderProcesses) -> None:
    with pytest.raises(ImageError, match=r"^GIF: decoding took more than 1 s of processor time$") as told:
        ask(processes, "spin", seconds=1)
    assert not isinstance(told.value, LostProcessError)


def test_a_wait_ends_by_the_clock(processes: DecoderProcesses) -> None:
    with pytest.raises(ImageError, match=r"^GIF: decoding took more than 1 s$") as told:
        ask(processes, "sleep", seconds=0.2)
    assert not isinstance(told.value, LostProcessError)


def test_what_fits_into_the_memory_is_decoded_and_what_does_not_is_told(processes: DecoderProcesses) -> None:
    processes.decode(HEAD + b"eat 80", {"max_pixels": 1}, MEMORY)
    with pytest.raises(LostProcessError, match=r"^GIF: needs more than 100 MiB to be decoded$"):
        ask(processes, "eat 120")


def test_the_file_does_not_count(processes: DecoderProcesses) -> None:
    processes.decode(HEAD + b"eat 80 " + b" " * (90 << 20), {"max_pixels": 1}, MEMORY)


def test_memory_that_a_picture_took_is_there_for_the_next(processes: DecoderProcesses) -> None:
    for _ in range(20):
        processes.decode(HEAD + b"eat 80", {"max_pixels": 1}, MEMORY)


def test_a_process_that_keeps_what_it_took_is_replaced(processes: DecoderProcesses) -> None:
    first, _ = ask(processes, "good")
    for _ in range(7):
        processes.decode(HEAD + b"keep 80", {"max_pixels": 1}, MEMORY)
    assert ask(processes, "good")[0] != first


def test_reasons_come_through_and_the_process_goes_on(processes: DecoderProcesses) -> None:
    first, _ = ask(processes, "good")
    with pytest.raises(ImageError, match=r"^cut short$"):
        ask(processes, "refused")
    with pytest.raises(TooManyPixelsError, match=r"^too large$"):
        ask(processes, "pixels 101")
    with pytest.raises(LookalikeError, match=r"^not installed$"):
        ask(processes, "broken")
    assert ask(processes, "good")[0] == first


def test_a_process_that_ended_while_it_waited_is_replaced(processes: DecoderProcesses) -> None:
    first, _ = ask(processes, "good")
    os.kill(first, signal.SIGKILL)
    time.sleep(0.1)
    assert ask(processes, "good")[0] != first


def test_threads_have_a_process_each(shared: DecoderProcesses) -> None:
    barrier, found = threading.Barrier(3), []

    def work() -> None:
        barrier.wait()
        found.append(ask(shared, "nap")[0])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 3


@pytest.mark.slow
def test_no_process_outlives_the_one_that_started_it() -> None:
    code = (
        f"from lookalike.model.images.decoder_processes import DecoderProcesses\n"
        f"image = DecoderProcesses({PROGRAM!r}).decode({HEAD!r} + b'good', {{'max_pixels': 1}}, {MEMORY})\n"
        f"print(image.width, flush=True)\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    child = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).stdout)
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("it lives")


@pytest.mark.parametrize(
    ("program", "cause"), [("import no_such_module", "exit code 1"), ("os.kill(os.getpid(), 9)", "SIGKILL")]
)
def test_a_process_that_does_not_start_is_no_fault_of_the_picture(program: str, cause: str) -> None:
    with pytest.raises(LookalikeError, match=rf"cannot be started: .* ended by {cause}$") as caught:
        ask(DecoderProcesses(f"import os; {program}"), "good")
    assert not isinstance(caught.value, ImageError)


def test_what_is_no_text_among_the_places_of_modules_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, Path("/somewhere"), "/\udcff", "/\xfc"])
    processes = DecoderProcesses(PROGRAM)
    ask(processes, "good")
    while process := processes._waiting():
        process.end()


def test_a_python_that_does_not_know_where_it_is_looks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable))
    monkeypatch.setattr(sys, "executable", None)
    processes = DecoderProcesses(PROGRAM)
    ask(processes, "good")
    while process := processes._waiting():
        process.end()
