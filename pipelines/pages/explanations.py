"""Why first matches are matches, drawn for a page on request."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
from markupsafe import Markup

from lookalike.model.errors import ImageError
from lookalike.model.images.boxes import PartOfImage

from ..config.job import Config
from ..evaluate.pictures import each_item_picture
from ..query.inputs import check_encoder
from ..store import exclusions
from ..store.generation import Generation
from .album import ITEM, QUERY, Album
from .pictures import as_far_as, each_query

MOST = 50
"""Pairs on a page: each takes some 50 kB, and the network seconds for a dozen."""
_DPI = 72


def explain_pairs(
    config: Config, generation: Generation, path: str | None, pairs: Mapping[str, str]
) -> dict[str, Markup]:
    """Draws why pictures have their scores; pairs of which a picture is missing, or taken down, are left out.

    Args:
        config: the job; its encoder, shards and store are read.
        generation: that serves the items.
        path: of the queries; None where it is not known.
        pairs: id of a query -> id of an item.

    Returns:
        Id of the query -> the picture as a `data:` address.

    Raises:
        LookalikeError: if the encoder is not that of the generation, or no whole bundle.
        OSError: if the store cannot be read.
    """
    from lookalike.model.explaining.explainer import Explainer

    from ..explain.drawing import drawn

    check_encoder(config, generation)
    album = Album()  # Takes only why there is no picture.
    if path is None or not pairs:
        return {}
    explainer = Explainer.load(config.encoder, max_pixels=config.corpus.max_pixels)

    def seen(pictures: Iterator[tuple[str, bytes | PartOfImage]], kind: str) -> dict[str, np.ndarray]:
        """What the network sees of them: the files of all may not fit into memory."""
        found = {}
        for name, image in as_far_as(pictures, album, kind):
            with contextlib.suppress(ImageError):
                found[name] = explainer.pixels(image)
        return found

    asked = seen(each_query(album, config, generation, path, pairs), QUERY)
    down = set(exclusions.excluded_ids(config.store).to_pylist())
    wanted = sorted({item for query, item in pairs.items() if query in asked} - down)
    items = seen(each_item_picture(config, generation, wanted), ITEM)
    found: dict[str, Markup] = {}
    for query, item in pairs.items():
        if query not in asked or item not in items:
            continue
        try:
            explanation = explainer.explain_pixels(asked[query], items[item])
        except ImageError:
            continue
        jpeg = drawn(explanation, query, item, picture_format="jpeg", dpi=_DPI)
        found[query] = Markup("data:image/jpeg;base64," + base64.b64encode(jpeg).decode())
    return found
