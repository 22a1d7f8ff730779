"""The gates: a run that fails one exits with its code, says which, and leaves what is served alone."""

from pathlib import Path

import pytest

from lookalike.config.job import load_config
from lookalike.index.gates import EXIT_CODES, check_index
from lookalike.model.errors import GateError
from lookalike.store.generation import IndexRef
from tests.support.places import DOCS

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
    assert "do not add up" in done.sentence


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


def test_every_gate_has_an_exit_code_of_its_own_and_the_pages_tell_it():
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)
    page = (DOCS / "operations.md").read_text()
    for gate, code in EXIT_CODES.items():
        assert f"| {code} | `{gate}` |" in page
