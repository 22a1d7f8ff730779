"""Text for a terminal or a text log, where characters act and secrets are read over a shoulder.

Tables, JSON and CSV for machines keep every character of an id; what is printed shows those that would not be seen or
would move the cursor, colour what follows, turn the direction of writing or begin a line of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import TextIO

_ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of controls, invisible formats (bidirectional overrides, zero width), surrogates, line ends."""
_HIDDEN = "***"
_SECRETS = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@'\"]+@", re.IGNORECASE), rf"\1{_HIDDEN}@"),
    (re.compile(r"(['\"])[^\s/'\":@]+:[^\s/'\"@]+@"), rf"\1{_HIDDEN}@"),
    (
        re.compile(
            r"([?&;](?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature|awsaccesskeyid|sig|token"
            r"|access_token|api_key|password)=)[^&\s'\"#\\]+",
            re.IGNORECASE,
        ),
        rf"\1{_HIDDEN}",
    ),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), _HIDDEN),
    (
        re.compile(
            r"((?:secret_?access_?key|session_?token|password)['\"]?\s*[=:]\s*['\"]?)[^\s'\"&,;\\]+",
            re.IGNORECASE,
        ),
        rf"\1{_HIDDEN}",
    ),
)
"""User and password in a URL, a signed query, and the keys of S3, wherever a library puts them into its message."""


def printable(text: object) -> str:
    """`text` in one line that can be shown: what acts is written as in Python, and secrets are `***`.

    >>> printable("a\\x1b[31m\\n\\u202eb, https://me:secret@host/x?X-Amz-Signature=1f&y")
    'a\\\\x1b[31m\\\\n\\\\u202eb, https://***@host/x?X-Amz-Signature=***&y'
    """
    shown = masked(str(text))
    return shown if shown.isprintable() else "".join(map(_escaped, shown))


def printable_lines(lines: Iterable[object]) -> str:
    """Each one in a line of its own, whatever is in it; see `printable`."""
    return "\n".join(map(printable, lines))


def say(*lines: object, file: TextIO | None = None) -> None:
    """Prints lines as `printable_lines` gives them."""
    print(printable_lines(lines), file=file)


def masked(text: str) -> str:
    """`text` without passwords, keys and signatures, for what is stored where others read it."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def json_printable(text: str) -> str:
    """JSON that means the same, and shows no character that acts."""
    if text.isprintable():
        return text
    return "".join(
        "".join(f"\\u{unit:04x}" for unit in _utf16(character)) if _acts(character) else character
        for character in text
    )


def _acts(character: str) -> bool:
    return unicodedata.category(character) in _ACTING


def _escaped(character: str) -> str:
    if not _acts(character):
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8, as Python reads file names
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _utf16(character: str) -> list[int]:
    data = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]
