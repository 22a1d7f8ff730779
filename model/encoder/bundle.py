"""The encoder bundle, opened: image bytes to vectors, with a reason for each image that could not be read."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ..cores import cores
from ..errors import ImageError, LookalikeError
from ..images import MAX_PIXELS
from ..images.boxes import PartOfImage
from ..images.preprocess import parse_spec
from ..images.test_time_augmentation import TestTimeAugmentation, read_pixels
from ..memory import keep_freed_memory
from ..networks.pooling import gem
from .manifest import (
    GRAPH,
    MANIFEST,
    OPENVINO,
    PROJECTION,
    SAVED_MODEL,
    TFLITE,
    VARIANTS,
    WEIGHTS,
    check_files,
    fingerprint,
    read_listed,
    read_manifest,
)
from .openvino import OpenVinoNetwork
from .projection import Projection, unit_length
from .runtimes import FloatNetwork, Int8Network

BATCH = 8
"""Images a network call. With one thread a core, 8 was the fastest: 327 images/s on 2 cores, decoding included."""
BATCH_BYTES = 16 << 20
"""Encoded bytes from which a batch is full; eight photographs have 1 to 40 MB."""
WAITING_BYTES = 128 << 20
"""Encoded bytes from which a reader waits for the threads; a batch alone may have more."""


@dataclass(frozen=True)
class EncodedBatch:
    """Some images, encoded.

    Attributes:
        vectors: array of shape (n, dim), float32; NaN in the rows of `errors`.
        errors: position in the batch -> why there is no vector.
        sizes: array of shape (n, 2), int32: width and height of the original in pixels, 0 if it could not be
            decoded.
        decode_seconds, network_seconds: time of the one thread that did it.
    """

    vectors: np.ndarray
    errors: dict[int, str]
    sizes: np.ndarray
    decode_seconds: float
    network_seconds: float


class Encoder:
    """Image bytes to vectors, on all cores. Open one with `Encoder.load`.

    Opening one limits NumPy's BLAS in this process to one thread a call, and lets glibc keep some of what is freed.

    Attributes:
        name: what people call it.
        dim: length of a vector.
        unit_length: whether vectors have length 1.
        fingerprint: digest of everything that decides a vector's numbers. Vectors of two fingerprints must
            never be compared.
        threads: worker threads; each decodes and runs its own single-threaded interpreter.
        network, pooling, projection: what comes one behind the other between pixels and vector; the projection may
            be None.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any], variant: str, threads: int, max_pixels: int):
        self._folder = folder
        self.name = str(manifest["name"])
        self.dim = int(manifest["dim"])
        self.unit_length = bool(manifest["unit_length"])
        self.preprocess = parse_spec(manifest["preprocessing"])
        self.variant = variant
        self.fingerprint = fingerprint(manifest, variant)
        self.threads = threads
        self.pooling = manifest["pooling"]
        self._test_time_augmentation = TestTimeAugmentation.from_manifest(manifest.get("views"))
        self._scales = self._test_time_augmentation.preprocessings(self.preprocess)
        self.max_pixels = max_pixels
        self.projection = None
        if manifest["projection"]:
            self.projection = Projection.load(folder / PROJECTION, read_listed(folder, manifest, PROJECTION))
        self.network: Int8Network | OpenVinoNetwork | FloatNetwork
        if variant == "int8":
            self.network = Int8Network(read_listed(folder, manifest, TFLITE), folder / TFLITE, BATCH)
        elif variant == "openvino":
            xml, weights = (read_listed(folder, manifest, name) for name in (OPENVINO, WEIGHTS))
            self.network = OpenVinoNetwork(xml, weights, folder / OPENVINO, BATCH, manifest["instructions"])
        else:
            self.network = FloatNetwork(_float_files(folder, manifest), folder / GRAPH, BATCH)
        self._check_shapes(folder)
        self._pool: ThreadPoolExecutor | None = None
        # The threads of `map` fill the cores already. NumPy's BLAS would add its own, which spin while they
        # wait: that took 13.7 instead of 7.1 ms of processor time an image.
        threadpool_limits(1, user_api="blas")
        keep_freed_memory()

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        variant: str | None = None,
        threads: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> Encoder:
        """Opens a bundle after checking the digest of every file. Runs no code from it and unpickles nothing.

        Args:
            folder: the bundle.
            variant: `int8`, `openvino` or `float`; None is the one the bundle was built for.
            threads: worker threads; None is one for each core this process may use.
            max_pixels: an image of more pixels is refused from its header.

        Raises:
            LookalikeError: if it is not a whole, unchanged bundle.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        variant = variant or manifest["variant"]
        if variant not in VARIANTS:
            raise LookalikeError(f"Expected an encoder variant of {VARIANTS}. Received: {variant}")
        check_files(folder, manifest, variant)
        return cls(folder, manifest, variant, threads or cores(), max_pixels)

    def _check_shapes(self, folder: Path) -> None:
        """Raises LookalikeError unless pixels, network, projection and vector fit one another."""
        height, width, channels = self.preprocess.height, self.preprocess.width, 3
        rank = 4 if self.pooling == "gem" else 2
        source, target = self.network.input_shape, self.network.output_shape
        if source[1:] != (height, width, channels) or len(target) != rank or not target[-1]:
            raise LookalikeError(
                f"Expected a network from ({height}, {width}, {channels}) to {rank} dimensions in {folder}. "
                f"Received: {source[1:]} to {len(target)} dimensions"
            )
        projected = self.projection.components_.shape if self.projection else (target[-1], target[-1])
        if projected != (self.dim, target[-1]):
            raise LookalikeError(
                f"Expected vectors of {self.dim} dimensions from {target[-1]} features, as {folder / MANIFEST} says. "
                f"Received: a network and a projection for {projected[0]} from {projected[1]}"
            )

    def map(
        self, batches: Iterable[Sequence[bytes | PartOfImage]], *, suspect: bool = False
    ) -> Iterator[EncodedBatch]:
        """Encodes batches of at most `BATCH` images on all threads; results come in the order of the input.

        How many it takes ahead of what has been consumed is bounded: see `is_far_ahead`. `suspect` is as for
        `encode_batch`.
        """
        running: deque[tuple[int, Future[EncodedBatch]]] = deque()
        try:
            for batch in batches:
                running.append((sum(map(len, batch)), self.submit(batch, suspect=suspect)))
                while is_far_ahead([size for size, _ in running], self.threads):
                    yield running.popleft()[1].result()
            while running:
                yield running.popleft()[1].result()
        finally:
            for _, future in running:
                future.cancel()

    def submit(self, images: Sequence[bytes | PartOfImage], *, suspect: bool = False) -> Future[EncodedBatch]:
        """Starts `encode_batch` on a worker thread."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="encode")
        return self._pool.submit(self.encode_batch, images, suspect=suspect)

    def encode_batch(self, images: Sequence[bytes | PartOfImage], *, suspect: bool = False) -> EncodedBatch:
        """Encodes at most `BATCH` images on the calling thread.

        Args:
            images: the encoded images, or parts of some.
            suspect: whether one of them may be what ended a process before; none is decoded in this one then.
        """
        if len(images) > BATCH:
            raise ValueError(f"Expected at most {BATCH} images. Received: {len(images)}")
        started = time.perf_counter()
        size = (self.preprocess.height, self.preprocess.width)
        pixels = np.zeros((len(images), len(self._scales), *size, 3), np.uint8)
        sizes = np.zeros((len(images), 2), np.int32)
        errors: dict[int, str] = {}
        for i, image in enumerate(images):
            try:
                pixels[i], *sizes[i] = read_pixels(
                    self._scales, image, max_pixels=self.max_pixels, suspect=suspect
                )
            except ImageError as error:
                errors[i] = str(error)
        decoded = time.perf_counter()
        vectors = np.full((len(images), self.dim), np.nan, np.float32)
        good = [i for i in range(len(images)) if i not in errors]
        if good:
            vectors[good] = self.encode_pixels(pixels[good])
        for i in good:
            if not np.isfinite(vectors[i]).all():
                errors[i] = "the network gave no finite vector"
            elif self.unit_length and not vectors[i].any():
                errors[i] = "the network gave a vector of zeros, which has no direction"
        vectors[list(errors)] = np.nan
        return EncodedBatch(vectors, errors, sizes, decoded - started, time.perf_counter() - decoded)

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Encodes images that went through the geometry of the preprocessing spec.

        Args:
            pixels: array of shape (n, scales, height, width, 3), uint8; without other scales, scales is 1.

        Returns:
            Array of shape (n, dim), float32.
        """
        features = self.features(pixels)
        vectors = features if self.projection is None else self.projection.apply(features)
        return unit_length(vectors) if self.unit_length else vectors

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """What the projection gets, from pixels as for `encode_pixels`: float32 (n, features).

        Pooled, averaged over a picture's variants, and of unit length if vectors are, before and after the average.
        """
        variants = [pixels[:, scale] for scale in range(pixels.shape[1])]
        if self._test_time_augmentation.flip:
            variants += [variant[:, :, ::-1] for variant in variants]
        parts = [self.features_of_variant(variant) for variant in variants]
        if len(parts) == 1:
            return parts[0]
        mean = np.mean(parts, axis=0, dtype=np.float32)
        return unit_length(mean) if self.unit_length else mean

    @property
    def scales(self) -> int:
        """Scales of the pixels that `encode_pixels` takes."""
        return len(self._scales)

    def rate(self, pixels: np.ndarray) -> float:
        """Images a second of the network on this thread: the best of three batches made of (n, height, width, 3)."""
        batch = np.resize(pixels, (BATCH, *pixels.shape[1:]))
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            self.network.run(batch, self.preprocess)
            seconds.append(time.perf_counter() - started)
        return BATCH / min(seconds)

    def features_of_variant(self, pixels: np.ndarray) -> np.ndarray:
        """Features of pictures as they are, uint8 (n, height, width, 3): float32 (n, features)."""
        parts = [self._run(pixels[i : i + BATCH]) for i in range(0, len(pixels), BATCH)]
        features = np.concatenate(parts)
        if self.pooling == "gem":
            features = gem(features)
        return unit_length(features) if self.unit_length else features

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        """What the network, which may be anyone's, makes of a batch."""
        try:
            features = self.network.run(pixels, self.preprocess)
        except Exception as error:  # by the runtime: OpError, RuntimeError, ValueError, ...
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise LookalikeError(
                f"The network of the encoder {self._folder} cannot compute vectors of pictures: {reason}"
            ) from error
        expected = (len(pixels), self.network.output_shape[-1])
        if features.shape[:1] + features.shape[-1:] != expected or features.dtype.kind != "f":
            raise LookalikeError(
                f"Expected float numbers of shape {expected} from the network of the encoder {self._folder}. "
                f"Received: {features.dtype} {features.shape}"
            )
        return features


def is_far_ahead(waiting: Sequence[int], threads: int) -> bool:
    """Whether a reader must wait for the threads: more than three batches a thread, or `WAITING_BYTES`.

    Args:
        waiting: encoded bytes of each batch that was read and not written, the oldest first.
        threads: worker threads.
    """
    return len(waiting) > 3 * threads or (len(waiting) > 1 and sum(waiting) > WAITING_BYTES)


def _float_files(folder: Path, manifest: dict[str, Any]) -> dict[str, bytes]:
    """The files of the float network by their names within it."""
    names = [name for name in manifest["files"] if name.startswith(f"{SAVED_MODEL}/")]
    return {name.removeprefix(f"{SAVED_MODEL}/"): read_listed(folder, manifest, name) for name in names}
