"""What pictures came tonight, by a look at a few: tiny, dark and blurred ones.

Looked at are the first pictures of some of the image shards that were embedded, which are read and decoded for it once
more: of the new ones a twentieth, from 20 to 200. So it tells of what is frequent, costs about a hundredth of embedding
them, and no night without new pictures pays for it.

Blur is told by the variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy",
ICPR 2000) of the grey picture with a short side of 224 pixels. Of 614 photographs of clothing none is below 25, one in
200 is below 45; of 154 that were blurred by a Gaussian of 2 such pixels 151 are. A picture of one colour counts, too.
Darkness is the mean of the grey levels: none of the 614 is below 58.
"""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lookalike.model.errors import ImageError, LookalikeError

from ..config.job import Config
from ..embedding.report import EmbedSummary
from ..sources import Shard, read_records
from ..sources.records import Record

logger = logging.getLogger(__name__)

SHARDS, LEAST, MOST, PART = 8, 20, 200, 20
EXAMPLES = 5
_SIDE = 224
TINY = 100
"""Pixels of the short side."""
_DARK, _BLURRED = 40.0, 25.0


@dataclass(frozen=True)
class Flawed:
    """How many pictures have a flaw, and the ids of the first few."""

    count: int
    item_ids: tuple[str, ...]


@dataclass(frozen=True)
class Pictures:
    """What a look at some pictures found.

    Attributes:
        looked_at: pictures that were decoded for it.
        flaws: `tiny`, `dark` or `blurred` -> the pictures that are.
    """

    looked_at: int
    flaws: dict[str, Flawed]


def look_at_pictures(config: Config, embedded: EmbedSummary) -> Pictures | None:
    """Looks at some pictures of the shards that a run embedded; None where there are none, or none can be read here."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    looked_at = 0
    wanted = min(MOST, max(LEAST, embedded.counts["embedded"] // PART))
    for record in _some(config, _spread(embedded), wanted):
        try:
            flaws = flaws_of(record.image)
        except ImageError:
            continue
        if flaws is None:
            continue
        looked_at += 1
        for flaw in flaws:
            found[flaw].append(record.item_id)
    if not looked_at:
        return None
    return Pictures(
        looked_at, {flaw: Flawed(len(ids), tuple(ids[:EXAMPLES])) for flaw, ids in sorted(found.items())}
    )


def _spread(embedded: EmbedSummary) -> list[Shard]:
    """Some of the shards that were embedded, far apart; none with a picture that may have ended a decoder."""
    notes = embedded.embedded
    places = {number * len(notes) // SHARDS for number in range(SHARDS)} if len(notes) else ()
    names = {note.shard for note in (notes[place] for place in places) if not note.rejected}
    return [shard for shard in embedded.plan.shards if shard.name in names]


def _some(config: Config, shards: Sequence[Shard], wanted: int) -> Iterator[Record]:
    options = replace(config.corpus.source_options(), metadata={})
    for shard in shards:
        try:
            yield from itertools.islice(read_records(shard, options), -(-wanted // len(shards)))
        except (
            LookalikeError,
            OSError,
        ) as error:  # the night has told, or workers saw what this machine does not
            logger.info("no picture of %s was looked at: %s", shard.name, error)


def flaws_of(data: bytes) -> list[str] | None:
    """Which flaws a picture has: `tiny`, `dark`, `blurred`; None for one of a kind that takes long to decode.

    Raises:
        ImageError: if it cannot be decoded, or is so large that embedding does that in another process.
    """
    import cv2

    from lookalike.model.images.decode import decode_common
    from lookalike.model.images.isolated import HERE_PIXELS

    image = decode_common(data, max_pixels=HERE_PIXELS, min_side=_SIDE, window=None)
    if image is None:
        return None
    grey = cv2.cvtColor(image.pixels, cv2.COLOR_RGB2GRAY)
    scale = _SIDE / min(grey.shape)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    flaws = {
        "tiny": min(image.width, image.height) < TINY,
        "dark": float(np.mean(grey)) < _DARK,
        "blurred": float(np.var(cv2.Laplacian(grey, cv2.CV_64F))) < _BLURRED,
    }
    return [flaw for flaw, is_so in flaws.items() if is_so]


def picture_lines(pictures: Pictures) -> Iterator[str]:
    """The same as text, with the first examples."""
    parts = ", ".join(
        f"{flawed.count:,} {flaw} ({', '.join(flawed.item_ids[:2])})"
        for flaw, flawed in pictures.flaws.items()
    )
    yield f"pictures     of {pictures.looked_at:,} new ones looked at: {parts or 'none is tiny, dark or blurred'}"
