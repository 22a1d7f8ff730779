"""The real side of `nightly_machine`: a corpus and a store on a RAM disk, the commands, and what must be true.

Real are the TFRecord reader, the plan, `EmbedShards` and `ShardWork`, every file of the store, ScaNN's index
shards, publication, pruning, rollback, exclusions, verification and the query job. The encoder and the Beam
runner are `nightly_stand_ins`. A killed command is a fork that SIGKILL ends before its nth file operation in the
store; forking a process that holds TensorFlow and ScaNN is safe here because no thread of theirs is at work.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis.stateful import RuleBasedStateMachine

from lookalike.config.job import Config
from lookalike.index.opening import open_index
from lookalike.model.errors import GateError, LookalikeError
from lookalike.nightly.run import nightly
from lookalike.query.job import QueryOptions, query
from lookalike.store import exclusions, generations
from lookalike.store.generation import current_name, read_current
from lookalike.store.lock import hold
from lookalike.store.prune import TOMBSTONE, prune
from lookalike.store.verify import verify
from tests.support.fault_points import FaultPoints, die, watched
from tests.support.nightly_model import UNNAMED, Expected, ImageShard, Model, Record, Settings
from tests.support.nightly_stand_ins import DIM, StandInEncoder, vector, write_bundle

CORPUS = Path("corpus")
STORE = "store"
QUERY_FILE = "queries.parquet"
QUERIES = np.random.default_rng(7).standard_normal((3, DIM)).astype(np.float32)
RAM = "/dev/shm" if os.path.isdir("/dev/shm") else None


class Nights(RuleBasedStateMachine):
    """A corpus, a store and their model.

    Attributes:
        model: what must be true.
        removed: name -> shard, of those that were taken out of the corpus and could be put back.
        unnamed_indexes: index shards of runs that did not publish.
    """

    def __init__(self) -> None:
        super().__init__()
        self.before = os.getcwd()
        self.folder = tempfile.mkdtemp(prefix="lookalike-", dir=RAM)
        # Shards are assigned by a hash of their names: these must be the same when a sequence is repeated.
        os.chdir(self.folder)
        CORPUS.mkdir()
        self.encoders = [write_bundle(Path(f"encoder-{number}"), number) for number in range(2)]
        pq.write_table(pa.table({"embedding": pa.array(list(QUERIES), pa.list_(pa.float32()))}), QUERY_FILE)
        self.removed: dict[str, ImageShard] = {}
        self.unnamed_indexes: set[str] = set()
        self.changes = 0

    def begin(self, chosen: Settings) -> None:
        """Makes the model and, one for each encoder, the job files."""
        self.model = Model(chosen)
        self.configs = [
            Config.model_validate(
                {
                    "corpus": {
                        "shards": str(CORPUS),
                        "format": "tfrecord",
                        "metadata": {"number": "int64"},
                        "trust": chosen.trust,
                    },
                    "encoder": f"encoder-{number}",
                    "store": STORE,
                    "metric": chosen.metric,
                    "embed": {"threads": 1},
                    "index": {
                        "shard_vectors": chosen.shard_vectors,
                        "grow": chosen.grow,
                        "threads": 1,
                    },
                    "gates": {
                        "max_reject_fraction": chosen.max_reject_fraction,
                        "max_shrink_fraction": chosen.max_shrink_fraction,
                        "allow_damaged_shards": chosen.allow_damaged_shards,
                        "digests": chosen.digests,
                    },
                    "retention": {"generations": chosen.generations},
                }
            )
            for number in range(2)
        ]

    def teardown(self) -> None:
        os.chdir(self.before)
        shutil.rmtree(self.folder)

    def put(self, name: str, held: Iterable[Record], cut: bool = False) -> None:
        """Writes a shard's file, with a time of change that no file had before."""
        self.changes += 1
        shard = ImageShard(tuple(held), cut, (1_700_000_000 + self.changes) * 10**9)
        self.put_back(name, shard)

    def put_back(self, name: str, shard: ImageShard) -> None:
        """Writes a shard's file as it was, with its old time of change."""
        path = CORPUS / name
        path.write_bytes(shard.data)
        os.utime(path, ns=(shard.modified, shard.modified))
        self.model.shards[name] = shard
        self.removed.pop(name, None)

    # Commands.

    @property
    def config(self) -> Config:
        """The job with the encoder of the day."""
        return self.configs[self.model.encoder]

    @staticmethod
    def succeeds(command: Callable[[], Any]) -> bool:
        """Whether a command works, or ends with a sentence; all else is raised."""
        try:
            command()
        except (LookalikeError, OSError):
            return False
        return True

    def expect(self, expected: Expected) -> None:
        """Runs, and compares how it ends with what the model says."""
        met, said = StandInEncoder.met, ""
        try:
            report: Any = nightly(self.config).report
            outcome, counts = report.outcome, report.records
        except (LookalikeError, OSError) as error:
            outcome, counts = "gate failed" if isinstance(error, GateError) else "failed", None
            said = str(error)
        assert outcome == expected.outcome, said
        self.take_name()
        assert StandInEncoder.met - met == expected.pictures
        if counts is not None:
            assert counts == {**expected.records, "items": len(self.model.served.items)}
        # What a dead `exclude` left goes with the next one.
        assert [path for path in self.listed("**/.*tmp-*") if exclusions.EXCLUDED not in path] == []
        report = json.loads(Path(STORE, "reports", "latest.json").read_text())
        assert report["outcome"] == outcome

    def take_name(self) -> None:
        """Looks up the name of what was published."""
        if UNNAMED in self.model.generations:
            new = set(generations.names(STORE)) - set(self.model.generations)
            assert len(new) == 1
            self.model.name_new(new.pop())

    def do_roll_back(self, name: str | None) -> None:
        with hold(STORE, "rollback"):
            generations.rollback(STORE, name)

    def do_prune(self, keep: int) -> None:
        with hold(STORE, "prune"):
            prune(STORE, keep)

    # Damage.

    def file_of(self, kind: str, pick: int) -> Path | None:
        """A file of the generation that is served."""
        root = Path(STORE)
        generation = read_current(STORE)
        notes = generations.served_notes(STORE, generation)
        note = notes[pick % len(notes)]
        if kind == "index":
            found = sorted((root / generation.indexes[pick % len(generation.indexes)].path).iterdir())
            return found[pick // 7 % len(found)]
        if kind == "kept":
            found = sorted(p for p in root.glob(f"kept/{generation.encoder[:16]}*/**/*") if p.is_file())
            found += root.glob(f"kept/{generation.encoder[:16]}.arrow")
            return found[pick // 7 % len(found)] if found else None
        path = {
            "embedding": root / note.path,
            "rejects": root / note.rejects_path,
            "note": (root / note.path).with_suffix(".json"),
            "manifest": root / "generations" / generation.name / "manifest.json",
            "CURRENT": root / "CURRENT",
            "exclusions": root / exclusions.EXCLUDED,
        }[kind]
        return path if path.exists() else None

    @staticmethod
    def write_as_of(path: Path, content: bytes, times: os.stat_result) -> None:
        """Changes a file as a bad disk would: the time of change stays."""
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def run_on_damage(self, damaged: str, path: Path) -> None:
        """A run over a store with one damaged file ends as if it were whole, builds it anew, or fails."""
        if damaged == "embedding":
            for key, note in self.model.notes_at(self.note_at(path.with_suffix(".json"))).items():
                self.model.notes[key] = replace(note, whole=False)
        before, names = self.model.copy(), set(generations.names(STORE))
        expected = self.model.run()
        met = StandInEncoder.met
        try:
            outcome = nightly(self.config).report.outcome
        except GateError:
            outcome = "gate failed"
        except (LookalikeError, OSError):
            outcome = "failed"
        assert StandInEncoder.met - met == expected.pictures
        if (outcome, expected.outcome) == ("published", "unchanged"):
            # The damage could be seen without reading the index: it was built again.
            assert damaged == "index"
            self.model = before
            assert self.model.run(index_is_whole=False).outcome == outcome
        elif outcome != expected.outcome:
            assert outcome in ("failed", "gate failed")
            assert set(generations.names(STORE)) == names
            self.model = before
            self.model.embed()
        self.take_name()

    # Commands that die.

    def dies(self, command: Callable[[], Any], at: int, after: Model, among: tuple[str, ...] = ("",)) -> None:
        """Runs a command in a child that is killed at its nth file operation, if it does so many.

        Args:
            command: what is run.
            at: the operation.
            after: what must be true if the command comes to its end.
            among: count only operations on paths in the store that begin with one of these.
        """
        written = {path: os.stat(path).st_mtime_ns for path in self.listed("embeddings/*/*.json")}
        child = os.fork()
        if not child:
            code = 1
            try:
                with watched(FaultPoints(STORE, at, die, lambda _, path: path.startswith(among))):
                    self.succeeds(command)
                code = 0
            finally:
                os._exit(code)
        ended = self.end_of(child)
        assert ended in (0, -signal.SIGKILL)
        self.adopt(after, written)
        if ended == 0:
            assert (self.model.current, self.model.excluded) == (after.current, after.excluded)
            assert self.model.generations.keys() == after.generations.keys()
        self.check()

    @staticmethod
    def end_of(child: int) -> int:
        """Exit code of a child, or the negative number of the signal that killed it."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise AssertionError("a forked command hangs")

    def adopt(self, after: Model, written: dict[str, int]) -> None:
        """Finds how far a command came, which must be somewhere between not at all and to its end."""
        before, found = self.model, after.copy()
        named, known = set(generations.names(STORE)), {**after.generations, **before.generations}
        if new := named - known.keys():
            (name,) = new
            after.name_new(name)
            known[name] = after.generations[name]
        assert before.generations.keys() & after.generations.keys() <= named
        found.generations = {name: known[name] for name in named}
        found.current = current_name(STORE)
        assert found.current in (before.current, after.current)
        found.excluded = frozenset(exclusions.excluded_ids(STORE).to_pylist())
        assert found.excluded in (before.excluded, after.excluded)
        what = before.buried | {name: generation.notes for name, generation in known.items()}
        folders = {Path(path).parent for path in self.listed("generations/*/*") if "/." not in path}
        found.buried = {
            folder.name: what[folder.name] if (folder / TOMBSTONE).exists() else frozenset()
            for folder in folders
            if folder.name not in named
        }
        found.notes = {}
        for path in self.listed("embeddings/*/*.json"):
            model = before if os.stat(path).st_mtime_ns == written.get(path) else after
            found.notes.update(model.notes_at(self.note_at(path)))
        assert before.notes.keys() & after.notes.keys() <= found.notes.keys()
        self.model = found
        self.unnamed_indexes |= self.indexes_on_disk() - self.named_indexes()

    # What must be true whatever happened.

    def listed(self, pattern: str) -> list[str]:
        return [str(path) for path in Path(STORE).glob(pattern) if path.is_file()]

    def notes_on_disk(self) -> set[tuple[int, str, str]]:
        return {self.note_at(path) for path in self.listed("embeddings/*/*.json")}

    def note_at(self, path: str | Path) -> tuple[int, str, str]:
        """Encoder, shard and token of a note."""
        note = json.loads(Path(path).read_text())
        return self.encoders.index(note["encoder"]), Path(note["shard"]).name, note["token"]

    def indexes_on_disk(self) -> set[str]:
        return {str(path.relative_to(STORE)) for path in Path(STORE).glob("indexes/*")}

    def named_indexes(self) -> set[str]:
        names = generations.names(STORE)
        return {ref.path for name in names for ref in generations.read(STORE, name).indexes}

    def check(self) -> None:
        """The store is what the model says, and everything in it is whole."""
        assert current_name(STORE) == self.model.current
        assert set(generations.names(STORE)) == set(self.model.generations)
        assert verify(STORE) == []
        expected = {(encoder, name, note.token) for (encoder, name, _), note in self.model.notes.items()}
        assert self.notes_on_disk() == expected
        self.unnamed_indexes -= (named := self.named_indexes())
        assert self.indexes_on_disk() - named <= self.unnamed_indexes
        self.check_answers()

    def check_answers(self) -> None:
        if self.model.served is None:
            assert not self.succeeds(self.answers)
            return
        self.check_items()
        self.compare(self.answers())

    def compare(self, answers: list[tuple[str, str, float]]) -> None:
        """The five nearest items of each query, by NumPy."""
        expected = self.expected_answers()
        assert [row[:2] for row in answers] == [row[:2] for row in expected]
        np.testing.assert_allclose([row[2] for row in answers], [row[2] for row in expected], atol=1e-5)

    def expected_answers(self) -> list[tuple[str, str, float]]:
        cosine, encoder = self.model.settings.metric == "cosine", self.model.served.encoder
        rows = []
        for number, asked in enumerate(QUERIES):
            unit = asked / np.linalg.norm(asked) if cosine else asked
            scores = {}
            for item_id, (picture, _) in self.model.answers().items():
                held = vector(encoder, picture)
                scores[item_id] = float(np.dot(held, unit) if cosine else np.linalg.norm(held - unit))
            near = sorted(scores, key=lambda i: (-scores[i] if cosine else scores[i], i))
            rows += [(str(number), item_id, scores[item_id]) for item_id in near[:5]]
        return rows

    def check_items(self) -> None:
        """Ids, metadata and, to the bit, vectors of what is served."""
        served = self.model.served
        found = {}
        for ref in read_current(STORE).indexes:
            shard = open_index(STORE, ref)
            for row, item in zip(
                shard.shown, shard.items.take(pa.array(shard.shown)).to_pylist(), strict=True
            ):
                assert item["item_id"] not in found
                found[item["item_id"]] = (item["number"], shard.vectors_of(np.array([row]))[0].tobytes())
        assert found == {
            item_id: (number, vector(served.encoder, picture).tobytes())
            for item_id, (picture, number) in served.items.items()
        }

    def answers(self) -> list[tuple[str, str, float]]:
        """Query, item and score of each row that the query job writes."""
        query(self.config, QUERY_FILE, "out", QueryOptions(k=5))
        table = pq.read_table("out/results.parquet")
        return list(zip(*(table[name].to_pylist() for name in ("query_id", "item_id", "score")), strict=True))
