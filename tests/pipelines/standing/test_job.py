"""Standing queries through nights."""

from __future__ import annotations

import json
import shutil

import pytest

from lookalike.standing.job import answer_standing
from tests.conftest import Job, picture, run
from tests.support.fault_points import FaultPoints, no_permission, watched
from tests.support.small_stores import Bucket
from tests.support.standing import Answered, check_changes
from tests.support.texts import add_labels

NAME = "new"


def standing(job: Job, **keys: object) -> Job:
    """The job, with its ids p00 to p05 asked every night."""
    path = job.folder / "ids.txt"
    if not path.exists():
        path.write_text("".join(f"p{n:02}.{'png' if n % 4 == 3 else 'jpg'}\n" for n in range(6)))
    job.set(corpus={"shards": str(job.shards)})
    return job.set(standing=[{"name": NAME, "queries": str(path), "k": 3, **keys}])


def test_the_first_night_enters_all_and_the_next_what_changed(copied, pictures):
    job = standing(copied)
    done = job.nightly()
    first = Answered(job.store, NAME)
    assert first.manifest["previous"] is None
    assert set(first.table("changes")["change"].to_pylist()) == {"entered"}
    assert first.table("changes").num_rows == first.table("results").num_rows == 18
    assert "standing     new: 6 queries, 0 failed; 18 entered, 0 left, 0 moved" in done.out

    assert "standing     new: 6 queries, 0 failed; unchanged" in job.nightly().out
    assert Answered(job.store, NAME).latest == first.latest

    job.pack({**pictures, "p03.png": picture(903, form=".png"), "p30.jpg": picture(0)})
    job.nightly()
    second = Answered(job.store, NAME)
    assert second.manifest["previous"] == first.folder.name
    check_changes(first.answers, second)
    assert "p30.jpg" in second.table("changes")["item_id"].to_pylist()


def test_a_takedown_and_another_file_or_option_are_answered_without_a_new_generation(copied):
    job = standing(copied)
    assert job.run("standing").code == 0
    seen = [Answered(job.store, NAME)]
    path = job.folder / "ids.txt"

    def next_one() -> Answered:
        assert job.run("standing").code == 0
        now = Answered(job.store, NAME)
        check_changes(seen[-1].answers, now)
        assert now.folder != seen[-1].folder
        assert now.manifest["generation"] == seen[-1].manifest["generation"]
        seen.append(now)
        return now

    assert run("exclude", "add", "-c", job.config, "p00.jpg").code == 0
    changes = next_one().table("changes").to_pylist()
    assert {row["change"] for row in changes if row["item_id"] == "p00.jpg"} == {"left"}
    assert "p00.jpg" not in seen[-1].answers["item_id"].to_pylist()

    path.write_text("p20.jpg\n" + path.read_text().replace("p01.jpg\n", ""))
    changed = {row["query_id"]: row["change"] for row in next_one().table("changes").to_pylist()}
    assert changed == {"p20.jpg": "entered", "p01.jpg": "left"}

    job.settings["standing"][0]["k"] = 2
    assert set(next_one().table("changes")["change"].to_pylist()) == {"left"}
    job.settings["standing"][0]["exclude_self"] = True
    next_one()


def test_conditions_are_those_of_the_job_or_its_own_and_may_leave_nothing(copied):
    job = standing(copied, where="number < 12").set(query={"where": "number >= 12", "min_score": 0.0})
    assert job.run("standing").code == 0
    seen = [Answered(job.store, NAME)]
    assert set(seen[0].table("results")["number"].to_pylist()) <= set(range(12))
    for own, expected in (({}, range(12, 24)), ({"where": "number > 99"}, ())):
        standing(job, **own)
        done = job.run("standing")
        assert done.code == 0, done
        seen.append(Answered(job.store, NAME))
        check_changes(seen[-2].answers, seen[-1])
        assert set(seen[-1].table("results")["number"].to_pylist()) <= set(expected)
    assert set(seen[-1].table("changes")["change"].to_pylist()) == {"left"}


def test_what_a_dead_run_left_goes_also_where_nothing_changed(copied):
    job = standing(copied)
    assert job.run("standing").code == 0
    before = Answered(job.store, NAME)
    left = before.root / f"20260101T000000Z-0-{0:012}"
    left.mkdir()
    (left / "results.parquet").write_bytes(b"of a run that was killed")
    assert job.run("standing").code == 0
    assert {path.name for path in before.root.iterdir()} == {"latest.json", before.folder.name}


@pytest.mark.slow
def test_a_rollback_is_answered_and_coming_back_too(copied, pictures):
    job = standing(copied)
    job.nightly()
    job.pack({**pictures, "p30.jpg": picture(1)})
    job.nightly()
    newer = Answered(job.store, NAME)
    older = newer.manifest["previous"].rpartition("-")[0]
    last = newer
    for to in (older, newer.manifest["generation"], older):
        assert run("generations", "rollback", "-c", job.config, "--to", to).code == 0
        assert job.run("standing").code == 0
        now = Answered(job.store, NAME)
        check_changes(last.answers, now)
        assert (now.manifest["generation"], now.manifest["previous"]) == (to, last.folder.name)
        last = now
    assert last.answers.num_rows
    assert not last.answers.equals(newer.answers)


