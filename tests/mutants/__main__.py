"""Makes small changes to the code, one at a time, and tells which of them no test notices.

make mutants                    all of them, in half an hour or so
make mutants EVERY=10           every tenth
python -m tests.mutants --only store/prune
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from .change import Change
from .trial import Copy, Outcome, chosen, not_found, suites_of

AT_ONCE = 2
LEAST = 0.9
"""Of all changes, how many must be noticed. Grave ones must be all."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="changes whose file or reason holds this text")
    parser.add_argument("--every", type=int, default=1, help="every so manyth of them")
    parser.add_argument("--list", action="store_true", help="name them and their tests, and try none")
    options = parser.parse_args()
    if lost := not_found():
        print("\n".join(lost))
        return 1
    changes = list(chosen(options.only, options.every))
    if options.list:
        for file, change in changes:
            print(
                f"{file}: {change.why}{' (grave)' if change.grave else ''}: {' '.join(suites_of(file, change))}"
            )
        return 0
    os.nice(10)
    return _told(_tried(changes))


def _tried(changes: list[tuple[str, Change]]) -> list[Outcome]:
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies: SimpleQueue[Copy] = SimpleQueue()
        for number in range(AT_ONCE):
            copies.put(Copy(Path(folder, str(number))))

        def try_out(file: str, change: Change) -> Outcome:
            copy = copies.get()
            try:
                outcome = copy.try_out(file, change)
            finally:
                copies.put(copy)
            mark = "noticed" if outcome.noticed else "NOT NOTICED"
            print(f"{mark:11} {outcome.seconds:4.0f} s  {file}: {change.why}  [{outcome.tests}]", flush=True)
            return outcome

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda pair: try_out(*pair), changes))


def _told(outcomes: list[Outcome]) -> int:
    missed = [outcome for outcome in outcomes if not outcome.noticed]
    for outcome in missed:
        print(f"\n{outcome.file}: {outcome.change.why}{' (grave)' if outcome.change.grave else ''}")
        print(f"    - {outcome.change.find.strip()!r}\n    + {outcome.change.replace.strip()!r}")
    share = 1 - len(missed) / max(1, len(outcomes))
    print(f"\n{len(outcomes) - len(missed)} of {len(outcomes)} changes noticed ({share:.1%})")
    return int(share < LEAST or any(outcome.change.grave for outcome in missed))


if __name__ == "__main__":
    sys.exit(main())
