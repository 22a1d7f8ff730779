"""What each loss can do, by its name: for the recipe, which imports no TensorFlow, and for `losses`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LossName = Literal[
    "cross_entropy",
    "focal",
    "norm_softmax",
    "cosface",
    "arcface",
    "proxy_anchor",
    "circle",
    "supervised_contrastive",
    "batch_hard_triplet",
]


@dataclass(frozen=True)
class LossKind:
    """What a loss takes.

    Attributes:
        head: what makes its predictions: `dense` for logits (batch, classes) of a Dense layer without activation,
            `cosine` for cosines (batch, classes) of `heads.CosineHead`, None for embeddings (batch, dim) of
            `heads.UnitLength`, in batches of `sampling.pk_batches`.
        soft_labels: whether labels may be probabilities (batch, classes), as MixUp and CutMix make them; to the others
            half a label means nothing.
        prior: whether its logits can be adjusted to the classes' shares.
    """

    head: Literal["dense", "cosine"] | None
    soft_labels: bool = False
    prior: bool = False

    @property
    def compares_images(self) -> bool:
        """Whether it compares the images of a batch with one another."""
        return self.head is None


LOSS_KINDS: dict[str, LossKind] = {
    "cross_entropy": LossKind("dense", soft_labels=True, prior=True),
    "focal": LossKind("dense", soft_labels=True, prior=True),
    "norm_softmax": LossKind("cosine", soft_labels=True, prior=True),
    "cosface": LossKind("cosine", prior=True),
    "arcface": LossKind("cosine", prior=True),
    "proxy_anchor": LossKind("cosine"),
    "circle": LossKind(None),
    "supervised_contrastive": LossKind(None),
    "batch_hard_triplet": LossKind(None),
}
