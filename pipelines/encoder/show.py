"""What is in an encoder bundle, in words and for machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.model.encoder.bundle import BATCH, Encoder
from lookalike.model.encoder.calibration import MOST_BYTES, Calibration, read_calibration
from lookalike.model.encoder.manifest import (
    CALIBRATION,
    VARIANTS,
    check_files,
    fingerprint,
    needed_files,
    read_manifest,
)
from lookalike.model.encoder.post_processing import PostProcessing, read_post_processing
from lookalike.model.images.test_time_augmentation import TestTimeAugmentation
from lookalike.model.text.bundle import check_text_files
from lookalike.model.waiting import waiting


@dataclass(frozen=True)
class Shown:
    """An encoder bundle.

    Attributes:
        folder: of it.
        manifest: its `encoder.json`.
        variants: name -> fingerprint, of those that it holds.
        rates: name -> images a second of its network on one thread of this machine; empty where not measured.
        size: bytes of its files.
        steps: around the search.
        calibration: of its probabilities, if there is one.
        calibration_fits_not: why the calibration does not hold for this encoder and these steps, if so.
    """

    folder: Path
    manifest: dict[str, Any]
    variants: dict[str, str]
    rates: dict[str, float]
    size: int
    steps: PostProcessing
    calibration: Calibration | None
    calibration_fits_not: str | None


def show(folder: Path, *, measure: bool = False) -> Shown:
    """Looks at a bundle, whose files are compared with their digests.

    Args:
        folder: of the bundle.
        measure: whether to open each variant and measure its rate, which takes some seconds.

    Raises:
        LookalikeError: if it is no whole, unchanged bundle.
        OSError: if it cannot be read.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest, manifest["variant"])
    check_text_files(folder)
    held = [name for name in VARIANTS if needed_files(manifest, name) <= manifest["files"].keys()]
    calibration, fits_not = calibration_beside(folder, manifest)
    return Shown(
        folder,
        manifest,
        {name: fingerprint(manifest, name) for name in held},
        {name: _rate(folder, name) for name in held} if measure else {},
        sum((folder / name).stat().st_size for name in manifest["files"]),
        read_post_processing(manifest),
        calibration,
        fits_not,
    )


def calibration_beside(folder: Path, manifest: dict[str, Any]) -> tuple[Calibration | None, str | None]:
    """The calibration in a bundle's folder, if any; and why it does not hold for this bundle, if so.

    Raises:
        LookalikeError: if it is damaged.
        OSError: if it cannot be read.
    """
    path = folder / CALIBRATION
    try:
        with open(path, "rb") as file:
            found = read_calibration(file.read(MOST_BYTES + 1), str(path))
    except FileNotFoundError:
        return None, None
    return found, found.why_not(fingerprint(manifest), found.metric, read_post_processing(manifest))


def _rate(folder: Path, variant: str) -> float:
    with waiting(f"measuring {variant}"):
        opened = Encoder.load(folder, variant=variant, threads=1)
        size = opened.preprocess.height, opened.preprocess.width
        noise = np.random.default_rng(0).integers(0, 256, (BATCH, *size, 3)).astype(np.uint8)
        return opened.rate(noise)


def show_report(shown: Shown) -> Iterator[str]:
    """Lines for people."""
    manifest, projection = shown.manifest, shown.manifest["projection"]
    yield f"encoder      {shown.folder} ({shown.size / 1e6:,.1f} MB)"
    yield f"network      {manifest['name']}, {manifest['pooling']} pooling"
    length = "scaled to length 1" if manifest["unit_length"] else "of any length"
    yield f"dimensions   {manifest['dim']}, {length}"
    if projection:
        yield f"projection   {projection['kind']}, which keeps {projection['variance']:.1%} of the variance"
    else:
        yield "projection   none"
    yield f"pictures     {manifest['preprocessing']}"
    if views := manifest.get("views"):
        scales = ", ".join(f"{scale:g}" for scale in views["scales"])
        yield f"             averaged over scales {scales}{' and the mirrored picture' if views['flip'] else ''}"
    for name, digest in shown.variants.items():
        rate = f", {shown.rates[name]:,.0f} images/s of one thread" if name in shown.rates else ""
        used = ", in use" if name == manifest["variant"] else ""
        yield f"variant      {name:8} {digest[:16]}{rate}{used}"
    yield f"fingerprint  {shown.variants[manifest['variant']]}"
    yield f"steps        {shown.steps}"
    yield f"calibration  {calibration_line(shown.calibration, shown.calibration_fits_not)}"


def calibration_line(calibration: Calibration | None, fits_not: str | None) -> str:
    """What there is to know of a calibration, in a line."""
    if calibration is None:
        return "none, so that results have no probability; `lookalike evaluate --calibrate` makes one"
    if fits_not:
        return f"does not hold: {fits_not}; `lookalike evaluate --calibrate` makes another"
    return (
        f"{calibration.fitted.method}, for {calibration.metric}, from {calibration.queries:,} queries and "
        f"{calibration.pairs:,} pairs, relevant by {calibration.relevance}"
    )


def show_json(shown: Shown) -> dict[str, Any]:
    """The same for machines."""
    manifest, calibration = shown.manifest, shown.calibration
    fields = ("name", "dim", "preprocessing", "pooling", "projection", "unit_length", "variant")
    return {
        "folder": str(shown.folder),
        **{name: manifest[name] for name in fields},
        "test_time_augmentation": TestTimeAugmentation.from_manifest(manifest.get("views")).as_manifest(),
        "fingerprint": shown.variants[manifest["variant"]],
        "variants": shown.variants,
        "rates": shown.rates,
        "bytes": shown.size,
        "steps": shown.steps.model_dump(),
        "calibration": calibration
        and {
            **calibration.model_dump(mode="json", exclude={"fitted"}),
            "method": calibration.fitted.method,
            "fits_not": shown.calibration_fits_not,
        },
    }