@pytest.mark.parametrize("file", ["results.parquet", "answers.json"])
def test_where_the_last_answers_are_damaged_all_are_told_as_new(copied, file):
    job = standing(copied)
    assert job.run("standing").code == 0
    damaged = Answered(job.store, NAME).folder / file
    data = damaged.read_bytes()
    damaged.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    assert run("exclude", "add", "-c", job.config, "p00.jpg").code == 0
    done = job.run("standing")
    assert done.code == 0
    assert file in done.err
    now = Answered(job.store, NAME)
    assert now.manifest["previous"] is None
    check_changes(None, now)


def test_queries_of_which_none_can_be_answered_leave_the_last_answers(copied):
    job = standing(copied)
    job.nightly()
    before = Answered(job.store, NAME)
    (job.folder / "ids.txt").write_text("nobody\n")
    done = job.run("nightly")
    assert done.code == 3
    assert f"STANDING     {NAME} could not be answered: none of its 1 queries" in done.out
    assert Answered(job.store, NAME).latest == before.latest
    report = json.loads((job.store / "reports" / "latest.json").read_text())
    assert report["outcome"] == "unchanged"
    assert report["standing"][NAME]["outcome"] == "failed"
    assert (
        'lookalike_standing_unanswered{standing="new"'
        in (job.store / "reports" / "lookalike.prom").read_text()
    )


def test_the_night_is_published_though_a_file_of_queries_is_gone(copied, pictures):
    job = standing(copied)
    before = job.generation["name"]
    (job.folder / "ids.txt").unlink()
    job.pack({**pictures, "p30.jpg": picture(1)})
    done = job.run("nightly")
    assert done.code == 3
    assert job.generation["name"] != before
    assert "ids.txt" in (job.store / "reports" / "latest.txt").read_text()


def test_on_an_object_store_the_files_are_the_same(copied, monkeypatch, tmp_path):
    job = standing(copied)
    assert job.run("standing").code == 0
    local = Answered(job.store, NAME)
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "cache"))
    bucket = Bucket(monkeypatch)
    shutil.rmtree(job.store / "standing")
    bucket.upload(job.store, "mem://b/store")
    bucket.objects["mem://b/ids.txt"] = ((job.folder / "ids.txt").read_bytes(), 0)
    job.settings["standing"][0]["queries"] = "mem://b/ids.txt"
    job.set(store="mem://b/store")
    for outcome in ("answered", "unchanged"):
        assert [one.outcome for one in answer_standing(job.loaded)] == [outcome]
    there = {
        url.removeprefix("mem://b/store/standing/new/"): data for url, (data, _) in bucket.objects.items()
    }
    for path in local.root.rglob("*.*"):
        assert there[str(path.relative_to(local.root))] == path.read_bytes()


def test_a_picture_that_cannot_be_read_is_a_failure_among_the_answers(copied, pictures):
    job = standing(copied)
    path = job.query_file({name: pictures[name] for name in ("p01.jpg", "p02.jpg")})
    job.settings["standing"][0]["queries"] = str(path)
    unreadable = FaultPoints(path, 0, no_permission, lambda name, of: (name, of) == ("open", "p02.jpg"))
    with watched(unreadable):
        assert job.run("standing").code == 0
    now = Answered(job.store, NAME)
    assert now.table("failures")["query_id"].to_pylist() == ["p02.jpg"]
    assert job.run("standing").code == 0
    check_changes(now.answers, Answered(job.store, NAME))


@pytest.mark.slow
def test_with_workers_the_files_are_the_same(copied, pictures):
    job = standing(copied)
    path = job.query_file({name: pictures[name] for name in ("p01.jpg", "p02.jpg")} | {"x.jpg": b"no image"})
    job.settings["standing"][0]["queries"] = str(path)
    assert job.run("standing").code == 0
    one = Answered(job.store, NAME)
    files = {path.name: path.read_bytes() for path in one.folder.iterdir()}
    shutil.rmtree(job.store / "standing")
    assert job.run("standing", "--", "--runner", "DirectRunner").code == 0
    assert {path.name: path.read_bytes() for path in one.folder.iterdir()} == files


def test_words_are_answered_again_when_their_encoder_is_another(copied, tmp_path):
    folder = shutil.copytree(copied.settings["encoder"], tmp_path / "encoder")
    add_labels(folder)
    (tmp_path / "words.csv").write_text("query_id,text\na,red\n")
    copied.set(encoder=str(folder), standing=[{"name": NAME, "queries": str(tmp_path / "words.csv"), "k": 3}])
    found = []
    for labels in (("red", "blue"), ("red", "blue"), ("red", "green")):
        add_labels(folder, labels)
        assert copied.run("standing").code == 0
        found.append(Answered(copied.store, NAME).latest)
    assert found[0] == found[1] != found[2]
