"""The command `evaluate`: what it writes, compares and refuses."""

from __future__ import annotations

import json

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import typer
import yaml

from lookalike.cli.evaluate import evaluate as command
from lookalike.evaluate.report import read_sides
from lookalike.model.errors import LookalikeError
from tests.conftest import ZOO, Job, zoo_pictures


def lookalike(*arguments) -> int:
    """Runs the command; its exit code."""
    app = typer.Typer()
    app.command()(command)
    return app(args=[str(argument) for argument in arguments], standalone_mode=False) or 0


@pytest.mark.slow
def test_the_command_writes_figures_tables_and_plots_that_agree(zoo, asked, tmp_path, capsys):
    ids = [f"{name}/q{i}" for i in range(3) for name in ZOO]
    out = tmp_path / "out"
    options = ("--class-sizes", "4,10", "-k", 5, "-k", 1, "--resamples", 200)
    common = ("-c", zoo.config, "--queries", asked([*ids, "fox/q"]), "--relevance", "directory", *options)
    assert lookalike(*common, "-o", out) == 0
    said = capsys.readouterr().out
    assert "queries      10 read = 9 measured + 0 failed + 0 unjudged + 1 lone" in said
    report = json.loads((out / "evaluation.json").read_text())
    (one,) = report["evaluations"]
    assert one["counts"]["read"] == 10
    per_query = pq.read_table(out / "per_query.parquet")
    classes = pq.read_table(out / "per_class.parquet")
    for name, figures in one["metrics"].items():
        assert figures["mean"] == pytest.approx(pc.mean(per_query[name]).as_py())
        assert figures["low"] <= figures["mean"] <= figures["high"]
        assert figures["macro"] == pytest.approx(pc.mean(classes[name]).as_py())
        assert [figures[g] for g in ("head", "middle", "tail")] == pytest.approx(classes[name].to_pylist())
    assert "hit_rate@5" in one["metrics"]
    assert "hit_rate@10" not in one["metrics"]
    assert pq.read_table(out / "left_out.parquet")["query_id"].to_pylist() == ["fox/q"]
    assert len(one["precision_recall"]) == 11
    for name in ("precision-recall", "per_class", "hardest"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "evaluation.txt").read_text().rstrip() in said
    again = tmp_path / "again"
    assert lookalike(*common, "-o", again) == 0
    for path in sorted(out.iterdir()):
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_plots_need_no_pictures_of_vector_queries_and_are_left_out_with_a_note_without_shards(
    zoo, asked, tmp_path, capsys
):
    settings = yaml.safe_load(yaml.safe_dump(zoo.settings))
    settings["corpus"]["shards"] = str(tmp_path / "gone")
    job = tmp_path / "job.yaml"
    job.write_text(yaml.safe_dump(settings))
    out = tmp_path / "out"
    out.mkdir()
    (out / "hardest.png").write_bytes(b"Software\0Lookalike of an earlier run")
    assert lookalike("-c", job, "--queries", asked(["cat/1"]), "--relevance", "directory", "-o", out) == 0
    assert "note         hardest.png is not drawn, the pictures cannot be read" in capsys.readouterr().out
    assert not (out / "hardest.png").exists()
    assert (out / "per_class.png").exists()


def test_two_encoders_are_compared_query_by_query_at_once_or_with_an_earlier_evaluation(
    zoo, other_encoder, asked, tmp_path, capsys
):
    other = Job(tmp_path / "other", other_encoder)
    other.folder.mkdir()
    other.set(corpus=zoo.settings["corpus"])
    other.nightly()
    queries = tmp_path / "queries"
    for name, content in zoo_pictures({"cat": 3, "dog": 3, "eel": 3}, start=500).items():
        (queries / name).parent.mkdir(parents=True, exist_ok=True)
        (queries / name).write_bytes(content)
    common = ("--queries", queries, "--relevance", "directory", "--no-plots", "--resamples", 500)
    both, first, second = (tmp_path / name for name in ("both", "first", "second"))
    assert lookalike("-c", zoo.config, "-c", other.config, *common, "-o", both) == 0
    assert "difference   job (2) - job: 9 queries in pairs" in capsys.readouterr().out
    assert lookalike("-c", zoo.config, *common, "-o", first) == 0
    assert lookalike("-c", other.config, *common, "-o", second, "--against", first) == 0
    others = ("--queries", asked(["cat/x"]), *common[2:])
    assert lookalike("-c", zoo.config, "-o", tmp_path / "third", "--against", first, *others) == 0
    assert f"not compared with {first}: no query was measured there and here" in capsys.readouterr().out
    empty = tmp_path / "empty"
    assert lookalike("-c", zoo.config, "-o", empty, *common[2:], "--queries", asked(["fox/x"])) == 3
    assert lookalike("-c", zoo.config, "-o", tmp_path / "third", "--against", empty, *common) == 0
    (at_once,) = json.loads((both / "evaluation.json").read_text())["comparisons"]
    (later,) = json.loads((second / "evaluation.json").read_text())["comparisons"]
    assert at_once["metrics"] == later["metrics"]
    assert at_once["paired"]
    for figures in at_once["metrics"].values():
        assert figures["difference"] == pytest.approx(figures["second"] - figures["first"])
        assert 1 / 501 <= figures["p"] <= 1
    with pytest.raises(LookalikeError, match=r"Expected an earlier evaluation of one job.*job \(2\)"):
        read_sides(str(both))


def test_other_queries_for_each_job_show_the_loss_in_transfer(zoo, asked, tmp_path, capsys):
    ids = tmp_path / "ids.txt"
    ids.write_text("cat/00.jpg\ncat/01.jpg\n")
    paths = ("--queries", asked(["cat/1", "dog/1", "eel/1"]), "--queries", ids)
    out = tmp_path / "out"
    jobs = ("-c", zoo.config, "-c", zoo.config)
    assert lookalike(*jobs, *paths, "--relevance", "directory", "--no-plots", "-o", out) == 0
    (comparison,) = json.loads((out / "evaluation.json").read_text())["comparisons"]
    assert (comparison["paired"], comparison["queries"]) == (False, [3, 2])
    figures = comparison["metrics"]["map"]
    assert figures["relative"] == pytest.approx(figures["second"] / figures["first"] - 1)
    assert figures["p"] is None
    said = capsys.readouterr().out
    assert "3 and 2 queries" in said
    assert "the number of relevant items of a query differs (7.0 and 11.0 in the mean)" in said


def test_a_job_of_which_no_query_could_be_measured_exits_with_3(zoo, asked, tmp_path, capsys):
    asked_for = ("-c", zoo.config, "--queries", asked(["fox/1"]), "--relevance", "directory")
    assert lookalike(*asked_for, "-o", tmp_path / "out") == 3
    assert "no query could be measured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (
            ["--queries", "b", "--queries", "c"],
            "Expected --queries once, or once for each of 1 jobs. Received: 3",
        ),
        (["--class-sizes", "100,20"], "--class-sizes: expected two whole numbers"),
        (["--class-sizes", "few"], "--class-sizes: expected two whole numbers"),
        (["--against", "/nowhere"], "Expected an earlier evaluation in /nowhere"),
    ],
)
def test_options_that_do_not_fit_are_refused(zoo, tmp_path, extra, said):
    with pytest.raises(LookalikeError, match=said):
        lookalike("-c", zoo.config, "--queries", "a", "--relevance", "directory", "-o", tmp_path, *extra)
