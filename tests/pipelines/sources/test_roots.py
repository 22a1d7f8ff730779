"""Paths relative to the root of a corpus."""

from __future__ import annotations

import os

import pytest

from lookalike.sources.roots import absolute, common_root, fixed_part, relative_path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return str(tmp_path)


@pytest.mark.parametrize(
    "written", ["a/b", "./a//b/", "a/./b", "a/x/../b", "{}/a/b", "/{}/a/b/", "file://{}/a//b"]
)
def test_a_local_path_has_one_absolute_form(here, written):
    assert absolute(written.format(here)) == f"{here}/a/b"


def test_a_url_stays_as_it_is():
    assert absolute("s3://bucket/a//b/../c/") == "s3://bucket/a//b/../c"


def test_links_are_not_followed(here):
    os.symlink("/", "link")
    assert absolute("link/x") == f"{here}/link/x"


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [
        ("*.tar", "{}"),
        ("x.tar", "{}"),
        ("a/x-*.tar", "{}/a"),
        ("./a/b*/c/*.tar", "{}/a"),
        ("a/{{b,c}}/*.tar", "{}/a"),
        ("file://{}/a/[0-9].tar", "{}/a"),
        ("/*.tar", "/"),
        ("file:///x.tar", "/"),
        ("s3://bucket/a/*.tar", "s3://bucket/a"),
        ("s3://bucket/{{a,b}}.tar", "s3://bucket"),
        ("mem:///a/x.tar", "mem:///a"),
    ],
)
def test_the_fixed_part_is_the_folder_before_the_first_wildcard_or_brace(here, pattern, folder):
    assert fixed_part(pattern.format(here)) == folder.format(here)


@pytest.mark.parametrize(
    ("roots", "common"),
    [
        (["/a/b"], "/a/b"),
        (["/a/b", "/a/b/c"], "/a/b"),
        (["/a/bc", "/a/bd", "/a/b"], "/a"),
        (["/a", "/b"], ""),
        (["/"], "/"),
        (["s3://x"], "s3://x"),
        (["s3://x/a/b", "s3://x/a/c"], "s3://x/a"),
        (["s3://x/a", "s3://xy/a"], ""),
        (["s3://x/a", "gs://x/a"], ""),
        (["s3://x/a", "/x/a"], ""),
    ],
)
def test_the_common_root_is_the_deepest_folder_that_holds_all(roots, common):
    assert common_root(roots) == common_root(reversed(roots)) == common


@pytest.mark.parametrize(
    ("root", "path", "below"),
    [
        ("/a", "/a/b/c", "b/c"),
        ("/a/", "/a/b", "b"),
        ("/", "/a", "a"),
        (".", "./a", "a"),
        ("s3://x", "s3://x/a", "a"),
    ],
)
def test_the_path_below_a_folder(root, path, below):
    assert relative_path(root, path) == below
