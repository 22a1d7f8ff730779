"""What a run would do: which shards there are, and which of them are embedded already.

Reads listings and notes only; neither Beam nor TensorFlow is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from lookalike.model.digests import sha256_json
from lookalike.model.encoder.manifest import fingerprint, read_manifest
from lookalike.model.encoder.post_processing import DatabaseAugmentation, read_post_processing
from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..sources import find_shards
from ..sources.fields import escape
from ..sources.folder import check_outside
from ..sources.shard_list import ShardList
from ..store.note_listing import finished_shards
from ..store.notes import EmbeddedShard


@dataclass(frozen=True, eq=False)
class Plan:
    """The corpus as it is now, against the store.

    Attributes:
        fingerprint: of the encoder.
        encoder_name: what people call it.
        dim: length of its vectors.
        options_digest: digest of how records are read.
        shards: all shards of the corpus, in order of their names.
        finished: which of them need no work, bool (shards,).
        notes: of those, in the same order.
        stored: all notes of the encoder in the store, the newest last.
        augmentation: what the index does to the vectors of its items; None for nothing.
        are_kept: whether the file of all notes is as `note_listing.keep_notes` would leave it.
        is_listed: whether the store's files were seen; else the file of all notes was taken at its word.
    """

    fingerprint: str
    encoder_name: str
    dim: int
    options_digest: str
    shards: ShardList
    finished: np.ndarray
    notes: Sequence[EmbeddedShard]
    stored: Sequence[EmbeddedShard]
    augmentation: DatabaseAugmentation | None = None
    are_kept: bool = False
    is_listed: bool = True

    @property
    def missing(self) -> ShardList:
        """The shards that must be embedded."""
        return self.shards.take(np.flatnonzero(~self.finished))


def make_plan(config: Config, trust: str | None = None) -> Plan:
    """Lists the corpus and looks for what the store has of it.

    On an object store its files are listed only where the file of all notes cannot be taken at its word, and with
    `gates.digests: all`, which wants all of them looked at.

    Args:
        config: the job.
        trust: `metadata` or `content`, in place of `corpus.trust`.

    Raises:
        LookalikeError: if a shard pattern matches nothing, a name is not UTF-8, the store lies among the images, or the
            encoder is no bundle, or wants augmentation of vectors that are not compared by cosine.
    """
    manifest = read_manifest(config.encoder)
    encoder = fingerprint(manifest)
    augmentation = read_post_processing(manifest).database_augmentation
    if augmentation and config.metric != "cosine":
        raise LookalikeError(
            f"Database augmentation, which the encoder {config.encoder} asks for, needs metric: cosine. "
            f"Received: {config.metric}; `lookalike encoder tune` switches it off"
        )
    options = asdict(config.corpus.source_options())
    # How a folder is cut into shards is in their names, whether a link is followed in their tokens; what matters here
    # is what a record becomes.
    del options["images_per_shard"], options["format"], options["follow_links"]
    digest = sha256_json({**options, "max_pixels": config.corpus.max_pixels})
    shards = find_shards(config.corpus.shards, config.corpus.source_options())
    check_outside(shards, "a store", config.store)
    for shard in shards:
        # Tables and manifests hold the names as text.
        if escape(shard.name) != shard.name:
            raise LookalikeError(f"Expected names of shards in UTF-8. Received: {escape(shard.place)}")
    look = config.gates.digests == "all"
    stored, are_kept, is_listed = finished_shards(config.store, encoder, look)
    note_of = np.full(len(shards), -1)
    if (trust or config.corpus.trust) == "metadata":
        places = {shard.name: place for place, shard in enumerate(shards)}
        for number, note in enumerate(stored):
            place = places.get(note.shard)
            if place is not None and note.options == digest and note.token == shards[place].token:
                note_of[place] = number
    finished = note_of >= 0
    return Plan(
        encoder,
        manifest["name"],
        manifest["dim"],
        digest,
        ShardList.of(shards),
        finished,
        stored.take(note_of[finished]),
        stored,
        augmentation,
        are_kept,
        is_listed,
    )
