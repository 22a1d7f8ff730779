"""Reports of nights: of any age, and damaged."""

from __future__ import annotations

import json

import pytest

from lookalike.pages.night_reports import PARTS, Night, read_nights


def test_the_last_nights_are_read_in_their_order_and_damaged_ones_left_out(tmp_path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    for day in (1, 2, 3, 4):
        told = {"started": f"2026-01-0{day}T02:03:04+00:00", "records": {"read": day}}
        (folder / f"2026-01-0{day}T020304Z.json").write_text(json.dumps(told))
    (folder / "2026-01-03T020304Z.json").write_text("{")
    (folder / "latest.json").write_text("{}")
    nights = read_nights(str(tmp_path), most=3)
    assert [one.started for one in nights] == ["2026-01-02 02:03", "2026-01-04 02:03"]
    assert nights[-1].records == {"read": 4, **dict.fromkeys(PARTS, 0), "items": 0}


@pytest.mark.parametrize(
    "told",
    [
        [],
        {"records": {"read": "x"}},
        {"recalls": {"members": None}},
        {"drift": "x"},
        {"late": 7},
        {"seconds": {"all": []}},
        {"health": {"hubs": [{}]}},
        {"pictures": {"flaws": {"dark": 7}}},
        {"standing": {"shop": "x"}},
    ],
)
def test_a_report_with_values_of_another_kind_is_damaged(tmp_path, told) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "2026-01-01T000000Z.json").write_text(json.dumps(told))
    assert not read_nights(str(tmp_path))


def test_a_store_without_reports_has_no_nights(tmp_path) -> None:
    assert read_nights(str(tmp_path)) == []


def test_what_an_older_version_did_not_tell_is_not_there() -> None:
    night = Night({"outcome": "unchanged", "health": None, "recall": None})
    assert night.is_good
    assert (night.part("health"), night.number("recall"), night.started) == ({}, None, "")
    assert not Night({"outcome": "gate failed"}).is_good
