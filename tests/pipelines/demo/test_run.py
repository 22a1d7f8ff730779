import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from lookalike.cli import main as cli
from lookalike.demo.run import MADE, MARKER, demo, make_room, score
from lookalike.model.errors import LookalikeError
from tests.support.places import CONFIG

DEMO = CONFIG / "demo.yaml"


@pytest.mark.parametrize("there", [None, "nothing", "an earlier demo"])
def test_a_new_an_empty_and_a_demo_folder_are_made_ready(tmp_path, there):
    out = tmp_path / "out"
    if there:
        out.mkdir()
    if there == "an earlier demo":
        (out / MARKER).touch()
        (out / "store" / "indexes").mkdir(parents=True)
        (out / "photos.jsonl").touch()
        (out / "notes.txt").write_text("mine")
    make_room(out)
    assert (out / MARKER).is_file()
    assert not any((out / name).exists() for name in MADE)
    assert (out / "notes.txt").exists() == (there == "an earlier demo")


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_a_demo_did_not_make_is_refused_and_left_alone(tmp_path, kind):
    out = tmp_path / "out"
    if kind == "folder":
        (out / "images").mkdir(parents=True)
        (out / "images" / "holiday.jpg").touch()
    else:
        out.touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(LookalikeError, match="was not made by a demo; nothing was changed"):
        make_room(out)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_without_photographs_is_refused_before_anything_is_deleted(tmp_path):
    out, images = tmp_path / "out", tmp_path / "images"
    make_room(out)
    (out / "store").mkdir()
    images.mkdir()
    with pytest.raises(LookalikeError, match="expected photographs"):
        demo(out, DEMO, images)
    assert (out / "store").is_dir()


def test_the_command_says_one_sentence_and_exits_with_2(tmp_path, capsys):
    images = str(tmp_path / "nowhere")
    with pytest.raises(SystemExit) as ended:
        cli.main(["demo", "--images", images, "--out", str(tmp_path / "out"), "--config", str(DEMO)])
    assert ended.value.code == 2
    said = f"lookalike: error: --images: expected a folder of photographs. Received: {images}\n"
    assert capsys.readouterr().err == said


def test_score_counts_rank_1_and_top_10_by_photograph():
    rows = [
        ("cat/query-000.jpg", 1, "cat"),
        ("cat/query-000.jpg", 2, "cat"),
        ("cat/query-001.jpg", 1, "dog"),
        ("cat/query-001.jpg", 10, "cat"),
        ("cat/query-002.jpg", 1, "dog"),
        ("cat/query-002.jpg", 11, "cat"),
        ("a/b.png/query-000.png", 1, "dog"),
    ]
    table = pa.table(
        dict(zip(("query_id", "rank", "photo"), map(list, zip(*rows, strict=True)), strict=True))
    )
    assert score(table) == {"cat": (3, 1, 2), "a/b.png": (1, 0, 0)}


@pytest.mark.slow
def test_the_whole_demo_finds_photographs_of_ones_own_and_can_be_run_again(tmp_path, capsys):
    skimage = pytest.importorskip("skimage")
    images, out = tmp_path / "my photos", tmp_path / "out"
    images.mkdir()
    for name in ("astronaut.png", "rocket.jpg"):
        shutil.copy(Path(skimage.__file__).parent / "data" / name, images)
    (images / "cut.jpg").write_bytes((images / "rocket.jpg").read_bytes()[:5000])

    for _ in range(2):
        summary = demo(out, DEMO, images)
        told = capsys.readouterr().out
        assert summary.views == 220
        assert set(summary.scores) == {"astronaut.png", "rocket.jpg"}
        assert all(queries == 8 and first >= 7 for queries, first, _ in summary.scores.values())
        assert len(summary.rejects) == 7
        assert [query_id for query_id, _ in summary.failures] == ["broken/error-page.jpg"]
        assert "left out     cut.jpg: JPEG cut short" in told
        page = out / "answers" / "report.html"
        assert f"open {page} in a browser" in told
        assert page.read_text("utf-8").count('<li class="row"') == 16
        assert "227 read = 220 embedded + 0 reused + 7 rejected + 0 duplicate" in told
    assert len(list((out / "store" / "generations").iterdir())) == 1


def test_what_the_job_file_says_already_is_not_said_again(tmp_path, monkeypatch):
    from lookalike.demo.run import _config

    monkeypatch.chdir(tmp_path)
    job = tmp_path / "demo.yaml"
    job.write_text(
        "corpus: {shards: demo/shards, metadata: {photo: string}}\nencoder: demo/encoder\nstore: demo/store\n"
    )
    assert _config(job, Path("demo"))[1] == []
    assert _config(job, Path("else"))[1] == [
        "corpus.shards=else/shards",
        "encoder=else/encoder",
        "store=else/store",
    ]


def test_a_shell_that_does_not_find_the_command_is_told_what_to_type(tmp_path, monkeypatch):
    from lookalike.demo import run as module

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module.sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert module._before_all() == ""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    assert module._before_all() == ", after: source .venv/bin/activate"
    (tmp_path / "lookalike").touch()
    (tmp_path / "lookalike").chmod(0o755)
    assert module._before_all() == ""
