"""What a report of an evaluation opens with: how often the first match is right, and how good the order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def headline(metrics: Mapping[str, Mapping[str, float]], ks: Sequence[int]) -> str:
    """The hit rate at the least and the greatest cut-off and mAP, each with its 95 % interval.

    Args:
        metrics: name -> `mean`, `low` and `high`, as in `evaluation.json`; of which those count that are there.
        ks: cut-offs, ascending.
    """
    rates = {k: metrics[f"hit_rate@{k}"] for k in (*ks[:1], *ks[-1:]) if f"hit_rate@{k}" in metrics}
    sentences = []
    if rates:
        sentences.append(f"Of 100 queries {', '.join(f'{_of_100(rates[k])} {_where(k)}' for k in rates)}.")
    if order := metrics.get("map"):
        sentences.append(
            "With all right matches before all wrong ones the mAP would be 1: it is "
            f"{order['mean']:.2f} ({order['low']:.2f} to {order['high']:.2f})."
        )
    return " ".join([*sentences, "In brackets: 95 % intervals."])


def _where(k: int) -> str:
    return "find a right match at rank 1" if k == 1 else f"find one among the first {k}"


def _of_100(rate: Mapping[str, float]) -> str:
    return f"{100 * rate['mean']:.0f} ({100 * rate['low']:.0f} to {100 * rate['high']:.0f})"
