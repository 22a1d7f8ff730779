"""Calibrations (`model/encoder/calibration`): beside the encoder that a job names, and beside its copy in the store.

The copy is for jobs on other machines, whose encoder may be an older copy, or not be there.
"""

from __future__ import annotations

import os

from lookalike.model.encoder.calibration import (
    MOST_BYTES,
    Calibration,
    calibration_json,
    read_calibration,
)
from lookalike.model.encoder.manifest import CALIBRATION, MANIFEST, fingerprint, read_manifest
from lookalike.model.encoder.post_processing import PostProcessing

from ..filesystem import files
from .encoders import encoder_path
from .generation import Generation


def calibration_of(
    store: str, bundle: str, generation: Generation, steps: PostProcessing
) -> tuple[Calibration | None, str | None]:
    """The calibration that holds for what a generation answers.

    Args:
        store: folder of the store.
        bundle: folder of the job's encoder, on this machine; need not be there.
        generation: what answers.
        steps: in use.

    Returns:
        The calibration, or None; and of one that is there and does not hold, why not.

    Raises:
        LookalikeError: if a calibration is damaged.
        OSError: if one cannot be read.
    """
    refused = None
    for path in _places(store, bundle, generation.encoder):
        try:
            with files.open_read(path) as file:
                data = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            continue
        found = read_calibration(data, path)
        reason = found.why_not(generation.encoder, generation.metric, steps)
        if reason is None:
            return found, None
        refused = refused or f"{path} does not hold here: {reason}"
    return None, refused


def keep_calibration(store: str, bundle: str, calibration: Calibration) -> list[str]:
    """Writes a calibration beside the job's encoder, if that is its encoder, and beside the copy in the store.

    Returns:
        The paths.

    Raises:
        OSError: if one cannot be written.
    """
    paths = _places(store, bundle, calibration.encoder)
    if not _is_of(bundle, calibration.encoder):
        del paths[0]
    for path in paths:
        files.write_bytes(path, calibration_json(calibration))
    return paths


def _is_of(bundle: str, encoder: str) -> bool:
    return os.path.isfile(os.path.join(bundle, MANIFEST)) and fingerprint(read_manifest(bundle)) == encoder


def _places(store: str, bundle: str, encoder: str) -> list[str]:
    return [files.join(bundle, CALIBRATION), files.join(store, encoder_path(encoder), CALIBRATION)]
