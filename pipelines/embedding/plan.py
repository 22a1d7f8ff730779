"""What a run would do: which shards there are, and which of them are embedded already.

Reads listings and notes only; neither Beam nor TensorFlow is imported.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from lookalike.model.digests import sha256_json
from lookalike.model.encoder.manifest import fingerprint, read_manifest
from lookalike.model.encoder.post_processing import DatabaseAugmentation, read_post_processing
from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..sources import Shard, find_shards
from ..sources.fields import escape
from ..store.notes import EmbeddedShard, finished_shards


@dataclass(frozen=True)
class Plan:
    """The corpus as it is now, against the store.

    Attributes:
        fingerprint: of the encoder.
        encoder_name: what people call it.
        dim: length of its vectors.
        options_digest: digest of how records are read.
        shards: all shards of the corpus, in order of their names.
        finished: shard name -> its embedding file's note, for those that need no work.
        stored: all notes of the encoder in the store, the newest last.
        augmentation: what the index does to the vectors of its items; None for nothing.
    """

    fingerprint: str
    encoder_name: str
    dim: int
    options_digest: str
    shards: tuple[Shard, ...]
    finished: dict[str, EmbeddedShard]
    stored: tuple[EmbeddedShard, ...]
    augmentation: DatabaseAugmentation | None = None

    @property
    def missing(self) -> list[Shard]:
        """The shards that must be embedded."""
        return [shard for shard in self.shards if shard.name not in self.finished]

    @property
    def earlier(self) -> dict[str, EmbeddedShard]:
        """Shard name -> the newest note of any content that a shard of this name had."""
        return {note.shard: note for note in self.stored}

    @property
    def notes(self) -> list[EmbeddedShard]:
        """The notes of the finished shards, in the order of `shards`."""
        return [self.finished[shard.name] for shard in self.shards if shard.name in self.finished]


def make_plan(config: Config, trust: str | None = None) -> Plan:
    """Lists the corpus and looks for what the store has of it.

    Args:
        config: the job.
        trust: `metadata` or `content`, in place of `corpus.trust`.

    Raises:
        LookalikeError: if a shard pattern matches nothing, a name is not UTF-8, or the encoder is no bundle, or wants
            augmentation of vectors that are not compared by cosine.
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
    shards = tuple(find_shards(config.corpus.shards, config.corpus.source_options()))
    for shard in shards:
        # Tables and manifests hold the names as text.
        if escape(shard.name) != shard.name:
            raise LookalikeError(f"Expected names of shards in UTF-8. Received: {escape(shard.place)}")
    tokens = {(shard.name, shard.token) for shard in shards}
    notes = finished_shards(config.store, encoder)
    trusted = (trust or config.corpus.trust) == "metadata"
    finished = {
        note.shard: note
        for note in notes
        if trusted and note.options == digest and (note.shard, note.token) in tokens
    }
    return Plan(
        encoder, manifest["name"], manifest["dim"], digest, shards, finished, tuple(notes), augmentation
    )
