"""Paths as people write them: `~` for the home folder, `$NAME` and `${NAME}` for environment variables."""

from __future__ import annotations

import os
import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, PlainSerializer

from lookalike.model.errors import LookalikeError

from .files import is_remote

_HALF_URL = re.compile(r"file:(?!//)", re.IGNORECASE)
_OTHER = re.compile(r"\$(?:\$|\{\w+\}|([({]))")
"""What a shell would write out and this does not, in the group: `${NAME:-default}`, `$(command)`."""
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)\}|([A-Za-z_]\w*))")


def expanded(path: str) -> str:
    """A path with `~`, `~user`, `$NAME` and `${NAME}` written out, as a shell would; `$$` is a plain `$`.

    >>> os.environ["NIGHT"] = "/srv/night"
    >>> expanded("${NIGHT}/store"), expanded("price-$5/$$x"), expanded("s3://bucket/a~b")
    ('/srv/night/store', 'price-$5/$x', 's3://bucket/a~b')

    Raises:
        LookalikeError: if there is no such user, a variable is not set or empty, or the path holds a zero byte or what
            only a shell or a browser would understand.
    """
    if "\0" in path:
        raise LookalikeError(f"Expected a path without zero bytes. Received: {path!r}")
    if any(found[1] for found in _OTHER.finditer(path)):
        raise LookalikeError(
            f"Expected $NAME or ${{NAME}} of an environment variable. Write $$ for a plain $. Received: {path}"
        )
    if _HALF_URL.match(path):
        raise LookalikeError(
            f"Expected a URL with //, or a path. Write ./file: for a name that begins so. Received: {path}"
        )
    home, slash, rest = path.partition("/") if path.startswith("~") else ("", "", path)
    # The home folder is a name as it is.
    written = os.path.expanduser(home)
    if written.startswith("~"):
        raise LookalikeError(
            f"There is no home folder {home}. Write ./~ for a name that begins so. Received: {path}"
        )
    return written + slash + _VARIABLE.sub(lambda found: _value(found, path), rest)


AnyPath: TypeAlias = "str | os.PathLike[str]"
"""A path or a URL, as a program gives it."""


def plain(path: AnyPath) -> str:
    """A path as a program gives it: text as `expanded`, a Path object as it is.

    >>> os.environ["NIGHT"] = "/srv/night"
    >>> import pathlib
    >>> plain("$NIGHT/store"), plain(pathlib.Path("$NIGHT/store"))
    ('/srv/night/store', '$NIGHT/store')
    """
    return expanded(path) if isinstance(path, str) else os.fspath(path)


def _value(found: re.Match[str], path: str) -> str:
    if found[1]:
        return "$"
    name = found[2] or found[3]
    if value := os.environ.get(name):
        return value
    raise LookalikeError(
        f"The environment variable {name} is not set. Write $$ for a plain $. Received: {path}"
    )


def written(path: str) -> str:
    """A path as it has to be written for `expanded` to give it back."""
    return ("./" if path.startswith("~") else "") + path.replace("$", "$$")


def checked(path: str) -> str:
    """The same of a path that may not be empty, for pydantic, which wants a ValueError."""
    if not path.strip():
        raise ValueError("a path is expected, not an empty text")
    try:
        found = expanded(path)
    except LookalikeError as error:
        raise ValueError(str(error)) from None
    if is_remote(found) and not found.partition("://")[2].strip("/"):
        raise ValueError("a bucket is expected in a URL")
    return found


def anchored(path: str) -> str:
    """A local path from the root of the file system, for processes that work elsewhere; a URL as it is.

    `..` stays: where a link stands before it, only the file system knows what it leads to. A path below another one
    stays below it.

    >>> import contextlib
    >>> with contextlib.chdir("/usr"):
    ...     anchored("lib/../x"), anchored("/x"), anchored("s3://bucket/x")
    ('/usr/lib/../x', '/x', 's3://bucket/x')
    """
    if is_remote(path):
        return path
    local = path.removeprefix("file://")
    return local if local.startswith("/") else os.path.join(os.getcwd(), local)


WrittenPath = Annotated[str, AfterValidator(checked), PlainSerializer(written, when_used="json")]
"""A path in a job file, as `expanded` gives it."""
FolderPath = Annotated[WrittenPath, AfterValidator(anchored)]
"""The same of a folder that workers open, too."""
