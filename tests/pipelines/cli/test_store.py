"""`lookalike generations` and `lookalike exclude`, as a user runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lookalike.cli.store import exclude_app, generations_app
from lookalike.model.errors import LookalikeError
from lookalike.store.generations import reading
from lookalike.store.lock import hold
from tests.support.places import ROOT
from tests.support.small_stores import SmallStore, flip


class Shell:
    """Runs the commands on one store."""

    def __init__(self, small: SmallStore, job: Path) -> None:
        self.small, self.job = small, job
        job.write_text(f"corpus: {{shards: nowhere}}\nencoder: nowhere\nstore: {small.path}\n")

    def run(self, command: str, *arguments: str) -> Result:
        group, name = command.split()
        app = {"generations": generations_app, "exclude": exclude_app}[group]
        done = CliRunner().invoke(app, [name, "-c", str(self.job), *arguments])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    def json(self, command: str, *arguments: str) -> object:
        return json.loads(self.run(command, *arguments, "--json").stdout)


@pytest.fixture
def shell(tmp_path) -> Shell:
    small = SmallStore(tmp_path / "store")
    return Shell(small, tmp_path / "job.yaml")


@pytest.fixture
def names(shell) -> list[str]:
    return [shell.small.publish(night, [f"a{night}"]).name for night in range(3)]


def test_list_marks_what_is_served(shell, names):
    lines = shell.run("generations list").stdout.splitlines()
    assert [line.split()[0] for line in lines if any(name in line for name in names)] == [*names[:2], "*"]
    found = shell.json("generations list")
    assert [(one["name"], one["current"], one["items"]) for one in found] == [
        (names[0], False, 2),
        (names[1], False, 2),
        (names[2], True, 2),
    ]


def test_list_of_an_empty_store_is_empty(shell):
    assert shell.json("generations list") == []
    assert shell.run("generations list").exit_code == 0


def test_show_says_what_a_generation_is_made_of(shell, names):
    text = shell.run("generations show").stdout
    assert f"generation   {names[2]} (served)" in text
    assert f"after {names[1]}" in text
    assert "indexes/00000-of-00001-a2" in text
    assert "(served)" not in shell.run("generations show", names[0]).stdout
    manifest = json.loads((shell.small.root / "generations" / names[0] / "manifest.json").read_text())
    assert shell.json("generations show", names[0]) == manifest


def test_rollback_tells_what_is_served_now(shell, names):
    done = shell.run("generations rollback")
    assert done.stdout == f"served       {names[1]}, 2 items; before: {names[2]}\n"
    shell.run("generations rollback", "--to", names[2])
    assert shell.small.current == names[2]


def test_prune_tells_before_it_does(shell, names):
    before = shell.small.files
    dry = shell.run("generations prune", "--keep", "1", "--dry-run").stdout
    assert f"would delete {names[0]}" in dry
    assert shell.small.files == before
    with reading(shell.small.path, names[1]):
        text = shell.run("generations prune", "--keep", "1").stdout
    assert f"deleted      {names[0]}" in text
    assert f"in use       {names[1]}" in text
    done = shell.json("generations prune", "--keep", "1")
    assert (done["kept"], done["deleted"]) == ([names[2]], [names[1]])


def test_what_changes_a_store_refuses_beside_a_run_and_names_it(shell, names):
    with hold(shell.small.path, "nightly"):
        for command in ("generations rollback", "generations prune"):
            with pytest.raises(LookalikeError, match="lookalike nightly on host"):
                shell.run(command)
        for command in ("generations list", "generations verify", "exclude list"):
            assert shell.run(command).exit_code == 0
        assert shell.run("generations prune", "--dry-run").exit_code == 0
        assert shell.run("exclude add", "a2-0").exit_code == 0


def test_verify_exits_with_3_if_a_file_is_damaged(shell, names):
    done = shell.run("generations verify")
    assert (done.exit_code, done.stdout) == (0, "verified     3 generations, 0 problems\n")
    flip(shell.small.root / "indexes/00000-of-00001-a1/dataset.npy", 130)
    done = shell.run("generations verify", "--json")
    assert done.exit_code == 3
    (problem,) = json.loads(done.stdout)["problems"]
    assert "00000-of-00001-a1/dataset.npy is damaged" in problem
    assert shell.run("generations verify", names[0]).exit_code == 0


def test_ids_are_excluded_listed_and_lifted(shell, names, tmp_path):
    (tmp_path / "ids.txt").write_text("\ufeffa0-0\n\nnobody\n")
    done = shell.run("exclude add", "a2-1", "--from", str(tmp_path / "ids.txt"), "--reason", "request 7")
    assert "excluded     3 ids, 0 were excluded before" in done.stdout
    assert "unknown      'nobody': in no generation; excluded all the same\n" in done.stdout
    assert "a0-0" not in done.stdout
    assert done.exit_code == 4
    assert shell.json("exclude add", "a2-1") == {
        "added": [],
        "already": ["a2-1"],
        "unknown": [],
        "nearest": {},
    }
    assert [(row["item_id"], row["reason"]) for row in shell.json("exclude list")] == [
        ("a0-0", "request 7"),
        ("a2-1", "request 7"),
        ("nobody", "request 7"),
    ]
    assert "request 7" in shell.run("exclude list").stdout
    assert shell.json("exclude remove", "a2-1", "x") == {
        "removed": ["a2-1"],
        "absent": ["x"],
        "nearest": {},
    }
    done = shell.run("exclude remove", "nobody")
    assert "lifted       1 exclusions" in done.stdout
    assert done.exit_code == 0


@pytest.mark.parametrize("written", ["a2-1 ", "A2-1", '"a2-1"', "a2-11"])
def test_an_id_that_is_nowhere_is_told_with_the_nearest_and_a_code_of_its_own(shell, names, written):
    done = shell.run("exclude add", written)
    assert (done.exit_code, f"unknown      {written!r}: in no generation" in done.stdout) == (4, True)
    assert "did you mean 'a2-1'?" in done.stdout
    assert shell.json("exclude add", "a2-1", written)["nearest"] == {written: "a2-1"}
    assert [row["item_id"] for row in shell.json("exclude list")] == sorted(["a2-1", written])
    shell.run("exclude remove", written)
    done = shell.run("exclude remove", written)
    assert (done.exit_code, "did you mean 'a2-1'?" in done.stdout) == (4, True)


def test_an_id_is_excluded_though_the_index_is_damaged(shell, names):
    (shell.small.root / "indexes/00000-of-00001-a2/items.arrow").write_bytes(b"")
    done = shell.run("exclude add", "a2-1")
    assert "excluded     1 ids" in done.stdout
    assert "cannot be told" in done.stderr
    assert len(shell.json("exclude list")) == 1


def test_excluding_nothing_is_a_mistake(shell):
    for command in ("exclude add", "exclude remove"):
        with pytest.raises(LookalikeError, match="Expected ids"):
            shell.run(command)


def test_ids_with_brackets_are_printed_as_they_are(shell):
    shell.run("exclude add", "[bold]x[/bold]", "--reason", "[/]")
    assert "[bold]x[/bold]" in shell.run("exclude list").stdout


@pytest.mark.parametrize("app", [generations_app, exclude_app])
def test_every_command_has_help_with_an_example(app):
    for command in app.registered_commands:
        assert "Example: lookalike " in (command.callback.__doc__ or "")
    assert CliRunner().invoke(app, ["--help"]).exit_code == 0


def test_nothing_heavy_is_imported(shell, names):
    script = (
        "import sys\n"
        "from lookalike.cli.store import generations_app, exclude_app\n"
        "job = sys.argv[1]\n"
        "for app, line in ((generations_app, 'list'), (generations_app, 'verify'), (generations_app, 'rollback'),\n"
        "                  (generations_app, 'prune'), (exclude_app, 'add x'), (exclude_app, 'list')):\n"
        "    app([*line.split(), '-c', job], standalone_mode=False)\n"
        "print([m for m in ('apache_beam', 'tensorflow', 'scann') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(shell.job)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("[]\n"), done
