"""The evaluation job: figures against slow definitions, every query accounted for, jobs compared, files written."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import typer
import yaml

from lookalike.cli.evaluate import evaluate as command
from lookalike.config.job import load_config
from lookalike.evaluate.job import evaluate, left_out_counts
from lookalike.evaluate.measurements import Settings
from lookalike.evaluate.report import read_sides
from lookalike.evaluate.summary import ClassSizes, per_class
from lookalike.model.errors import LookalikeError
from lookalike.store import exclusions
from tests.conftest import Job, picture
from tests.support.places import CLOTHING

SIZES = {"cat": 12, "dog": 6, "eel": 3}


def images(sizes=SIZES, start=0):
    names = [f"{name}/{i:02}.jpg" for name, size in sizes.items() for i in range(size)]
    return {name: picture(start + seed) for seed, name in enumerate(names)}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory, encoder) -> Job:
    """21 items of three classes, published; the class is the directory of the id. Not to be changed."""
    job = Job(tmp_path_factory.mktemp("zoo"), encoder)
    job.pack(images())
    job.nightly()
    return job


@pytest.fixture
def asked(zoo, tmp_path):
    """A file of vector queries: q(ids, field=values) -> its path; vectors are near those of the first items."""
    table = zoo.embeddings
    vectors = np.stack(table["embedding"].to_numpy(zero_copy_only=False))

    def ask(ids, **columns):
        noise = np.random.default_rng(2).normal(size=(len(ids), vectors.shape[1])).astype(np.float32)
        near = vectors[np.arange(len(ids)) % len(vectors)] + 0.1 * noise
        path = tmp_path / "asked.parquet"
        embedding = pa.array(list(near), pa.list_(pa.float32()))
        pq.write_table(pa.table({"query_id": ids, "embedding": embedding, **columns}), path)
        return str(path)

    return ask


def config_of(job: Job):
    job.config.write_text(yaml.safe_dump(job.settings))
    return load_config(job.config)


def rows(evaluation) -> dict[str, dict]:
    return {row["query_id"]: row for row in evaluation.per_query.to_pylist()}


def qrels(tmp_path, *judgements) -> str:
    path = tmp_path / "file.qrels"
    path.write_text("".join(f"{query}\t0\t{item}\t{grade}\n" for query, item, grade in judgements))
    return str(path)


def lookalike(*arguments) -> int:
    """Runs the command; its exit code."""
    app = typer.Typer()
    app.command()(command)
    return app(args=[str(argument) for argument in arguments], standalone_mode=False) or 0


def test_the_ranking_is_that_of_an_exact_query_and_the_figures_follow_from_it(zoo, asked):
    ids = [f"{name}/q{i}" for i in range(4) for name in SIZES]
    path = asked(ids)
    (found,) = evaluate(config_of(zoo), path, "directory")
    assert zoo.query(path, "-k", 21, "--exact").code == 0
    ranked: dict[str, list[str]] = {}
    for row in zoo.results.to_pylist():
        ranked.setdefault(row["query_id"], []).append(row["item_id"])
    assert list(rows(found)) == ids
    for query_id, row in rows(found).items():
        label = query_id.split("/")[0]
        right = [item_id.startswith(label) for item_id in ranked[query_id]]
        ranks = [rank for rank, is_right in enumerate(right, 1) if is_right]
        assert row["relevant"] == SIZES[label]
        assert row["map"] == pytest.approx(np.mean([i / rank for i, rank in enumerate(ranks, 1)]))
        assert row["precision@5"] == sum(right[:5]) / 5
        assert row["mrr"] == 1 / ranks[0]
        assert row["top"] == ranked[query_id][:5]
        assert row["top_grades"] == right[:5]
        assert row["top_classes"] == [item_id.split("/")[0] for item_id in row["top"]]


def test_trec_eval_gives_the_same_for_graded_judgements_with_everything_ranked(zoo, asked, tmp_path):
    pytrec_eval = pytest.importorskip("pytrec_eval")
    rng = np.random.default_rng(0)
    ids = [f"q{i}" for i in range(8)]
    judged = [(q, item, int(rng.integers(0, 4))) for q in ids for item in images() if rng.random() < 0.6]
    path = asked(ids)
    (found,) = evaluate(config_of(zoo), path, qrels(tmp_path, *judged))
    zoo.query(path, "-k", 21, "--exact")
    run: dict[str, dict[str, float]] = {}
    for row in zoo.results.to_pylist():
        run.setdefault(row["query_id"], {})[row["item_id"]] = -float(row["rank"])
    qrel: dict[str, dict[str, int]] = {}
    for query_id, item_id, grade in judged:
        qrel.setdefault(query_id, {})[item_id] = grade
    theirs = pytrec_eval.RelevanceEvaluator(qrel, {"map", "ndcg_cut.5,10", "Rprec", "recall.10"}).evaluate(
        run
    )
    names = {
        "map": "map",
        "ndcg@5": "ndcg_cut_5",
        "ndcg@10": "ndcg_cut_10",
        "r_precision": "Rprec",
        "recall@10": "recall_10",
    }
    for query_id, row in rows(found).items():
        for ours, their_name in names.items():
            assert row[ours] == pytest.approx(theirs[query_id][their_name], abs=1e-6), ours


def test_every_query_is_measured_or_left_out_with_a_reason_and_unknown_ids_are_told(zoo, asked, tmp_path):
    path = asked(["good", "lone", "junk only", "unjudged", "twice", "twice"])
    judged = [
        ("good", "cat/00.jpg", 1),
        ("good", "no such item", 1),
        ("lone", "cat/00.jpg", 0),
        ("junk only", "cat/00.jpg", -1),
        ("twice", "dog/00.jpg", 2),
        ("no such query", "dog/00.jpg", 1),
    ]
    (found,) = evaluate(config_of(zoo), path, qrels(tmp_path, *judged))
    assert list(rows(found)) == ["good", "twice"]
    assert rows(found)["good"]["relevant"] == 1
    assert left_out_counts(found) == {"failed": 1, "unjudged": 1, "lone": 2}
    reasons = {(row["query_id"], row["reason"]) for row in found.left_out.to_pylist()}
    assert reasons == {("twice", "failed"), ("unjudged", "unjudged"), ("lone", "lone"), ("junk only", "lone")}
    assert (found.unknown_items, found.unknown_queries) == (["no such item"], ["no such query"])


def test_junk_is_out_of_the_ranking_before_anything_is_measured(zoo, asked, tmp_path):
    path = asked(["q"])
    (plain,) = evaluate(config_of(zoo), path, qrels(tmp_path, ("q", "eel/00.jpg", 1)))
    before = [("q", item, -1) for item in rows(plain)["q"]["top"] if item != "eel/00.jpg"]
    (cleaned,) = evaluate(config_of(zoo), path, qrels(tmp_path, ("q", "eel/00.jpg", 1), *before))
    rank = round(1 / rows(plain)["q"]["mrr"])
    assert rank > 5
    assert 1 / rows(cleaned)["q"]["mrr"] == pytest.approx(rank - 5)


def test_oxford_and_paris_set_ups_have_the_figures_worked_out_by_hand(zoo, asked, tmp_path):
    path = asked(["q"])
    zoo.query(path, "-k", 21, "--exact")
    ranked = zoo.results["item_id"].to_pylist()
    # Ranks: 1 junk, 2 easy, 3 not relevant, 4 hard, 5 not relevant, 6 easy; the rest is not relevant.
    judged = [("q", ranked[0], -1), ("q", ranked[1], 2), ("q", ranked[3], 1), ("q", ranked[5], 2)]
    found = evaluate(config_of(zoo), path, qrels(tmp_path, *judged), Settings(difficulty=True))
    by_setup = {one.setup: rows(one)["q"] for one in found}
    # Easy: junk and hard are out, the easy ones at ranks 1 and 4: (1 + (1/3 + 2/4) / 2) / 2.
    assert by_setup["easy"]["map_trapezoid"] == pytest.approx((1 + (1 / 3 + 2 / 4) / 2) / 2)
    assert by_setup["easy"]["precision_until_last@10"] == pytest.approx(2 / 4)
    # Medium: positives at 1, 3 and 5.
    medium = (1 + (1 / 2 + 2 / 3) / 2 + (2 / 4 + 3 / 5) / 2) / 3
    assert by_setup["medium"]["map_trapezoid"] == pytest.approx(medium)
    assert by_setup["medium"]["precision_until_last@10"] == pytest.approx(3 / 5)
    assert by_setup["medium"]["map"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    # Hard: junk and easy are out, the hard one is behind one other.
    assert by_setup["hard"]["map_trapezoid"] == pytest.approx((0 + 1 / 2) / 2)
    assert by_setup["hard"]["precision_until_last@1"] == 0


def test_a_query_without_a_positive_is_left_out_of_that_set_up_only(zoo, asked, tmp_path):
    path = qrels(tmp_path, ("q", "cat/00.jpg", 2))
    found = evaluate(config_of(zoo), asked(["q"]), path, Settings(difficulty=True))
    measured = {one.setup: (len(one.per_query), left_out_counts(one)["lone"]) for one in found}
    assert measured == {"easy": (1, 0), "medium": (1, 0), "hard": (0, 1)}


def test_an_items_own_query_finds_others_unless_it_is_kept(zoo, tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("cat/00.jpg\neel/01.jpg\nnobody\n")
    (found,) = evaluate(config_of(zoo), str(path), "directory")
    assert found.self_matches == 2
    assert {q: (r["relevant"], q in r["top"]) for q, r in rows(found).items()} == {
        "cat/00.jpg": (11, False),
        "eel/01.jpg": (2, False),
    }
    assert left_out_counts(found)["failed"] == 1
    (kept,) = evaluate(config_of(zoo), str(path), "directory", Settings(keep_self=True))
    assert kept.self_matches == 0
    assert {q: (r["relevant"], r["top"][0]) for q, r in rows(kept).items()} == {
        "cat/00.jpg": (12, "cat/00.jpg"),
        "eel/01.jpg": (3, "eel/01.jpg"),
    }


def test_what_is_taken_down_is_neither_ranked_nor_relevant(zoo, asked, tmp_path):
    shutil.copytree(zoo.store, tmp_path / "store")
    config = config_of(zoo).model_copy(update={"store": str(tmp_path / "store")})
    exclusions.add(config.store, ["eel/00.jpg", "eel/01.jpg"])
    (found,) = evaluate(config, asked(["eel/q"]), "directory")
    assert (found.items, rows(found)["eel/q"]["relevant"], found.class_items["eel"]) == (19, 1, 1)


def test_blocks_of_one_query_give_the_same_as_one_block(zoo, asked, monkeypatch):
    path = asked([f"{name}/q{i}" for i in range(3) for name in SIZES])
    (whole,) = evaluate(config_of(zoo), path, "directory")
    monkeypatch.setattr("lookalike.evaluate.ranking.SCORES_AT_ONCE", 1)
    (single,) = evaluate(config_of(zoo), path, "directory")
    assert single.per_query.equals(whole.per_query)
    np.testing.assert_allclose(single.curve, whole.curve)


def test_a_metadata_field_is_read_from_image_queries_vector_queries_and_ids(job, tmp_path):
    job.pack(images({"cat": 4, "dog": 4}))
    source = job.folder / "images"
    shutil.rmtree(job.shards)
    job.set(corpus={"shards": str(source), "metadata": {"directory": "string"}})
    job.nightly()
    config = config_of(job)
    queries = job.folder / "queries"
    for name in ("cat/q.jpg", "dog/q.jpg", "fox/q.jpg"):
        (queries / name).parent.mkdir(parents=True)
        (queries / name).write_bytes(picture(len(name)))
    (found,) = evaluate(config, str(queries), "directory")
    assert {q: (r["class"], r["relevant"]) for q, r in rows(found).items()} == {
        "cat/q.jpg": ("cat", 4),
        "dog/q.jpg": ("dog", 4),
    }
    assert left_out_counts(found) == {"failed": 0, "unjudged": 0, "lone": 1}
    vectors = tmp_path / "v.parquet"
    embedding = pa.array([[1.0] * 16] * 4, pa.list_(pa.float32()))
    pq.write_table(
        pa.table({"id": [7, 8, 9, 10], "embedding": embedding, "directory": ["cat", None, "dog", ""]}),
        vectors,
    )
    (found,) = evaluate(config, str(vectors), "directory")
    assert {q: r["class"] for q, r in rows(found).items()} == {"7": "cat", "9": "dog"}
    assert found.left_out.to_pylist() == [
        {"query_id": query_id, "reason": "unjudged", "detail": "it has no directory"}
        for query_id in ("8", "10")
    ]
    ids = tmp_path / "ids.txt"
    ids.write_text("dog/01.jpg\n")
    (found,) = evaluate(config, str(ids), "directory")
    assert rows(found)["dog/01.jpg"]["class"] == "dog"


@pytest.mark.parametrize(
    ("relevance", "settings", "said"),
    [
        (
            "colour",
            Settings(),
            r"a field that the index carries \(title, number, directory\) or a file.*colour",
        ),
        ("title", Settings(), "Expected a column title beside the vectors"),
        ("directory", Settings(difficulty=True), "Easy, medium and hard need a file"),
        ("directory", Settings(classes="colour"), "metadata field that the index carries"),
    ],
)
def test_what_cannot_be_measured_is_told(zoo, asked, relevance, settings, said):
    with pytest.raises(LookalikeError, match=said):
        evaluate(config_of(zoo), asked(["cat/q"]), relevance, settings)


def test_classes_are_grouped_by_their_items_and_averaged_on_their_own(zoo, asked):
    (found,) = evaluate(config_of(zoo), asked(["cat/1", "cat/2", "dog/1", "eel/1"]), "directory")
    table = per_class(found, ClassSizes(head_over=10, tail_under=4))
    assert [tuple(row[n] for n in ("class", "items", "queries", "group")) for row in table.to_pylist()] == [
        ("cat", 12, 2, "head"),
        ("dog", 6, 1, "middle"),
        ("eel", 3, 1, "tail"),
    ]
    cats = [rows(found)[q]["map"] for q in ("cat/1", "cat/2")]
    assert table["map"][0].as_py() == pytest.approx(np.mean(cats))


def test_the_command_writes_figures_tables_and_plots_that_agree(zoo, asked, tmp_path, capsys):
    config_of(zoo)
    ids = [f"{name}/q{i}" for i in range(3) for name in SIZES]
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
    (out / "hardest.png").write_bytes(b"of an earlier run")
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
    config_of(zoo)
    queries = tmp_path / "queries"
    for name, content in images({"cat": 3, "dog": 3, "eel": 3}, start=500).items():
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
    config_of(zoo)
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
    config_of(zoo)
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
    config_of(zoo)
    with pytest.raises(LookalikeError, match=said):
        lookalike("-c", zoo.config, "--queries", "a", "--relevance", "directory", "-o", tmp_path, *extra)


@pytest.mark.slow
@pytest.mark.skipif(not CLOTHING.is_dir(), reason=f"no photographs in {CLOTHING}")
@pytest.mark.timeout(1800)
def test_real_photographs_have_the_quality_that_is_written_down(tmp_path):
    from lookalike.encoder.build import build_encoder
    from lookalike.sources import SourceOptions

    train = str(CLOTHING / "train")
    build_encoder(
        tmp_path / "encoder",
        network="efficientnet_lite0",
        sample=train,
        options=SourceOptions(),
        variant="int8",
    )
    job = Job(tmp_path, tmp_path / "encoder")
    job.set(corpus={"shards": train, "metadata": {"directory": "string"}})
    job.nightly()
    (found,) = evaluate(config_of(job), str(CLOTHING / "validation"), "directory")
    assert (len(found.per_query), len(found.left_out), found.items) == (341, 0, 3068)
    means = {name: pc.mean(found.per_query[name]).as_py() for name in ("hit_rate@1", "hit_rate@10", "map")}
    # docs/benchmarks.md; another processor rounds otherwise.
    assert means["hit_rate@1"] == pytest.approx(0.804, abs=0.02)
    assert means["hit_rate@10"] == pytest.approx(0.982, abs=0.01)
    assert means["map"] == pytest.approx(0.532, abs=0.01)
