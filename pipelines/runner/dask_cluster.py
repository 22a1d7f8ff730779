"""A pipeline on a Dask cluster: waits for it to end, and tells what would else be a silent wait or a stack trace."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from typing import Any

from lookalike.model.errors import LookalikeError

NAME = "apache_beam.runners.dask.dask_runner.DaskRunner"
CONNECT_SECONDS = 20
"""To wait for an answer of the scheduler."""
LOOK_SECONDS = 5.0
"""Between two looks at the cluster while it works."""
LOST_SECONDS = 25.0
"""A scheduler that does not answer for so long is given up."""
NO_WORKER_SECONDS = 600.0
"""To wait for a worker while the scheduler has none: a cluster may be about to start them."""

_CLOSE_SECONDS = 2
_IMPORT = "import lookalike.runner.beam"

logger = logging.getLogger(__name__)


def defaults() -> list[str]:
    """Flags that stand before the user's: a piece is a task of its own, and nobody waits for ever."""
    return ["--dask_partition_size=1", f"--dask_connection_timeout={CONNECT_SECONDS}"]


def run_on_dask(run: Callable[[], Any], cluster: Any) -> None:
    """Runs a pipeline on Dask to its end, and leaves no connection open.

    Args:
        run: submits it; gives Beam's `DaskRunnerResult`.
        cluster: Beam's `DaskOptions`, which name the scheduler.

    Raises:
        LookalikeError: if the scheduler cannot be reached or is lost, there are no workers or they lack this package,
            or the same work ended several of them.
        Exception: what a worker raised.
    """
    from distributed import CancelledError, KilledWorker

    _quiet()
    place = _scheduler(cluster)
    try:
        _require_workers(cluster, place)
        result = run()
    except OSError as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise LookalikeError(
            f"Expected a Dask scheduler at {place}, and an answer within {cluster.timeout} s. Received: {reason}"
        ) from None
    try:
        _Watch(result.client, place).until_done(result.futures)
    except KilledWorker as error:
        raise LookalikeError(
            f"The same work was at hand when {error.allowed_failures + 1} Dask workers ended, the last of them "
            f"{error.last_worker.address}: for want of memory, or by a picture that ends its decoder. Run the same "
            "command again: what is finished is kept, and each image of the shards that were under way is decoded in a "
            "process of its own"
        ) from None
    except CancelledError:
        raise _lost(place) from None
    finally:
        result.client.close(timeout=_CLOSE_SECONDS)


def _scheduler(cluster: Any) -> str:
    """Where it is, for people. Raises LookalikeError if no flag tells."""
    if cluster.scheduler_file and not os.path.exists(cluster.scheduler_file):  # Dask would wait for it
        raise LookalikeError(
            f"Expected a file of a Dask scheduler. Received: none at {cluster.scheduler_file}"
        )
    if not (place := cluster.address or cluster.scheduler_file):
        raise LookalikeError(
            "Expected --dask_client_address or --dask_scheduler_file of a running scheduler. Received: neither"
        )
    return place


def _require_workers(cluster: Any, place: str) -> None:
    """Waits for a worker, and sees that what is sent can be read: a worker that lacks the package ends itself."""
    from distributed import Client

    client = Client(
        cluster.address, scheduler_file=cluster.scheduler_file, timeout=cluster.timeout, set_as_default=False
    )
    try:
        watch = _Watch(client, place)
        while not watch.look():
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                client.wait_for_workers(1, timeout=LOOK_SECONDS)
        for where, error in _import_errors(client).items():
            raise LookalikeError(
                f"Expected this package on the Dask scheduler and every worker. "
                f"Received on {where}: {type(error).__name__}: {error}"
            )
    finally:
        client.close(timeout=_CLOSE_SECONDS)


def _import_errors(client: Any) -> dict[str, Exception]:
    """Worker, or the scheduler, -> why this package cannot be imported there."""
    found = client.run(exec, _IMPORT, on_error="return")
    try:
        client.run_on_scheduler(exec, _IMPORT)
    except Exception as error:
        found["the scheduler"] = error
    return {where: error for where, error in found.items() if error is not None}


class _Watch:
    """Looks after a cluster while it works.

    Args:
        client: of it.
        place: of the scheduler, for people.
    """

    def __init__(self, client: Any, place: str) -> None:
        self._client = client
        self._place = place
        self._workers: set[str] = set()
        self._answered = self._had_worker = time.monotonic()

    def until_done(self, futures: Any) -> None:
        """Returns when all is done. Raises what `run_on_dask` names, and what a worker raised."""
        from distributed import wait

        while True:
            try:
                wait(futures, timeout=LOOK_SECONDS)
                break
            except (TimeoutError, asyncio.TimeoutError):
                self.look()
        for future in futures:
            future.result()

    def look(self) -> bool:
        """Whether there are workers; logs what is amiss. Raises LookalikeError if it has been for too long."""
        now = time.monotonic()
        workers = self._listed()
        if workers is None:
            logger.warning("Dask: the scheduler at %s does not answer", self._place)
            if now - self._answered > LOST_SECONDS:
                raise _lost(self._place)
            return False
        self._answered = now
        for lost in sorted(self._workers - workers):
            logger.warning("Dask: the worker %s is gone; others do what it had not finished", lost)
        self._workers = workers
        if workers:
            self._had_worker = now
        elif now - self._had_worker > NO_WORKER_SECONDS:
            raise LookalikeError(
                f"Expected Dask workers at the scheduler {self._place}. "
                f"Received: none for {NO_WORKER_SECONDS:.0f} s"
            )
        else:
            logger.warning("Dask: the scheduler at %s has no workers; waiting for one", self._place)
        return bool(workers)

    def _listed(self) -> set[str] | None:
        """The workers that the scheduler has; None if it does not answer."""
        if self._client.status != "running":
            return None
        try:
            return {*self._client.nthreads()}
        except OSError:
            return None


def _lost(address: str) -> LookalikeError:
    return LookalikeError(
        f"The Dask scheduler at {address} was lost. Run the same command again: what is finished is kept"
    )


def _quiet() -> None:
    """Of what Dask says in this process errors come back as such; the rest is about connections of its own."""
    for name in ("distributed", "distributed.client", "distributed.comm", "distributed.core"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
