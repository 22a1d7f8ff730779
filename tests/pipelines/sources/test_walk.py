import os
import socket
import subprocess
from pathlib import Path

import pytest

from lookalike.model.errors import LookalikeError
from lookalike.sources.walk import list_corpus, named


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(root: str = "in", follow_links: bool = False) -> dict[str, str]:
    """Path below the root -> problem."""
    return {file.path[len(root) + 1 :]: file.problem for file in list_corpus(root, follow_links)}


def link(place: str, target: str) -> None:
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    Path(place).symlink_to(target)


def test_files_are_listed_in_order_of_their_paths(here):
    make(here, "in/b", "in/a/2", "in/a.b", "in/a/1.tmp-2", "in/.h/x")
    assert list(listed()) == [".h/x", "a.b", "a/1.tmp-2", "a/2", "b"]
    assert list_corpus("nowhere", follow_links=False) == []


def test_what_cannot_be_read_is_listed_with_its_kind_and_never_opened(here, monkeypatch):
    make(here, "in/locked", "in/ok")
    os.mkfifo("in/pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("in/socket")
    link("in/gone", "nowhere")
    link("in/device", "/dev/null")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in path and access(path, mode))
    assert listed(follow_links=True) == {
        "device": "'device' is a device, not an image",
        "gone": "'gone' is a link to nowhere, which cannot be followed: No such file or directory",
        "locked": "'locked' may not be read: Permission denied",
        "ok": "",
        "pipe": "'pipe' is a named pipe, not an image",
        "socket": "'socket' is a socket, not an image",
    }


def test_a_folder_that_may_not_be_read_is_listed_alone(here, monkeypatch):
    make(here, "in/a/1", "in/b/1")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("in/a"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert listed() == {"a": "'a' is a folder that cannot be read: Permission denied", "b/1": ""}


def test_links_may_not_lead_out_unless_that_is_allowed(here):
    make(here, "in/a/1", "out/2", "inner/3")
    link("in/file", "../out/2")
    link("in/folder", "../out")
    link("in/beside", str(here / "inner" / "3"))  # its path begins like that of the corpus
    refused = "; corpus.follow_links: true allows that"
    assert listed() == {
        "a/1": "",
        "beside": f"'beside' is a link out of the corpus folder, to {here}/inner/3{refused}",
        "file": f"'file' is a link out of the corpus folder, to ../out/2{refused}",
        "folder": f"'folder' is a link out of the corpus folder, to ../out{refused}",
    }
    assert listed(follow_links=True) == dict.fromkeys(["a/1", "beside", "file", "folder/2"], "")


def test_links_inside_are_followed_and_the_corpus_may_be_a_link(here):
    make(here, "in/a/1")
    link("in/b", "a")
    link("in/c", "a/1")
    link("corpus", "in")
    assert listed("corpus") == listed() == dict.fromkeys(["a/1", "b/1", "c"], "")


@pytest.mark.parametrize("follow_links", [False, True])
def test_loops_of_links_end(here, follow_links):
    make(here, "in/a/1")
    link("in/a/up", "..")
    link("in/a/self", "self")
    link("in/one", "two")
    link("in/two", "one")
    assert listed(follow_links=follow_links) == {
        "a/1": "",
        "a/self": "'self' is a link to self, which cannot be followed: Too many levels of symbolic links",
        "a/up": "'up' is a link to a folder that it lies in, ..",
        "one": "'one' is a link to two, which cannot be followed: Too many levels of symbolic links",
        "two": "'two' is a link to one, which cannot be followed: Too many levels of symbolic links",
    }


def test_links_that_double_with_every_folder_do_not(here):
    for level in range(30):
        make(here, f"in/{level}/x")
        for name in "ab":
            link(f"in/{level}/{name}", f"../{level + 1}")
    found = listed()
    assert sum(not problem for problem in found.values()) <= 60
    assert len(found) < 200
    assert "is a link to ../1, where the link in/0/a leads, too" in found["0/b"]


def test_folders_may_be_as_deep_as_a_path_is_long(here):
    os.chdir("in")
    try:
        for _ in range(2100):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(here)
    try:
        ((path, problem),) = listed().items()
    finally:
        subprocess.run(["rm", "-rf", "in"], check=True)
    assert len(path) > 4000
    assert problem == "'d' is a folder that cannot be read: File name too long"


def test_patterns_name_what_glob_names(here):
    make(here, "in/a/1.tar", "in/a/.h.tar", "in/.h/2.tar", "in/b/c/3.tar", "in/4.tar", "in/5")
    for pattern in (
        "in/*.tar",
        "in/*/*.tar",
        "in/**/*.tar",
        "**/*.tar",
        "in/**/c/*",
        "in/a/.*",
        "./in//**/?.tar",
    ):
        expected = {
            str(path) for path in here.glob(pattern.removeprefix("./").replace("//", "/")) if path.is_file()
        }
        if pattern != "in/a/.*":
            expected = {path for path in expected if "/." not in path}
        assert {os.path.abspath(file.path) for file in named(pattern, follow_links=False)} == expected, (
            pattern
        )
    assert [file.path for file in named("in/**", follow_links=False)] == [
        "in/4.tar",
        "in/5",
        "in/a/1.tar",
        "in/b/c/3.tar",
    ]
    with pytest.raises(LookalikeError, match=r"No file matches\. .* Received: in/\*\.gz"):
        named("in/*.gz", follow_links=False)


@pytest.mark.parametrize("pattern", ["in/*.tar", "in/**/*.tar"])
def test_what_a_pattern_names_may_not_lead_out_of_the_folder_before_the_first_wildcard(here, pattern):
    make(here, "in/1.tar", "out/2.tar")
    link("in/2.tar", "../out/2.tar")
    link("in/3.tar", "nowhere")
    link("in/loop", ".")
    os.mkfifo("in/4.tar")
    found = {file.path: bool(file.problem) for file in named(pattern, follow_links=False)}
    assert found == {"in/1.tar": False, "in/2.tar": True, "in/3.tar": True, "in/4.tar": True}
    assert not named(pattern, follow_links=True)[1].problem
    assert named("in/4.tar", follow_links=False)[0].problem == "'4.tar' is a named pipe, not an image"
    assert not named("in/2.tar", follow_links=False)[0].problem, "whoever writes a path knows where it leads"


def test_what_a_pattern_names_behind_a_linked_folder_may_not_lead_out_either(here):
    make(here, "in/a/1.tar", "out/2.tar", "out/sub/3.tar")
    link("in/b", "../out")
    link("in/c", "a")
    problem = "'2.tar' lies in in/b, a link out of the corpus folder, to"
    found = {file.path: file.problem for file in named("in/*/*", follow_links=False)}
    assert list(found) == ["in/a/1.tar", "in/b/2.tar", "in/c/1.tar"]
    assert found["in/b/2.tar"].startswith(problem)
    assert not found["in/c/1.tar"]
    assert not any(file.problem for file in named("in/*/*", follow_links=True))
