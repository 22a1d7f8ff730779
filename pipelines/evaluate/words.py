"""Measures how well words find pictures, and pictures words, by a field of the items that are served.

Of every text of the field: which items have it, asked with the text; and of every item: which text it has, asked with
its vector. Rankings are exact. Beside them stand chance, and what the mean of the vectors of the items with a text
finds in its place, which knows these items and no language. An item is taken out of the mean that it is asked with.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from lookalike.model.encoder.projection import unit_length
from lookalike.model.errors import LookalikeError
from lookalike.model.text.encoder import TextEncoder

from ..config.job import Config
from ..filesystem import files
from ..index.opening import open_vectors
from ..query.inputs import check_encoder
from ..sources.records import DIRECTORY, directory_of
from ..store import exclusions, generations
from ..store.index_manifest import ITEM_ID
from .ranking import RankedCorpus

KS = (1, 5, 10)
MOST_TEXTS = 2000
"""Texts that are looked at; of more, as many that lie evenly among them in the order of the alphabet."""
_ROWS = 4096


@dataclass(frozen=True)
class Found:
    """What was found in one way: the share of queries with a right answer among the first k, and mAP."""

    recall: dict[int, float]
    mean_average_precision: float


@dataclass(frozen=True)
class WordsEvaluation:
    """How well words and pictures find each other.

    Attributes:
        field: of the texts.
        generation: name of what was searched.
        words: fingerprint of the text encoder.
        texts, items: how many were asked with.
        left_out: text -> why it cannot be asked with.
        measured: what was asked with what -> way (`words`, `centroid`, `chance`) -> what was found.
    """

    field: str
    generation: str
    words: str
    texts: int
    items: int
    left_out: dict[str, str]
    measured: dict[str, dict[str, Found]]


def evaluate_words(config: Config, field: str) -> WordsEvaluation:
    """Measures the text encoder of a job.

    Args:
        config: the job; its store and encoder are used.
        field: a metadata field of the items, or `directory` for the name of an id's last folder.

    Raises:
        LookalikeError: for what the user can mend.
        OSError: if a file cannot be read.
    """
    with generations.reading(config.store) as generation:
        check_encoder(config, generation)
        encoder = TextEncoder.load(config.encoder, generation.encoder)
        shards = open_vectors(config.store, generation)
        corpus = RankedCorpus(shards, generation.metric, exclusions.excluded_ids(config.store))
        of_item = _texts_of(corpus, field)
        texts = sorted({text for text in of_item if text})
        if len(texts) > MOST_TEXTS:
            texts = [texts[i * len(texts) // MOST_TEXTS] for i in range(MOST_TEXTS)]
        encoded = encoder.encode(texts)
        kept = [place for place in range(len(texts)) if place not in encoded.errors]
        if len(kept) < 2:
            raise LookalikeError(
                f"Expected at least two different texts in {field} of the items. Received: {len(kept)}"
            )
        numbers = {texts[place]: number for number, place in enumerate(kept)}
        codes = np.array([numbers.get(text or "", -1) for text in of_item])
        sums, counts = _sums(corpus, codes, len(kept))
        vectors = encoded.vectors[kept]
        measured = {
            "text to items": {
                "words": _items_of(corpus, codes, vectors),
                "centroid": _items_of(corpus, codes, unit_length(sums)),
                "chance": _chance_of_items(counts, len(corpus)),
            },
            "item to texts": {
                "words": _texts_found(corpus, codes, vectors),
                "centroid": _texts_found(corpus, codes, sums, is_sum=True),
                "chance": _chance_of_texts(len(kept)),
            },
        }
    return WordsEvaluation(
        field=field,
        generation=generation.name,
        words=encoder.manifest.fingerprint,
        texts=len(kept),
        items=int((codes >= 0).sum()),
        left_out={texts[place]: error for place, error in encoded.errors.items()},
        measured=measured,
    )


def _texts_of(corpus: RankedCorpus, field: str) -> list[str | None]:
    if field in corpus.items.column_names and field != ITEM_ID:
        return [None if value is None else str(value) for value in corpus.items[field].to_pylist()]
    if field == DIRECTORY:
        folders = map(directory_of, corpus.items[ITEM_ID].to_pylist())
        return [folder and folder.rpartition("/")[2] for folder in folders]
    carried = ", ".join([*corpus.items.column_names[1:], DIRECTORY])
    raise LookalikeError(f"Expected a field that the index carries ({carried}). Received: {field}")


def _sums(corpus: RankedCorpus, codes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the unit vectors of the items of each text, float64 (texts, dim), and how many there are."""
    sums: np.ndarray | None = None
    for rows in _blocks(np.flatnonzero(codes >= 0)):
        vectors = unit_length(corpus.vectors_of(rows)).astype(np.float64)
        sums = np.zeros((count, vectors.shape[1])) if sums is None else sums
        np.add.at(sums, codes[rows], vectors)
    assert sums is not None
    return sums, np.bincount(codes[codes >= 0], minlength=count)


