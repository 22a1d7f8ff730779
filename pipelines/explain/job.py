"""Two pictures, or items of what is served, to the explanation of their score."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lookalike.model.encoder.bundle import Encoder
from lookalike.model.encoder.manifest import read_manifest
from lookalike.model.encoder.post_processing import read_post_processing
from lookalike.model.encoder.projection import unit_length
from lookalike.model.errors import ImageError, LookalikeError
from lookalike.model.explaining.explainer import Explainer, Explanation
from lookalike.model.explaining.occlusion import blurred
from lookalike.model.explaining.removal import Areas, removal_areas
from lookalike.model.explaining.similarity import strongest_pairs
from lookalike.model.images.test_time_augmentation import AS_IS, TestTimeAugmentation

from ..config.job import Config
from ..evaluate.pictures import item_pictures
from ..filesystem import files
from ..query.fetching import UnreadableError, fetch
from ..query.inputs import check_encoder
from ..sources import SourceOptions
from ..store import generations
from ..store.exclusions import excluded_ids, nearest_served
from .drawing import PAIRS, PictureFormat, drawn

_FORMATS: dict[str, PictureFormat] = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg"}


@dataclass(frozen=True)
class Explained:
    """What `explain` did.

    Attributes:
        explanation: of the two pictures.
        query, match: where each came from, in words.
        removal: of the places of the query.
        variant: of the encoder that jobs use.
        score: by that variant.
        notes: what the explanation leaves out, in sentences.
        paths: of the files that were written.
    """

    explanation: Explanation
    query: str
    match: str
    removal: Areas
    variant: str
    score: float
    notes: tuple[str, ...]
    paths: tuple[str, str]


def explain(config: Config, query: str, match: str, out: str, pairs: int = PAIRS) -> Explained:
    """Explains the score of two pictures; writes OUT and, beside it, the numbers as `.npz`.

    Args:
        config: the job.
        query, match: each the path of a picture or, where there is no such file, the id of an item that is served.
        out: the picture that is written, `.png` or `.jpg`.
        pairs: of places, how many are joined by lines at most.

    Raises:
        LookalikeError: for an id that is not served, a picture that cannot be decoded, an encoder that is not the
            index's or has no float variant.
        OSError: if something cannot be read or written.
    """
    stem, _, suffix = out.rpartition(".")
    if not stem or suffix.lower() not in _FORMATS:
        raise LookalikeError(f"Expected a picture to write that ends in .png or .jpg. Received: {out}")
    if out in (query, match) or any(files.is_same_file(out, name) for name in (query, match)):
        raise LookalikeError(f"Expected another file to write than one that is explained. Received: {out}")
    is_file = {name: files.exists(name) and not files.is_folder(name) for name in (query, match)}
    options = config.corpus.source_options()
    images = {name: _file(name, options) for name in is_file if is_file[name]}
    images |= _items(config, [name for name in is_file if not is_file[name]])
    explainer = Explainer.load(config.encoder, max_pixels=config.corpus.max_pixels)
    pixels = {name: _pixels(explainer, name, image) for name, image in images.items()}
    try:
        explanation = explainer.explain_pixels(pixels[query], pixels[match])
    except ImageError as error:
        raise LookalikeError(f"Expected two pictures that have a score. Received: {error}") from None

    vectors = explainer.vectors(np.stack([pixels[query], pixels[match]]))
    start, end = pixels[query], blurred(pixels[query])
    removal = removal_areas(start, end, explanation.query_map, explainer.score_with(vectors[1]))
    encoder = Encoder.load(config.encoder, max_pixels=config.corpus.max_pixels)
    first, second = unit_length(encoder.encode_batch([images[query], images[match]], suspect=True).vectors)
    notes = tuple(_notes(config))
    paths = out, f"{stem}.npz"
    files.write_bytes(
        out, drawn(explanation, query, match, pairs=pairs, picture_format=_FORMATS[suffix.lower()])
    )
    files.write_bytes(paths[1], _as_npz(explanation))
    where = {name: f"{name}, {'a file' if is_file[name] else 'an item'}" for name in is_file}
    return Explained(
        explanation,
        where[query],
        where[match],
        removal,
        encoder.variant,
        float(first @ second),
        notes,
        paths,
    )


def _file(name: str, options: SourceOptions) -> bytes:
    """The bytes of a picture's file, no more than a record may have."""
    image = fetch(name, options)
    if isinstance(image, UnreadableError):
        raise LookalikeError(f"Expected a picture that can be read. Received: {name}: {image}")
    return image


