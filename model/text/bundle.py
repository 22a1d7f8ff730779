"""`text/` in the folder of an encoder: what makes vectors of texts, and which vectors of images those belong to.

text/text.json       what it is, the fingerprint of the image encoder, and the digests of the others
text/network.npz     of the text encoder (`minilm`)
text/vocabulary.txt  its pieces, one a line
text/map.npz         from its vectors to those of images (`class_names`, `tower`)

It is part of no image's vector: the encoder's own manifest and fingerprint know nothing of it. Like all of a bundle it
may come from anyone.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from ..digests import parse_json, sha256_json
from ..encoder.manifest import TEXT, TEXT_FILES
from ..encoder.npz import read_npz
from ..errors import LookalikeError
from ..settings import Section
from .class_names import ClassNames
from .minilm import DIM
from .tower import Tower

MANIFEST, NETWORK, VOCABULARY, MAP = TEXT_FILES
_FILES = (NETWORK, VOCABULARY, MAP)
_MOST_BYTES = 1 << 26
"""Of `text.json`, in which a hundred thousand labels have room."""

Kind = Literal["class names", "labels", "captions"]


class TextManifest(Section):
    """What `text.json` says.

    Attributes:
        encoder: fingerprint of the image encoder.
        dim: length of its vectors.
        kind: which way a text goes: by the names of a classifier's classes, or by a network that was trained with
            labels or captions.
        field: that had them.
        names: of the classes, or the labels.
        images, texts: how many pictures and different texts it was trained with.
        files: name -> SHA-256.
    """

    format: Literal[1] = 1
    encoder: str
    dim: Annotated[int, Field(ge=1)]
    kind: Kind
    field: str | None = None
    names: tuple[str, ...] = ()
    images: int = 0
    texts: int = 0
    files: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]]

    @property
    def fingerprint(self) -> str:
        """The digest, in hexadecimal, of all that decides the numbers of a text's vector."""
        return sha256_json(self.model_dump(exclude={"field", "images", "texts"}))


def vocabulary() -> bytes:
    """The file of the text encoder's pieces."""
    return (resources.files(__package__) / VOCABULARY).read_bytes()


def as_npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as an .npz file, which is the same every time."""
    target = io.BytesIO()
    np.savez(target, **arrays)
    return target.getvalue()


def write_text(
    folder: Path, network: Mapping[str, np.ndarray], mapping: ClassNames | Tower, says: Mapping[str, Any]
) -> TextManifest:
    """Writes the files of `text/`.

    Args:
        folder: that they are to be in.
        network: of the text encoder.
        mapping: from its vectors to those of images.
        says: the other fields of the manifest.

    Raises:
        OSError: if they cannot be written.
    """
    arrays = {name: value for name, value in vars(mapping).items() if isinstance(value, np.ndarray)}
    names = mapping.names if isinstance(mapping, ClassNames) else mapping.labels
    contents = {NETWORK: as_npz(network), VOCABULARY: vocabulary(), MAP: as_npz(arrays)}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    manifest = TextManifest(names=names, files=digests, **says)
    values = manifest.model_dump(mode="json")
    text = json.dumps(values | {"digest": sha256_json(values)}, indent=1, ensure_ascii=False) + "\n"
    for name, data in {**contents, MANIFEST: text.encode()}.items():
        (folder / name).write_bytes(data)
    return manifest


def read_text_manifest(bundle: str | Path) -> TextManifest:
    """Reads `text/text.json` of an encoder.

    Raises:
        LookalikeError: if there is none, or it is damaged.
    """
    path = Path(bundle, TEXT, MANIFEST)
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES} bytes")
        values = parse_json(data)
        expected, found = values.pop("digest", None), sha256_json(values)
        values = {**values, "names": tuple(values.get("names", ()))}
    except FileNotFoundError:
        raise LookalikeError(
            f"Expected an encoder that can be asked in words. Received: {bundle}, which has no text encoder; "
            "`lookalike encoder text` adds one"
        ) from None
    except OSError as error:
        raise LookalikeError(f"The text encoder cannot be read: {error.strerror}: {path}") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise LookalikeError(f"The text encoder is damaged: {path} is no JSON of ours: {error}") from None
    if found != expected:
        raise LookalikeError(
            f"The text encoder is damaged: {path} should have digest {expected}. Received: {found}"
        )
    try:
        manifest = TextManifest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise LookalikeError(f"Expected other values in {path}. Received: {where}: {first['msg']}") from None
    if set(manifest.files) != set(_FILES):
        raise LookalikeError(f"Expected {', '.join(_FILES)} in {path}. Received: {sorted(manifest.files)}")
    return manifest


def read_text_file(bundle: str | Path, manifest: TextManifest, name: str) -> bytes:
    """The bytes of a file of `text/`. Raises LookalikeError if they are not those of its digest."""
    path, expected = Path(bundle, TEXT, name), manifest.files[name]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LookalikeError(f"The text encoder cannot be read: {error.strerror}: {path}") from None
    if (found := hashlib.sha256(data).hexdigest()) != expected:
        raise LookalikeError(
            f"The text encoder is damaged: {path} should have SHA-256 {expected}. Received: {found}"
        )
    return data


def check_text_files(bundle: str | Path) -> None:
    """Raises LookalikeError unless the files of `text/`, if that is there, are those of its manifest."""
    if Path(bundle, TEXT).is_dir():
        manifest = read_text_manifest(bundle)
        for name in _FILES:
            read_text_file(bundle, manifest, name)


def read_map(bundle: str | Path, manifest: TextManifest) -> ClassNames | Tower:
    """The map of `text/`.

    Raises:
        LookalikeError: if it is damaged, or its arrays are not those that it says.
    """
    path = Path(bundle, TEXT, MAP)
    arrays = read_npz(read_text_file(bundle, manifest, MAP), path, "the map of a text encoder")
    count, dim = len(manifest.names), manifest.dim
    if manifest.kind == "class names":
        shapes: dict[str, tuple[int, ...]] = {"texts": (count, DIM), "directions": (count, dim)}
    else:
        hidden = np.size(arrays.get("inner_bias", ()))
        shapes = {"inner": (DIM, hidden), "inner_bias": (hidden,), "outer": (hidden, dim)}
        shapes |= {"outer_bias": (dim,), "texts": (count, DIM)}
    for name, shape in shapes.items():
        array = arrays.get(name)
        if array is None or array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
            raise LookalikeError(
                f"Expected finite float32 {shape} as {name} in {path}. Received: "
                f"{'none' if array is None else f'{array.dtype} {array.shape}'}"
            )
    kept = {name: arrays[name] for name in shapes}
    if manifest.kind == "class names":
        return ClassNames(manifest.names, **kept)
    return Tower(labels=manifest.names, **kept)
