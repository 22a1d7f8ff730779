"""A night of names that would act on a terminal: what is printed is seen, and machines get names as they are."""

import csv
import io
import json
import logging
import shutil
import unicodedata
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lookalike.model.encoder.manifest import manifest_digest
from tests.conftest import Job, picture, run

ACTS = "\x1b]0;owned\x07\x1b[31m\x9b2J\x7f\r\u202e\u2066\u200b[red]"
IDS = [f"{ACTS}/{number}\n12:00:00 ERROR all is lost{ACTS}.jpg" for number in range(6)]


def acting(text: str) -> set[str]:
    """The characters of a text that act, but for the ends of lines."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c != "\n"}


# Fifteen seconds alone.
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def night(encoder, tmp_path_factory) -> tuple[Job, list]:
    """A job whose ids, shards, metadata, encoder and store have such names, and all that its commands printed."""
    folder = tmp_path_factory.mktemp("terminal") / f"job{ACTS}"
    bundle = Path(shutil.copytree(encoder, folder / f"encoder{ACTS}"))
    manifest = json.loads((bundle / "encoder.json").read_text()) | {
        "name": f"tiny{ACTS}\nserved       nothing"
    }
    manifest["digest"] = manifest_digest(manifest)
    (bundle / "encoder.json").write_text(json.dumps(manifest))
    photos = folder / f"photos{ACTS}"
    for number, name in enumerate(IDS):
        path = photos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    (path.parent / f"broken{ACTS}.jpg").write_bytes(b"\xff\xd8\xff broken")
    job = Job(folder, bundle)
    job.set(store=str(folder / f"store{ACTS}"), gates={"max_reject_fraction": 0.5})
    job.set(
        corpus={"shards": str(photos)}, standing=[{"name": "ids", "queries": str(folder / f"no{ACTS}.txt")}]
    )
    assert job.loaded
    config, out = ("-c", str(job.config)), folder / f"out{ACTS}"
    (folder / "ids.txt").write_bytes(b"\n".join([b"none\x1b[31m"]))
    asked = io.StringIO(newline="")
    rows = [("query_id", "path", f"more{ACTS}", "where")]
    rows += [(f"q{ACTS}", f"no{ACTS}.jpg", ACTS, ""), ("w", IDS[1], ACTS, f"no{ACTS} = 1")]
    csv.writer(asked).writerows(rows)
    (folder / f"asked{ACTS}.csv").write_text(asked.getvalue(), newline="")
    commands = [
        ("pack", photos, folder / f"packed{ACTS}"),
        ("nightly", *config),
        ("nightly", *config, "--dry-run"),
        ("--log", "json", "nightly", *config),
        ("query", photos, *config, "-o", out, "--format", "csv"),
        ("query", folder / "ids.txt", *config, "-o", folder / "ids"),
        ("generations", "list", *config),
        ("generations", "show", *config),
        ("generations", "show", *config, "--json"),
        ("generations", "show", f"no{ACTS}", *config),
        ("generations", "verify", *config),
        ("generations", "prune", *config, "--dry-run"),
        ("exclude", "add", *config, "--reason", ACTS, IDS[0], f"none{ACTS}"),
        ("exclude", "list", *config),
        ("exclude", "remove", *config, IDS[0], f"none{ACTS}", f"never{ACTS}"),
        (
            "evaluate",
            *config,
            "--queries",
            photos,
            "--relevance",
            "directory",
            "-o",
            folder / f"evaluated{ACTS}",
            "--no-plots",
        ),
        ("standing", *config),
        ("standing", *config, "--name", f"none{ACTS}"),
        ("duplicates", *config, "--min-score", "0.9", "-o", folder / f"copies{ACTS}", "--format", "csv"),
        ("export", *config, "-o", folder / f"exported{ACTS}"),
        ("explain", IDS[1], f"none{ACTS}", *config, "-o", folder / f"why{ACTS}.png"),
        ("explain", IDS[1], IDS[2], *config, "-o", folder / f"why{ACTS}.png"),
        ("report", out),
        ("report", *config),
        ("report", folder / f"none{ACTS}"),
        ("query", folder / f"asked{ACTS}.csv", *config, "-o", folder / f"asked{ACTS}"),
        ("query", out, *config, "-o", folder / "where", "--where", f"item_id = '{ACTS}' and x"),
        ("encoder", "show", bundle),
        ("encoder", "show", folder / f"none{ACTS}"),
        ("encoder", "text", bundle, "--labels", f"no{ACTS}", "--corpus", photos),
        ("init", photos, "-o", folder / f"new{ACTS}.yaml"),
        ("train", "-c", folder / f"none{ACTS}.yaml"),
        ("encoder", "tune", bundle),
        ("encoder", "tune", folder / f"nothing{ACTS}\nx"),
        ("nightly", *config, "--set", f"store{ACTS}=3"),
        ("nightly", "-c", folder / f"none{ACTS}.yaml"),
        ("query", f"s3://me:secret@bucket/{ACTS}", *config, "-o", out),
    ]
    return job, [(command, run(*command)) for command in commands]


@slow
def test_nothing_that_is_printed_acts(night):
    for command, outcome in night[1]:
        assert not acting(outcome.out + outcome.err), (command, outcome)


@slow
def test_no_name_begins_a_line_of_its_own(night):
    for command, outcome in night[1]:
        lines = (outcome.out + outcome.err).splitlines()
        assert not [line for line in lines if line.startswith(("12:00:00", "served       nothing"))], command


@slow
def test_no_secret_is_printed(night):
    assert not any("secret" in outcome.out + outcome.err for _, outcome in night[1])


@slow
def test_the_commands_did_their_work(night):
    codes = [outcome.code for _, outcome in night[1]]
    assert codes[:3] == [0, 3, 0], night[1]  # the file of the standing query is not there
    assert any("\\x1b[31m" in outcome.out for _, outcome in night[1])


@slow
def test_the_reports_for_people_do_not_act(night):
    job, _ = night
    texts = list(job.folder.rglob("*.txt"))
    assert {path.name for path in texts} >= {"latest.txt", "evaluation.txt"}
    pages = list(job.folder.rglob("*.html"))
    assert len(pages) == 2
    for path in (*texts, *pages):
        if path.name != "ids.txt":
            assert not acting(path.read_text()), path


@slow
def test_tables_keep_the_names_as_they_are(night):
    job, _ = night
    with open(next(job.folder.rglob("results.csv")), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["query_id"] for row in rows} == {row["item_id"] for row in rows} == set(IDS)
    (rejects,) = job.folder.rglob("rejects/*.parquet")
    assert f"broken{ACTS}.jpg" in pq.read_table(rejects)["item_id"][0].as_py()


def test_a_log_line_is_one_line(capsys):
    from lookalike.cli import logs

    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        for form in ("text", "json"):
            logs.set_up(form)
            logging.getLogger("lookalike").warning("lost %s", f"{ACTS}\n12:00:00 all is well s3://a:secret@b")
            written = capsys.readouterr().err
            assert written.count("\n") == 1
            assert not acting(written)
            assert "secret" not in written
        assert json.loads(written)["message"] == f"lost {ACTS}\n12:00:00 all is well s3://***@b"
    finally:
        root.handlers[:], root.level = before
