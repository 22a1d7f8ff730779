"""The steps around the search in an encoder bundle: from the user's words, and changed in a bundle that is there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lookalike.model.encoder.manifest import MANIFEST, manifest_digest, read_manifest
from lookalike.model.encoder.post_processing import (
    KEY,
    DatabaseAugmentation,
    PostProcessing,
    QueryExpansion,
    Reranking,
    post_processing_json,
    read_post_processing,
)
from lookalike.model.errors import LookalikeError

from ..filesystem import files

OFF = "off"


def parsed(augmentation: str | None, expansion: str | None, reranking: str | None) -> Mapping[str, Any]:
    """The steps that are named, as fields of `PostProcessing`; None for one that is switched off.

    Raises:
        LookalikeError: naming the option and what is allowed.
    """
    given = {
        "database_augmentation": (DatabaseAugmentation, augmentation),
        "query_expansion": (QueryExpansion, expansion),
        "reranking": (Reranking, reranking),
    }
    return {name: _step(name, kind, text) for name, (kind, text) in given.items() if text is not None}


def change(folder: Path, steps: Mapping[str, Any]) -> PostProcessing:
    """Changes the steps that are named in a bundle, and no other; its fingerprint stays.

    Returns:
        All steps, as they are now.

    Raises:
        LookalikeError: if it is not a whole bundle.
        OSError: if it cannot be written.
    """
    manifest = read_manifest(folder)
    settings = PostProcessing(**{**dict(read_post_processing(manifest)), **steps})
    if steps:
        manifest[KEY] = post_processing_json(settings)
        manifest["digest"] = manifest_digest(manifest)
        files.write_bytes(str(folder / MANIFEST), (json.dumps(manifest, indent=2) + "\n").encode())
    return settings


def _step(name: str, kind: type[Any], text: str) -> Any:
    if text == OFF:
        return None
    option, fields = f"--{name.replace('_', '-')}", list(kind.model_fields)
    try:
        numbers = [json.loads(part) for part in text.split(",")]
        return kind.model_validate(dict(zip(fields[: len(numbers)], numbers, strict=True)))
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": Value error, ")
    except ValueError:
        reason = f"expected numbers: {','.join(fields)}, or {OFF}"
    raise LookalikeError(f"{option}: {reason}. Received: {text}")
