"""Names of files are bytes, and text here is UTF-8: whatever the locale, an id is the same."""

from __future__ import annotations

import codecs
import locale
import os
import sys

from lookalike.model.errors import LookalikeError


def restart_in_utf8() -> None:
    """Starts this process anew with Python in UTF-8 mode, if the locale has another encoding.

    Under Latin-1 Python takes other text from the same names, arguments and files, and so would publish other ids.
    That is decided before Python's first line; processes that are started later inherit it.

    Raises:
        LookalikeError: if Python does not take UTF-8 all the same.
    """
    if _is_utf8():
        return
    if os.environ.get("PYTHONUTF8") == "1" or not sys.executable:
        require_utf8()
    os.environ["PYTHONUTF8"] = "1"
    # The option counts even where the environment is ignored.
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def require_utf8() -> None:
    """Refuses to read names of files as anything but UTF-8. Raises LookalikeError."""
    if not _is_utf8():
        raise LookalikeError(
            f"Expected Python in UTF-8 mode (PYTHONUTF8=1): names of files would become other ids. "
            f"Received: {sys.getfilesystemencoding()}"
        )


def _is_utf8() -> bool:
    encodings = (sys.getfilesystemencoding(), locale.getpreferredencoding(False))
    return all(codecs.lookup(name).name == "utf-8" for name in encodings)
