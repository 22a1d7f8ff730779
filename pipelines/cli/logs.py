"""Logs: short lines for people, or JSON lines for machines."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from typing import Any, Literal

from lookalike.model.printable import json_printable, masked, printable, printable_lines
from lookalike.model.waiting import CLEAR

LogFormat = Literal["text", "json"]
"""Lines for people, or an object a line for machines."""


class _Text(logging.Formatter):
    """A line for each message, whatever is in it; the lines of a stack trace stay lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return printable_lines(super().formatException(ei).split("\n"))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry = {
            "time": f"{seconds}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        if record.exc_info:
            entry["exception"] = masked(self.formatException(record.exc_info))
        return json_printable(json.dumps(entry, ensure_ascii=False))


class _ToStandardError(logging.StreamHandler):
    """On a terminal a message takes the place of what is being waited for."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError, ValueError):  # what is wrong with it, `emit` tells
            if self.stream.isatty():
                self.stream.write(CLEAR)
        super().emit(record)


def current_format() -> LogFormat:
    """`text` or `json`, as set up."""
    handlers = logging.getLogger().handlers
    return "json" if handlers and isinstance(handlers[0].formatter, _Json) else "text"


def set_up(log_format: LogFormat = "text", verbose: bool = False) -> None:
    """Sends logs to standard error.

    Args:
        log_format: `text` or `json` (one object a line: time in UTC, level, logger, message).
        verbose: also debug messages, and what the libraries say.
    """
    # Before TensorFlow is imported: it prints dozens of lines about the processor otherwise.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if verbose else "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    handler = _ToStandardError(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text("%(asctime)s %(message)s", "%H:%M:%S"))
    # Libraries that log without a name of their own, such as Beam on what it was installed without.
    handler.addFilter(lambda record: verbose or record.name != "root" or record.levelno >= logging.ERROR)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logging.getLogger("lookalike").setLevel(logging.DEBUG if verbose else logging.INFO)


def only_errors() -> None:
    """From now on nothing is logged but errors, and `runner.progress` shows nothing."""
    for name in (None, "lookalike"):
        logging.getLogger(name).setLevel(logging.ERROR)