def _pixels(explainer: Explainer, name: str, image: bytes) -> np.ndarray:
    try:
        return explainer.pixels(image)
    except ImageError as error:
        raise LookalikeError(f"Expected a picture that can be decoded. Received: {name}: {error}") from None


def _items(config: Config, item_ids: list[str]) -> dict[str, bytes]:
    """Item id -> encoded image of items that are served."""
    if not item_ids:
        return {}
    with generations.reading(config.store) as generation:
        check_encoder(config, generation)
        taken_down = set(excluded_ids(config.store).to_pylist())
        found = item_pictures(config, generation, set(item_ids) - taken_down)
    for item_id in item_ids:
        if item_id not in found:
            near = nearest_served(config.store, [item_id]).get(item_id)
            raise LookalikeError(
                "Expected the path of a picture, or the id of an item that is served and whose shard still holds it. "
                f"Received: {item_id}" + (f"; did you mean {near}?" if near and near != item_id else "")
            )
    return found


def _notes(config: Config) -> Iterator[str]:
    manifest = read_manifest(config.encoder)
    if TestTimeAugmentation.from_manifest(manifest.get("views")) != AS_IS:
        yield "explained is the plain picture; jobs average it with mirrored or scaled ones"
    if (steps := read_post_processing(manifest)).any:
        yield f"explained are the vectors of the two pictures; around the search jobs also do: {steps}"
    if config.metric != "cosine":
        yield f"explained is the cosine; the score of this job's results is the {config.metric} distance"


def _as_npz(explanation: Explanation) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "score": np.float64(explanation.score),
        "query_map": explanation.query_map,
        "match_map": explanation.match_map,
        "query_pixels": explanation.query_pixels,
        "match_pixels": explanation.match_pixels,
    }
    if explanation.pairs is not None:
        arrays["pairs"] = explanation.pairs
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def explain_report(explained: Explained) -> Iterator[str]:
    """The same as lines for a terminal."""
    explanation = explained.explanation
    yield f"query        {explained.query}"
    yield f"match        {explained.match}"
    by_jobs = (
        ""
        if explained.variant == "float"
        else f"; {explained.score:.4f} by {explained.variant}, which jobs use"
    )
    yield f"score        {explanation.score:.4f}, cosine by the float network{by_jobs}"
    rows, columns = explanation.query_map.shape
    if explanation.pairs is None:
        yield (
            f"shares       of {rows} x {columns} places, each covered in turn: the score of this network is no sum "
            "over places, so these shares do not add up to it"
        )
    else:
        total = explanation.pairs.sum()
        yield f"shares       of {rows} x {columns} places; those of each picture add up to {total:.4f}"
        for row, column, match_row, match_column in strongest_pairs(explanation.pairs, 1):
            share = explanation.pairs[row, column, match_row, match_column]
            yield (
                f"strongest    {share:.4f}: row {row + 1}, column {column + 1} of the query with row {match_row + 1}, "
                f"column {match_column + 1} of the match"
            )
    by_share, at_random = explained.removal.by_share, explained.removal.at_random
    yield (
        f"check        places of the query blurred one after another leave a mean score of {by_share:.4f} with the "
        f"greatest shares first, {at_random:.4f} in random order"
    )
    for note in explained.notes:
        yield f"note         {note}"
    yield f"files        {', '.join(explained.paths)}"
