"""`encoder.json`: what an encoder bundle holds, which files those are, and the fingerprint of what they decide.

A bundle may come from anyone. Its files are exactly those that are listed, each under a name that the format knows.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..digests import parse_json, sha256_file, sha256_json
from ..errors import LookalikeError

FORMAT = 1
"""Part of the fingerprint: raise it when the arithmetic between pixels and vector changes."""
MANIFEST, SAVED_MODEL, TFLITE, PROJECTION = "encoder.json", "saved_model", "int8.tflite", "projection.npz"
OPENVINO, WEIGHTS = "openvino.xml", "openvino.bin"
VARIANTS = ("int8", "openvino", "float")
GRAPH, INDEX = f"{SAVED_MODEL}/saved_model.pb", f"{SAVED_MODEL}/variables/variables.index"
_VALUES = re.compile(rf"{SAVED_MODEL}/variables/variables\.data-[0-9]{{5}}-of-[0-9]{{5}}")
_OTHERS = {TFLITE, OPENVINO, WEIGHTS, PROJECTION, GRAPH, INDEX, f"{SAVED_MODEL}/fingerprint.pb"}
_NEEDED = {"int8": {TFLITE}, "openvino": {OPENVINO, WEIGHTS}, "float": {GRAPH, INDEX}}
_BEGINS = {"int8": TFLITE, "openvino": "openvino.", "float": SAVED_MODEL}
"""How the names of a variant's files begin."""
CALIBRATION = "calibration.json"
"""May stand beside the files that are listed: see `calibration`."""
TEXT = "text"
"""A folder that may be there, too: see `model.text.bundle`. It knows its own digests."""
TEXT_FILES = ("text.json", "network.npz", "vocabulary.txt", "map.npz")
"""What is in it."""
_UNFINISHED = (f".{MANIFEST}.tmp-", f".{CALIBRATION}.tmp-", f".{TEXT}.tmp-")
"""How the names begin under which `encoder tune`, `encoder text` and `evaluate --calibrate` write the next of these."""
_MOST_BYTES = 1 << 20
"""Of `encoder.json`; one of ours has 2 kB."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _Views(_Part):
    flip: bool
    scales: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(min_length=1, max_length=100)


class _Projection(_Part):
    kind: str
    variance: float = Field(allow_inf_nan=False)


class _Manifest(_Part):
    """The types of its fields; `retrieval` is read by `post_processing.read_post_processing`."""

    format: Literal[1]
    name: str
    dim: int = Field(ge=1, le=1 << 20)
    preprocessing: str
    pooling: Literal["avg", "max", "gem"]
    projection: _Projection | None
    unit_length: bool
    variant: Literal["int8", "openvino", "float"]
    instructions: Literal["avx2", "amx"] | None = None
    retrieval: dict[str, Any] | None = None
    views: _Views | None = None
    files: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]]


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """Reads `encoder.json`; cheap, and imports no TensorFlow.

    Raises:
        LookalikeError: if there is none, or it is damaged, or not of this format, or lists what no bundle has, or
            lists not all that its variant is made of.
    """
    if "://" in str(folder):
        raise LookalikeError(f"Expected a folder on this machine as encoder. Received: {folder}")
    path = Path(folder) / MANIFEST
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES} bytes")
        manifest = parse_json(data)
    except FileNotFoundError:
        raise LookalikeError(
            f"Expected an encoder bundle (make one with `lookalike encoder build`). Received: no {path}"
        ) from None
    except OSError as error:
        raise LookalikeError(f"The encoder cannot be read: {error.strerror}: {path}") from None
    except (ValueError, RecursionError) as error:
        raise LookalikeError(f"The encoder is damaged: {path} is not JSON: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise LookalikeError(f"Expected an encoder bundle of format {FORMAT} in {path}.")
    expected, found = manifest.get("digest"), manifest_digest(manifest)
    if found != expected:
        raise LookalikeError(
            f"The encoder is damaged: {path} should have digest {expected}. Received: {found}"
        )
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise LookalikeError(f"Expected other values in {path}. Received: {where}: {first['msg']}") from None
    _check_listed(path, manifest)
    return manifest


def _check_listed(path: Path, manifest: dict[str, Any]) -> None:
    listed = manifest["files"]
    foreign = [name for name in listed if name not in _OTHERS and not _VALUES.fullmatch(name)]
    if foreign:
        raise LookalikeError(
            f"Expected no files in {path} but those of an encoder. Received: {', '.join(foreign)}"
        )
    if (OPENVINO in listed) != bool(manifest.get("instructions")):
        raise LookalikeError(
            f"Expected the instructions of a network for OpenVINO, and of no other, in {path}. "
            f"Received: {manifest.get('instructions')}"
        )
    needed = needed_files(manifest, manifest["variant"])
    if missing := sorted(needed - listed.keys()):
        raise LookalikeError(
            f"Expected all files of the encoder in {path}, with digests. Received: none of {', '.join(missing)}"
        )


def needed_files(manifest: dict[str, Any], variant: str) -> set[str]:
    """The names of the files that a variant cannot do without; a SavedModel's values have others beside them."""
    return _NEEDED[variant] | ({PROJECTION} if manifest["projection"] else set())


