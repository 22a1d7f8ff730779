"""Runs a Beam pipeline so that it stays on this machine unless told otherwise, and errors stay sentences."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from lookalike.model.errors import LookalikeError
from lookalike.model.extras import install
from lookalike.model.imports import importing

from ..filesystem import files
from . import dask_cluster, job_server
from .environment import environment, require_same
from .work_list import MOST_FILES, WorkList
from .worker_processes import run_with_worker_processes

T = TypeVar("T")
_USER_ERROR = re.compile(r"LookalikeError: (.*?)(?= \[while running|\n|\\n|$)")

_LOCAL = ("DirectRunner", "SwitchingDirectRunner", "FnApiRunner")
"""Runners that work on this machine."""
_PROCESSES = "multi_processing"
"""How they have workers that are processes of their own."""
_DASK = ("dask", "daskrunner", dask_cluster.NAME.lower())
_REMOTE = re.compile("Dataflow|Flink|Spark|Portable|Kafka")


def workers_on_this_machine(flags: Sequence[str]) -> int:
    """How many worker processes `flags` start here: 1 but for the direct runner's multi_processing mode."""
    with importing("Beam"):
        from apache_beam.options.pipeline_options import DirectOptions

    direct = _options(flags).view_as(DirectOptions)
    return max(1, direct.direct_num_workers) if direct.direct_running_mode == _PROCESSES else 1


def most_pieces(flags: Sequence[str]) -> int:
    """Into how many pieces work is cut at most: one for the in-process runner, which has one worker."""
    in_process = _runner(flags).rpartition(".")[2] in _LOCAL and workers_on_this_machine(flags) == 1
    return 1 if in_process else MOST_FILES


def run_each(
    name: str, work_on: Callable[[Iterable[T]], None], work: WorkList[T], flags: Sequence[str] = ()
) -> None:
    """Does a job's work in workers, a piece of the list at a time.

    What comes of it are files that `work_on` writes, all of them before it returns. A runner may give a piece to
    a second worker, also while the first is at it; whoever finds what was written has nothing to do.

    Args:
        name: of the step, for people who look at the runner's pages.
        work_on: gets the elements of a piece, in order; a function or an object of a module, since it travels.
        work: what is to be done.
        flags: Beam's own flags. Without `--runner` it is the in-process runner.

    Raises:
        LookalikeError: if `work_on` raised one, with its sentence, or for flags that Beam does not know.
    """
    with importing("Beam"):
        import apache_beam as beam

    elsewhere = None if _runner(flags).rpartition(".")[2] in _LOCAL else environment()

    def build(pipeline: beam.Pipeline) -> None:
        pieces = pipeline | "Pieces" >> beam.Create(range(work.pieces)) | "Spread" >> beam.Reshuffle()
        _ = pieces | name >> beam.FlatMap(_Piece(work_on, work, elsewhere))

    run_pipeline(build, flags)


