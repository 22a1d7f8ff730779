"""Pictures as real programs write them, each beside the picture it holds: `../shared/cases/images`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.model.errors import ImageError
from lookalike.model.images.isolated import decode
from tests.support.places import ROOT

CASES = ROOT.parent / "shared" / "cases" / "images"
FILES = sorted(path for path in CASES.glob("*.*") if path.suffix != ".md" and ".expect." not in path.name)
REFUSED = {
    "png_huge_text.png": "PNG cut short or corrupt: it ends too early",
    "tiff_g4_byte.tif": "TIFF cut short or corrupt: a fax strip holds less than its 600 rows",
}
SIZES = {"exif_behind_130kB_app2.jpg": (40, 80), "lossless_rgb_512.jpg": (512, 512)}
"""Width and height, where there is no picture to compare with."""

pytestmark = pytest.mark.skipif(not FILES, reason=f"needs {CASES}")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@pytest.mark.parametrize("suspect", [False, True])
def test_each_picture_is_what_it_holds(path: Path, suspect: bool) -> None:
    if path.name in REFUSED:
        with pytest.raises(ImageError, match=f"^{REFUSED[path.name]}$"):
            decode(path.read_bytes(), suspect=suspect)
        return
    found = decode(path.read_bytes(), suspect=suspect)
    if path.name in SIZES:
        assert (found.width, found.height) == SIZES[path.name]
        return
    with Image.open(f"{path}.expect.png") as picture:
        right = np.asarray(picture.convert("RGB"), np.int16)
    assert found.pixels.shape == right.shape
    assert np.abs(found.pixels - right).mean() < 1
