"""The gates: a run that fails one exits with its code, says which, and leaves what is served alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lookalike.config.job import load_config
from lookalike.index.gates import EXIT_CODES, check_counts, check_index
from lookalike.model.errors import GateError
from lookalike.store import exclusions
from lookalike.store.generation import IndexRef
from tests.conftest import Job, picture
from tests.support.places import DOCS
from tests.support.small_stores import flip

LOSSY = {"a.jpg": b"", "b.jpg": b"no picture"}


def current(job) -> str | None:
    path = job.store / "CURRENT"
    return path.read_text() if path.exists() else None


def test_too_many_rejects_publish_nothing(job, pictures):
    job.pack(pictures | LOSSY)
    done = job.run("nightly")
    assert done.code == EXIT_CODES["max_reject_fraction"]
    assert done.sentence == (
        "nothing was published: 2 of 26 records were rejected (7.7%); gates.max_reject_fraction allows 5.0%"
    )
    assert current(job) is None
    assert job.run("nightly", "--set", "gates.max_reject_fraction=0.08").code == 0
    assert job.generation["counts"]["rejected"] == 2


@pytest.mark.parametrize("command", ["nightly", "index"])
def test_a_corpus_that_shrank_publishes_nothing_and_yesterdays_is_still_served(copied, command):
    before = current(copied)
    shards = sorted(copied.shards.iterdir())
    copied.settings["corpus"] = copied.settings["corpus"] | {"shards": str(copied.shards)}
    shards[0].unlink()
    assert copied.run("embed").code == 0
    done = copied.run(command)
    assert done.code == EXIT_CODES["max_shrink_fraction"]
    assert "the corpus shrank from 24 to 16 items; gates.max_shrink_fraction allows 20.0%" in done.sentence
    assert current(copied) == before
    assert copied.query(copied.vectors_file([[1.0] * 16])).code == 0
    assert copied.run("nightly", "--set", "gates.max_shrink_fraction=0.4").code == 0
    assert copied.generation["counts"]["items"] == 16


def test_a_damaged_shard_publishes_nothing_unless_it_is_allowed(job, pictures):
    shards = job.pack(pictures)
    content = Path(shards[1]).read_bytes()
    Path(shards[1]).write_bytes(content[:-10])
    done = job.run("nightly")
    assert done.code == EXIT_CODES["allow_damaged_shards"]
    assert f"damaged shard {Path(shards[1]).name}: " in done.sentence
    assert "gates.allow_damaged_shards" in done.sentence
    assert current(job) is None
    assert job.run("nightly", "--set", "gates.allow_damaged_shards=true").code in (0, 3)
    assert job.generation["counts"]["items"] == 23


def test_a_corpus_without_any_readable_image_publishes_nothing(job):
    job.pack(LOSSY)
    done = job.run("nightly", "--set", "gates.max_reject_fraction=1")
    assert done.code == EXIT_CODES["no_items"]
    assert "no image could be embedded" in done.sentence


def test_every_gate_that_failed_is_named_and_the_cause_gives_the_exit_code(copied):
    copied.settings["corpus"] = copied.settings["corpus"] | {"shards": str(copied.shards)}
    first, second, third = sorted(copied.shards.iterdir())
    first.write_bytes(b"")
    second.write_bytes(b"")
    done = copied.run("nightly")
    assert done.code == EXIT_CODES["allow_damaged_shards"]
    for said in ("damaged shard", first.name, second.name, "were rejected", "shrank"):
        assert said in done.sentence
    assert third.name not in done.sentence


def test_counts_that_do_not_add_up_publish_nothing(copied):
    note = next(copied.store.glob("embeddings/*/*.json"))
    note.write_text(note.read_text().replace('"read": 8', '"read": 9'))
    done = copied.run("nightly")
    assert done.code == EXIT_CODES["counts"]
    assert f"do not add up in {note.relative_to(copied.store)}; delete it" in done.sentence


def test_a_damaged_index_is_not_published(copied):
    (copied.store / "CURRENT").unlink()
    items = next(copied.store.glob("indexes/*/items.arrow"))
    content = bytearray(items.read_bytes())
    content[len(content) // 2] ^= 1
    items.write_bytes(content)
    done = copied.run("nightly")
    assert done.code == EXIT_CODES["digests"]
    assert f"Index shard {items.parent}: expected items.arrow" in done.sentence
    assert current(copied) is None


def test_an_index_with_too_low_a_recall_fails(published):
    index = IndexRef("indexes/x", "", 10, "ah", 0.98)
    config = load_config(published.config)
    with pytest.raises(GateError, match=r"indexes/x reaches a recall of 0.9800.* asks for 0.9900") as failed:
        check_index(config, [index], None)
    assert (failed.value.gates, failed.value.exit_code) == (("min_recall",), EXIT_CODES["min_recall"])


def test_of_several_gates_the_lowest_code_counts_whichever_was_looked_at_first(published):
    counts = {"items": 0, "between_shards": 0, "rejected": 9, "read": 10}
    with pytest.raises(GateError) as failed:
        check_counts(load_config(published.config), [], counts, None)
    assert failed.value.gates == ("max_reject_fraction", "no_items")
    assert failed.value.exit_code == EXIT_CODES["max_reject_fraction"]


def test_every_gate_has_an_exit_code_of_its_own_and_the_pages_tell_it():
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)
    page = (DOCS / "reference" / "exit-codes.md").read_text()
    for gate, code in EXIT_CODES.items():
        assert f"| {code} | `{gate}` |" in page


@pytest.fixture(scope="module")
def two_indexes(tmp_path_factory, encoder, pictures) -> Job:
    """A job with two index shards, published. Not to be changed: see `night`."""
    job = Job(tmp_path_factory.mktemp("gates"), encoder)
    job.pack(pictures, per_shard=2)
    job.set(index={"shard_vectors": 12}).nightly()
    assert all(ref["count"] for ref in job.generation["indexes"])
    assert len(job.generation["indexes"]) == 2
    return job


@pytest.fixture
def night(two_indexes, tmp_path) -> Iterator[Job]:
    """The night after, on a copy: its corpus may be changed."""
    shutil.copytree(two_indexes.store, tmp_path / "store")
    # Elsewhere, the shards would have other names and times.
    shutil.copytree(two_indexes.shards, tmp_path / "before")
    job = Job(two_indexes.folder, Path(two_indexes.settings["encoder"]))
    job.settings = {**two_indexes.settings, "store": str(tmp_path / "store")}
    job.store = tmp_path / "store"
    yield job
    shutil.rmtree(job.shards)
    shutil.copytree(tmp_path / "before", job.shards)


def shards_of(job: Job) -> list[Path]:
    return sorted(job.shards.iterdir())


def changed(job: Job) -> None:
    """Makes a run publish that would find nothing new."""
    exclusions.add(str(job.store), ["nobody"])


def note_that_does_not_add_up(job: Job) -> None:
    path = next(job.store.glob("embeddings/*/*.json"))
    path.write_text(path.read_text().replace('"read": 2', '"read": 3'))


def cut_shard(job: Job) -> None:
    path = shards_of(job)[-1]
    path.write_bytes(path.read_bytes()[:-10])


def unreadable_images(job: Job) -> None:
    job.pack({**dict.fromkeys(LOSSY, b"x"), **{f"p{i}.jpg": picture(i) for i in range(24)}}, per_shard=2)


def no_readable_image(job: Job) -> None:
    job.pack(dict.fromkeys(LOSSY, b"x"))


def id_in_two_shards(job: Job) -> None:
    shutil.copy(shards_of(job)[0], job.shards / "zz.tfrecord")


def fewer_images(job: Job) -> None:
    for path in shards_of(job)[6:]:
        path.unlink()


def damaged_file(job: Job) -> None:
    changed(job)
    flip(sorted(job.store.glob("embeddings/*/*.parquet"))[-1], 100)


def recall(job: Job, value: float) -> None:
    """Makes the second index shard say that it reaches no more than this."""
    changed(job)
    path = job.store / job.generation["indexes"][1]["path"] / "manifest.json"
    manifest = json.loads(path.read_text())
    kinds = {"members": 1.0, "disturbed": value}
    manifest["settings"][-1]["recalls"] = {k: {"mean": v, "lower": v, "queries": 9} for k, v in kinds.items()}
    path.write_text(json.dumps(manifest))


def other_images(job: Job) -> None:
    job.pack({f"p{i:02}.{'png' if i % 4 == 3 else 'jpg'}": picture(500 + i) for i in range(24)}, per_shard=2)


FAILING: dict[str, tuple[Callable[[Job], None], tuple[str, ...]]] = {
    "counts": (note_that_does_not_add_up, ()),
    "allow_damaged_shards": (cut_shard, ()),
    "max_reject_fraction": (unreadable_images, ()),
    "no_items": (no_readable_image, ("gates.max_reject_fraction=1", "gates.max_shrink_fraction=1")),
    "duplicate_ids": (id_in_two_shards, ("corpus.duplicate_ids=error",)),
    "max_shrink_fraction": (fewer_images, ()),
    "digests": (damaged_file, ("gates.digests=all",)),
    "min_recall": (lambda job: recall(job, 0.98), ()),
    "min_top10_overlap": (other_images, ("gates.min_top10_overlap=0.999",)),
}
"""Gate -> what makes it fail, and settings."""


def test_every_gate_is_made_to_fail_below() -> None:
    assert set(FAILING) == set(EXIT_CODES)


@pytest.mark.parametrize("gate", FAILING)
def test_a_gate_that_fails_leaves_what_is_served_to_the_byte(night, gate):
    fail, settings = FAILING[gate]
    fail(night)
    before = (night.store / "CURRENT").read_bytes()
    generations = sorted((night.store / "generations").iterdir())
    done = night.run("nightly", *(word for setting in settings for word in ("--set", setting)))
    assert (done.code, "nothing was published" in done.sentence) == (EXIT_CODES[gate], True), done
    assert (night.store / "CURRENT").read_bytes() == before
    assert sorted((night.store / "generations").iterdir()) == generations


@pytest.mark.parametrize(
    ("reached", "asked", "code"),
    [(0.98, 0.97, 0), (0.98, 0.985, EXIT_CODES["min_recall"]), (0.995, 0.999, EXIT_CODES["min_recall"])],
)
def test_of_every_index_shard_the_recall_that_is_configured_is_asked(night, reached, asked, code):
    recall(night, reached)
    assert night.run("nightly", "--set", f"gates.min_recall={asked}").code == code
