"""What may end the process is done in a child, with limits of time and memory."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Mapping
from pathlib import Path


def ended(work: Callable[[], int], words: Mapping[int, str], seconds: int, more_bytes: int) -> str:
    """How a child ended that did some work.

    Args:
        work: done in the child; gives its exit code.
        words: exit code -> what it means.
        seconds: until it is ended by SIGALRM.
        more_bytes: of address space, beyond what this process has.

    Returns:
        One of the words, `raised another error` for another code, or `died of` a signal.
    """
    child = os.fork()
    if not child:
        signal.alarm(seconds)
        pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (pages + more_bytes, pages + more_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os._exit(work())
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return f"died of {signal.Signals(os.WTERMSIG(status)).name}"
    return words.get(os.WEXITSTATUS(status), "raised another error")
