"""Every command on every page is run, in a small world of its page's own.

A block that cannot be run has a comment before it, which readers of the page do not see: `<!-- checked: why -->`. Of
its commands the words, options and files are looked at.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from contextlib import chdir
from pathlib import Path

import pytest
import typer

from lookalike.cli.main import app
from tests.conftest import SPEC, run
from tests.support.page_shell import Shell
from tests.support.page_world import new_user, shop
from tests.support.pages import PAGES, Block, Command, blocks, name
from tests.support.places import CONFIG, ROOT

FROM_NOTHING = ("README.md", "docs/tutorial.md")
"""Pages that begin with a folder of photographs and nothing else."""
EACH_FOR_ITSELF = ("docs/reference/commands.md",)
"""Pages whose blocks do not go on from each other."""
OF_OTHER_TESTS = ("docs/python.md",)
"""Pages in Python, with tests of their own."""
ON_THIS_MACHINE = {"/backup/": "backup/"}
"""Folders that a page names and a test may not make."""
ALL = [block for page in PAGES if name(page) not in OF_OTHER_TESTS for block in blocks(page)]
COMMANDS = typer.main.get_command(app)


def place(block: Block) -> str:
    return f"{block.page}:{block.line}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_line_with_a_command_is_overlooked(page):
    text = page.read_text("utf-8").replace("\\\n", "")
    fenced = re.findall(r"^```\S*\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    lines = [
        line
        for part in fenced
        for line in re.findall(r"^(?:\$ )?((?:lookalike|make) .*)", part, flags=re.MULTILINE)
    ]
    assert lines == [
        command.line
        for block in blocks(page)
        for command in block.commands
        if command.line.startswith(("lookalike ", "make "))
    ]


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    shell = Shell(tmp_path_factory.mktemp("shell"))
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def worlds(tmp_path_factory, make_encoder):
    """Folders: from nothing; after nights of a folder of photographs; of a catalogue with metadata. To be copied.

    Building an encoder gives the tiny one.
    """
    from lookalike.encoder import build
    from lookalike.evaluate import plots
    from lookalike.model.networks import Backbone

    folder = tmp_path_factory.mktemp("worlds")
    summary = make_encoder(folder / "tiny")
    new_user(folder / "new")
    shop(folder / "shop", folder / "tiny")
    shutil.copytree(folder / "shop", folder / "folder", symlinks=True)
    with chdir(folder / "folder"):
        assert run("generations", "rollback", "-c", "shop.yaml").code == 0

    def copied(out, _backbone, examples, _recipe):
        assert any(examples)
        shutil.copytree(folder / "tiny", out, dirs_exist_ok=True)
        return summary

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "build_bundle", copied)
        # Drawing is tested where it belongs, and would take most of the time here.
        patch.setattr(plots, "write_plots", lambda *_: ([], []))
        patch.setattr(build.NetworkChoice, "opened", lambda *_: Backbone(None, SPEC))
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({block.page for block in ALL if not block.why}))
def test_every_command_of_a_page_does_what_it_shows(page, worlds, shell, tmp_path, monkeypatch, no_network):
    here = [block for block in ALL if block.page == page and not block.why]
    for number, block in enumerate(here):
        if not number or page in EACH_FOR_ITSELF:
            world, names = tmp_path / f"world{number}", {}
            shutil.copytree(worlds / _begins_with(page), world, symlinks=True)
        for command in block.commands:
            if block.python:
                monkeypatch.chdir(world)
                exec(compile(command.line, place(block), "exec"), names)
            else:
                _run(command, block, shell, world)


def _begins_with(page: str) -> str:
    """The world of a page."""
    if page in FROM_NOTHING:
        return "new"
    return "folder" if "-c shop.yaml" in (ROOT / page).read_text("utf-8") else "shop"


def _run(command: Command, block: Block, shell: Shell, world: Path) -> None:
    line = command.line
    for there, here in ON_THIS_MACHINE.items():
        (world / here).mkdir(exist_ok=True)
        line = line.replace(there, here)
    if shown := re.fullmatch(r"cat ([\w.]+)", line):
        # What a page shows of a file is what is in it.
        (world / shown[1]).write_text(command.output)
    done = shell(line, world)
    expected = 2 if "lookalike: error: " in command.output else 0
    assert done.returncode == expected, f"{place(block)}: {line}\n{done.stdout}"
    missing = _labels(command.output) - _labels(done.stdout)
    assert not missing, f"{place(block)}: {line}\nshows {missing}. Printed:\n{done.stdout}"


def _labels(output: str) -> set[str]:
    """The words at the beginning of the lines of a summary, such as `queries      20 read`."""
    return set(re.findall(r"^([a-z]+) {2,}\S", output, flags=re.MULTILINE))


@pytest.mark.parametrize("block", [block for block in ALL if block.why], ids=place)
def test_a_block_that_is_not_run_has_a_reason_and_right_words(block):
    assert len(block.why.split()) > 1
    for command in block.commands:
        compile(command.line, place(block), "exec") if block.python else _check(command.line)


def _check(line: str) -> None:
    """A line in which `lookalike`, `make` and `python` have right words, and files that are named are there."""
    words = shlex.split(line, comments=True)
    if words and words[0] == "lookalike":
        _parsed(words[1:])
    elif words and words[0] == "make":
        subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, check=True, capture_output=True)
    for word in words:
        if re.match(r"(benchmarks|config|docs|tests)/", word):
            assert list(ROOT.glob(word)), line


def _parsed(words: list[str]) -> None:
    command, given = COMMANDS, list(words)
    context = command.make_context("lookalike", given)
    while hasattr(command, "commands"):
        while given[0].startswith("-"):
            given = given[2:]
        word, *given = given
        command = command.commands[word]
    command.make_context(word, given, parent=context)


INLINE = re.compile(r"(?<!`)`((?:lookalike|make|python) [^`\n]+)`(?!`)")
SAID = sorted({(name(page), line) for page in PAGES for line in INLINE.findall(page.read_text("utf-8"))})
"""Commands in the middle of a sentence, often without what they need."""


@pytest.mark.parametrize(("page", "line"), SAID)
def test_commands_in_sentences_have_words_and_options_that_there_are(page, line):
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        _check(line)
    elif words[0] == "python":
        assert _is_there(words[1:]), line
    else:
        _known(words[1:])


def _is_there(words: list[str]) -> bool:
    """Whether what Python is to run is there: a script or module of the repository, or one of what is installed."""
    option, *more = words
    if option == "-m" and (ROOT / more[0].partition(".")[0]).is_dir():
        module = more[0].replace(".", "/")
        return any((ROOT / file).exists() for file in (f"{module}.py", f"{module}/__main__.py"))
    return option in ("-c", "-m") or (ROOT / option).exists()


def _known(words: list[str]) -> None:
    """That each word before the arguments is a command, and each option one of it."""
    command, options = COMMANDS, set()
    for word in words:
        if word == "--":
            return
        if not word.startswith("-") and hasattr(command, "commands") and word != "COMMAND":
            assert word in command.commands, words
            command = command.commands[word]
        options = {name for known in command.params for name in (*known.opts, *known.secondary_opts)}
        assert not word.startswith("-") or word.partition("=")[0] in {*options, "--help", "-h"}, words


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.name)
def test_a_job_file_begins_with_commands_that_there_are(path):
    head = path.read_text("utf-8").replace("\\\n#", " ")
    lines = re.findall(r"^#   (lookalike .*)$", head, flags=re.MULTILINE)
    assert lines
    for line in lines:
        _check(line)


def test_the_samples_for_systemd_cron_and_kubernetes_run_commands_that_there_are():
    samples = [*(ROOT / "docs" / "systemd").glob("*.service"), ROOT / "docs" / "crontab"]
    text = "".join(path.read_text("utf-8") for path in samples)
    lines = re.findall(
        r"(?:^ExecStart=/opt/lookalike/.venv/bin/|nice -n \d+ )(lookalike [^>\n]*)", text, re.MULTILINE
    )
    assert len(lines) == 4
    manifest = (
        (ROOT / "docs" / "cluster.md")
        .read_text("utf-8")
        .partition("command: [lookalike")[2]
        .partition("]")[0]
    )
    for line in [*lines, "lookalike " + " ".join(manifest.replace(",", " ").split())]:
        _check(line)