class _Piece(Generic[T]):
    """The number of a piece -> nothing, when its elements are worked through.

    Args:
        work_on: see `run_each`.
        work: the list that the piece is of.
        environment: of the submitting process, if workers may be elsewhere; their errors then name the machine.
    """

    def __init__(
        self,
        work_on: Callable[[Iterable[T]], None],
        work: WorkList[T],
        environment: dict[str, str] | None,
    ) -> None:
        self._work_on = work_on
        self._work = work
        self._environment = environment

    def __call__(self, piece: int) -> Iterable[None]:
        if self._environment is not None:
            require_same(self._environment)
        try:
            self._work_on(self._seen(piece))
        except (LookalikeError, OSError) as error:  # Beam would tell the second with a stack trace
            raise LookalikeError(self._placed(error)) from error
        return ()

    def _placed(self, error: LookalikeError | OSError) -> str:
        """What an error says, and if workers may be elsewhere the machine."""
        told, here = files.reason(error) if isinstance(error, OSError) else str(error), socket.gethostname()
        return told if self._environment is None or f"on {here}" in told else f"{told} (on {here})"

    def _seen(self, piece: int) -> Iterator[T]:
        try:
            yield from self._work.read(piece)
        except FileNotFoundError:
            raise LookalikeError(
                f"Expected every worker to see the store. Received: no {self._work.folder} on {socket.gethostname()}"
            ) from None


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
        from apache_beam.options.pipeline_options import (
            DirectOptions,
            PortableOptions,
            StandardOptions,
            StreamingOptions,
            WorkerOptions,
        )

    _only_what_people_need()
    options = _options(flags)
    runner = _runner(flags)
    workers = options.view_as(WorkerOptions)
    workers.default_sdk_harness_log_level = workers.default_sdk_harness_log_level or "WARNING"
    options.view_as(StandardOptions).runner = runner
    if runner.rpartition(".")[2] in ("DirectRunner", "SwitchingDirectRunner"):
        # Without this the direct runner looks for Prism first, and downloads it from the network.
        options.view_as(StreamingOptions).update_compatibility_version = beam.version.__version__
    try:
        pipeline = beam.Pipeline(options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise LookalikeError(f"The runner {runner} cannot be used: {error}") from None
    try:
        build(pipeline)
        if runner == dask_cluster.NAME:
            with importing("Dask"):
                from apache_beam.runners.dask.dask_runner import DaskOptions

            dask_cluster.run_on_dask(pipeline.run, options.view_as(DaskOptions))
        else:
            portable = options.view_as(PortableOptions)
            if portable.job_endpoint and portable.environment_type == "EXTERNAL":
                job_server.warn_of_no_pool(portable.environment_config or "")
            run = functools.partial(job_server.run_on_job_server, pipeline.run, portable.job_endpoint)
            if options.view_as(DirectOptions).direct_running_mode == _PROCESSES:
                run_with_worker_processes(run)
            else:
                run()
    except NotImplementedError as error:
        raise LookalikeError(f"The runner {runner} cannot be used: {error}") from None
    except Exception as error:
        # A worker's exception comes back as the text of its stack trace, or with the step's name behind it.
        if str(error).startswith("KeyboardInterrupt"):
            raise KeyboardInterrupt from None
        sentences = _USER_ERROR.findall(f"{type(error).__name__}: {error}")
        if not sentences:
            raise
        raise LookalikeError(sentences[-1]) from None


def _runner(flags: Sequence[str]) -> str:
    """The runner that flags name, without the modules that Beam's own names may be written with."""
    with importing("Beam"):
        from apache_beam.options.pipeline_options import StandardOptions

    named = _options(flags).view_as(StandardOptions).runner or "DirectRunner"
    return dask_cluster.NAME if named.lower() in _DASK else named


def _options(flags: Sequence[str]) -> Any:
    """Beam's options.

    Raises:
        LookalikeError: for a flag that no local runner has, a value it cannot take, or what is neither: Beam drops it.
    """
    with importing("Beam"):
        from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    defaults = job_server.defaults()
    if any(flag.startswith("--dask_") or flag.lower().removeprefix("--runner=") in _DASK for flag in flags):
        with importing("Dask", remedy=install("dask")):
            import apache_beam.runners.dask.dask_runner
            import distributed

        _ = distributed.Client, apache_beam.runners.dask.dask_runner.DaskOptions
        defaults += dask_cluster.defaults()
    printed, parsers = io.StringIO(), list[Any]()
    try:
        with contextlib.redirect_stderr(printed):
            options = PipelineOptions([*defaults, *flags])
            given = options.get_all_options(add_extra_args_fn=parsers.append, retain_unknown_options=True)
            # The parser knows the unknown flags and their values by now.
            _, dropped = parsers[0].parse_known_args(list(flags))
    except SystemExit as stop:
        if not stop.code:
            raise
        raise LookalikeError(f"Beam's flags: {printed.getvalue().strip().rpartition('error: ')[2]}") from None
    if dropped:
        raise LookalikeError(
            f"Beam's flags: expected flags that begin with -- and their values. Received: {dropped[0]}"
        )
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
