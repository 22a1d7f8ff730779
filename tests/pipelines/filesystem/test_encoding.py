"""The same ids under every locale, to the byte."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import picture
from tests.support.places import ROOT

NAMES = ("caf\u00e9.jpg", "cafe\u0301.jpg", "\u65e5\u672c/1.jpg")
C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LOCALES = {
    "UTF-8": {"LC_ALL": "C.UTF-8"},
    "C": C,
    "POSIX": {**C, "LC_ALL": "POSIX"},
    "Latin-1": {"LC_ALL": "en_US.ISO-8859-1"},
    "Latin-1, UTF-8 mode off": {"LC_ALL": "en_US.ISO-8859-1", "PYTHONUTF8": "0"},
}


@pytest.fixture(scope="module")
def latin_1(tmp_path_factory) -> str:
    """A folder with a locale of that encoding."""
    folder = tmp_path_factory.mktemp("locales")
    made = str(folder / "en_US.ISO-8859-1")
    if not shutil.which("localedef") or not Path("/usr/share/i18n/charmaps").is_dir():
        pytest.skip("no localedef to make a locale of Latin-1 with")
    subprocess.run(
        ["localedef", "-c", "-i", "en_US", "-f", "ISO-8859-1", made], check=False, capture_output=True
    )
    shown = subprocess.run(
        [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())"],
        env={**LOCALES["Latin-1"], "LOCPATH": str(folder)},
        capture_output=True,
        check=True,
    )
    assert shown.stdout == b"iso8859-1\n"
    return str(folder)


def lookalike(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[bytes]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    # As bytes, so that arguments are the same whatever this process has for a locale.
    command = [sys.executable, "-m", "lookalike", *(str(a).encode() for a in arguments)]
    return subprocess.run(
        command, cwd=ROOT, env={**kept, **environment}, capture_output=True, check=False, timeout=120
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", LOCALES)
def test_names_arguments_and_output_are_utf8_under_every_locale(tmp_path, latin_1, name):
    environment = {**LOCALES[name], "LOCPATH": latin_1}
    images = tmp_path / "images"
    for path in NAMES:
        (images / path).parent.mkdir(parents=True, exist_ok=True)
        (images / path).write_bytes(b"x")
    (tmp_path / "rows.csv").write_text(f"path,title\n{NAMES[0]},\u65e5\n{NAMES[1]},\u00fc\n", "utf-8")
    done = lookalike(
        environment,
        *("pack", images, tmp_path / "\u00f6ut", "--format", "parquet"),
        *("--metadata", tmp_path / "rows.csv"),
    )
    assert done.returncode == 0, done.stderr
    assert "\u00f6ut" in done.stdout.decode()
    table = pq.read_table(tmp_path / "\u00f6ut").to_pylist()
    assert {row["item_id"]: row["title"] for row in table} == dict(
        zip(NAMES, ("\u65e5", "\u00fc", None), strict=True)
    )
    job = tmp_path / "job.yaml"
    job.write_text(f"corpus: {{shards: x}}\nencoder: x\nstore: {tmp_path}/st\u00f6re\n", "utf-8")
    assert lookalike(environment, "exclude", "add", "-c", job, *NAMES, "--reason", "\u00fc").returncode == 4
    assert pq.read_table(tmp_path / "st\u00f6re/excluded.parquet")["item_id"].to_pylist() == sorted(NAMES)
    listed = lookalike(environment, "exclude", "list", "-c", job).stdout.decode()
    assert all(name in listed for name in NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["C", "Latin-1"])
def test_a_night_publishes_the_same_ids_under_every_locale(job, latin_1, name):
    for seed, path in enumerate(NAMES):
        (job.shards / path).parent.mkdir(parents=True, exist_ok=True)
        (job.shards / path).write_bytes(picture(seed))
    job.set(corpus={"metadata": {"directory": "string"}})
    assert job.loaded
    done = lookalike({**LOCALES[name], "LOCPATH": latin_1}, "nightly", "-c", job.config)
    assert done.returncode == 0, done.stderr
    assert sorted(job.embeddings["item_id"].to_pylist()) == sorted(NAMES)
    assert job.generation["shards"][0]["shard"] == "#000000000000"


def test_python_that_would_take_other_names_is_refused(tmp_path):
    script = "from lookalike.sources.pack import pack; pack('images', 'out', format='parquet')"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, **C}, capture_output=True, check=False
    )
    assert b"Expected Python in UTF-8 mode (PYTHONUTF8=1)" in done.stderr
