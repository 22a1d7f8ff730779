"""Lookalike: batch image retrieval.

Installed, this folder is the package `lookalike` and the folder `model` beside it `lookalike.model`.
"""


def __getattr__(name: str) -> str:
    """`__version__`, looked up when it is asked for: reading a package's metadata takes 0.03 s."""
    if name == "__version__":
        from importlib.metadata import version

        return version("lookalike")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
