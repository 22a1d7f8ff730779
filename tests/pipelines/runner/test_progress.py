"""Progress: notes of any number of workers add up, and none of it can stop a run."""

import io
import logging
import threading
from collections import Counter

import pytest

from lookalike.runner import progress
from lookalike.runner.progress import (
    LOG_SECONDS,
    Pace,
    WorkerNote,
    added_up,
    shown,
    worker_note,
)


def test_notes_of_several_workers_add_up(tmp_path):
    for images in (3, 4):
        note = WorkerNote(str(tmp_path))
        note.add(images=images, shards=1)
        note.add(images=10)
        note.write()
    assert added_up(str(tmp_path)) == {"images": 27, "shards": 2}
    assert added_up(str(tmp_path / "nothing")) == {}


def test_a_note_is_written_only_now_and_then(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    note = WorkerNote(str(tmp_path))
    note.add(images=1)
    note.add(images=1)
    assert added_up(str(tmp_path)) == {"images": 1}
    now[0] += progress.NOTE_SECONDS
    note.add(images=1)
    assert added_up(str(tmp_path)) == {"images": 3}


def test_a_process_has_one_note_in_a_step_and_counts_anew_in_the_next(tmp_path):
    folder = str(tmp_path / "progress")
    with shown("looking up", folder, 2, 10, "records"):
        for _ in range(2):
            note = worker_note(folder)
            note.add(shards=1)
            note.write()
        assert added_up(folder) == {"shards": 2}
        assert len(list((tmp_path / "progress").iterdir())) == 1
    with shown("embedding", folder, 2, 10, "images"):
        worker_note(folder).add(images=3)
        assert added_up(folder) == {"images": 3}


def test_a_log_line_is_due_now_and_then(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    pace = Pace()
    assert not pace.due()
    now[0] += LOG_SECONDS + 1
    assert [pace.due(), pace.due()] == [True, False]


def test_notes_that_cannot_be_written_or_read_stop_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    WorkerNote(str(tmp_path / "file")).add(images=1)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "half.json").write_text('{"images": ')
    assert added_up(str(tmp_path / "runs")) == {}


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_is_shown_and_the_notes_are_gone_in_the_end(tmp_path, monkeypatch, caplog, terminal):
    class Console(io.StringIO):
        def isatty(self):
            return terminal

    told = threading.Event()
    state = progress._Run.state

    def noticed(run, counts, elapsed):
        if counts:  # else it looked before there was a note
            told.set()
        return state(run, counts, elapsed)

    monkeypatch.setattr(progress._Run, "state", noticed)
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.01)
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    monkeypatch.setattr("sys.stderr", Console())
    folder = tmp_path / "runs" / "x"
    with (
        caplog.at_level(logging.INFO, "lookalike.runner.progress"),
        shown("embedding", str(folder), 4, 100, "images"),
    ):
        WorkerNote(str(folder)).add(shards=1, images=20, work=50)
        assert told.wait(10)
    assert not folder.exists()
    if not terminal:
        assert caplog.messages[0] == "embedding: 4 shards to look at"
        assert "embedding: 1 of 4 shards, 20 images" in caplog.text


def test_who_wants_errors_alone_sees_no_progress(tmp_path, caplog):
    before = set(threading.enumerate())
    with caplog.at_level(logging.ERROR, "lookalike"), shown("x", str(tmp_path / "x"), 1, 1, "images"):
        while set(threading.enumerate()) - before:
            pass
    assert not caplog.messages


def test_before_the_first_note_what_is_waited_for_is_shown(monkeypatch):
    run = progress._Run("embedding", "", 4, 100, "images")
    assert run.state(Counter(), 1) == "starting"
    monkeypatch.setattr(progress, "awaited", lambda: "importing TensorFlow")
    assert run.state(Counter(), 1) == "importing TensorFlow"


def test_an_error_inside_comes_out_and_the_thread_ends(tmp_path):
    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError), shown("x", str(tmp_path / "x"), 1, 1, "images"):
        raise ZeroDivisionError
    assert set(threading.enumerate()) <= before  # one of another test may have ended meanwhile
