"""Stores made by hand in milliseconds: real embedding files, real tiny indexes, real manifests, no network."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.exceptions import AlreadyExistsError, PreconditionError

from lookalike.embedding.writer import EmbeddingWriter
from lookalike.filesystem import files, stores
from lookalike.index.duplicates import write_duplicates
from lookalike.index.shard import ShardContent, open_index_shard, save, write_index_shard
from lookalike.index.tuning import BuildOptions
from lookalike.sources.records import Reject
from lookalike.store.generation import (
    FORMAT,
    Generation,
    HiddenRows,
    IndexRef,
    current_name,
    generation_name,
    publish,
    write_shards,
)
from lookalike.store.generations import served_notes
from lookalike.store.hidden import written_rows
from lookalike.store.notes import COUNTS, EmbeddedShard, note_path, write_note

ENCODER = "e" * 64
DIM = 4
FIRST_NIGHT = datetime(2026, 1, 1, 2, tzinfo=timezone.utc)


def a_note(**fields: Any) -> EmbeddedShard:
    """The note of a shard of four records; `fields` are other than usual."""
    usual: dict[str, Any] = {
        "shard": "a.tar",
        "token": "1",
        "digest": "d",
        "encoder": ENCODER,
        "options": "o",
        "path": f"embeddings/{ENCODER[:16]}/a.parquet",
        "sha256": "0" * 64,
        "rejects_path": f"embeddings/{ENCODER[:16]}/a.rejects.parquet",
        "rejects_sha256": "0" * 64,
        **dict(zip(COUNTS, (4, 2, 0, 1, 1), strict=True)),
        "reasons": {"decode": 1, "duplicate": 1},
        "damaged": None,
        "bytes": 10,
        "seconds": {"read": 0.5, "decode": 1.0, "network": 2.0, "write": 0.25},
    }
    return EmbeddedShard(**usual | fields)


class SmallStore:
    """A store in which an image shard is a letter with a version, such as `a0`.

    Args:
        root: its folder; need not exist.

    Attributes:
        format: of the manifests to come.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = str(root)
        self.format: Literal[1, 2, 3] = FORMAT

    def ids(self, shard: str) -> list[str]:
        return [f"{shard}-0", f"{shard}-1"]

    def embed(self, shard: str) -> EmbeddedShard:
        """Two embeddings, a reject and a duplicate; the same shard always gives the same bytes."""
        writer = EmbeddingWriter(self.path, f"{shard[0]}.tar", ENCODER, DIM, {})
        for number, item_id in enumerate(self.ids(shard)):
            writer.add((item_id, "0" * 64, 8, 8), np.eye(DIM)[number])
        writer.reject(Reject("broken", 2, "decode", "no picture"))
        writer.reject(Reject(f"{shard}-0", 3, "duplicate", "twice"))
        note = EmbeddedShard(
            **writer.close(shard, "options"),
            token="1",
            **dict(zip(COUNTS, (4, 2, 0, 1, 1), strict=True)),
            reasons={"decode": 1, "duplicate": 1},
            damaged=None,
            bytes=10,
            seconds={},
        )
        write_note(self.path, note)
        return note

    def index(self, shards: Iterable[str]) -> IndexRef:
        shards = sorted(shards)
        path = f"indexes/00000-of-00001-{'-'.join(shards) or 'empty'}"
        folder = self.root / path
        if not folder.exists():
            ids = [item_id for shard in shards for item_id in self.ids(shard)]
            items = pa.table({"item_id": pa.array(ids, pa.string())})
            vectors = np.tile(np.eye(2, DIM, dtype=np.float32), (len(shards), 1))
            write_index_shard(str(folder), ShardContent(items, vectors, "cosine", ENCODER), BuildOptions())
        sha256 = files.sha256(str(folder / "manifest.json"))
        return IndexRef(path, sha256, 2 * len(shards), "brute_force", None)

    def grown(self, before: Iterable[str], shards: Iterable[str]) -> tuple[IndexRef, IndexRef]:
        """The index shard of what was there before, and its addition for what is there now."""
        before, shards = set(before), set(shards)
        base, new = self.index(before), self.index(shards - before)
        gone = pa.array([item_id for shard in before - shards for item_id in self.ids(shard)], pa.string())
        rows = np.sort(open_index_shard(str(self.root / base.path)).rows_of(gone))
        path = f"{base.path}-to-{'-'.join(sorted(shards))}-added"
        folder = self.root / path
        if not folder.exists():
            content = {"hidden.npy": written_rows(rows)}
            save(str(folder), open_index_shard(str(self.root / new.path)), content)
        hidden = HiddenRows(f"{path}/hidden.npy", files.sha256(str(folder / "hidden.npy")), len(rows))
        sha256 = files.sha256(str(folder / "manifest.json"))
        return (
            replace(base, count=base.count - len(rows), hidden=hidden),
            replace(new, path=path, manifest_sha256=sha256, added_to=base.path),
        )

    def publish(
        self, night: int, shards: Iterable[str], seal: bool = True, before: Iterable[str] = ()
    ) -> Generation:
        """Publishes these shards as the generation of a night, numbered from 0.

        Their index shard is the one of the shards that were there before, if any are named, with an addition.
        """
        notes = tuple(self.embed(shard) for shard in sorted(shards))
        refs = self.grown(before, shards) if before else (self.index(shards),)
        now = FIRST_NIGHT + timedelta(days=night)
        counts = {kind: sum(getattr(note, kind) for note in notes) for kind in COUNTS}
        name = generation_name(now, f"{night:08}")
        generation = Generation(
            format=self.format,
            name=name,
            created=now.isoformat(timespec="seconds"),
            encoder=ENCODER,
            encoder_name="tiny",
            dim=DIM,
            metric="cosine",
            metadata={},
            counts={**counts, "items": sum(ref.count for ref in refs)},
            shards=notes if self.format == 1 else write_shards(self.path, name, notes),
            duplicates=0,
            indexes=refs,
            previous=current_name(self.path),
        )
        folder = self.root / "generations" / generation.name
        write_duplicates(str(folder / "duplicates.parquet"), (), notes)
        publish(self.path, generation)
        if seal:
            digest = files.sha256(str(folder / "manifest.json"))
            files.write_bytes(str(folder / "manifest.sha256"), f"{digest}\n".encode())
        return generation

    @property
    def current(self) -> str | None:
        return current_name(self.path)

    @property
    def files(self) -> set[str]:
        """Every file, hidden ones too, relative to the store."""
        return {
            os.path.relpath(os.path.join(folder, name), self.root)
            for folder, _, names in os.walk(self.root)
            for name in names
        }

    def files_of(self, generation: Generation) -> set[str]:
        """The files that a generation is made of."""
        notes = served_notes(self.path, generation)
        of_shards = {path for n in notes for path in (n.path, n.rejects_path, note_path(n.path))}
        folders = [f"generations/{generation.name}", *(ref.path for ref in generation.indexes)]
        return of_shards.union(*({f for f in self.files if f.startswith(d + "/")} for d in folders))

    def age(self, days: float, now: float) -> None:
        """Makes every file look as old as this."""
        for name in self.files:
            os.utime(self.root / name, (now - days * 86400,) * 2)


