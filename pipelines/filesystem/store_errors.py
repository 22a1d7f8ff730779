"""What an object store says, as an OSError with one sentence that names the file."""

from __future__ import annotations

import contextlib
import errno
import html
import os
import re
from collections.abc import Iterator

from obstore import exceptions

from lookalike.model.errors import LookalikeError

_STATUS = re.compile(r"status code: (\d{3}[\w ]*)")
_CODE = re.compile(r"<Code>(.*?)</Code>", re.DOTALL)
_MESSAGE = re.compile(r'<Message>(.*?)</Message>|"message": *"(.*?)"', re.DOTALL)
NO_BUCKET = re.compile("NoSuchBucket|ContainerNotFound|bucket does not exist")
_TRIES = re.compile(r"after (\d+) retries")
_PLACE = re.compile(r"Error performing [A-Z]+ (\w+://[^/\s]+)")
_NO_KEYS = ("169.254.", "metadata.google.internal", "Error performing token request")
"""Where obstore looks at last for who asks: at the machine's own role."""
NO_CONDITIONS = ("501 Not Implemented", "NotImplemented")


@contextlib.contextmanager
def named(path: str) -> Iterator[None]:
    """What obstore raises in the block becomes an error that names `path`.

    Raises:
        FileNotFoundError: if the object is not there.
        PermissionError: if the store refuses.
        OSError: with errno ESTALE if the object is not the one that was asked for; with EIO otherwise.
        LookalikeError: if no store can have such a name.
    """
    try:
        yield
    except LookalikeError:
        raise
    except FileNotFoundError as error:
        if error.filename:  # a file of this machine
            raise
        if NO_BUCKET.search(str(error)):
            raise OSError(errno.EIO, _sentence(str(error)), path) from None
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
    except exceptions.PreconditionError:
        raise OSError(errno.ESTALE, "changed while it was read", path) from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise PermissionError(errno.EACCES, _sentence(str(error)), path) from None
    except (ValueError, exceptions.InvalidPathError) as error:
        text = " ".join(str(error).partition("\n\nDebug")[0].split())
        raise LookalikeError(f"No object of such a name can be asked for: {path}: {text}") from None
    except exceptions.BaseError as error:
        raise OSError(errno.EIO, _sentence(str(error)), path) from None
    except OSError as error:
        # Of what is not there, or of the local file that is sent, of which obstore keeps the words alone.
        number = error.errno or (errno.EACCES if isinstance(error, PermissionError) else errno.EIO)
        raise OSError(number, error.strerror or str(error), error.filename or path) from None


def _sentence(text: str) -> str:
    """One line: the store's own words if it had any, its status, and how often it was asked."""
    said, _, debug = text.partition("\n\nDebug source:")
    found = _MESSAGE.search(said)
    words = html.unescape(found[1] or found[2]).strip() if found else ""
    if code := _CODE.search(said):
        words = f"{code[1]}: {words}"
    place = _PLACE.search(said)
    if any(sign in said for sign in _NO_KEYS):
        words = "no credentials were found, and this machine has no role of its own"
    elif "redirect without LOCATION" in said:
        words = "the bucket is in another region; AWS_DEFAULT_REGION tells which"
    elif "kind: Timeout" in debug:
        words = f"no answer from {place[1] if place else 'the store'}"
    elif "kind: Connect" in debug:
        words = f"could not connect to {place[1] if place else 'the store'}"
    elif status := _STATUS.search(said):
        words = f"{words} ({status[1]})" if words else status[1]
    # Without a query, in which Azure's keys may stand.
    words = words or re.sub(r"\?\S+|^Generic \w+ error: ", "", said)
    tries = _TRIES.search(said)
    return " ".join(f"{words}{f', tried {int(tries[1]) + 1} times' if tries else ''}".split())
