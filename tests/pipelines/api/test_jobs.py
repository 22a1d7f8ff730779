"""A job for programs: read from a file, a dictionary or what was read before; its methods do what the commands do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import lookalike
from lookalike.duplicates import job as duplicates_job
from lookalike.duplicates.job import DuplicatesOptions
from lookalike.embedding import plan
from lookalike.export import job as export_job
from lookalike.index import job as index_job
from lookalike.model.errors import GateError, LookalikeError
from tests.conftest import Job


def test_a_job_is_a_path_a_dictionary_or_what_was_read(copied):
    config = copied.loaded
    for given in (copied.config, str(copied.config), copied.settings, config):
        assert lookalike.open_job(given).config == config
    assert lookalike.open_job({**copied.settings, "store": Path(copied.store)}).config == config
    assert lookalike.open_job(config, set={"query.k": 3}).config.query.k == 3
    assert lookalike.open_job(config, set={"store": Path("/x")}).config.store == "/x"


def test_a_path_with_a_dollar_stays_what_it_is(copied):
    odd = lookalike.open_job({**copied.settings, "store": Path("/a$b/~c")}).config
    assert odd.store == "/a$b/~c"
    assert lookalike.open_job(odd, set={"query.k": 3}).config.store == "/a$b/~c"


def test_a_wrong_key_is_named(copied):
    with pytest.raises(LookalikeError, match=r"^the job: unknown key `querry`; did you mean `query`"):
        lookalike.open_job({**copied.settings, "querry": {}})
    with pytest.raises(LookalikeError, match=r"^query.k.x=1: `k` is a single value"):
        lookalike.open_job({**copied.settings, "query": {"k": 3}}, set={"query.k.x": 1})
    with pytest.raises(LookalikeError, match=r"Cannot read the job file gone.yaml"):
        lookalike.open_job("gone.yaml")


def test_a_dictionary_is_left_as_it_was(copied):
    given = {**copied.settings, "query": {"k": 3}}
    lookalike.open_job(given, set={"query.k": 5})
    assert given["query"] == {"k": 3}


def test_from_nothing_to_answers(job, pictures, tmp_path):
    job.pack(pictures)
    opened = lookalike.open_job(job.settings)
    assert opened.embed().counts["embedded"] == 24
    assert opened.index().generation.counts["items"] == 24
    assert not opened.nightly().indexed.published
    done = opened.query(job.query_file(pictures), tmp_path / "out", k=2)
    assert (done.answered, done.matches) == (24, 48)
    assert lookalike.read_answers(tmp_path / "out").results.num_rows == 48
    assert opened.duplicates(tmp_path / "copies", min_score=0.99999, against=job.settings).items == 24
    assert pq.read_table(tmp_path / "copies" / "duplicates.parquet").num_rows
    assert opened.export(tmp_path / "vectors").items == 24
    with opened.open_store() as store:
        assert len(store) == 24


def test_an_index_believes_the_listing_and_is_tuned_with_the_users_queries(copied, monkeypatch):
    (copied.folder / "asked.txt").write_text(f"{copied.embeddings['item_id'][0]}\n")
    copied.set(index={"tuning_queries": str(copied.folder / "asked.txt")}, corpus={"trust": "content"})
    told, make_plan = {}, plan.make_plan
    monkeypatch.setattr(
        plan, "make_plan", lambda config, trust: told.update(trust=trust) or make_plan(config)
    )
    monkeypatch.setattr(index_job, "index", lambda *given: told.update(flags=given[2], asked=given[4]))
    lookalike.open_job(copied.settings).index(["--runner=x"])
    assert (told["trust"], told["flags"], len(told["asked"].digest)) == ("metadata", ["--runner=x"], 64)


def test_a_gate_is_an_error_with_its_name(job, pictures):
    images = dict.fromkeys(list(pictures)[:6], b"no image")
    job.pack(images | {"good.jpg": pictures["p00.jpg"]})
    with pytest.raises(GateError) as found:
        lookalike.open_job(job.settings).nightly()
    assert found.value.gates == ("max_reject_fraction",)


def test_precision_and_a_score_do_not_go_together(copied, tmp_path):
    with pytest.raises(LookalikeError, match=r"precision or min_score. Received: both"):
        lookalike.open_job(copied.settings).duplicates(tmp_path, precision=0.9, min_score=0.9)


def test_what_is_not_said_of_duplicates_is_as_the_job_says_and_an_export_is_of_the_generation_that_is_named(
    tmp_path, monkeypatch
):
    of_job = {"keep": "oldest", "precision": 0.5, "min_score": 0.9, "sample": 7, "pairs": 9}
    opened = lookalike.open_job(Job(tmp_path, tmp_path / "encoder").set(duplicates=of_job).settings)
    asked = []
    monkeypatch.setattr(duplicates_job, "duplicates", lambda *given: asked.append(given[2]))
    monkeypatch.setattr(export_job, "export", lambda *given: asked.append(given[1:]))
    opened.duplicates("out")
    opened.duplicates("out", keep="first", min_score=0.0)
    opened.duplicates("out", precision=0.7)
    opened.export("out", "npy", "20250102T030405Z-0")
    *options, exported = asked
    expected = DuplicatesOptions(**of_job, table_format="parquet")
    assert options[0] == expected
    assert options[1] == replace(expected, keep="first", min_score=0.0)
    assert options[2] == replace(expected, precision=0.7, min_score=None)
    assert exported == ("out", "npy", "20250102T030405Z-0")
