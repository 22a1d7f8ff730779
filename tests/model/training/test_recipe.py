"""The recipe: what goes together, and that it knows the losses as they are."""

import inspect
from typing import get_args

import pytest
from pydantic import ValidationError

from lookalike.model.training.recipe import PAIR_LOSSES, PRIOR_LOSSES, SOFT_LABEL_LOSSES, LossName, Recipe


def test_the_losses_are_named_as_they_are():
    from lookalike.model.training.losses import LOSSES

    assert get_args(LossName) == tuple(LOSSES)
    assert {name for name, loss in LOSSES.items() if loss.head is None} == set(PAIR_LOSSES)
    assert {name for name, loss in LOSSES.items() if loss.soft_labels} == set(SOFT_LABEL_LOSSES)
    takes_prior = {
        n for n, loss in LOSSES.items() if "log_prior" in inspect.signature(loss.function).parameters
    }
    assert takes_prior == set(PRIOR_LOSSES)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"loss": {"name": "arcface"}, "augmentation": {"mixup": 0.2}}, "mixup and cutmix need"),
        ({"loss": {"name": "circle"}, "imbalance": {"logit_adjustment": 1.0}}, "logit_adjustment needs"),
        ({"loss": {"name": "circle"}, "imbalance": {"class_weights": True}}, "draws all classes alike"),
        (
            {"loss": {"name": "proxy_anchor"}, "imbalance": {"class_weights": True}},
            "class_weights need a loss of",
        ),
        (
            {"augmentation": {"cutmix": 1.0}, "imbalance": {"class_weights": True}},
            "class_weights need a loss of",
        ),
        ({"loss": {"name": "circle"}, "batch_size": 30}, "times images_per_class"),
        ({"loss": {"options": {"log_prior": [1]}}}, "not log_prior"),
        ({"train": "head", "network": {"dim": None}}, "network.dim"),
        ({"train": "head", "augmentation": {"mixup": 0.2}}, "mixup and cutmix are expected to be 0"),
        ({"averaging": 1.0}, "less than 1"),
        ({"optimizer": {"learning_rate": "3e-4"}}, "valid number"),
    ],
)
def test_what_does_not_go_together_is_refused(keys, said):
    with pytest.raises(ValidationError, match=said):
        Recipe.model_validate(keys)
