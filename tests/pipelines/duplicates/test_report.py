from __future__ import annotations

import json
from dataclasses import replace

from lookalike.config.job import Config
from lookalike.duplicates.limiting import Others
from lookalike.duplicates.report import DuplicatesSummary, duplicates_report, threshold_json
from lookalike.duplicates.results import Groups
from lookalike.duplicates.threshold import Threshold

CONFIG = Config.model_validate({"corpus": {"shards": "a"}, "encoder": "b", "store": "c"})
LOOKED = DuplicatesSummary(
    generation="20260101T000000Z-1",
    against=None,
    items=3375,
    groups=Groups(1200, {"equal bytes": 1000, "equal pixels": 20, "near copy": 304}),
    min_score=None,
    threshold=Threshold(0.9416, 0.9661, {"resized": 1.0, "cropped": 0.98}),
    wished=0.95,
    not_compared=0,
    pairs=1436,
    table="out/duplicates.csv",
    seconds={"copies": 1.26, "groups": 0.1},
)


def test_the_summary() -> None:
    assert duplicates_report(LOOKED).splitlines() == [
        "generation   20260101T000000Z-1, 3,375 items",
        "groups       1,200; 1,324 items could go: 1,000 equal bytes, 20 equal pixels, 304 near copy",
        "threshold    correlation 0.9416 of 1,436 pairs; precision 0.966",
        "recall       of made copies: 1.000 resized, 0.980 cropped",
        "seconds      copies 1.3, groups 0.1",
        "duplicates   out/duplicates.csv",
    ]


def test_what_was_wished_and_not_reached_is_told_and_what_was_not_compared() -> None:
    told = duplicates_report(replace(LOOKED, wished=0.99, not_compared=3, against="other"))
    assert "NOTICE       no threshold was found for a precision of 0.99" in told
    assert "NOTICE       3 pairs not compared" in told
    assert "against      other, of which all that is kept is" in told


def test_what_was_not_looked_at_is_told() -> None:
    told = replace(LOOKED, others=Others(5000, 1000, 0.91), unseen=8)
    assert duplicates_report(told).splitlines()[4] == (
        "not seen     5,000 pairs are less near than those: a look at 1,000 of them tells of some 8 copies more "
        "(duplicates.pairs)"
    )
    said = json.loads(threshold_json(told, CONFIG, None))
    assert (said["pairs_not_looked_at"], said["copies_not_looked_at"]) == (4000, 8)


def test_the_threshold_as_json() -> None:
    told = json.loads(threshold_json(LOOKED, CONFIG, None))
    assert told["min_correlation"] == 0.9416
    assert told["recall"]["cropped"] == 0.98
    assert told["min_score"] is None
    assert told["job"]["corpus"]["shards"].endswith("/a")
    assert told["against_job"] is None
    told = json.loads(threshold_json(replace(LOOKED, threshold=None, min_score=0.9), CONFIG, None))
    assert told["min_score"] == 0.9
    assert told["recall"] is None
    assert told["wished_precision"] is None
    assert "pictures were not looked at" in duplicates_report(replace(LOOKED, threshold=None, min_score=0.9))
