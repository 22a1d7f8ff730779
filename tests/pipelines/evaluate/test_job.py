"""The evaluation job: figures against slow definitions, and every query accounted for."""

import shutil

import numpy as np
import pyarrow.compute as pc
import pytest

from lookalike.encoder.build import NetworkChoice, Sample
from lookalike.evaluate.job import evaluate, left_out_counts
from lookalike.evaluate.measurements import Settings
from lookalike.model.encoder.export import BundleRecipe
from lookalike.model.errors import LookalikeError
from lookalike.store import exclusions
from tests.conftest import ZOO, Job, zoo_pictures
from tests.support.places import CLOTHING


def rows(evaluation) -> dict[str, dict]:
    return {row["query_id"]: row for row in evaluation.per_query.to_pylist()}


def qrels(tmp_path, *judgements) -> str:
    path = tmp_path / "file.qrels"
    path.write_text("".join(f"{query}\t0\t{item}\t{grade}\n" for query, item, grade in judgements))
    return str(path)


def test_the_ranking_is_that_of_an_exact_query_and_the_figures_follow_from_it(zoo, asked):
    ids = [f"{name}/q{i}" for i in range(4) for name in ZOO]
    path = asked(ids)
    (found,) = evaluate(zoo.loaded, path, "directory")
    assert zoo.query(path, "-k", 21, "--exact").code == 0
    ranked: dict[str, list[str]] = {}
    for row in zoo.results.to_pylist():
        ranked.setdefault(row["query_id"], []).append(row["item_id"])
    assert list(rows(found)) == ids
    for query_id, row in rows(found).items():
        label = query_id.split("/")[0]
        right = [item_id.startswith(label) for item_id in ranked[query_id]]
        ranks = [rank for rank, is_right in enumerate(right, 1) if is_right]
        assert row["relevant"] == ZOO[label]
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
    judged = [
        (q, item, int(rng.integers(0, 4))) for q in ids for item in zoo_pictures() if rng.random() < 0.6
    ]
    path = asked(ids)
    (found,) = evaluate(zoo.loaded, path, qrels(tmp_path, *judged))
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
    (found,) = evaluate(zoo.loaded, path, qrels(tmp_path, *judged))
    assert list(rows(found)) == ["good", "twice"]
    assert rows(found)["good"]["relevant"] == 1
    assert left_out_counts(found) == {"failed": 1, "unjudged": 1, "lone": 2}
    reasons = {(row["query_id"], row["reason"]) for row in found.left_out.to_pylist()}
    assert reasons == {("twice", "failed"), ("unjudged", "unjudged"), ("lone", "lone"), ("junk only", "lone")}
    assert (found.unknown_items, found.unknown_queries) == (["no such item"], ["no such query"])


def test_junk_is_out_of_the_ranking_before_anything_is_measured(zoo, asked, tmp_path):
    path = asked(["q"])
    (plain,) = evaluate(zoo.loaded, path, qrels(tmp_path, ("q", "eel/00.jpg", 1)))
    before = [("q", item, -1) for item in rows(plain)["q"]["top"] if item != "eel/00.jpg"]
    (cleaned,) = evaluate(zoo.loaded, path, qrels(tmp_path, ("q", "eel/00.jpg", 1), *before))
    rank = round(1 / rows(plain)["q"]["mrr"])
    assert rank > 5
    assert 1 / rows(cleaned)["q"]["mrr"] == pytest.approx(rank - 5)


def test_oxford_and_paris_set_ups_have_the_figures_worked_out_by_hand(zoo, asked, tmp_path):
    path = asked(["q"])
    zoo.query(path, "-k", 21, "--exact")
    ranked = zoo.results["item_id"].to_pylist()
    # Ranks: 1 junk, 2 easy, 3 not relevant, 4 hard, 5 not relevant, 6 easy; the rest is not relevant.
    judged = [("q", ranked[0], -1), ("q", ranked[1], 2), ("q", ranked[3], 1), ("q", ranked[5], 2)]
    found = evaluate(zoo.loaded, path, qrels(tmp_path, *judged), Settings(difficulty=True))
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
    found = evaluate(zoo.loaded, asked(["q"]), path, Settings(difficulty=True))
    measured = {one.setup: (len(one.per_query), left_out_counts(one)["lone"]) for one in found}
    assert measured == {"easy": (1, 0), "medium": (1, 0), "hard": (0, 1)}


