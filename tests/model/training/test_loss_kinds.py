"""The table of losses knows them as they are."""

import inspect
from typing import get_args

from lookalike.model.training.loss_kinds import LOSS_KINDS, LossName


def test_every_loss_is_in_the_table_under_the_name_that_it_is_asked_for():
    from lookalike.model.training.losses import LOSSES

    assert get_args(LossName) == tuple(LOSS_KINDS) == tuple(LOSSES)
    assert all(name == loss.function.__name__ for name, loss in LOSSES.items())


def test_those_whose_function_takes_a_prior_are_adjusted_to_it():
    from lookalike.model.training.losses import LOSSES

    takes = {
        name: "log_prior" in inspect.signature(loss.function).parameters for name, loss in LOSSES.items()
    }
    assert takes == {name: kind.prior for name, kind in LOSS_KINDS.items()}


def test_those_that_are_fed_embeddings_compare_images():
    pairs = {name for name, kind in LOSS_KINDS.items() if kind.compares_images}
    assert pairs == {"circle", "supervised_contrastive", "batch_hard_triplet"}
