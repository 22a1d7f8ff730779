"""The command line: help with examples, exit codes, one sentence for every mistake, logs for machines."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from lookalike.cli import jobs
from lookalike.model.encoder.bundle import Encoder
from tests.conftest import run

COMMANDS = [
    *(
        "init",
        "pack",
        "encoder build",
        "encoder show",
        "encoder tune",
        "train",
        "embed",
        "index",
        "nightly",
        "query",
        "evaluate",
        "export",
        "demo",
    ),
    *(f"generations {name}" for name in ("list", "show", "rollback", "prune", "verify")),
    *(f"exclude {name}" for name in ("add", "remove", "list")),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_does_with_an_example(command):
    done = run(*command.split(), "--help")
    assert done.code == 0
    assert "Example:" in done.out
    assert f"lookalike {command}" in " ".join(done.out.split())


def test_help_of_everything_lists_the_commands_and_exit_codes():
    done = run("--help")
    assert done.code == 0
    assert all(command.split()[0] in done.out for command in COMMANDS)
    assert "Exit codes" in done.out


def test_help_needs_neither_tensorflow_nor_beam():
    code = (
        "import sys; from lookalike.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'tensorflow', 'apache_beam', 'scann', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["embed"],
        ["embed", "--config"],
        ["embed", "-c", "x", "--no-such-flag"],
        ["query", "q", "-c", "x"],
        ["query", "q", "-c", "x", "-o", "y", "-k", "0"],
        ["query", "q", "-c", "x", "-o", "y", "--format", "xml"],
        ["pack", "a", "b", "--format", "zip"],
        ["--log", "xml", "embed", "-c", "x"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_exit_with_2_and_a_message(arguments):
    done = run(*arguments)
    assert done.code == 2
    assert done.err.strip()


@pytest.mark.parametrize(
    "command", [["embed"], ["index"], ["nightly"], ["nightly", "--dry-run"], ["standing"], ["duplicates"]]
)
def test_an_argument_too_many_is_no_flag_of_beam(job, command):
    out = ["-o", job.folder / "out"] if command == ["duplicates"] else []
    done = job.run(*command, *out, "b.jpg")
    assert done.code == 2
    assert done.sentence.endswith(
        "Received: b.jpg. A pattern in quotes is not made into many arguments by the shell"
    )


def test_of_several_queries_none_is_passed_over(copied):
    done = copied.query("a.jpg", "b.jpg", "c.jpg", "--", "--direct_num_workers", "2")
    assert (done.code, "Received: b.jpg" in done.sentence) == (2, True)
    assert not (copied.folder / "out").exists()


@pytest.mark.parametrize("command", ["embed", "index", "nightly"])
def test_a_mistake_in_the_job_file_is_one_sentence_before_any_work(job, pictures, command):
    job.pack(pictures)
    job.set(index={"recal_target": 1})
    done = job.run(command)
    assert done.code == 2
    assert "did you mean `recall_target`?" in done.sentence
    assert not job.store.exists()


@pytest.mark.parametrize("command", ["embed", "index", "nightly"])
def test_an_encoder_that_is_none_is_one_sentence_before_any_work(job, pictures, command):
    job.pack(pictures)
    job.set(encoder=str(job.folder / "nothing"))
    done = job.run(command)
    assert done.code == 2
    assert "lookalike encoder build" in done.sentence
    assert not job.store.exists()


def test_a_bug_is_no_sentence(monkeypatch, job):
    """What nobody can mend must keep its stack trace."""

    def bug(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(jobs, "load_config", bug)
    with pytest.raises(ZeroDivisionError):
        job.run("embed")


def test_an_interrupted_run_says_that_nothing_is_lost(monkeypatch, job):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "load_config", interrupted)
    done = job.run("embed")
    assert done.code == 130
    assert "run the same command to go on" in done.err


def test_a_real_process_ends_with_the_exit_code_and_only_a_sentence(job):
    command = [sys.executable, "-m", "lookalike", "embed", "-c", str(job.folder / "nothing.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"lookalike: error: Cannot read the job file {job.folder}/nothing.yaml: No such file or directory\n"
    )


def test_a_worker_that_cannot_start_gives_its_sentence(monkeypatch, job, pictures, other_encoder):
    """The bundle is replaced between the plan and the worker's start."""
    job.pack(pictures)
    load = Encoder.load
    monkeypatch.setattr(Encoder, "load", lambda _folder, **options: load(other_encoder, **options))
    done = job.run("embed")
    assert done.code == 2
    assert "The encoder changed while the job ran" in done.sentence


def test_the_version_is_that_of_the_package():
    assert run("--version").out == f"lookalike {version('lookalike')}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_commands(shell):
    environment = os.environ | {
        "_LOOKALIKE_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "lookalike ni",
        "COMP_CWORD": "1",
    }
    environment |= {"_TYPER_COMPLETE_ARGS": "lookalike ni", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    command = Path(sys.executable).parent / "lookalike"
    done = subprocess.run([command], capture_output=True, text=True, env=environment, check=False)
    assert "nightly" in done.stdout


@pytest.mark.parametrize("name", ["model", "pipelines", "lookalike_mine"])
@pytest.mark.parametrize("command", [[], ["-m"]], ids=["command", "module"])
def test_modules_of_the_user_in_the_working_folder_are_let_alone(tmp_path, name, command):
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('imported by mistake')")
    words = (
        [sys.executable, "-m", "lookalike"] if command else [str(Path(sys.executable).parent / "lookalike")]
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(tmp_path)])
    }
    done = subprocess.run(
        [*words, "query", "-c", "none.yaml", "q", "-o", "o"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("lookalike: error: ")


@pytest.mark.parametrize(
    "arguments", [["\x1b[31mx"], ["--\x1b[31mx"], ["query", "--\x1b]0;x", "a\u202eb"]], ids=repr
)
def test_what_typer_says_of_wrong_arguments_shows_control_characters(arguments):
    outcome = run(*arguments)
    assert outcome.code == 2
    assert "\\x1b" in outcome.err
    assert "\x1b" not in outcome.err
    assert "\u202e" not in outcome.err
