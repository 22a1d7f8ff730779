"""What is told of answers is enough to find all that they are about, from wherever it is read."""

from __future__ import annotations

import pytest

from lookalike.model.errors import LookalikeError
from lookalike.query.note import NOTE, read_note


def test_a_note_names_what_the_answers_are_about_from_any_folder(
    copied, pictures, tmp_path, monkeypatch
) -> None:
    copied.query_file({"q.jpg": pictures["p01.jpg"], "broken.jpg": b"?"})
    monkeypatch.chdir(tmp_path)
    copied.set(corpus={"shards": ["shards"], "max_pixels": 1_000_000}, metric="cosine")
    assert copied.query("queries").code == 0
    monkeypatch.chdir("/")
    note = read_note(str(copied.folder / "out"))
    assert note
    assert note.queries == str(tmp_path / "queries")
    assert note.config.corpus.shards == [str(tmp_path / "shards")]
    assert note.config.corpus.metadata == copied.loaded.corpus.metadata
    assert note.config.corpus.max_pixels == 1_000_000
    assert note.config.store == str(copied.store)
    assert note.generation == copied.generation["name"]
    assert note.counts == {"answered": 1, "failed": 1, "matches": 10}


def test_the_note_of_earlier_answers_goes_with_them(copied, pictures) -> None:
    queries = copied.query_file({"q.jpg": pictures["p01.jpg"]})
    assert copied.query(queries).code == 0
    (queries / "q.jpg").unlink()
    (copied.folder / "ids.txt").write_text("")
    assert copied.query(copied.folder / "ids.txt").code == 2
    note = read_note(str(copied.folder / "out"))
    assert (note is not None) == (copied.folder / "out" / "results.parquet").exists()


@pytest.mark.parametrize(
    "text",
    [
        '{"job": 3}',
        "[" * 100_000,
        '{"queries": 7, "generation": "g", "counts": {}, "job": JOB}',
        '{"queries": "q", "generation": null, "counts": {}, "job": JOB}',
        '{"queries": "q", "generation": "g", "counts": {"matches": "x"}, "job": JOB}',
    ],
)
def test_there_may_be_no_note_and_what_is_none_is_told(tmp_path, text) -> None:
    assert read_note(str(tmp_path)) is None
    job = '{"corpus": {"shards": "s"}, "encoder": "e", "store": "s"}'
    (tmp_path / NOTE).write_text(text.replace("JOB", job))
    with pytest.raises(LookalikeError, match="name the job file by -c"):
        read_note(str(tmp_path))
