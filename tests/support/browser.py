"""Debian's Chromium, to open pages as people do; a test that needs it skips where it is not there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)


@dataclass
class Opened:
    """A page in a browser.

    Attributes:
        page: of Playwright.
        said: what the console says, errors that no script caught, and dialogs.
        asked_for: addresses that were asked for, but for the page itself and what is inside it.
    """

    page: Any
    said: list[str] = field(default_factory=list)
    asked_for: list[str] = field(default_factory=list)


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Chromium without a window. Skips the test where it, or Playwright, is not installed."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not os.path.exists(CHROMIUM):
        pytest.skip(f"{CHROMIUM} is not there")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


def opened(chromium: Any, path: Path, **options: Any) -> Opened:
    """Opens a page from the disk; options are those of Playwright's `new_page`."""
    found = Opened(chromium.new_page(**options))
    page, address = found.page, path.resolve().as_uri()
    page.on("console", lambda message: found.said.append(message.text))
    page.on("pageerror", lambda error: found.said.append(str(error)))
    page.on("dialog", lambda dialog: (found.said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda one: found.asked_for.append(one.url) if not _inside(one.url, address) else None)
    page.goto(address)
    return found


def _inside(url: str, address: str) -> bool:
    return url.startswith("data:") or url == address
