"""Retrieval metrics: pure functions from rankings to one value for each query.

A ranking is `grades`, an array of shape (queries, ranks): the grade of the item at each rank, in order of rank, a
grade above 0 being relevant and bool as good as 0 and 1. Junk and the query itself are taken out before; 0 stands
where a ranking has ended. `totals`, shape (queries,), are the relevant items in the corpus, R in the formulas. A
query that has none is refused: whoever calls separates such lone queries and reports them. Every function returns
float64 of shape (queries,), between 0 and 1; the mean over queries is the figure that is usually quoted.
"""

from __future__ import annotations

import numpy as np

RECALL_LEVELS = 11
"""Levels of recall of `interpolated_precision`: 0, 0.1, ... 1."""


def hit_rate_at_k(grades: np.ndarray, k: int) -> np.ndarray:
    """1 where a relevant item is among the first k, else 0; `success` in trec_eval, Recall@K in metric learning.

    Source: Musgrave, Belongie and Lim, "A Metric Learning Reality Check", ECCV 2020.

    >>> hit_rate_at_k(np.array([[False, True], [False, False]]), k=2).tolist()
    [1.0, 0.0]
    """
    return _relevant(grades, k=k)[:, :k].any(axis=1).astype(np.float64)


def precision_at_k(grades: np.ndarray, k: int) -> np.ndarray:
    """Relevant items among the first k, divided by k, also where the corpus is smaller than k.

    Source: Manning, Raghavan and Schuetze, "Introduction to Information Retrieval", 2008, section 8.4.

    >>> precision_at_k(np.array([[1, 0, 1, 0]]), k=4).tolist()
    [0.5]
    """
    return _relevant(grades, k=k)[:, :k].sum(axis=1) / k


def precision_until_last(grades: np.ndarray, totals: np.ndarray, k: int) -> np.ndarray:
    """Precision at k or, if it comes earlier, at the rank of the last relevant item: mP@k of Oxford and Paris.

    Unlike `precision_at_k` it can reach 1 where fewer than k items are relevant. A ranking without all relevant
    items has not come to its last one: k counts.

    Source: the evaluation that goes with Radenovic et al., "Revisiting Oxford and Paris", CVPR 2018.

    >>> precision_until_last(np.array([[1, 1, 0, 0]]), np.array([2]), k=4).tolist()
    [1.0]
    """
    relevant = _relevant(grades, totals, k)
    last = relevant.shape[1] - np.argmax(relevant[:, ::-1], axis=1)
    depth = np.where(relevant.sum(axis=1) == totals, np.minimum(last, k), k)
    return relevant[:, :k].sum(axis=1) / depth


def recall_at_k(grades: np.ndarray, totals: np.ndarray, k: int) -> np.ndarray:
    """Relevant items among the first k, divided by R. (What metric learning calls Recall@K is the hit rate.)

    Source: Manning et al., 2008, equation 8.2.

    >>> recall_at_k(np.array([[1, 0, 1, 0]]), np.array([2]), k=2).tolist()
    [0.5]
    """
    return _relevant(grades, totals, k)[:, :k].sum(axis=1) / totals


