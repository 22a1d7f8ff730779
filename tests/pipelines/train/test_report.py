"""What a training says of itself, and its curves. Its model card is in test_job.py, as it tells of everything."""

from pathlib import Path

import cv2

from lookalike.train.report import TrainSummary, draw_curves, train_report
from lookalike.train.run_folder import Run

METRICS = {"map_at_r": 0.25, "hit_rate_at_1": 0.5, "map": 0.375}
RUN = Run("decode", "embedding", 8, "0" * 64, ["a", "b"], 3, 2, METRICS, {})


def summary(**fields) -> TrainSummary:
    usual = {"seconds": 1_234.5, "finished_before": False, "rejected": 0, "notices": [], "damaged": False}
    return TrainSummary(Path("runs/one"), RUN, **usual | fields)


def test_figures_come_first_and_what_to_do_next_last():
    assert train_report(summary()).splitlines() == [
        "validation   mAP@R 0.2500, hit rate at 1 0.5000, mAP 0.3750 (epoch 2 of 3)",
        "seconds      1,234.5",
        "network      runs/one/network.keras, 8 dimensions",
        "model card   runs/one/card.md",
        "next         lookalike encoder build OUT --network runs/one --sample SHARDS",
    ]


def test_what_is_odd_has_a_line_each():
    text = train_report(summary(notices=["one", "two"], rejected=1_000, finished_before=True))
    assert "NOTICE       one\nNOTICE       two\n" in text
    assert "not used     1,000 images: runs/one/rejects.parquet\n" in text
    assert "finished     before, and the images were not read again" in text
    assert "seconds" not in text


def test_curves_are_a_picture_that_appears_whole(tmp_path):
    history = [{"epoch": n, "loss": 1 / n, "learning_rate": 0.1, **METRICS} for n in (1, 2, 3)]
    draw_curves(history, 2, tmp_path / "curves.png")
    assert cv2.imread(str(tmp_path / "curves.png")).shape == (360, 1200, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
