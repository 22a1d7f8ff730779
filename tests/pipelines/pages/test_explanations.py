"""A page shows, on request, why first matches are matches."""

from __future__ import annotations

from pathlib import Path


def test_as_many_answers_as_asked_for_are_explained_if_both_pictures_are_there(copied):
    (copied.folder / "queries.csv").write_text(
        "query_id,item_id\nfirst,p00.jpg\nsecond,p01.jpg\nthird,p02.jpg\n"
    )
    assert copied.query(copied.folder / "queries.csv", "-k", 2, "--exclude-self").code == 0
    out = copied.folder / "out"
    done = copied.run("report", out, "--explain", 2)
    assert "explained    2 of 2 first matches" in done.out
    page = (out / "report.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") == page.count("Why the first match") == 2
    again = Path(copied.folder / "again.html")
    assert copied.run("report", out, "--explain", 2, "-o", again).code == 0
    assert again.read_text("utf-8").count("data:image/jpeg") == 2
    done = copied.run("report", out, "--explain", 3, "--set", f"corpus.shards={copied.folder}/gone")
    assert "explained    0 of 3 first matches" in done.out


def test_another_encoder_explains_nothing(copied, other_encoder):
    assert copied.query(copied.folder / "shards").code == 0
    done = copied.run("report", copied.folder / "out", "--explain", 1, "--set", f"encoder={other_encoder}")
    assert (done.code, "vectors of two encoders" in done.sentence) == (2, True)
