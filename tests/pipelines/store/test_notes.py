"""Notes of finished shards: which count, what they come to, and one that was written before."""

from __future__ import annotations


def test_what_a_killed_run_left_half_written_is_never_read(job, pictures):
    job.pack(pictures)
    assert job.run("embed").code == 0
    (folder,) = job.store.glob("embeddings/*")
    (folder / ".embedding.tmp-abc").write_bytes(b"PAR1 half")
    finished = next(folder.glob("*.json"))
    finished.unlink()
    done = job.run("nightly")
    assert "1 embedded, 2 finished before" in done.out
    assert job.generation["counts"]["items"] == 24


def test_a_damaged_note_is_named_and_says_how_to_mend_it(job, pictures):
    job.pack(pictures)
    assert job.run("embed").code == 0
    note = next(job.store.glob("embeddings/*/*.json"))
    note.write_text(note.read_text()[:-9])
    done = job.run("embed")
    assert done.code == 2
    assert str(note) in done.sentence
    assert "delete it" in done.sentence
    note.unlink()
    assert job.run("embed").code == 0
