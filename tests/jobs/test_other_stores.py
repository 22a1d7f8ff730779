"""gs:// and az://: what S3 is tested for at length, once on each."""

import json
import os
from pathlib import Path

import pytest

from lookalike.filesystem import files, stores
from lookalike.store import lease
from tests.conftest import Job, picture, run
from tests.support.other_stores import AZURITE, azure, google

NEEDS_AZURITE = (
    "needs Azure's emulator: npm install azurite, and LOOKALIKE_AZURITE=node_modules/.bin/azurite-blob"
)
STORES = [
    google,
    pytest.param(azure, marks=[pytest.mark.slow, pytest.mark.skipif(not AZURITE, reason=NEEDS_AZURITE)]),
]


@pytest.fixture(scope="module", params=STORES)
def place(request):
    """URL of an empty bucket, which the environment tells how to find."""
    with request.param() as (url, environment), pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(lease, "LOOK_SECONDS", 0.0)
        patch.setattr(lease, "DEAD_SECONDS", 0.0)
        stores.forget()
        yield url
    stores.forget()


def test_objects_are_written_read_listed_and_deleted(place):
    url, large = f"{place}/basic", os.urandom(20 << 20)
    names = ["a b#%25{}[]~?*.jpg", "d/empty", "ä&=;+'.jpg"]
    for name in names:
        files.write_bytes(f"{url}/{name}", b"" if name == "d/empty" else name.encode())
    files.write_bytes(f"{url}/large", large)
    assert [file.path for file in files.list_files(url)] == sorted(
        f"{url}/{name}" for name in [*names, "large"]
    )
    assert files.read_bytes(f"{url}/{names[0]}").decode() == names[0]
    assert files.read_bytes(f"{url}/large") == large
    assert files.glob(f"{url}/*/e*") == [files.look(f"{url}/d/empty")]
    with files.open_read(f"{url}/large") as file:
        assert [file.seek(-5, os.SEEK_END), file.read(), file.seek(7), file.read(3)][1::2] == [
            large[-5:],
            large[7:10],
        ]
    with files.open_read(f"{url}/d/empty") as file:
        assert (file.seek(0, os.SEEK_END), file.read()) == (0, b"")
    files.delete([f"{url}/d", f"{url}/gone", *(f"{url}/{name}" for name in names)])
    assert [file.path for file in files.list_files(url)] == [f"{url}/large"]
    with pytest.raises(FileNotFoundError, match="gone"):
        files.read_bytes(f"{url}/gone")
    with pytest.raises(OSError, match=r"(?i)bucket|container"):
        files.list_files(f"{place}-that-is-not-there/x")


def test_an_object_is_one_object_throughout(place):
    url = f"{place}/replaced"
    files.write_bytes(url, bytes(12 << 20))
    with files.open_read(url) as file:
        file.read(1)
        files.write_bytes(url, b"1" * (12 << 20))
        file.seek(11 << 20)
        with pytest.raises(OSError, match="changed while it was read"):
            file.read(1)


def test_conditions_hold(place):
    url = f"{place}/condition"
    assert [files.create_bytes(url, b"1"), files.create_bytes(url, b"2")] == [True, False]
    content, version = files.read_version(url)
    assert content == b"1"
    assert [files.replace_bytes(url, b"3", version), files.replace_bytes(url, b"4", version)] == [True, False]
    assert files.read_bytes(url) == b"3"
    files.delete([url])
    assert not files.replace_bytes(url, b"5", version)


@pytest.mark.slow
def test_a_night_queries_a_rollback_and_pruning(place, published, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "cache"))
    here, job = (Job(tmp_path / name, Path(published.settings["encoder"])) for name in ("here", "there"))
    for one in (here, job):
        one.folder.mkdir()
        one.pack(pictures)
    upload(job.shards, f"{place}/shards")
    job.set(
        corpus={"shards": f"{place}/shards/shard-{{00000..00002}}-of-00003.tfrecord"}, store=f"{place}/store"
    )
    questions = job.query_file(dict(list(pictures.items())[:5]))
    answers = []
    for one, out in ((here, str(here.folder / "out")), (job, f"{place}/out")):
        one.nightly()
        assert "still served" in one.nightly().out
        assert one.run("query", questions, "--out", out, "--format", "csv").code == 0
        answers.append(files.read_bytes(f"{out}/results.csv"))
    assert answers[0] == answers[1]
    (new := Job(tmp_path / "new", job.folder)).folder.mkdir()
    [shard] = new.pack({f"new-{number}.jpg": picture(700 + number) for number in range(4)})
    files.write_bytes(f"{place}/shards/new.tfrecord", Path(shard).read_bytes())
    job.set(corpus={"shards": f"{place}/shards/"})
    job.nightly()

    def generations(*arguments: object):
        done = run("generations", arguments[0], "-c", job.config, *arguments[1:])
        assert done.code == 0, done
        return done.out

    first, second = (one["name"] for one in json.loads(generations("list", "--json")))
    generations("rollback")
    assert files.read_bytes(f"{place}/store/CURRENT").decode().split()[0] == first
    generations("rollback", "--to", second)
    generations("prune", "--keep", 1)
    monkeypatch.setattr("lookalike.store.prune.GRACE_SECONDS", -60.0)
    assert f"deleted      {first}" in generations("prune", "--keep", 1)
    assert "0 problems" in generations("verify")
    assert not files.exists(f"{place}/store/LOCK")


def upload(folder: Path, url: str) -> None:
    for path in folder.iterdir():
        files.write_bytes(f"{url}/{path.name}", path.read_bytes())
