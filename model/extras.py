"""How to install what a command needs beyond the package itself.

The command names the packages of an extra, not the extra: Lookalike may be installed from a clone, a wheel or an image,
and is on no index under its own name.
"""

from __future__ import annotations

import re
import shlex
from importlib.metadata import PackageNotFoundError, requires

_OF_EXTRA = re.compile(r"""(?P<package>[^;]+?)\s*;\s*extra\s*==\s*['"](?P<extra>[^'"]+)['"]""")


def install(extra: str) -> str:
    """The command that installs what an extra holds, in the versions that are tried.

    >>> install("s3")
    'pip install boto3'
    """
    try:
        declared = requires("lookalike") or []
    except PackageNotFoundError:
        declared = []
    found = [match for one in declared if (match := _OF_EXTRA.fullmatch(one))]
    packages = [match["package"] for match in found if match["extra"] == extra]
    return " ".join(["pip install", *map(shlex.quote, packages or ["-e", f".[{extra}]"])])
