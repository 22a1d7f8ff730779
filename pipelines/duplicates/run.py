"""A run under way: its folder, its database, who works."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from ..filesystem import files
from ..runner import progress
from ..runner.run_folder import run_folder
from ..runner.work_list import write_work_list
from ..runner.workers import in_workers, pieces_at_most
from ..store.database import database

if TYPE_CHECKING:
    import duckdb

_ROWS = 1 << 16


@dataclass(frozen=True)
class Run:
    """Where it is done.

    Attributes:
        folder: for files of the run, which workers must see.
        connection: database, gone in the end.
        flags: Beam's; none for this process.
    """

    folder: str
    connection: duckdb.DuckDBPyConnection
    flags: Sequence[str]

    def work(
        self,
        name: str,
        work_on: Callable[[Iterable[Any]], None],
        elements: Iterable[Any],
        count: int,
        decode: Callable[[Any], Any],
        work: int,
        what: str,
    ) -> None:
        """Has elements worked on.

        Args:
            name: of the step, such as `comparing`.
            work_on: see `in_workers`.
            elements: as JSON takes them.
            count: how many there are.
            decode: see `WorkList`.
            work: what the workers' counts `work` will add up to.
            what: the count whose rate is shown.

        Raises:
            LookalikeError, OSError: as `in_workers`.
        """
        listed = write_work_list(
            files.join(self.folder, "work", name), elements, count, decode, pieces_at_most(self.flags)
        )
        with progress.shown(name, files.join(self.folder, "progress"), count, work, what):
            in_workers(name.capitalize(), work_on, listed, self.flags)


@contextlib.contextmanager
def opened(out: str, flags: Sequence[str]) -> Iterator[Run]:
    """A run with a folder beside the table; of a remote `out`, without workers, one on this machine."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(run_folder(out, "duplicates", flags))
        spill = None if files.is_remote(folder) else files.join(folder, "spilled")
        yield Run(folder, stack.enter_context(database(spill)), flags)


def rows_of(connection: duckdb.DuckDBPyConnection, statement: str) -> Iterator[pa.RecordBatch]:
    """What a statement selects, some rows at a time."""
    yield from cast(pa.RecordBatchReader, connection.sql(statement).to_arrow_reader(_ROWS))


def number_of(connection: duckdb.DuckDBPyConnection, statement: str) -> int:
    """The one number that a statement selects."""
    ((number,),) = connection.execute(statement).fetchall()
    return int(number)


def read_files(folder: str, name: str) -> Iterator[pa.RecordBatch]:
    """The rows of all Arrow files of a step, in the order of their names. Raises OSError."""
    for file in files.list_files(files.join(folder, name)):
        with files.open_read(file.path) as opened, pa.ipc.open_file(opened) as reader:
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)
