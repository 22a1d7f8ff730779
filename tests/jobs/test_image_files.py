"""The short forms of benchmarks/compare_readers.py and benchmarks/mutate_images.py."""

from __future__ import annotations

import contextlib
import os
import sysconfig
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks import compare_readers, mutate_images
from lookalike.model.errors import ImageError
from lookalike.model.images import MAX_PIXELS
from lookalike.model.images.decode import decode_common
from lookalike.model.images.isolated import decode

SAMPLES = mutate_images.samples()
EXPLAINED = {
    "multipage_rgb.tif": "planar samples of 64 bits, of which the other libraries give back no picture",
    "rtdose_expb_1frame.dcm": "samples of 32 bits, whose levels wrap around in dcmj2pnm, where that is installed",
}


@pytest.mark.slow
def test_other_libraries_agree_on_the_image_files_of_the_installed_packages() -> None:
    verdicts = []
    for package in sorted(Path(sysconfig.get_path("purelib")).iterdir()):
        found = list(compare_readers.files([package]))
        # Of thousands of icons in one package some.
        verdicts += [compare_readers.apart(path) for path in found[:: -(-len(found) // 30) or 1]]
    assert len(verdicts) > 50
    assert [v for v in compare_readers.unexplained(verdicts) if v.path.name not in EXPLAINED] == []


def test_a_difference_and_a_refusal_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, data in mutate_images.samples().items():
        if name in ("png", "jpeg photograph", "bmp"):
            (tmp_path / f"{name}.{name[:3]}").write_bytes(data)
    monkeypatch.setattr(compare_readers, "SUFFIXES", compare_readers.re.compile("."))
    (tmp_path / "a.psd").write_bytes(b"8BPS")
    verdicts = [compare_readers.examine(path) for path in compare_readers.files([tmp_path])]
    assert Counter(v.kind for v in verdicts) == {"same": 3, "unread": 1}
    assert compare_readers.unexplained(verdicts) == []
    monkeypatch.setitem(compare_readers.OTHERS, "PNG", (lambda data: compare_readers.by_pillow(data) // 2,))
    assert compare_readers.examine(tmp_path / "png.png").kind == "differs"
    (tmp_path / "cut.png").write_bytes((tmp_path / "png.png").read_bytes()[:-12])
    verdict = compare_readers.examine(tmp_path / "cut.png")
    assert (verdict.kind, compare_readers.unexplained([verdict])) == ("refused", [verdict])


@pytest.mark.slow
@pytest.mark.parametrize("common", [True, False])
def test_damaged_files_of_every_format_neither_crash_nor_hang_nor_take_memory(common: bool) -> None:
    child = mutate_images.Child(common)
    outcomes = [(name, child.outcome(data, 8)) for name, data in mutate_images.mutants(1500, 0)]
    # OpenEXR's decoder does end its process, which is why it has one of its own.
    told = [(name, end) for name, end in outcomes if name != "open exr"]
    assert [(name, end) for name, end in told if end not in ("read", "refused", "rare")] == []
    assert {"read", "refused"} <= {o[1] for o in outcomes}


def test_decoders_in_the_worker_print_and_log_nothing(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Their lines would be without the image's name; what the other decoders print goes nowhere."""
    read = 0
    for name in ("png", "png 16 bit", "png alpha", "jpeg photograph", "webp"):
        for _, data in mutate_images.mutants(100, seed=0, only=name):
            with contextlib.suppress(ImageError):
                image = decode_common(data, max_pixels=MAX_PIXELS, min_side=None, window=None)
                read += image is not None
    assert read > 20
    assert (*capfd.readouterr(), caplog.text) == ("", "", "")


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_sample_is_read_as_a_picture(name: str) -> None:
    pixels = decode(SAMPLES[name]).pixels
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3


def test_the_same_seed_makes_the_same_files() -> None:
    first, again = (list(mutate_images.mutants(30, seed=3, only="png")) for _ in range(2))
    assert first == again
    assert len({data for _, data in first}) > 25
    assert first != list(mutate_images.mutants(30, seed=4, only="png"))


def test_a_child_that_dies_is_told_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(data: bytes, common: bool, min_side: int | None) -> str:
        if data == b"die":
            os._exit(3)
        return "read"

    monkeypatch.setattr(mutate_images, "outcome", outcome)
    child = mutate_images.Child(common=True)
    assert [child.outcome(data, None) for data in (b"live", b"die", b"live")] == [
        "read",
        "crash (3)",
        "read",
    ]
