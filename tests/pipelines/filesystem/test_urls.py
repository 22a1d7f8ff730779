"""Where a path leads."""

import pytest

from lookalike.filesystem import files, urls


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        ("a/b", False),
        ("/a", False),
        ("s3://b/a", True),
        ("GS://b/a", True),
        ("file:///a", False),
        ("a://b", True),
    ],
)
def test_a_url_is_remote_unless_it_is_of_this_machine(path, remote):
    assert files.is_remote(path) == remote


def test_parts_are_joined_by_one_slash_in_a_url():
    assert files.join("s3://b/store/", "a", "b") == "s3://b/store/a/b"
    assert files.join("file:///store", "a") == "/store/a"


def test_a_url_is_split_at_the_end_of_its_bucket():
    assert urls.split("abfss://c@account.dfs.core.windows.net/a/b") == (
        "abfss://c@account.dfs.core.windows.net",
        "a/b",
    )
    assert urls.split("s3://bucket/") == urls.split("s3://bucket") == ("s3://bucket", "")