def r_precision(grades: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Relevant items among the first R, divided by R.

    Source: Manning et al., 2008, section 8.4.

    >>> r_precision(np.array([[0, 1, 1]]), np.array([2])).tolist()
    [0.5]
    """
    rows, ranks, _ = _hits(_relevant(grades, totals))
    return _per_query(rows, ranks <= totals[rows], totals) / totals


def map_at_r(grades: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Average precision over the first R ranks, divided by R.

    Source: Musgrave et al., 2020.

    >>> map_at_r(np.array([[1, 0, 1, 1]]), np.array([3])).round(4).tolist()
    [0.5556]
    """
    rows, ranks, number = _hits(_relevant(grades, totals))
    return _per_query(rows, np.where(ranks <= totals[rows], number / ranks, 0), totals) / totals


def average_precision(grades: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """The mean, over a query's relevant items, of the precision at their ranks; its mean over queries is mAP.

    A relevant item that is not in the ranking counts as precision 0.

    Source: Manning et al., 2008, equation 8.8 (inner sum).

    >>> average_precision(np.array([[1, 0, 1]]), np.array([2])).round(4).tolist()
    [0.8333]
    """
    rows, ranks, number = _hits(_relevant(grades, totals))
    return _per_query(rows, number / ranks, totals) / totals


def average_precision_trapezoid(grades: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """The area under the precision-recall curve by the trapezoidal rule, as Oxford and Paris are measured.

    The i-th relevant item, at rank r, adds the mean of the precision just before it, (i - 1) / (r - 1), or 1 at
    rank 1, and that at its rank, i / r; the sum is divided by R. So it lies below `average_precision`.

    Source: Philbin et al., "Object Retrieval with Large Vocabularies", CVPR 2007; kept by Radenovic et al.,
    "Revisiting Oxford and Paris", CVPR 2018.

    >>> average_precision_trapezoid(np.array([[1, 0, 1]]), np.array([2])).round(4).tolist()
    [0.7917]
    """
    rows, ranks, number = _hits(_relevant(grades, totals))
    before = np.where(ranks == 1, 1.0, (number - 1) / np.maximum(ranks - 1, 1))
    return _per_query(rows, (before + number / ranks) / 2, totals) / totals


def reciprocal_rank(grades: np.ndarray) -> np.ndarray:
    """1 / rank of the first relevant item, 0 if the ranking has none; its mean over queries is MRR.

    Source: Voorhees, "The TREC-8 Question Answering Track Report", 1999.

    >>> reciprocal_rank(np.array([[0, 1, 1], [0, 0, 0]])).tolist()
    [0.5, 0.0]
    """
    relevant = _relevant(grades)
    return relevant.any(axis=1) / (np.argmax(relevant, axis=1) + 1)


def ideal_grades(grades: np.ndarray, k: int) -> np.ndarray:
    """The k highest grades of each ranking, highest first, for `ndcg_at_k`.

    >>> ideal_grades(np.array([[0, 1, 3, 0]]), k=3).tolist()
    [[3, 1, 0]]
    """
    k = min(k, grades.shape[1])
    highest = np.partition(grades, grades.shape[1] - k, axis=1)[:, grades.shape[1] - k :]
    return np.sort(highest, axis=1)[:, ::-1]


def ndcg_at_k(grades: np.ndarray, ideal: np.ndarray, k: int, *, exponential: bool = False) -> np.ndarray:
    """Discounted cumulative gain of the first k, divided by that of the best order: the ideal over min(R, k).

    The gain is the grade (trec_eval's `ndcg_cut`), or 2^grade - 1; the discount at rank r is 1 / log2(1 + r). Both
    gains are the same for grades 0 and 1.

    Source: Jarvelin and Kekalainen, "Cumulated Gain-Based Evaluation of IR Techniques", ACM TOIS 2002; the
    discount and the exponential gain of Burges et al., "Learning to Rank Using Gradient Descent", ICML 2005.

    Args:
        grades: (queries, ranks).
        ideal: (queries, k or more): grades of the relevant items of the corpus, highest first, then 0; fewer than
            k where the corpus has fewer. For a ranking of the whole corpus, `ideal_grades`.
        k: ranks looked at.
        exponential: which gain.

    >>> ndcg_at_k(np.array([[0, 1]]), np.array([[1, 0]]), k=2).round(4).tolist()
    [0.6309]
    """
    _relevant(grades, k=k)
    if len(ideal) != len(grades) or not _relevant(ideal)[:, 0].all():
        raise ValueError(
            "Expected ideal grades of each query, the highest first and above 0; leave lone queries out"
        )
    return _dcg(grades[:, :k], exponential) / _dcg(ideal[:, :k], exponential)


def _dcg(grades: np.ndarray, exponential: bool) -> np.ndarray:
    levels = np.maximum(grades, 0).astype(np.float64)
    gains = np.exp2(levels) - 1 if exponential else levels
    # Not `@`, whose last digits depend on how many queries come at once.
    return np.asarray((gains / np.log2(np.arange(2, grades.shape[1] + 2))).sum(axis=1))


def interpolated_precision(grades: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """The precision-recall curve at recall 0, 0.1, ... 1: the highest precision at that recall or a higher one.

    Source: Manning et al., 2008, section 8.4, equation 8.7 (eleven-point interpolation).

    Returns:
        Array of shape (queries, 11), float64; 0 where the ranking does not reach that recall.

    >>> interpolated_precision(np.array([[1, 0, 1]]), np.array([2]))[0, [0, 5, 6]].round(4).tolist()
    [1.0, 1.0, 0.6667]
    """
    rows, ranks, number = _hits(_relevant(grades, totals))
    precision = number / ranks
    curve = np.zeros((len(totals), RECALL_LEVELS))
    for level in range(RECALL_LEVELS):
        # In whole numbers: 0.1 * 30 is a little more than 3.
        enough = number >= -(-level * totals[rows] // (RECALL_LEVELS - 1))
        np.maximum.at(curve[:, level], rows[enough], precision[enough])
    return curve


def _relevant(grades: np.ndarray, totals: np.ndarray | None = None, k: int = 1) -> np.ndarray:
    """Bool (queries, ranks), after checking what was given."""
    if k < 1 or grades.ndim != 2 or not grades.shape[1]:
        raise ValueError(
            f"Expected k >= 1 and grades of shape (queries, ranks). Received: {k}, {grades.shape}"
        )
    relevant = grades > 0
    if totals is None:
        return relevant
    if totals.shape != grades.shape[:1]:
        raise ValueError(f"Expected totals of shape {grades.shape[:1]}. Received: {totals.shape}")
    if (totals < 1).any():
        raise ValueError("Expected at least one relevant item for each query; leave lone queries out")
    if (relevant.sum(axis=1) > totals).any():
        raise ValueError("Expected no more relevant items in a ranking than in the corpus. Received: more")
    return relevant


def _hits(relevant: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each relevant item in the rankings: the query, the rank from 1, and which of the query's it is, from 1."""
    rows, columns = np.nonzero(relevant)
    first = np.searchsorted(rows, np.arange(len(relevant)))
    return rows, columns + 1, np.arange(len(rows)) - first[rows] + 1


def _per_query(rows: np.ndarray, values: np.ndarray, totals: np.ndarray) -> np.ndarray:
    return np.bincount(rows, values, len(totals))