def write_ids(path: Path, ids: Sequence[str], **options: Any) -> None:
    """An embedding file of nothing but what is compared with others: ids, and contents that are named by them."""
    contents = [hashlib.sha256(item_id.encode()).hexdigest() for item_id in ids]
    sides = pa.array([8] * len(ids), pa.int32())
    columns = {"item_id": pa.array(ids, pa.string()), "content_hash": pa.array(contents, pa.string())}
    pq.write_table(pa.table({**columns, "width": sides, "height": sides}), path, **options)


def flip(path: Path, at: int) -> bytes:
    """Changes one bit of a file; gives what it was."""
    before = path.read_bytes()
    changed = bytearray(before)
    changed[at] ^= 4
    path.write_bytes(changed)
    return before


class Bucket:
    """All object stores, in memory, in the place of obstore's; its clock stands still.

    Args:
        patch: pytest's `monkeypatch`, which puts it there; `mem` is a scheme for as long.

    Attributes:
        objects: URL -> (content, seconds since 1970).
        now: seconds since 1970, given to what is written.
        opened: URLs of what was read, in order.
    """

    def __init__(self, patch: Any) -> None:
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.now = 1_800_000_000.0
        self.opened: list[str] = []
        patch.setitem(stores.SCHEMES, "mem", "MemoryStore")
        patch.setattr(stores, "_store", functools.cache(lambda bucket, seconds: _Store(self, bucket)))

    def upload(self, folder: Path, url: str) -> None:
        """Copies a local store."""
        for path in (p for p in folder.rglob("*") if p.is_file()):
            self.objects[f"{url}/{path.relative_to(folder)}"] = (path.read_bytes(), self.now)


