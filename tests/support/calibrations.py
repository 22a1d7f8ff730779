"""Calibrations that nobody fitted, beside an encoder of the test's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from lookalike.model.encoder.calibration import Calibration, calibration_json
from lookalike.model.encoder.manifest import CALIBRATION, fingerprint, read_manifest
from lookalike.model.encoder.post_processing import PostProcessing
from lookalike.model.measuring.calibration import Logistic
from tests.conftest import Job

CURVE = Logistic(slope=30.0, intercept=-28.5)
"""One half at a cosine of 0.95, as near as pictures of the tiny encoder are."""


def calibration(encoder: str, **values: Any) -> Calibration:
    """One for an encoder of this fingerprint, cosine and no steps, unless `values` say otherwise."""
    given = {
        "encoder": encoder,
        "metric": "cosine",
        "steps": PostProcessing(),
        "fitted": CURVE,
        "k": 10,
        "queries": 5,
        "pairs": 50,
        "relevance": "directory",
        "generation": "g",
    }
    return Calibration(**{**given, **values})


def with_calibration(job: Job, **values: Any) -> Job:
    """The job with a copy of its encoder in its folder, and a calibration beside that."""
    folder = job.folder / "calibrated"
    shutil.copytree(job.settings["encoder"], folder)
    made = calibration(fingerprint(read_manifest(folder)), **values)
    Path(folder, CALIBRATION).write_bytes(calibration_json(made))
    return job.set(encoder=str(folder))
