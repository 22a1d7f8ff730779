"""Encoders as artifacts of the store: workers fetch them from there, and need not see the folder that the job names.

encoders/FINGERPRINT/  a bundle, as it was when the store first met its fingerprint; `encoder.json` arrives last.
                       `calibration.json` may stand beside it; see `calibrations`
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from lookalike.model.encoder.manifest import (
    CALIBRATION,
    MANIFEST,
    check_files,
    fingerprint,
    read_manifest,
)
from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.cache import local_copy

FOLDER = "encoders"


class Bundle(Protocol):
    """What is opened of a bundle."""

    fingerprint: str


E = TypeVar("E", bound=Bundle)


def encoder_path(fingerprint: str) -> str:
    """Where an encoder lies, relative to the store."""
    return f"{FOLDER}/{fingerprint}"


def keep_encoder(store: str, bundle: str) -> str:
    """Copies an encoder into the store, whole or not at all, unless it is there; and a calibration, if it has none yet.

    Args:
        store: folder of the store.
        bundle: folder of the encoder, on this machine.

    Returns:
        Its folder in the store, for `cache.local_copy` with its fingerprint.

    Raises:
        LookalikeError: if it is no whole bundle.
        OSError: if the store cannot be written.
    """
    manifest = read_manifest(bundle)
    folder = files.join(store, encoder_path(fingerprint(manifest)))
    listed = [*manifest["files"], MANIFEST]
    held = (file.path for file in files.each_file(folder))
    if not {files.join(folder, name) for name in listed} <= set(held):
        _keep_files(store, bundle, folder, manifest, listed)
    if Path(bundle, CALIBRATION).is_file() and not files.exists(kept := files.join(folder, CALIBRATION)):
        files.write_bytes(kept, Path(bundle, CALIBRATION).read_bytes())
    return folder


def _keep_files(store: str, bundle: str, folder: str, manifest: dict[str, Any], listed: list[str]) -> None:
    check_files(Path(bundle), manifest, manifest["variant"])
    if not files.is_remote(store):
        with files.write_folder(folder, last=MANIFEST) as copy:
            _copy(bundle, copy, listed)
            check_files(Path(copy), manifest, manifest["variant"])
            for below, _, names in os.walk(copy):
                for path in [*(os.path.join(below, name) for name in names), below]:
                    files.sync(path)
        return
    with tempfile.TemporaryDirectory(prefix="lookalike-") as copy:
        _copy(bundle, copy, listed)
        check_files(Path(copy), manifest, manifest["variant"])
        for name in listed:
            files.move_in(os.path.join(copy, name), files.join(folder, name))


def open_kept(folder: str, expected: str, open_bundle: Callable[[str], E]) -> E:
    """Opens an encoder that `keep_encoder` gave; of a remote store a copy, which is fetched once more if it is damaged.

    Args:
        folder: of the encoder.
        expected: its fingerprint.
        open_bundle: opens a bundle in a folder of this machine.

    Raises:
        LookalikeError: if it is no whole bundle, or another one.
        OSError: if it cannot be fetched.
    """
    local = local_copy(folder, expected)
    try:
        encoder = open_bundle(local)
    except LookalikeError:
        if not files.is_remote(folder):
            raise
        files.delete([local])  # the copy is damaged, or what it was made from
        encoder = open_bundle(local_copy(folder, expected))
    if encoder.fingerprint != expected:
        raise LookalikeError(
            f"The encoder changed while the job ran. Expected {expected[:16]}. Received: {encoder.fingerprint[:16]} in "
            f"{folder}"
        )
    return encoder


def _copy(bundle: str, target: str, names: list[str]) -> None:
    for name in names:
        path = Path(target, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(bundle, name), path)
