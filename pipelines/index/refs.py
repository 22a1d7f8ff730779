"""How a generation names an index shard and its addition: told from their manifests, which workers left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from ..filesystem import files
from ..store.generation import IndexRef
from ..store.index_manifest import MANIFEST, IndexManifest, SearchSettings, parse_manifest

BASE = "base.json"
"""In the folder of an addition: the `IndexRef` of the index shard that it stands beside."""


def index_ref(root: str, path: str) -> IndexRef:
    """The index shard in a folder of the store `root`. Raises LookalikeError if it is damaged, OSError."""
    return _read(root, path)[0]


def grown_refs(root: str, path: str) -> list[IndexRef]:
    """The index shard that an addition stands beside, and the addition in this folder. Raises as `index_ref`."""
    addition, manifest = _read(root, path)
    name = files.join(root, path, BASE)
    data = files.read_bytes(name)
    files.check_digest(name, data, manifest.files[BASE].sha256)
    base = IndexRef.from_json(json.loads(data))
    return [base, replace(addition, added_to=base.path)]


def ref_of(path: str, sha256: str, manifest: IndexManifest) -> IndexRef:
    """An index shard as it was built, by its folder, its manifest and the digest of that."""
    return IndexRef(
        path=path,
        manifest_sha256=sha256,
        count=manifest.count,
        algorithm=manifest.parameters.algorithm,
        recall=min(settings.recall for settings in manifest.settings),
        recalls=_lowest(manifest.settings),
        best_approximate=min(
            (s.best_approximate for s in manifest.settings if s.best_approximate is not None), default=None
        ),
    )


def _read(root: str, path: str) -> tuple[IndexRef, IndexManifest]:
    data = files.read_bytes(files.join(root, path, MANIFEST))
    manifest = parse_manifest(data, path)
    return ref_of(path, files.sha256_bytes(data), manifest), manifest


def _lowest(settings: Sequence[SearchSettings]) -> dict[str, float]:
    """Kind of query -> the lowest recall at any k."""
    kinds = {kind for one in settings for kind in one.recalls}
    return {kind: min(s.recalls[kind].mean for s in settings if kind in s.recalls) for kind in sorted(kinds)}