def _blocks(numbers: np.ndarray) -> Sequence[np.ndarray]:
    return [numbers[start : start + _ROWS] for start in range(0, len(numbers), _ROWS)]


def _items_of(corpus: RankedCorpus, codes: np.ndarray, queries: np.ndarray) -> Found:
    """Asks with a vector for each text; right are the items that have it."""
    first, precision = [], []
    step = corpus.queries_at_once
    for start in range(0, len(queries), step):
        asked = queries[start : start + step].astype(np.float32)
        grades = (codes == np.arange(start, start + len(asked))[:, None]).astype(np.int8)
        right = corpus.ranked(corpus.keys(asked), grades, 1).grades > 0
        first.append(right.argmax(axis=1))
        ranks = np.arange(1, right.shape[1] + 1)
        precision.append((right.cumsum(axis=1) / ranks * right).sum(axis=1) / right.sum(axis=1))
    return _found(np.concatenate(first), np.concatenate(precision))


def _texts_found(
    corpus: RankedCorpus, codes: np.ndarray, vectors: np.ndarray, *, is_sum: bool = False
) -> Found:
    """Asks with every item for its text, among `vectors` of the texts, or sums from which the item is taken out."""
    first = []
    texts = unit_length(vectors)
    for rows in _blocks(np.flatnonzero(codes >= 0)):
        items, own = unit_length(corpus.vectors_of(rows)), codes[rows]
        scores = items @ texts.T
        rightly = texts[own]
        if is_sum:
            rightly = unit_length(vectors[own] - items)
        score = np.einsum("nd,nd->n", items, rightly)
        scores[np.arange(len(rows)), own] = score
        first.append((scores > score[:, None]).sum(axis=1))
    ranks = np.concatenate(first)
    return _found(ranks, 1 / (ranks + 1))


def _found(first: np.ndarray, precision: np.ndarray) -> Found:
    """From the rank of each query's first right answer, from 0, and its average precision."""
    return Found({k: float((first < k).mean()) for k in KS}, float(precision.mean()))


def _chance_of_items(counts: np.ndarray, items: int) -> Found:
    """What a random order of the items finds. The expected average precision of r right ones among n is
    (r - 1) / (n - 1) + (n - r) H_n / (n (n - 1)): Bestgen, "Exact Expected Average Precision of the Random Baseline for
    System Evaluation", The Prague Bulletin of Mathematical Linguistics 103 (2015)."""
    harmonic = sum(1 / rank for rank in range(1, items + 1))
    recall = {
        k: float(np.mean([1 - math.comb(items - r, k) / math.comb(items, min(k, items)) for r in counts]))
        for k in KS
    }
    share = (counts - 1) / max(1, items - 1)
    return Found(recall, float(np.mean(share + (items - counts) * harmonic / (items * max(1, items - 1)))))


def _chance_of_texts(texts: int) -> Found:
    harmonic = sum(1 / rank for rank in range(1, texts + 1))
    return Found({k: min(1.0, k / texts) for k in KS}, harmonic / texts)


def write_words(out: str, found: WordsEvaluation) -> str:
    """Writes OUT/words.json, and gives its path. Raises OSError."""
    path = files.join(out, "words.json")
    files.write_bytes(path, (json.dumps(asdict(found), indent=1, ensure_ascii=False) + "\n").encode())
    return path


def words_report(found: WordsEvaluation) -> list[str]:
    """The lines for people."""
    lines = [
        f"field        {found.field}: {found.texts:,} texts of {found.items:,} items, {len(found.left_out):,} left out",
        f"generation   {found.generation}",
        f"text         {found.words}",
        "",
        f"{'':26}" + "".join(f"{f'R@{k}':>8}" for k in KS) + f"{'mAP':>8}",
    ]
    for asked, ways in found.measured.items():
        for way, one in ways.items():
            values = [*one.recall.values(), one.mean_average_precision]
            lines.append(f"{asked:15}{way:11}" + "".join(f"{value:8.3f}" for value in values))
    return lines
