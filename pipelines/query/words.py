"""Words in a query table: texts to vectors, alone or beside a picture, and what the results tell of them."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lookalike.model.encoder.projection import unit_length

from ..sources.fields import shown
from .query_table import TEXT, TEXT_WEIGHT, QueryTable
from .table_cells import Problems, as_list, utf8_of

if TYPE_CHECKING:
    from lookalike.model.text.encoder import TextEncoder

logger = logging.getLogger(__name__)
WEIGHT = 0.5
"""Of words beside a picture, where the table says none."""
STAGE = "text"
"""Of failures."""


@dataclass(frozen=True)
class RowWords:
    """The words of some rows.

    Attributes:
        vectors: their vectors, a fixed size list of float32 a row, of zeros where there is none.
        weights: float64; 1 where a row has no picture, null where it has no words.
        alone: rows that have words and no picture.
        told: what the columns `QueryTable.told` hold.
    """

    vectors: pa.FixedSizeListArray
    weights: pa.Array
    alone: frozenset[int]
    told: list[pa.Array]


def words_of(
    table: QueryTable,
    columns: dict[str, Any],
    ids: list[str],
    encoder: TextEncoder | None,
    dim: int,
    problems: Problems,
) -> RowWords:
    """Encodes the words of some rows.

    Args:
        table: that has them.
        columns: of the rows, by name.
        ids: of their queries.
        encoder: of texts; None where vectors are not wanted.
        dim: length of a vector.
        problems: gets the rows whose words, or whose weight, cannot be used.
    """
    texts = [text and utf8_of(text).strip() for text in as_list(columns[TEXT])]
    pictures = [False] * len(texts)
    if table.has_pictures:
        pictures = [value not in (None, "", b"") for value in as_list(columns[table.column])]
    else:
        texts = [text or "" for text in texts]
    weights = _weights(table, columns, texts, pictures, problems)
    asking = [row for row, text in enumerate(texts) if text or not table.has_pictures]
    vectors = np.zeros((len(texts), dim), np.float32)
    understood: list[str | None] = [None] * len(texts)
    if encoder and asking:
        found = encoder.encode([texts[row] or "" for row in asking])
        for place, row in enumerate(asking):
            understood[row] = found.understood[place]
            if place in found.errors:
                problems.fail(row, STAGE, found.errors[place])
            else:
                vectors[row] = found.vectors[place]
        if found.cut:
            logger.warning(
                "of %s texts, which are longer than what is read, only the beginning counts: first of query %s",
                f"{len(found.cut):,}",
                ids[asking[found.cut[0]]],
            )
    kinds = [_kind(picture, bool(text)) for picture, text in zip(pictures, texts, strict=True)]
    alone = frozenset(row for row in asking if not pictures[row])
    told = [pa.array(kinds, pa.string()), pa.array(understood, pa.string())]
    as_lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dim)
    return RowWords(as_lists, pa.array(weights, pa.float64()), alone, told)


def mixed(vectors: np.ndarray, rows: pa.Table) -> np.ndarray:
    """Vectors of pictures with those of the words beside them: (1 - weight) picture + weight words, of unit length.

    Args:
        vectors: of the pictures, float32 (rows, dim), anything where there is none.
        rows: as `table_rows.read_table` gives them.
    """
    told = rows.column("weight")
    if pa.types.is_null(told.type):
        return vectors
    weights = told.to_numpy()  # NaN where there are no words
    words = rows.column("words").combine_chunks().flatten().to_numpy().reshape(vectors.shape)
    vectors = np.where(weights[:, None] == 1, words, vectors)
    beside = np.flatnonzero(weights < 1)
    share = weights[beside, None]
    vectors[beside] = unit_length((1 - share) * unit_length(vectors[beside]) + share * words[beside])
    return vectors


def _kind(picture: bool, text: bool) -> str:
    return "image and text" if picture and text else "image" if picture else "text"


def _weights(
    table: QueryTable,
    columns: dict[str, Any],
    texts: list[str | None],
    pictures: list[bool],
    problems: Problems,
) -> list[float | None]:
    given = as_list(columns[TEXT_WEIGHT]) if table.has_weight else [None] * len(texts)
    weights: list[float | None] = []
    for row, (value, text, picture) in enumerate(zip(given, texts, pictures, strict=True)):
        weight = _weight(value)
        if weight is None:
            problems.fail(row, STAGE, f"expected a {TEXT_WEIGHT} from 0 to 1. Received: {shown(value)}")
        weights.append((weight if picture else 1.0) if text or not table.has_pictures else None)
    return weights


def _weight(value: Any) -> float | None:
    """A weight; None if it is none."""
    if value is None or value == "":
        return WEIGHT
    try:
        weight = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
    return weight if 0 <= weight <= 1 else None
