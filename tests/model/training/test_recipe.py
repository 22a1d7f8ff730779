"""The recipe: what goes together."""

import pytest
from pydantic import ValidationError

from lookalike.model.training.recipe import Recipe


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
