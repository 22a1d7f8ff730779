"""Random nights: what changed in the answers of standing queries, against dictionaries and against `lookalike query`.

Before each night one thing happens to the catalogue, the takedowns, the files of queries, the job or the store; then a
night comes, or the command that answers without one, or a night that is cut off between publishing and answering.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pytest

from lookalike.nightly import run as nightly_run
from lookalike.store.generations import names, served_name
from tests.conftest import DIM, Job, picture, run
from tests.support.standing import Answered, check_changes

NIGHTS = int(os.environ.get("LOOKALIKE_NIGHTS", "30"))
KEPT = 3


class World:
    """A catalogue, its store and two standing queries, by ids and by vectors.

    Args:
        job: an empty job.
        dice: decides all.
    """

    def __init__(self, job: Job, dice: random.Random) -> None:
        self.job, self.dice = job, dice
        self.pictures = {f"p{n:02}.jpg": n for n in range(20)}
        self.ids = [f"p{n:02}.jpg" for n in range(0, 20, 3)] + ["nobody"]
        self.vectors = 5
        self.k = 4
        self.taken_down: set[str] = set()
        self.told: dict[str, Answered] = {}
        job.set(
            gates={"max_shrink_fraction": 0.9},
            retention={"generations": KEPT},
            index={"grow": 0.4},
        )
        self._write()

    def _write(self) -> None:
        job = self.job
        job.pack({name: picture(seed) for name, seed in self.pictures.items()})
        (job.folder / "ids.txt").write_text("\n".join(self.ids))
        vectors = np.random.default_rng(self.vectors).normal(size=(self.vectors, DIM)).astype(np.float32)
        vectors_file = job.vectors_file(vectors, [f"v{n}" for n in range(self.vectors)])
        job.set(
            standing=[
                {"name": "ids", "queries": str(job.folder / "ids.txt"), "k": self.k, "exclude_self": True},
                {"name": "vectors", "queries": str(vectors_file), "exact": True},
            ],
            query={"k": self.k},
        )

    def happens(self) -> str:
        """Something happens. Gives what."""
        events: dict[str, Callable[[], object]] = {
            "nothing": lambda: None,
            "new pictures": self._new,
            "pictures gone": lambda: [self.pictures.pop(self._some()) for _ in range(2)],
            "a picture replaced": lambda: self.pictures.update(
                {self._some(): self.dice.randrange(1000, 2000)}
            ),
            "a takedown": lambda: self._exclude("add", self._some()),
            "a takedown lifted": lambda: [self._exclude("remove", i) for i in sorted(self.taken_down)[:1]],
            "other ids asked": self._other_ids,
            "other vectors asked": lambda: setattr(self, "vectors", self.dice.randrange(2, 7)),
            "another k": lambda: setattr(self, "k", self.dice.randrange(1, 8)),
            "rollback": self._rollback,
        }
        what = self.dice.choice([*events])
        events[what]()
        self._write()
        return what

    def _some(self) -> str:
        return self.dice.choice(sorted(self.pictures))

    def _new(self) -> None:
        for _ in range(self.dice.randrange(1, 4)):
            self.pictures[f"n{self.dice.randrange(10**6):06}.jpg"] = self.dice.randrange(1000, 2000)

    def _exclude(self, what: str, item_id: str) -> None:
        assert run("exclude", what, "-c", self.job.config, item_id).code in (0, 4)  # 4: it was never served
        (self.taken_down.add if what == "add" else self.taken_down.discard)(item_id)

    def _other_ids(self) -> None:
        self.ids.remove(self.dice.choice(self.ids[:-1]))
        self.ids.insert(self.dice.randrange(3), self._some())
        self.ids = list(dict.fromkeys(self.ids))

    def _rollback(self) -> None:
        store = str(self.job.store)
        others = [name for name in names(store) if name != served_name(store)]
        if others:
            to = self.dice.choice(others)
            assert run("generations", "rollback", "-c", self.job.config, "--to", to).code == 0

    def answered(self) -> str:
        """They are answered. Gives by what."""
        way = self.dice.choice(["night", "night", "command", "cut off"])
        if way == "cut off":
            # As if killed between publishing and answering: these are answered by the next.
            with patch.object(nightly_run, "_answer_standing", side_effect=KeyboardInterrupt):
                assert self.job.run("nightly").code == 130
        assert self.job.run("standing" if way == "command" else "nightly").code == 0
        return way

    def check(self) -> None:
        """All that must be true now."""
        for standing in self.job.settings["standing"]:
            now, before = Answered(self.job.store, standing["name"]), self.told.get(standing["name"])
            out = self.job.folder / "out"
            options = ("--exclude-self",) if "exclude_self" in standing else ("--exact",)
            done = run("query", standing["queries"], "-c", self.job.config, "-o", out, "-k", self.k, *options)
            assert done.code == 0, done
            for table in ("results", "failures"):
                assert (out / f"{table}.parquet").read_bytes() == (
                    now.folder / f"{table}.parquet"
                ).read_bytes()
            if before is None or now.folder != before.folder:
                check_changes(before and before.answers, now)
                assert now.manifest["previous"] == (before and before.folder.name)
            self.told[standing["name"]] = now
            assert {path.name for path in now.root.iterdir()} == {"latest.json", *now.latest["kept"]}
            assert now.latest["kept"][-1] == now.folder.name
            assert len(now.latest["kept"]) <= KEPT


@pytest.mark.slow
def test_changes_of_random_nights_make_todays_answers_of_yesterdays(job):
    world = World(job, random.Random(int(os.environ.get("LOOKALIKE_SEED", "0"))))
    assert job.nightly().code == 0
    world.check()
    seen: Counter[str] = Counter()
    for _ in range(NIGHTS):
        seen.update((world.happens(), world.answered()))
        world.check()
    assert len(seen) > 10, seen
