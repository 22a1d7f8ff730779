"""What a process is made of: this package's code and the libraries that decide what it writes.

Workers elsewhere may have another version, and vectors of two versions are not to be mixed unawares. The version
number of a package tells nothing of what was changed since, so its source counts.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, requires, version

import lookalike
import lookalike.model
from lookalike.model.errors import LookalikeError


@lru_cache(maxsize=1)
def environment() -> dict[str, str]:
    """Name -> version of Python, of the packages that this one requires, and of this one a digest of its source."""
    wanted = [one for one in requires("lookalike") or () if "extra ==" not in one]
    names = sorted(re.split(r"[^A-Za-z0-9._-]", one, maxsplit=1)[0] for one in wanted)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"lookalike": _source_digest(), "python": python, **{name: _version(name) for name in names}}


def require_same(expected: dict[str, str]) -> None:
    """Raises LookalikeError if this process is made of something else than the one that gave `expected`."""
    here = environment()
    differ = [name for name in expected if here.get(name) != expected[name]]
    if differ:
        wanted = ", ".join(f"{name} {expected[name]}" for name in differ)
        found = ", ".join(f"{name} {here.get(name, 'none')}" for name in differ)
        raise LookalikeError(
            f"Expected workers to have what the submitting process has: {wanted}. "
            f"Received: {found} on {socket.gethostname()}"
        )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _source_digest() -> str:
    """The same wherever the two folders of the package lie, however they were installed."""
    digest = hashlib.sha256()
    for module in (lookalike, lookalike.model):
        root = os.path.dirname(str(module.__file__))
        for folder, folders, names in os.walk(root, followlinks=True):
            folders[:] = sorted({*folders} - {"__pycache__"} - ({"model"} if folder == root else set()))
            for name in sorted(name for name in names if name.endswith(".py")):
                path = os.path.join(folder, name)
                digest.update(os.path.relpath(path, root).replace(os.sep, "/").encode() + b"\0")
                with open(path, "rb") as file:
                    digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()[:12]