def test_an_items_own_query_finds_others_unless_it_is_kept(zoo, tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("cat/00.jpg\neel/01.jpg\nnobody\n")
    (found,) = evaluate(zoo.loaded, str(path), "directory")
    assert found.self_matches == 2
    assert {q: (r["relevant"], q in r["top"]) for q, r in rows(found).items()} == {
        "cat/00.jpg": (11, False),
        "eel/01.jpg": (2, False),
    }
    assert left_out_counts(found)["failed"] == 1
    (kept,) = evaluate(zoo.loaded, str(path), "directory", Settings(keep_self=True))
    assert kept.self_matches == 0
    assert {q: (r["relevant"], r["top"][0]) for q, r in rows(kept).items()} == {
        "cat/00.jpg": (12, "cat/00.jpg"),
        "eel/01.jpg": (3, "eel/01.jpg"),
    }


def test_what_is_taken_down_is_neither_ranked_nor_relevant(zoo, asked, tmp_path):
    shutil.copytree(zoo.store, tmp_path / "store")
    config = zoo.loaded.model_copy(update={"store": str(tmp_path / "store")})
    exclusions.add(config.store, ["eel/00.jpg", "eel/01.jpg"])
    (found,) = evaluate(config, asked(["eel/q"]), "directory")
    assert (found.items, rows(found)["eel/q"]["relevant"], found.class_items["eel"]) == (19, 1, 1)


def test_blocks_of_one_query_give_the_same_as_one_block(zoo, asked, monkeypatch):
    path = asked([f"{name}/q{i}" for i in range(3) for name in ZOO])
    (whole,) = evaluate(zoo.loaded, path, "directory")
    monkeypatch.setattr("lookalike.evaluate.ranking.SCORES_AT_ONCE", 1)
    (single,) = evaluate(zoo.loaded, path, "directory")
    assert single.per_query.equals(whole.per_query)
    np.testing.assert_allclose(single.curve, whole.curve)


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
        evaluate(zoo.loaded, asked(["cat/q"]), relevance, settings)


def test_queries_with_filters_of_their_own_are_refused_as_every_item_is_ranked(zoo, tmp_path):
    path = tmp_path / "asked.csv"
    path.write_text("query_id,item_id,where\na,cat/00.jpg,number < 3\n")
    with pytest.raises(
        LookalikeError, match=r"Expected queries without filters.*asked\.csv, with a column where"
    ):
        evaluate(zoo.loaded, str(path), "directory")


@pytest.mark.slow
@pytest.mark.skipif(not CLOTHING.is_dir(), reason=f"no photographs in {CLOTHING}")
@pytest.mark.timeout(1800)
def test_real_photographs_have_the_quality_that_is_written_down(tmp_path):
    from lookalike.encoder.build import build_encoder

    train = str(CLOTHING / "train")
    build_encoder(tmp_path / "encoder", NetworkChoice(), Sample(train), BundleRecipe("efficientnet_lite0"))
    job = Job(tmp_path, tmp_path / "encoder")
    job.set(corpus={"shards": train, "metadata": {"directory": "string"}})
    job.nightly()
    (found,) = evaluate(job.loaded, str(CLOTHING / "validation"), "directory")
    assert (len(found.per_query), len(found.left_out), found.items) == (341, 0, 3068)
    means = {name: pc.mean(found.per_query[name]).as_py() for name in ("hit_rate@1", "hit_rate@10", "map")}
    # docs/benchmarks.md; another processor rounds otherwise.
    assert means["hit_rate@1"] == pytest.approx(0.804, abs=0.02)
    assert means["hit_rate@10"] == pytest.approx(0.982, abs=0.01)
    assert means["map"] == pytest.approx(0.532, abs=0.01)
