"""Who holds a store: told to people, written as one line, read again or not at all."""

import os
from dataclasses import replace

import pytest

from lookalike.store import holder as holder_module
from lookalike.store.holder import Holder, log_taken_over, parse_holder, refusal, renewed, this_process

ONE = Holder("nightly", "here", 7, "2026-01-02T03:04:05+00:00", "lookalike nightly -c a.yaml")


def test_a_holder_is_one_line_and_comes_back_as_it_was():
    data = replace(ONE, token="t", renewals=3).to_json()
    assert data.count(b"\n") == 1
    assert data.endswith(b"\n")
    assert parse_holder(data) == replace(ONE, token="t", renewals=3)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"3", b'{"what": "nightly"}', b'{"other": 1}', b"\xff"])
def test_what_is_no_holder_is_none(data):
    assert parse_holder(data) is None


def test_the_second_writer_is_told_who_the_first_is_and_what_to_do():
    assert str(refusal("store/LOCK", ONE)) == (
        "Another run is writing to this store: lookalike nightly on host here, process 7, since "
        "2026-01-02T03:04:05+00:00 (lookalike nightly -c a.yaml) holds store/LOCK. Wait for it, or end it"
    )
    assert "another process holds store/LOCK" in str(refusal("store/LOCK", None))


def test_this_process_names_itself(monkeypatch):
    monkeypatch.setattr("sys.argv", ["lookalike", "nightly", "--set", "store=my store"])
    monkeypatch.setattr(holder_module, "utc_now", lambda: ONE.since)
    me = this_process("nightly")
    assert (me.what, me.pid, me.since) == ("nightly", os.getpid(), ONE.since)
    assert me.command == "lookalike nightly --set 'store=my store'"


def test_renewing_counts_and_changes_nothing_else(monkeypatch):
    monkeypatch.setattr(holder_module, "utc_now", lambda: "later")
    assert renewed(renewed(ONE)) == replace(ONE, renewed="later", renewals=2)


@pytest.mark.parametrize(("data", "who"), [(ONE.to_json(), "process 7"), (b"", "unknown")])
def test_taking_over_is_logged_with_who_left_it(caplog, data, who):
    log_taken_over("store/LOCK", data)
    assert caplog.text.count("took over store/LOCK") == 1
    assert who in caplog.text
