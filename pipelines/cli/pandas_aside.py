"""pyarrow without pandas, which it imports for its first array wherever it is installed."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import Any


def leave_pandas_aside() -> None:
    """Lets pyarrow look for pandas now and find none; it looks once.

    That takes a quarter of a second, half of what a query of vectors takes in all. Who wants pandas later gets it, also
    `to_pandas`; only `pa.array` no longer takes a Series. So this is for a process that is the command's own.
    """
    import pyarrow

    sys.meta_path.insert(0, _NoPandas)
    try:
        pyarrow.array([])
    finally:
        sys.meta_path.remove(_NoPandas)


class _NoPandas(MetaPathFinder):
    @classmethod
    def find_spec(cls, name: str, *_: Any) -> None:
        """Raises ImportError for pandas."""
        if name == "pandas":
            raise ModuleNotFoundError("pandas is left aside", name=name)
