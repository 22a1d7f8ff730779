"""Runs a Beam pipeline so that it stays on this machine unless told otherwise, and errors stay sentences."""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

from lookalike.model.errors import LookalikeError
from lookalike.model.imports import importing

_USER_ERROR = re.compile(r"LookalikeError: (.*?)(?= \[while running|\n|\\n|$)")

_REMOTE = re.compile("Dataflow|Flink|Spark|Portable|Kafka")


def workers_on_this_machine(flags: Sequence[str]) -> int:
    """How many worker processes `flags` start here: 1 but for the direct runner's multi_processing mode."""
    with importing("Beam"):
        from apache_beam.options.pipeline_options import DirectOptions

    direct = _options(flags).view_as(DirectOptions)
    return max(1, direct.direct_num_workers) if direct.direct_running_mode == "multi_processing" else 1


def run_pipeline(build: Callable[[Any], None], flags: Sequence[str] = ()) -> None:
    """Builds and runs a pipeline to its end.

    Args:
        build: adds the transforms to a `beam.Pipeline`.
        flags: Beam's own flags. Without `--runner` it is the in-process runner.

    Raises:
        LookalikeError: if a worker raised one, with its sentence, or for flags that Beam does not know.
    """
    with importing("Beam"):
        import apache_beam as beam

        # What the direct runner would import as it starts, beside the thread that shows progress.
        import apache_beam.runners.portability.fn_api_runner
        import apache_beam.runners.portability.portable_runner
        import apache_beam.testing.test_stream
        from apache_beam.options.pipeline_options import StandardOptions, StreamingOptions, WorkerOptions

    _only_what_people_need()
    options = _options(flags)
    workers = options.view_as(WorkerOptions)
    workers.default_sdk_harness_log_level = workers.default_sdk_harness_log_level or "WARNING"
    standard = options.view_as(StandardOptions)
    standard.runner = standard.runner or "DirectRunner"
    if standard.runner.rpartition(".")[2] in ("DirectRunner", "SwitchingDirectRunner"):
        # Without this the direct runner looks for Prism first, and downloads it from the network.
        options.view_as(StreamingOptions).update_compatibility_version = beam.version.__version__
    try:
        pipeline = beam.Pipeline(options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise LookalikeError(f"The runner {standard.runner} cannot be used: {error}") from None
    try:
        build(pipeline)
        pipeline.run().wait_until_finish()
    except Exception as error:
        # A worker's exception comes back as the text of its stack trace, or with the step's name behind it.
        if str(error).startswith("KeyboardInterrupt"):
            raise KeyboardInterrupt from None
        sentences = _USER_ERROR.findall(f"{type(error).__name__}: {error}")
        if not sentences:
            raise
        raise LookalikeError(sentences[-1]) from None


def _options(flags: Sequence[str]) -> Any:
    """Beam's options. Raises LookalikeError for a flag that no local runner has, or a value it cannot take."""
    with importing("Beam"):
        from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            options = PipelineOptions(list(flags))
            given = options.get_all_options(retain_unknown_options=True)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise LookalikeError(f"Beam's flags: {printed.getvalue().strip().rpartition('error: ')[2]}") from None
    unknown = sorted(set(given) - set(PipelineOptions([]).get_all_options()))
    # A remote runner has flags of its own, which only its job server knows.
    if unknown and not _REMOTE.search(options.view_as(StandardOptions).runner or ""):
        raise LookalikeError(f"Beam's flags: none is named {', '.join(f'--{name}' for name in unknown)}")
    return options


def _only_what_people_need() -> None:
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    # These print a stack trace of every failure before it reaches us.
    for name in ("runners.worker", "runners.portability", "runners.common"):
        logging.getLogger(f"apache_beam.{name}").setLevel(logging.CRITICAL)
