"""Commands that take no note of a picture which ends its decoder: it ends a process beside theirs, each time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lookalike.embedding.plan import make_plan
from lookalike.encoder.build import Sample, sample_images
from lookalike.model.encoder.export import _read_sample
from lookalike.model.errors import ImageError
from lookalike.model.images import isolated
from lookalike.model.images.decoder_processes import DecoderProcesses
from lookalike.model.images.preprocess import parse_spec
from lookalike.query.tuning_queries import tuning_queries
from lookalike.train.data import Spool
from tests.conftest import SPEC, Job, picture, run
from tests.support.fragile import FATAL
from tests.support.places import ROOT

pytestmark = pytest.mark.slow
REASON = "JPEG: its decoder ended by SIGSEGV"
LAST = picture(99) + FATAL


@pytest.fixture
def met(monkeypatch) -> Iterator[list[bytes]]:
    """The pictures that would have ended this process."""
    found: list[bytes] = []
    whole = isolated.decode_common

    def here(data: bytes, **options: object) -> object:
        if data.endswith(FATAL):
            found.append(data)
            raise ImageError("it ended the process")
        return whole(data, **options)  # type: ignore[arg-type]

    program = f"sys.path.insert(0, {str(ROOT)!r}); from tests.support.fragile import child; child()"
    monkeypatch.setattr(isolated, "decode_common", here)
    monkeypatch.setattr(isolated, "_processes", DecoderProcesses(program))
    yield found
    while process := isolated._processes._waiting():
        process.end()


def test_copies_pages_and_evaluations(job: Job, pictures: dict[str, bytes], met: list[bytes]) -> None:
    job.pack(pictures | {"p05x.jpg": LAST})
    job.nightly()
    queries = job.query_file({"bad.jpg": LAST, "p05.jpg": picture(3)})
    (job.folder / "qrels").write_text("p05.jpg 0 p06.jpg 1\nbad.jpg 0 p06.jpg 1\n")
    assert job.query(queries).code == 0
    assert met
    met.clear()

    copies, out, page = job.folder / "copies", job.folder / "evaluation", job.folder / "page.html"
    assert job.run("duplicates", "--out", copies).code == 0
    assert met == []
    done = job.run("evaluate", "--queries", queries, "--relevance", job.folder / "qrels", "--out", out)
    assert done.code == 0, done
    assert met == []
    for shown in ([], [job.folder / "out"]):
        done = run("report", *shown, "-c", job.config, "-o", page)
        assert done.code == 0, done
        assert met == []


def test_queries_to_tune_with(copied: Job, met: list[bytes]) -> None:
    asked = copied.query_file({"bad.jpg": LAST, "good.jpg": picture(3)})
    config = copied.set(index={"tuning_queries": str(asked)}).loaded
    vectors = tuning_queries(config)
    assert vectors
    assert vectors.load(make_plan(config)).shape == (1, 16)
    table = copied.folder / "t.csv"
    table.write_text("path\nqueries/bad.jpg\nqueries/good.jpg\n")
    config = copied.set(index={"tuning_queries": str(table)}).loaded
    vectors = tuning_queries(config)
    assert vectors
    assert vectors.load(make_plan(config)).shape == (1, 16)
    assert met == []


def test_the_sample_of_an_encoder_and_images_to_train_on(job: Job, met: list[bytes]) -> None:
    folder = job.query_file({"bad.jpg": LAST, "good.jpg": picture(3)})
    pixels, _, unreadable = _read_sample([parse_spec(SPEC)], sample_images(Sample(str(folder))))
    assert (len(pixels), list(unreadable.values()), met) == (1, [REASON], [])
    spool = Spool(job.folder, parse_spec(SPEC), 1_000_000)
    assert (spool.check(LAST).result(), spool.check(picture(3)).result(), met) == (REASON, None, [])
    spool.close()


def test_a_picture_that_is_explained(published: Job, tmp_path, met: list[bytes]) -> None:
    (tmp_path / "bad.jpg").write_bytes(LAST)
    done = published.run("explain", tmp_path / "bad.jpg", "p00.jpg", "-o", tmp_path / "why.png")
    assert (done.code, REASON in done.sentence, met) == (2, True, [])
