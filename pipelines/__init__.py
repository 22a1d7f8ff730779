"""Lookalike: batch image retrieval.

Installed, this folder is the package `lookalike` and the folder `model` beside it `lookalike.model`.
"""

from importlib.metadata import version

__version__ = version("lookalike")
