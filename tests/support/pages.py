"""The pages of docs/ and the README: their links, and their blocks of commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.places import DOCS, ROOT

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
_BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>.*) -->\n)?^```(?P<language>.*)\n(?P<text>(?:.*\n)*?)^```$", re.MULTILINE
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMANDS = ("lookalike", "make", "python", "useradd", "prometheus-node-exporter")
"""What one line of a block without prompts begins with, if the block is one of commands."""


@dataclass(frozen=True)
class Command:
    """A line for the shell, whole, and what the page shows below it."""

    line: str
    output: str = ""


@dataclass(frozen=True)
class Block:
    """A block of commands.

    Attributes:
        page: where it stands, from the repository on.
        line: the number of its first line.
        commands: in order; of a block in Python, its source is the only one.
        why: of one that cannot be run here: the reason.
        python: whether it is source, and not for the shell.
    """

    page: str
    line: int
    commands: tuple[Command, ...]
    why: str = ""
    python: bool = False


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of commands on a page; those that show files or output are none."""
    text = page.read_text("utf-8")
    for found in _BLOCK.finditer(text):
        marker = found["marker"] or ""
        why = marker.removeprefix("checked: ") if marker.startswith("checked: ") else ""
        python = found["language"] == "python"
        commands = (Command(found["text"]),) if python else tuple(_commands(found["text"], found["language"]))
        if commands:
            yield Block(name(page), text.count("\n", 0, found.start("text")) + 1, commands, why, python)


def _commands(text: str, language: str) -> Iterator[Command]:
    """Lines behind `$ `, each with what is shown below it; without any, all lines if one of them is a command."""
    if language not in ("", "sh", "bash", "console"):
        return
    text = text.replace("\\\n", "")
    if prompted := re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        for part in prompted:
            line, _, output = part.partition("\n")
            yield Command(line, output)
        return
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    if any(line.split()[0] in COMMANDS for line in lines) and not any(line.startswith(" ") for line in lines):
        yield from map(Command, lines)


def links(page: Path) -> Iterator[str]:
    """Targets of the links of a page that lead to files or to places on pages."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"`[^`\n]*`(?!\])", "", prose)
    yield from (link for link in _LINK.findall(prose) if "://" not in link)


def anchors(page: Path) -> set[str]:
    """The places of a page that a link may lead to, as GitHub and MkDocs name them."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