def check_files(folder: Path, manifest: dict[str, Any], variant: str) -> None:
    """Raises LookalikeError unless a bundle holds just the files that are listed, as they are listed.

    Args:
        folder: of the bundle; may be a link, but there is none in it.
        manifest: as `read_manifest` gives it.
        variant: whose files have to be among them.
    """
    listed = manifest["files"]
    for name in sorted(needed_files(manifest, variant) - listed.keys()):
        raise LookalikeError(f"The encoder {folder} has no {variant} variant. Received: no {name}")
    beside = {MANIFEST, CALIBRATION, *(f"{TEXT}/{name}" for name in TEXT_FILES)}
    for name in sorted(set(_files(folder)) - listed.keys() - beside):
        raise LookalikeError(
            f"Expected no file in an encoder that its {MANIFEST} does not list. Received: {folder / name}; move it "
            "elsewhere if it is yours"
        )
    for name, expected in listed.items():
        path = folder / name
        if not path.is_file():
            raise _damaged(path, expected, "no such file")
        if (found := sha256_file(path)) != expected:
            raise _damaged(path, expected, found)


def read_listed(folder: Path, manifest: dict[str, Any], name: str) -> bytes:
    """The bytes of a file of a bundle, which are those of its digest. Raises LookalikeError if they are not."""
    path, expected = folder / name, manifest["files"][name]
    data = path.read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != expected:
        raise _damaged(path, expected, found)
    return data


def _damaged(path: Path, expected: str, found: str) -> LookalikeError:
    return LookalikeError(f"The encoder is damaged: {path} should have SHA-256 {expected}. Received: {found}")


def _files(folder: Path, below: str = "") -> Iterator[str]:
    """Names of the files in a bundle, relative to it, with `/`."""
    for entry in os.scandir(folder / below):
        name, mode = f"{below}{entry.name}", entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            yield from _files(folder, f"{name}/")
        elif not stat.S_ISREG(mode):
            raise LookalikeError(
                f"Expected only files and folders in an encoder. Received: {folder / name}, a link or a device; "
                "`cp -rL` copies a bundle with what its links lead to"
            )
        elif not name.startswith(_UNFINISHED):
            yield name


def manifest_digest(manifest: dict[str, Any]) -> str:
    """The digest, in hexadecimal, of all that `encoder.json` holds but this digest itself."""
    return sha256_json({key: value for key, value in manifest.items() if key != "digest"})


def fingerprint(manifest: dict[str, Any], variant: str | None = None) -> str:
    """The digest, in hexadecimal, of all that decides the numbers of one variant's vectors."""
    variant = variant or manifest["variant"]
    decides = {k: manifest[k] for k in ("format", "dim", "preprocessing", "pooling", "unit_length")}
    if "views" in manifest:
        decides["views"] = manifest["views"]
    if variant == "openvino":
        decides["instructions"] = manifest["instructions"]
    files = {k: v for k, v in manifest["files"].items() if k == PROJECTION or k.startswith(_BEGINS[variant])}
    return sha256_json({**decides, "variant": variant, "files": files})
