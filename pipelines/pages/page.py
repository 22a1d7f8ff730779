"""Pages of HTML: templates filled, with style, script and pictures inside, so that one file is all of a page.

Ids, metadata and reasons are anybody's text. Whatever a template writes is escaped, and made `printable` before, so
that no template can forget it; and a page forbids itself, by its content security policy, every script but its own and
every request.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from markupsafe import Markup

from lookalike.model.errors import LookalikeError
from lookalike.model.printable import printable

from ..filesystem import files

if TYPE_CHECKING:
    import jinja2

_MADE_BY = b'<meta name="generator" content="lookalike">'
_HEAD = 1024
"""Bytes of a page in which it says so."""
TEMPLATES = os.path.join(os.path.dirname(__file__), "templates")


def render(template: str, **context: Any) -> str:
    """A page as text.

    Args:
        template: name of a file in `templates`, which extends `base.html`.
        context: what it writes. Text is escaped, whatever is in it; None is written as nothing.

    Raises:
        jinja2.UndefinedError: if the template asks for what is not there.
    """
    return _environment().get_template(template).render(context)


def write_page(path: str, html: str) -> None:
    """Writes a page, whole or not at all.

    Raises:
        LookalikeError: if something else than a page of ours is there, such as the file that the page is made of.
        OSError: if it cannot be written.
    """
    if files.exists(path) and not files.is_folder(path):
        with files.open_read(path) as file:
            is_ours = _MADE_BY in file.read(_HEAD)
        if not is_ours:
            raise LookalikeError(
                f"Expected a new file for the page, or one that `lookalike report` made. Received: {path}"
            )
    files.write_bytes(path, html.encode("utf-8"))


def count(number: int) -> str:
    """A number as people read it.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{number:,}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    >>> plural(1, "query", "queries"), plural(1200, "match", "matches"), plural(2, "row")
    ('1 query', '1,200 matches', '2 rows')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def link(table: str, page: str) -> str | None:
    """The address of a file from where a page is; None where one of both is remote and the other is not."""
    folder, name = os.path.split(table)
    if os.path.dirname(page) == folder:
        return "./" + quote(name)
    if files.is_remote(table) or files.is_remote(page):
        return None
    return "./" + quote(os.path.relpath(table, os.path.dirname(os.path.abspath(page))))


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _own("style.css"), _own("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.filters.update(count=count, plural=plural)
    environment.globals.update(style=Markup(style), script=Markup(script), script_sha256=digest)
    return environment


def _own(name: str) -> str:
    with open(os.path.join(TEMPLATES, name), encoding="utf-8") as file:
        return file.read().strip()


def _shown(value: Any) -> Any:
    """What is written of a value: text of our own templates as it is, any other made printable."""
    if value is None:
        return ""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
