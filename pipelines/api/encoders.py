"""An encoder, opened: images of any kind to vectors."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple, overload

import numpy as np

from lookalike.model.encoder.bundle import BATCH, BATCH_BYTES
from lookalike.model.encoder.bundle import Encoder as Bundle
from lookalike.model.errors import LookalikeError
from lookalike.model.images import MAX_PIXELS
from lookalike.model.printable import printable

from ..filesystem.paths import AnyPath, plain
from ..query.fetching import UnreadableError
from .images import each_image, file_of, name_of

if TYPE_CHECKING:
    from .images import Image

OnError = Literal["raise", "collect"]
Variant = Literal["int8", "openvino", "float"]


class Encoded(NamedTuple):
    """Images that were encoded, and those that could not be.

    Attributes:
        vectors: float32 (images, dimensions); NaN in the rows of `errors`.
        errors: position, from 0 -> why there is no vector.
    """

    vectors: np.ndarray
    errors: dict[int, str]


class Encoder:
    """Images to vectors, on all cores; `open_encoder` opens one.

    Attributes:
        name: what people call it.
        dimensions: length of a vector.
        unit_length: whether vectors have length 1, so that their dot product is the cosine.
        fingerprint: digest of everything that decides a vector. Vectors of two fingerprints cannot be compared.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._process = os.getpid()
        self.name = bundle.name
        self.dimensions = bundle.dim
        self.unit_length = bundle.unit_length
        self.fingerprint = bundle.fingerprint

    def __repr__(self) -> str:
        return printable(
            f"<lookalike.Encoder {self.name} {self.fingerprint[:16]}, {self.dimensions} dimensions>"
        )

    @overload
    def encode(
        self, images: Image | Iterable[Image], *, errors: Literal["raise"] = "raise"
    ) -> np.ndarray: ...

    @overload
    def encode(self, images: Image | Iterable[Image], *, errors: Literal["collect"]) -> Encoded: ...

    def encode(self, images: Image | Iterable[Image], *, errors: OnError = "raise") -> np.ndarray | Encoded:
        """The vectors of images: of one, or of many, of which a generator may give one after another.

        >>> import lookalike
        >>> encoder = lookalike.open_encoder("encoder")
        >>> encoder.encode("photos/p00.jpg").shape
        (1, 16)
        >>> import numpy as np
        >>> from PIL import Image
        >>> with open("photos/p00.jpg", "rb") as file:
        ...     mixed = [file.read(), Image.open("photos/p03.png"), np.zeros((40, 48, 3), np.uint8), "gone.jpg"]
        >>> vectors, errors = encoder.encode(mixed, errors="collect")
        >>> vectors.shape, errors
        ((4, 16), {3: 'No such file or directory: gone.jpg'})

        Pixels give the vector of a PNG of them. A JPEG may be decoded at a half or less of its size where the network
        needs no more, so that its own bytes, or its path, are read faster than its pixels, and give a vector that
        differs in its third digit or so: give files, as the jobs do, where the two are to be compared.

        Args:
            images: each the bytes of a file; a path or a URL; a file, open in binary; a PIL image, which is turned as
                its EXIF tells; or an array of uint8, (height, width), (height, width, 1), (height, width, 3) in RGB or
                (height, width, 4) in RGBA. An array of four dimensions is many.
            errors: `raise`, or `collect` the images that cannot be read, and go on.

        Returns:
            float32 (images, dimensions), one row for one image; or `Encoded`, if errors are collected.

        Raises:
            LookalikeError: naming the position, for what is no image; and for the first that cannot be read, unless
                errors are collected.
        """
        check_on_error(errors)
        parts = [np.empty((0, self.dimensions), np.float32)]
        found: dict[int, str] = {}
        for vectors, wrong in self.batches(images, errors):
            before = sum(map(len, parts))
            found |= {before + i: error for i, (_, error) in wrong.items()}
            parts.append(vectors)
        joined = np.concatenate(parts)
        return Encoded(joined, found) if errors == "collect" else joined

    def batches(
        self, images: Image | Iterable[Image], errors: OnError = "collect"
    ) -> Iterator[tuple[np.ndarray, dict[int, tuple[str, str]]]]:
        """The same a few at a time: vectors, and row -> stage and error of those that could not be read."""
        if os.getpid() != self._process:  # whose threads a fork does not have: it would wait for ever
            raise LookalikeError(
                "Expected the process that opened the encoder. Received: one that was forked from it; open it there"
            )
        waiting: deque[tuple[list[str], dict[int, str]]] = deque()

        def read() -> Iterator[list[bytes]]:
            batch: list[bytes] = []
            names: list[str] = []
            unread: dict[int, str] = {}
            for position, image in enumerate(each_image(images)):
                data = file_of(image, position)
                if isinstance(data, UnreadableError):
                    unread[len(batch)] = str(data)
                    data = b""
                names.append(name_of(image, position))
                batch.append(data)
                if len(batch) == BATCH or sum(map(len, batch)) > BATCH_BYTES:
                    waiting.append((names, unread))
                    yield batch
                    batch, names, unread = [], [], {}
            if batch:
                waiting.append((names, unread))
                yield batch

        for found in self.bundle.map(read()):
            names, unread = waiting.popleft()
            wrong = {i: ("decode", error) for i, error in found.errors.items()}
            wrong |= {i: ("read", error) for i, error in unread.items()}
            if wrong and errors == "raise":
                first = min(wrong)
                raise LookalikeError(f"Expected an image at {names[first]}. Received: {wrong[first][1]}")
            yield found.vectors, wrong


def open_encoder(
    folder: AnyPath,
    *,
    variant: Variant | None = None,
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Encoder:
    """Opens an encoder that `lookalike encoder build` or `build_encoder` made. Runs no code from it.

    >>> import lookalike
    >>> encoder = lookalike.open_encoder("encoder")
    >>> encoder.name, encoder.dimensions
    ('tiny', 16)

    From then on NumPy's own linear algebra uses one core in this process, as the encoder's threads use them all.

    Args:
        folder: of the encoder.
        variant: `int8`, `openvino` or `float`; None is the one it was built for. Each has a fingerprint of its own.
        threads: worker threads; None is one for each core.
        max_pixels: larger images are refused from their header.

    Raises:
        LookalikeError: if it is no whole, unchanged encoder.
    """
    return Encoder(Bundle.load(plain(folder), variant=variant, threads=threads, max_pixels=max_pixels))


def check_on_error(errors: str) -> None:
    """Raises LookalikeError for what is no `OnError`."""
    if errors not in ("raise", "collect"):
        raise LookalikeError(f"Expected errors to be raise or collect. Received: {errors!r}")
