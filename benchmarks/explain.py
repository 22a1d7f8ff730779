"""Whether explanations are right: shares add up to the score, and places with great shares are those that are missed.

    python benchmarks/explain.py [--encoder FOLDER] [--pairs 60]

Pairs are photographs of validation/ with their nearest one among every fourth of train/, and as many at random. Tells
the greatest difference between the sum of the shares and the score of the float encoder, as it is and without its
projection; and in how many pairs the score falls faster with places in the order of their shares than at random
(deletion), or comes back faster (insertion). Some minutes on 2 cores.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np

from lookalike.model.encoder.projection import Projection
from lookalike.model.explaining.explainer import Explainer
from lookalike.model.explaining.occlusion import blurred
from lookalike.model.explaining.removal import removal_areas

Pair = tuple[np.ndarray, np.ndarray]


def main() -> None:
    arguments = common.parser(__doc__)
    arguments.add_argument("--encoder", type=Path, help="a bundle; default: EfficientNet-Lite0, built first")
    arguments.add_argument("--pairs", type=int, default=60)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = given.encoder or Path(folder) / "encoder"
        if given.encoder is None:
            common.build_default_encoder(bundle, given.data)
        explainer = Explainer.load(bundle)
    pairs = chosen(explainer, given.data, given.pairs)
    sums = [difference(explainer, kind, found) for kind, found in pairs.items()]
    curves = [removed(explainer, kind, found) for kind, found in pairs.items()]
    common.show([("sum of shares against the score", sums), ("places go and come", curves)], given.json)


def chosen(explainer: Explainer, data: Path, count: int) -> dict[str, list[Pair]]:
    """Pixels of pairs, query and match."""
    draws = random.Random(0)
    queries = draws.sample(sorted(data.glob("validation/*/*.jpg")), count)
    items = sorted(data.glob("train/*/*.jpg"))[::4]
    seen = [explainer.pixels(path.read_bytes()) for path in items]
    vectors = explainer.vectors(np.stack(seen))
    asked = [explainer.pixels(path.read_bytes()) for path in queries]
    nearest = (explainer.vectors(np.stack(asked)) @ vectors.T).argmax(axis=1)
    others = [draws.randrange(len(seen)) for _ in asked]
    return {
        "with its nearest": [(one, seen[near]) for one, near in zip(asked, nearest, strict=True)],
        "at random": [(one, seen[other]) for one, other in zip(asked, others, strict=True)],
    }


def difference(explainer: Explainer, kind: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    """The greatest difference between sum and score, with and without projection."""
    encoder = explainer.encoder
    found: dict[str, Any] = {"pairs": kind}
    projection: Projection | None
    for name, projection in (("projected", encoder.projection), ("not projected", None)):
        kept, encoder.projection = encoder.projection, projection
        explained = [explainer.explain_pixels(*pair) for pair in pairs]
        encoder.projection = kept
        sums = [abs(float(one.pairs.sum()) - one.score) for one in explained if one.pairs is not None]
        found |= {f"{name}: pairs that add up": len(sums), f"{name}: greatest difference": f"{max(sums):.1e}"}
    return found


def removed(explainer: Explainer, kind: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    """In what share of pairs the curves are better than random ones, and mean areas."""
    going, coming = [], []
    for query, match in pairs:
        explained = explainer.explain_pixels(query, match)
        score_of = explainer.score_with(explainer.vectors(match[None])[0])
        going.append(removal_areas(query, blurred(query), explained.query_map, score_of))
        coming.append(removal_areas(blurred(query), query, explained.query_map, score_of))
    return {
        "pairs": kind,
        "deletion below random": f"{np.mean([one.by_share < one.at_random for one in going]):.0%}",
        "area": round(float(np.mean([one.by_share for one in going])), 3),
        "at random": round(float(np.mean([one.at_random for one in going])), 3),
        "insertion above random": f"{np.mean([one.by_share > one.at_random for one in coming]):.0%}",
        "area ": round(float(np.mean([one.by_share for one in coming])), 3),
        "at random ": round(float(np.mean([one.at_random for one in coming])), 3),
    }


if __name__ == "__main__":
    main()
