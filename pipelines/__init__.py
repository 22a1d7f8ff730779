"""Lookalike: batch image retrieval.

Installed, this folder is the package `lookalike` and the folder `model` beside it `lookalike.model`. What a program is
meant to call is in `__all__`; docs/python.md shows it. It is imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookalike.model.errors import GateError, LookalikeError

    from .api.answers import Answers, read_answers
    from .api.encoders import Encoded, Encoder, open_encoder
    from .api.jobs import Job, open_job
    from .api.making import build_encoder, train_network
    from .api.stores import Store, open_store
    from .sources.pack import pack

    __version__: str

_MODULES = {
    "Answers": ".api.answers",
    "Encoded": ".api.encoders",
    "Encoder": ".api.encoders",
    "GateError": ".model.errors",
    "Job": ".api.jobs",
    "LookalikeError": ".model.errors",
    "Store": ".api.stores",
    "build_encoder": ".api.making",
    "open_encoder": ".api.encoders",
    "open_job": ".api.jobs",
    "open_store": ".api.stores",
    "pack": ".sources.pack",
    "read_answers": ".api.answers",
    "train_network": ".api.making",
}
"""Name -> the module that it is imported from."""
__all__ = [
    "Answers",
    "Encoded",
    "Encoder",
    "GateError",
    "Job",
    "LookalikeError",
    "Store",
    "__version__",
    "build_encoder",
    "open_encoder",
    "open_job",
    "open_store",
    "pack",
    "read_answers",
    "train_network",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        found = getattr(import_module(_MODULES[name], __name__), name)
        globals()[name] = found
        return found
    if name == "__version__":  # reading a package's metadata takes 0.03 s
        from importlib.metadata import version

        return version("lookalike")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
