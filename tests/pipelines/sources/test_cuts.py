"""Where lists of paths are cut."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.sources import cuts
from lookalike.sources.cuts import cut, greatest_size, least_size

PATHS = st.lists(st.binary(max_size=6).map(lambda data: data.decode("utf-8", "surrogateescape")), unique=True)


def parts(paths: list[str], mean: int) -> dict[str, tuple[str, ...]]:
    return {name: tuple(paths[part]) for name, part in cut(paths, mean)}


def differing(before: dict[str, tuple[str, ...]], after: dict[str, tuple[str, ...]]) -> int:
    """How many of the larger of two sets of shards the other has not."""
    return max(len(after.items() - before.items()), len(before.items() - after.items()))


def some_paths(count: int, source: random.Random) -> list[str]:
    """Different paths, sorted; neighbours differ in little, as in a folder of photographs."""
    numbers = source.sample(range(10 * count), count)
    return sorted(f"{number // 1000:04}/{number:09}.jpg" for number in numbers)


@given(paths=PATHS, mean=st.integers(1, 12))
def test_every_path_is_in_one_part_in_order_within_the_bounds(paths, mean):
    found = cut(paths, mean)
    assert [path for _, part in found for path in paths[part]] == paths
    sizes = [part.stop - part.start for _, part in found]
    assert max(sizes) <= greatest_size(mean)
    assert len(sizes) == 1 or min(sizes) >= least_size(mean)
    assert len({name for name, _ in found}) == len(found)
    assert (found[0][0], found) == ("0" * 12, cut(tuple(paths), mean))


@given(paths=PATHS, mean=st.integers(1, 12))
def test_the_path_that_a_part_begins_with_decides_its_name(paths, mean):
    names = {paths[part.start]: name for name, part in cut(paths, mean)[1:]}
    fewer = paths[len(paths) // 3 :]
    others = {fewer[part.start]: name for name, part in cut(fewer, mean)[1:]}
    assert all(others[path] == names[path] for path in names.keys() & others.keys())


def test_names_and_cuts_stay_what_they_are():
    names = {name: (part.start, part.stop) for name, part in cut([f"{i}.jpg" for i in range(9)], 3)}
    assert names == {"000000000000": (0, 3), "51bbd1c7138e": (3, 5), "d4ec5bdf1f29": (5, 9)}


@pytest.mark.parametrize("mean", [1, 2, 7, 64, 1000])
def test_the_mean_is_the_mean(mean):
    count = len(cut(some_paths(100 * mean, random.Random(1)), mean))
    assert 100 * 0.93 <= count <= 100 * 1.07


@pytest.mark.parametrize(
    ("count", "mean", "changes", "most"),
    [
        (10, 1024, 300, 1.0),
        (300, 8, 1000, 1.35),
        (300, 1024, 300, 1.0),
        (1023, 64, 300, 1.15),
        (1024, 64, 300, 1.15),
        (1025, 64, 300, 1.15),
        (1025, 1024, 300, 1.05),
        (5000, 64, 200, 1.15),
        (5000, 1024, 200, 1.05),
        (100_000, 1024, 6, 1.5),
    ],
)
def test_a_path_that_comes_or_goes_changes_one_part(count, mean, changes, most):
    source = random.Random(count + mean)
    paths = some_paths(count, source)
    before = parts(paths, mean)
    found = []
    for number in range(changes):
        others = list(paths)
        if number % 2:
            del others[source.randrange(count)]
        else:
            others = sorted([*paths, f"{source.randrange(count // 100 + 1):04}/{number}x.jpg"])
        found.append(differing(before, parts(others, mean)))
    print(f"{count} paths, {mean} a part: {sum(found) / changes:.3f} parts differ, {max(found)} at most")
    assert sum(found) / changes <= most
    assert max(found) <= 5


def test_what_comes_before_all_others_or_after_them_renames_nothing():
    paths = some_paths(300, random.Random(2))
    names = {name for name, _ in cut(paths, 64)}
    assert (
        {name for name, _ in cut(["!", *paths], 64)} == {name for name, _ in cut([*paths, "~"], 64)} == names
    )


def test_names_that_begin_alike_are_longer():
    digest = "0" * 11 + "1" + "2" * 36
    names = cuts._names(["0" * 13 + "5" * 35, digest, digest[:14] + "7" * 34, "a" * 48])
    assert names == ["0" * 12, "0" * 13, digest[:12], digest[:13], "a" * 12]
