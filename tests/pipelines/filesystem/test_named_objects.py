"""What many paths name on an object store: folders are listed by 1,000 a request, and none twice."""

import re

import pytest

from lookalike.filesystem import files, named_objects
from lookalike.filesystem.named_objects import FEW, Listings


def fill(server, bucket: str, *keys: str) -> str:
    server.fill(bucket, keys)
    server.reset()
    return f"s3://{bucket}"


def below(url: str, found) -> list[str]:
    return [file.path.removeprefix(f"{url}/") for file in found]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", ["top"]),
        ("a/*", ["a/1.tar", "a/2.tar", "a/x.png"]),
        ("a/*.tar", ["a/1.tar", "a/2.tar"]),
        ("a/?.tar", ["a/1.tar", "a/2.tar"]),
        ("a/[!1].tar", ["a/2.tar"]),
        ("*/1.tar", ["a/1.tar", "ab/1.tar"]),
        ("a/*/*.tar", ["a/b/3.tar"]),
        ("a/**", ["a/1.tar", "a/2.tar", "a/b/3.tar", "a/b/c/4.tar", "a/x.png"]),
        ("**/*.tar", ["a/1.tar", "a/2.tar", "a/b/3.tar", "a/b/c/4.tar", "ab/1.tar"]),
        ("a/**/?.tar", ["a/1.tar", "a/2.tar", "a/b/3.tar", "a/b/c/4.tar"]),
        ("**/b/*.tar", ["a/b/3.tar"]),
        ("a/{1,x}.*", ["a/1.tar", "a/x.png"]),
        ("a/b/3.tar", ["a/b/3.tar"]),
    ],
)
def test_a_pattern_names_what_a_shell_would(s3, pattern, expected):
    keys = ("top", "a/1.tar", "a/2.tar", "a/x.png", "a/b/3.tar", "a/b/c/4.tar", "ab/1.tar")
    url = fill(s3, s3.make_bucket(), *keys)
    assert below(url, files.glob(f"{url}/{pattern}")) == expected


def test_patterns_of_one_folder_list_it_once(server, bucket):
    url = fill(server, bucket, *(f"d/x-{number:03}" for number in range(30)))
    assert len(files.glob(f"{url}/d/x-{{00,01,02}}*")) == 30
    assert server.kinds() == {"LIST": 1}


def test_a_brace_list_of_many_is_one_listing_of_its_folder(server, bucket):
    keys = [f"x-{number:05}.tar" for number in range(1205)]
    url = fill(server, bucket, *keys, "y/deep")
    found = files.glob(f"{url}/x-{{00000..01204}}.tar")
    assert below(url, found) == keys
    assert server.kinds() == {"LIST": 2}
    server.reset()
    looked = list(Listings().look([f"{url}/{key}" for key in (*keys, "y", "z")]))
    assert [one.is_folder for one in looked[-2:]] == [True, False]
    assert sum(one.file is not None for one in looked) == 1205
    assert server.kinds() == {"LIST": 2}


def test_a_few_paths_are_asked_for_one_by_one(server, bucket):
    url = fill(server, bucket, *(f"x{number}" for number in range(FEW)))
    assert len(files.glob(f"{url}/x{{0..{FEW - 1}}}")) == FEW
    assert server.kinds() == {"HEAD": FEW}


def test_many_are_deleted_in_few_requests_and_their_neighbours_stay(server, bucket):
    url = fill(server, bucket, *(f"d/{n:04}" for n in range(1100)), "d/f/1", "d/f/2", "d/fx", "d2", "e")
    files.delete([*(f"{url}/d/{number:04}" for number in range(1100)), f"{url}/d/f", f"{url}/d/gone"])
    assert server.kinds() == {"LIST": 3, "BULK": 3}
    assert below(url, files.list_files(url)) == ["d/fx", "d2", "e"]


def test_a_part_of_a_pattern_matches_as_it_is_written():
    matches = re.compile(named_objects._expression("a.b+[]x]\\*")).fullmatch
    assert matches("a.b+]\\c")
    assert not matches("axb+]\\c")
