"""Work that waits for others, done in a thread while somebody looks whether it can still end."""

from __future__ import annotations

import threading
from collections.abc import Callable


def watched(work: Callable[[], None], look: Callable[[], None], seconds: float) -> None:
    """Does work to its end, or until a look gives it up; then it waits on, in a thread that ends with the process.

    Args:
        work: what is done.
        look: raises if the work cannot end.
        seconds: from one look to the next.

    Raises:
        BaseException: what `work` or `look` raised.
    """
    ended: list[BaseException | None] = []

    def work_in_thread() -> None:
        try:
            work()
            ended.append(None)
        except BaseException as error:  # raised where it is waited for
            ended.append(error)

    waiting = threading.Thread(target=work_in_thread, name="watched", daemon=True)
    waiting.start()
    while True:
        waiting.join(seconds)
        if not waiting.is_alive():
            break
        look()
    if ended[0]:
        raise ended[0]
