"""The command line: help with examples, exit codes, one sentence for every mistake, logs for machines."""

import json
import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest

from lookalike.cli import jobs
from lookalike.embedding import job as embed
from lookalike.encoder import build as encoder_build
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.networks import Backbone
from tests.conftest import SPEC, picture, run, tiny_network

COMMANDS = [
    *(
        "pack",
        "encoder build",
        "encoder tune",
        "train",
        "embed",
        "index",
        "nightly",
        "query",
        "evaluate",
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
        "print(sorted({'tensorflow', 'apache_beam', 'scann'} & set(sys.modules)))"
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


def test_json_logs_are_one_object_a_line(job, pictures):
    job.pack(pictures | {"bad.jpg": b"x"})
    job.config.write_text(json.dumps(job.settings))
    command = [sys.executable, "-m", "lookalike", "--log", "json", "nightly", "-c", str(job.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in done.stderr.splitlines():
        assert {"time", "level", "logger", "message"} <= set(json.loads(line))
    assert "published    24 items" in done.stdout


def test_a_real_process_ends_with_the_exit_code_and_only_a_sentence(job):
    command = [sys.executable, "-m", "lookalike", "embed", "-c", str(job.folder / "nothing.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"lookalike: error: Cannot read the job file {job.folder}/nothing.yaml: No such file or directory\n"
    )


@pytest.fixture
def tiny(monkeypatch):
    """`encoder build` with the tiny network."""
    monkeypatch.setattr(encoder_build, "backbone", lambda *_, **__: Backbone(tiny_network(), SPEC))


def test_encoder_build_refuses_a_network_that_was_never_trained(job, pictures):
    job.pack(pictures)
    done = run("encoder", "build", job.folder / "new", "--sample", job.shards, "--network", "baseline")
    assert done.code == 2
    assert "trained weights" in done.sentence


def test_encoder_build_makes_a_bundle_from_shards(tiny, job, pictures):
    job.pack(pictures | {"bad.jpg": b"x"})
    done = run("encoder", "build", job.folder / "new", "--sample", job.shards, "--dim", 8, "--name", "mine")
    assert done.code == 0
    assert "24 images, 1 unreadable" in done.out
    opened = Encoder.load(job.folder / "new")
    assert (opened.dim, opened.name) == (8, "mine")
    assert opened.fingerprint in done.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--dim", "256"], "at least 256"),
        (["--dim", "-1"], "dim=-1"),
        (["--variant", "int9"], "variant=int9"),
        (["--sample", "nothing*.tar"], "nothing*.tar"),
        (["--projection", "lda", "--dim", "0"], "projection lda, dim 0"),
        (["--shrinkage", "0.1"], "no shrinkage but for whitened and lda"),
        (["--label", "colour"], "a label only for lda"),
    ],
)
def test_encoder_build_refuses_in_a_sentence_and_leaves_nothing(tiny, job, pictures, options, said):
    job.pack(pictures)
    done = run("encoder", "build", job.folder / "encoders" / "new", "--sample", job.shards, *options)
    assert done.code == 2
    assert said in done.sentence
    assert not list((job.folder / "encoders").glob("*")) or not (job.folder / "encoders").exists()


def test_encoder_build_takes_classes_from_folders_or_a_field(tiny, job, pictures):
    names = {
        f"{'even' if i % 2 == 0 else 'odd'}/{name}": image for i, (name, image) in enumerate(pictures.items())
    }
    job.pack(names)
    options = ["--sample", job.shards, "--projection", "lda", "--flip"]
    assert run("encoder", "build", job.folder / "new", *options).code == 0
    assert Encoder.load(job.folder / "new").dim == 1
    done = run("encoder", "build", job.folder / "other", *options, "--label", "colour")
    assert done.code == 2
    assert "needs images with a class. Received: none in the sample" in done.sentence


def test_discriminants_take_no_more_dimensions_than_the_network_has(tiny, job):
    job.pack({f"{i % 40}/{i}.jpg": picture(i) for i in range(80)})
    done = run("encoder", "build", job.folder / "new", "--sample", job.shards, "--projection", "lda")
    assert done.code == 0
    assert Encoder.load(job.folder / "new").dim == 32


def test_records_of_the_sample_that_cannot_be_read_are_told_of(tiny, job):
    job.shards.mkdir()
    with tarfile.open(job.shards / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("without-an-image.json"))
    done = run(
        "encoder",
        "build",
        job.folder / "new",
        "--sample",
        job.shards,
        "--projection",
        "lda",
        "--label",
        "colour",
    )
    assert done.code == 2
    assert "1 records that cannot be read. The first: " in done.sentence


def test_encoder_build_refuses_an_unknown_network(job, pictures):
    job.pack(pictures)
    done = run("encoder", "build", job.folder / "new", "--sample", job.shards, "--network", "vgg")
    assert done.code == 2
    assert "efficientnet_lite0" in done.sentence


def test_the_sample_takes_turns_between_shards_and_reaches_into_them(pictures, job):
    job.pack(pictures)
    from lookalike.encoder.build import sample_images
    from lookalike.sources import SourceOptions

    names = sorted(pictures)
    sample = [example.image for example in sample_images(str(job.shards), SourceOptions(), 7)]
    assert sample[:3] == [pictures[names[i]] for i in (0, 8, 16)]
    assert 4 < len(set(sample)) == len(sample) <= 7
    assert len(list(sample_images(str(job.shards), SourceOptions(), 100))) == 24


@pytest.mark.parametrize("count", [13, 17, 23])
def test_the_sample_reaches_the_last_of_a_sorted_corpus(tmp_path, pictures, count):
    from lookalike.encoder.build import sample_images
    from lookalike.sources import SourceOptions

    for number, image in enumerate(pictures.values()):
        folder = tmp_path / f"{number // 4}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(image)
    sample = list(sample_images(str(tmp_path), SourceOptions(), count))
    assert {example.label for example in sample} == {"0", "1", "2", "3", "4", "5"}


def test_a_worker_that_cannot_start_gives_its_sentence(monkeypatch, job, pictures, other_encoder):
    """The bundle is replaced between the plan and the worker's start."""
    job.pack(pictures)
    load = Encoder.load
    embed._load.cache_clear()
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
