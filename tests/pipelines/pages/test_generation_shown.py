"""A page shows the generation of its result, and what is served where that is gone."""

from __future__ import annotations

import pytest

from lookalike.pages.generation_shown import opened


@pytest.mark.parametrize("name", [None, "20000101T000000Z-00000000"])
def test_what_is_served_stands_in_for_what_is_gone(copied, name) -> None:
    with opened(str(copied.store), name) as generation:
        assert generation.name == copied.generation["name"]
    with opened(str(copied.store), copied.generation["name"]) as generation:
        assert generation.name == copied.generation["name"]
