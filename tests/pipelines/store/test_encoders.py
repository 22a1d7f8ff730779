"""Encoders in the store: whole or not there, fetched with their folders, and gone when nobody names them."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from lookalike.filesystem import files
from lookalike.filesystem.cache import local_copy
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.encoder.manifest import MANIFEST
from lookalike.model.errors import LookalikeError
from lookalike.store.encoders import encoder_path, keep_encoder, open_kept
from lookalike.store.prune import prune
from tests.support.small_stores import Bucket


def held(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_bundle_is_copied_once(tmp_path, encoder):
    kept = keep_encoder(str(tmp_path), str(encoder))
    assert kept == str(tmp_path / encoder_path(Encoder.load(encoder).fingerprint))
    assert held(Path(kept)) == held(encoder)
    inode = os.stat(kept).st_ino
    assert keep_encoder(str(tmp_path), str(encoder)) == kept
    assert os.stat(kept).st_ino == inode
    assert Encoder.load(local_copy(kept, "digest")).fingerprint == os.path.basename(kept)


def test_of_a_damaged_bundle_nothing_is_kept(tmp_path, encoder):
    bundle = tmp_path / "bundle"
    shutil.copytree(encoder, bundle)
    with open(bundle / "int8.tflite", "r+b") as file:
        file.write(b"?")
    with pytest.raises(LookalikeError, match=r"int8\.tflite"):
        keep_encoder(str(tmp_path / "store"), str(bundle))
    assert not list((tmp_path / "store").rglob(MANIFEST))


def test_a_worker_gets_it_from_a_bucket_with_its_folders(tmp_path, encoder, monkeypatch):
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "cache"))
    Bucket(monkeypatch)
    kept = keep_encoder("mem://b/store", str(encoder))
    fetched = local_copy(kept, "digest")
    assert held(Path(fetched)) == held(encoder)
    times = os.stat(fetched).st_mtime_ns
    assert local_copy(kept, "digest") == fetched
    assert os.stat(fetched).st_mtime_ns == times
    with open(os.path.join(fetched, "saved_model", "saved_model.pb"), "ab") as file:
        file.write(b"?")
    assert held(Path(local_copy(kept, "digest"))) == held(encoder)
    assert Encoder.load(fetched).fingerprint == kept.rpartition("/")[2]


def test_an_encoder_that_no_generation_names_is_deleted_when_it_is_old(copied, make_encoder):
    make_encoder(copied.folder / "other", unit_length=False)
    kept = keep_encoder(str(copied.store), str(copied.settings["encoder"]))
    other = keep_encoder(str(copied.store), str(copied.folder / "other"))
    assert prune(str(copied.store)).artifacts == ()
    old = time.time() - 3 * 86400
    for folder in (kept, other):
        for path in files.list_files(folder):
            os.utime(path.path, (old, old))
    assert prune(str(copied.store)).artifacts == (os.path.relpath(other, copied.store),)
    assert os.path.isdir(kept)
    assert not os.path.exists(other)


def test_a_copy_that_is_damaged_is_fetched_again_and_another_encoder_refused(tmp_path, encoder, monkeypatch):
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "cache"))
    Bucket(monkeypatch)
    kept = keep_encoder("mem://b/store", str(encoder))
    expected = Encoder.load(encoder).fingerprint
    assert open_kept(kept, expected, Encoder.load).fingerprint == expected
    (model,) = tmp_path.glob("cache/*/copy/int8.tflite")
    times = os.stat(model)
    model.write_bytes(bytes(times.st_size))
    os.utime(model, ns=(times.st_atime_ns, times.st_mtime_ns))  # as if it had been fetched so
    assert open_kept(kept, expected, Encoder.load).fingerprint == expected
    assert model.read_bytes() == (encoder / "int8.tflite").read_bytes()
    with pytest.raises(LookalikeError, match="The encoder changed while the job ran"):
        open_kept(kept, "f" * 64, Encoder.load)


def test_a_night_with_nothing_to_do_brings_it_back(copied):
    (kept,) = copied.store.glob("encoders/*")
    shutil.rmtree(kept)
    copied.nightly()
    assert (kept / MANIFEST).exists()
