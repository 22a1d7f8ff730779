"""The recipe: what goes together."""

import pytest
from pydantic import ValidationError

from lookalike.model.training.recipe import Recipe


@pytest.mark.parametrize(
    ("keys", "message"),
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
        ({"ema": 1.0}, "less than 1"),
        ({"optimizer": {"learning_rate": "3e-4"}}, "valid number"),
    ],
)
def test_what_does_not_go_together_is_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(keys)


def test_keys_that_have_another_name_now_are_read_and_stored_by_the_old_one():
    before = Recipe.model_validate({"averaging": 0.5, "thaw_every": 3})
    assert before == Recipe.model_validate({"ema": 0.5, "unfreeze_every": 3})
    stored = before.model_dump(by_alias=True)
    assert (stored["averaging"], stored["thaw_every"]) == (0.5, 3)
    with pytest.raises(ValidationError, match="averaging"):
        Recipe.model_validate({"ema": 0.5, "averaging": 0.5})
