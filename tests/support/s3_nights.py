"""What children of `forks` do with a store on S3: run a command that is killed before its nth request that writes."""

from __future__ import annotations

import functools
import itertools
import os
import signal
from collections.abc import Callable
from typing import Any

from lookalike.filesystem import stores
from lookalike.store import lease
from tests.conftest import run
from tests.support import nights


def command(arguments: list[str], at: int | None = None) -> dict[str, Any]:
    """Runs a command line; None lets it come to its end. Returns its exit code, words and number of writes."""
    assert nights  # has imported everything
    lease.LOOK_SECONDS = lease.DEAD_SECONDS = 0.0
    writes = itertools.count(1)
    open_store = stores._store

    def counted(write: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if next(writes) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*arguments, **options)

        return call

    class Counted:
        """A store that counts."""

        def __init__(self, store: Any) -> None:
            self._store = store
            self.put, self.delete = counted(store.put), counted(store.delete)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

    stores._store = functools.cache(lambda *of: Counted(open_store(*of)))
    done = run(*arguments)
    return {"code": done.code, "err": done.err, "writes": next(writes) - 1}
