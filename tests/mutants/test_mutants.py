"""The list of changes is in step with the code."""

from __future__ import annotations

import ast

from tests.mutants.trial import ALL, not_found, suites_of
from tests.support.places import ROOT


def test_every_change_finds_its_place_exactly_once() -> None:
    assert not (lost := not_found()), "\n".join(lost)


def test_every_change_has_tests_to_try_and_a_reason() -> None:
    assert all(suites_of(file, change) and change.why for file, change in ALL)


def test_no_change_is_made_twice() -> None:
    assert len({(file, change.find, change.replace) for file, change in ALL}) == len(ALL)


def test_every_change_leaves_the_file_a_program() -> None:
    for file, change in ALL:
        ast.parse((ROOT / file).read_text("utf-8").replace(change.find, change.replace), file)
