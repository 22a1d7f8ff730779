"""Encoders as artifacts of the store: workers fetch them from there, and need not see the folder that the job names.

encoders/FINGERPRINT/  a bundle, as it was when the store first met its fingerprint; `encoder.json` arrives last
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from lookalike.model.encoder.manifest import MANIFEST, check_files, fingerprint, read_manifest

from ..filesystem import files

FOLDER = "encoders"


def encoder_path(fingerprint: str) -> str:
    """Where an encoder lies, relative to the store."""
    return f"{FOLDER}/{fingerprint}"


def keep_encoder(store: str, bundle: str) -> str:
    """Copies an encoder into the store, whole or not at all, unless it is there.

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
    if files.exists(files.join(folder, MANIFEST)):
        return folder
    check_files(Path(bundle), manifest, manifest["variant"])
    listed = [*manifest["files"], MANIFEST]
    if not files.is_remote(store):
        with files.write_folder(folder, last=MANIFEST) as copy:
            _copy(bundle, copy, listed)
            check_files(Path(copy), manifest, manifest["variant"])
            for name in listed:
                files.sync(os.path.join(copy, name))
        return folder
    with tempfile.TemporaryDirectory(prefix="lookalike-") as copy:
        _copy(bundle, copy, listed)
        check_files(Path(copy), manifest, manifest["variant"])
        for name in listed:
            files.move_in(os.path.join(copy, name), files.join(folder, name))
    return folder


def _copy(bundle: str, target: str, names: list[str]) -> None:
    for name in names:
        path = Path(target, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(bundle, name), path)