class _Store:
    """A bucket of it, as obstore's stores are asked."""

    def __init__(self, bucket: Bucket, url: str) -> None:
        self.bucket, self.url = bucket, url

    def _meta(self, key: str) -> dict[str, Any]:
        content, modified = self.bucket.objects[f"{self.url}/{key}"]
        tag = hashlib.sha256(content + str(modified).encode()).hexdigest()
        when = datetime.fromtimestamp(modified, timezone.utc)
        return {"path": key, "size": len(content), "e_tag": tag, "version": None, "last_modified": when}

    def head(self, key: str) -> dict[str, Any]:
        if f"{self.url}/{key}" not in self.bucket.objects:
            raise FileNotFoundError(key)
        return self._meta(key)

    def get(self, key: str, options: Any = None) -> Any:
        meta = self.head(key)
        self.bucket.opened.append(f"{self.url}/{key}")
        asked = options or {}
        if asked.get("if_match") not in (None, meta["e_tag"]):
            raise PreconditionError(key)
        content = self.bucket.objects[f"{self.url}/{key}"][0]
        start, end = (of["offset"], None) if isinstance(of := asked.get("range"), dict) else of or (0, None)
        piece = content[start:end]
        return SimpleNamespace(
            meta=meta, bytes=lambda: piece, stream=lambda size: iter([piece] if piece else [])
        )

    def put(self, key: str, content: Any, mode: Any = None, **_: Any) -> None:
        there = f"{self.url}/{key}" in self.bucket.objects
        if mode == "create" and there:
            raise AlreadyExistsError(key)
        if isinstance(mode, dict) and not (there and mode["e_tag"] == self._meta(key)["e_tag"]):
            raise PreconditionError(key)
        data = content if isinstance(content, bytes) else content.read()
        self.bucket.objects[f"{self.url}/{key}"] = (data, self.bucket.now)

    def delete(self, keys: str | list[str]) -> None:
        for key in [keys] if isinstance(keys, str) else keys:
            self.head(key)
            del self.bucket.objects[f"{self.url}/{key}"]

    def list(self, prefix: str | None = None, chunk_size: int = 50) -> Iterator[list[dict[str, Any]]]:
        begins = f"{self.url}/{f'{prefix}/' if prefix else ''}"
        found = sorted(url for url in self.bucket.objects if url.startswith(begins))
        yield [self._meta(url[len(self.url) + 1 :]) for url in found]

    def list_with_delimiter(self, prefix: str | None = None) -> dict[str, Any]:
        begins = f"{prefix}/" if prefix else ""
        [found] = self.list(prefix)
        deep = {
            begins + one["path"][len(begins) :].split("/")[0]
            for one in found
            if "/" in one["path"][len(begins) :]
        }
        return {
            "objects": [one for one in found if "/" not in one["path"][len(begins) :]],
            "common_prefixes": sorted(deep),
        }
