"""Random sequences of nights against a model: same ids, same vectors, same answers, nothing encoded twice.

What is real and what stands in is told in `nightly_store`. The slow test runs 20 sequences; all ten thousand take
two processes:

    LOOKALIKE_SEQUENCES=5000 LOOKALIKE_SEED=1 pytest -m slow -v --durations=0 tests/jobs/test_nightly_model.py
    LOOKALIKE_SEQUENCES=5000 LOOKALIKE_SEED=2 pytest -m slow -v --durations=0 tests/jobs/test_nightly_model.py

A sequence that fails is made as short as it can be, and printed as a program. The same seed gives the same ones.
"""

import logging
import os

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.nightly_machine import NightlyMachine
from tests.support.nightly_stand_ins import stand_ins

SEQUENCES = int(os.environ.get("LOOKALIKE_SEQUENCES", "20"))
SEED = int(os.environ.get("LOOKALIKE_SEED", "0"))
AT_ONCE = 250


def run_sequences(count, number):
    """Sequences that are told by a number."""
    options = settings(
        max_examples=count,
        stateful_step_count=12,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )
    machine = seed(number)(type("Machine", (NightlyMachine,), {}))
    disabled = logging.root.manager.disable
    logging.disable()  # what a damaged store is warned of
    try:
        with stand_ins():
            run_state_machine_as_test(machine, settings=options)
    finally:
        logging.disable(disabled)


def test_the_store_is_what_the_model_says_after_any_sequence_of_nights():
    run_sequences(4, 0)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(-(-SEQUENCES // AT_ONCE)))
def test_the_store_is_what_the_model_says_after_many_sequences(part):
    run_sequences(min(AT_ONCE, SEQUENCES - part * AT_ONCE), 1000 * SEED + part + 1)
