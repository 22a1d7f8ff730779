from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lookalike.duplicates.catalogues import Catalogue
from lookalike.duplicates.copies import KINDS, made_copies
from lookalike.model.errors import LookalikeError
from lookalike.model.images.decode import decode
from lookalike.store import generations
from tests.support.drawn import drawn


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_a_picture_and_the_same_each_time(kind) -> None:
    pixels = drawn(1, 200, 100)
    one, again = (KINDS[kind](pixels, np.random.default_rng(3)) for _ in range(2))
    assert one == again
    width, height = decode(one)[1:]
    expected = {"cropped": (180, 90), "resized": None}.get(kind, (200, 100))
    assert expected is None or (width, height) == expected
    assert width / height == pytest.approx(2, rel=0.02)


def catalogue(job) -> Catalogue:
    return Catalogue(
        job.loaded, generations.read(str(job.store), job.generation["name"]), pa.array([], pa.string())
    )


def test_each_picture_of_the_sample_has_a_copy_of_each_kind(published) -> None:
    made, again = (made_copies(catalogue(published), 7) for _ in range(2))
    assert list(made.near) == list(made.correlation) == list(KINDS)
    for kind in KINDS:
        assert len(made.near[kind]) == len(made.correlation[kind]) == 7
        assert made.near[kind].min() > 0.5
        assert np.array_equal(made.near[kind], again.near[kind])


def test_another_encoder_is_refused(published, other_encoder, copied) -> None:
    copied.set(encoder=str(other_encoder))
    with pytest.raises(LookalikeError, match="is not the one the index was made with"):
        made_copies(catalogue(copied), 5)
