"""The recipe of a training: everything but the images, checked as a whole before anything starts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, ConfigDict, Field, model_validator

from ..settings import Section
from .augmentation import Augmentation
from .loss_kinds import LOSS_KINDS, LossName

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, le=1)]


def _once_called(name: str, before: str) -> dict[str, Any]:
    """Options of a field with a new name: the old one is read as well, and is what runs were stored with."""
    return {"validation_alias": AliasChoices(name, before), "serialization_alias": before}


class _Section(Section):
    model_config = ConfigDict(allow_inf_nan=False)


class Network(_Section):
    """What is trained."""

    name: str = Field(
        "efficientnet_lite0", description="a network of `encoder build`, or a .keras or .h5 file"
    )
    pooling: Literal["avg", "max"] = Field("avg", description="of the feature map to one vector")
    weights: str | None = Field(
        None, description="none for random ones; imagenet; a .weights.h5 file; by default what comes with it"
    )
    layer: str | None = Field(None, description="of a file: the layer whose output is the features")
    preprocessing: str | None = Field(None, description="spec; by default the network's own")
    dim: Count | None = Field(
        256, description="a new Dense layer of that width is the embedding; null: the features are"
    )


class Loss(_Section):
    """What is made small."""

    name: LossName = Field(
        "norm_softmax", description="which one; the last three compare the images of a batch"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="of the loss, such as scale, margin or label_smoothing"
    )


class Imbalance(_Section):
    """What is done about classes of unequal size."""

    sampling: Literal["instance", "square_root", "class_balanced"] = Field(
        "instance",
        description="how often a class is drawn: by its images, by their square root, as all others",
    )
    class_weights: bool = Field(False, description="weigh by the inverse of the effective number of images")
    logit_adjustment: float = Field(
        0, ge=0, description="tau; 1 is the paper's, 0 none. For losses on logits or cosines"
    )


class Optimizer(_Section):
    """AdamW; without decay of weights it is Adam."""

    learning_rate: Rate = Field(0.0003, description="of the head, after the warm-up")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine",
        description="what the learning rate does after the warm-up: half a cosine down to 0, or stay",
    )
    weight_decay: float = Field(0.004, ge=0, description="of kernels, times the learning rate")
    warmup_epochs: float = Field(
        0.5, ge=0, description="while the learning rate rises; again after an unfreezing"
    )
    clip_norm: float | None = Field(
        10, gt=0, description="longest gradient of all weights together; null: any"
    )
    part_rate: Rate = Field(
        1,
        description="each part learns at this share of the rate of the part behind it, the head at the whole",
    )


class Recipe(_Section):
    """How a network is trained."""

    network: Network = Network()
    train: Literal["head", "gradual", "all"] = Field(
        "all",
        description="head: only the embedding, on features computed once; gradual: part by part; all: everything",
    )
    epochs: Count = Field(12, description="times that every training image is seen")
    unfreeze_every: Count = Field(
        1,
        description="gradual: epochs after which the next part is unfrozen",
        **_once_called("unfreeze_every", "thaw_every"),
    )
    batch_size: Annotated[int, Field(ge=2)] = Field(32, description="images a step")
    images_per_class: Annotated[int, Field(ge=2)] = Field(
        4, description="in a batch, for losses that compare the images of a batch"
    )
    loss: Loss = Loss()
    imbalance: Imbalance = Imbalance()
    optimizer: Optimizer = Optimizer()
    statistics: Literal["auto", "frozen", "updated"] = Field(
        "auto", description="of batch normalisation; auto: frozen if the network comes with trained weights"
    )
    ema: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="decay of the exponential moving average of weights; 0: none",
        **_once_called("ema", "averaging"),
    )
    patience: Count | None = Field(
        None, description="epochs without a better mAP@R after which training ends; null: never"
    )
    augmentation: Augmentation = Augmentation()
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on a processor with AMX, where it is faster"
    )
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = Field(
        0, description="of everything that is drawn at random"
    )

    @model_validator(mode="after")
    def _check_loss(self) -> Recipe:
        loss, imbalance = self.loss.name, self.imbalance
        kind = LOSS_KINDS[loss]
        if self.augmentation.makes_soft_labels and not kind.soft_labels:
            able = ", ".join(name for name, kind in LOSS_KINDS.items() if kind.soft_labels)
            raise ValueError(f"mixup and cutmix need a loss of {able}, not {loss}")
        if imbalance.logit_adjustment and not kind.prior:
            able = ", ".join(name for name, kind in LOSS_KINDS.items() if kind.prior)
            raise ValueError(f"logit_adjustment needs a loss of {able}, not {loss}")
        if reserved := {"log_prior", "tau", "name", "reduction", "self"} & set(self.loss.options):
            raise ValueError(
                f"options of the loss are expected, not {min(reserved)}; for classes see imbalance.logit_adjustment"
            )
        if imbalance.class_weights and (loss == "proxy_anchor" or self.augmentation.makes_soft_labels):
            # A row of Proxy-Anchor is the loss of the whole batch; a mixed image is of two classes.
            raise ValueError(
                "class_weights need a loss of each image, not proxy_anchor, and no mixup or cutmix"
            )
        if kind.compares_images:
            if imbalance.sampling != "instance" or imbalance.class_weights:
                raise ValueError(f"{loss} draws all classes alike; imbalance is expected to be left out")
            if self.batch_size % self.images_per_class or self.batch_size < 2 * self.images_per_class:
                raise ValueError(
                    f"a batch_size of 2 or more times images_per_class is expected for {loss}, not "
                    f"{self.batch_size} with {self.images_per_class}"
                )
        return self

    @model_validator(mode="after")
    def _check_head(self) -> Recipe:
        if self.train == "head" and self.network.dim is None:
            raise ValueError("train: head trains the embedding layer; network.dim is expected to be a number")
        if self.train == "head" and self.augmentation.makes_soft_labels:
            raise ValueError(
                "train: head sees each image once, as it is; mixup and cutmix are expected to be 0"
            )
        return self
