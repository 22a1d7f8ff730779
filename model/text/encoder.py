"""A text encoder, opened: texts to vectors among those of images, with a reason for each text that has none."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..encoder.manifest import TEXT, read_manifest
from ..encoder.npz import read_npz
from ..errors import LookalikeError
from .bundle import MAP, NETWORK, VOCABULARY, TextManifest, read_map, read_text_file, read_text_manifest
from .class_names import ClassNames
from .minilm import DIM, PIECES, MiniLM
from .tower import Tower
from .wordpiece import WordPiece, shortened


@dataclass(frozen=True)
class EncodedTexts:
    """Some texts, encoded.

    Attributes:
        vectors: array of shape (texts, dim), float32, unit length; NaN in the rows of `errors`.
        errors: position -> why there is no vector.
        understood: as what each text was taken, where that is told: the label that it went by, or names of classes.
        cut: positions of texts that are longer than what is read of them.
    """

    vectors: np.ndarray
    errors: dict[int, str]
    understood: list[str | None]
    cut: list[int]


class TextEncoder:
    """Texts to vectors. Open one with `TextEncoder.load`.

    Attributes:
        manifest: what it was made from.
    """

    def __init__(
        self, manifest: TextManifest, pieces: WordPiece, network: MiniLM, mapping: ClassNames | Tower
    ):
        self.manifest = manifest
        self._reader = TextReader(pieces, network)
        self._map = mapping

    @classmethod
    def load(cls, bundle: str | Path, encoder: str, threads: int | None = None) -> TextEncoder:
        """Opens the text encoder of a bundle after checking its digests. Unpickles nothing.

        Args:
            bundle: folder of the image encoder.
            encoder: fingerprint of the image encoder whose vectors are asked for.
            threads: that work at once; None is one for each core this process may use.

        Raises:
            LookalikeError: if there is none, it is damaged, or was made for another image encoder.
        """
        manifest = read_text_manifest(bundle)
        if manifest.encoder != encoder:
            raise LookalikeError(
                f"Expected a text encoder for the image encoder {encoder[:16]}. Received: in {Path(bundle, TEXT)} one "
                f"for {manifest.encoder[:16]}; `lookalike encoder text` makes it anew"
            )
        dim = read_manifest(bundle)["dim"]
        if manifest.dim != dim:
            raise LookalikeError(
                f"Expected a text encoder for the {dim} dimensions of the image encoder. Received: in "
                f"{Path(bundle, TEXT)} one for {manifest.dim}; `lookalike encoder text` makes it anew"
            )
        held = {name: read_text_file(bundle, manifest, name) for name in (NETWORK, VOCABULARY, MAP)}
        folder = Path(bundle, TEXT)
        arrays = read_npz(held[NETWORK], folder / NETWORK, "a text encoder")
        try:
            pieces, network = word_piece(held[VOCABULARY]), MiniLM(arrays, threads)
        except LookalikeError as error:
            raise LookalikeError(f"The text encoder in {folder} is damaged. {error}") from None
        return cls(manifest, pieces, network, read_map(bundle, manifest))

    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """Encodes texts. No vector depends on the other texts."""
        read = self._reader.read(texts)
        good = [place for place in range(len(texts)) if place not in read.errors]
        vectors = np.full((len(texts), self.manifest.dim), np.nan, np.float32)
        understood: list[str | None] = [None] * len(texts)
        if good:
            if isinstance(self._map, ClassNames):
                vectors[good], told = self._map.apply(read.vectors[good])
            else:
                vectors[good], told = self._map.apply(read.vectors[good], [texts[place] for place in good])
            for place, one in zip(good, told, strict=True):
                understood[place] = one
        return EncodedTexts(vectors, read.errors, understood, read.cut)


class TextReader:
    """Texts to vectors of their meaning, before those are brought among vectors of images."""

    def __init__(self, pieces: WordPiece, network: MiniLM) -> None:
        self._pieces, self._network = pieces, network

    def read(self, texts: Sequence[str]) -> EncodedTexts:
        """Vectors (texts, `minilm.DIM`); as `TextEncoder.encode`, with nothing understood."""
        errors: dict[int, str] = {}
        cut, tokens = [], {}
        for place, text in enumerate(texts):
            found = self._pieces.tokens(text)
            if reason := self._why_not(text, found):
                errors[place] = reason
                continue
            tokens[place] = shortened(found)
            if len(tokens[place]) < len(found):
                cut.append(place)
        vectors = np.full((len(texts), DIM), np.nan, np.float32)
        if tokens:
            vectors[list(tokens)] = self._network.encode(list(tokens.values()))
        return EncodedTexts(vectors, errors, [None] * len(texts), cut)

    def _why_not(self, text: str, tokens: Sequence[int]) -> str | None:
        """Why a text cannot be read; None if it can."""
        pieces = tokens[1:-1]
        if not pieces:
            return "the text is empty"
        if script := _foreign_script(text):
            return f"the text encoder reads English; most letters of this text are {script}"
        if all(piece == self._pieces.unknown for piece in pieces):
            return "the text encoder reads English, and knows no word of this text"
        return None


def word_piece(data: bytes) -> WordPiece:
    """The tokens of a file of pieces. Raises LookalikeError if it is none, or has more than the network knows."""
    try:
        pieces = data.decode().removesuffix("\n").split("\n")
        if len(pieces) > PIECES:
            raise ValueError(f"{len(pieces):,} pieces")
        return WordPiece(pieces)
    except (ValueError, KeyError) as error:
        raise LookalikeError(f"Expected the pieces of a text encoder. Received: {error}") from None


def _foreign_script(text: str) -> str | None:
    """The script of most letters, by its Unicode name; None where half of them are Latin, or there are none."""
    scripts: Counter[str] = Counter()
    for one in text:
        if unicodedata.category(one)[0] == "L":
            name = unicodedata.name(one, "").removeprefix("FULLWIDTH ")
            scripts[name.partition(" ")[0].capitalize()] += 1
    if 2 * scripts["Latin"] >= scripts.total():
        return None
    return scripts.most_common(1)[0][0]
