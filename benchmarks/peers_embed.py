"""The embedding job beside the best pipelines of others, on small, large and very large photographs.

    python benchmarks/peers_embed.py [--data ../shared/data/clothing] [--sides 400 1600 4000] [--rounds 3] [--json FILE]

All read the same TFRecord files, already in the page cache, with the same number of threads, in this one process, in
turns; the job does all that it does, Parquet, digests and notes included, and the others neither check nor hash nor
project nor write. The table gives the medians of the rounds, and the job's rate divided by that of the other.

Hand-written loops have one thread a core, each with a network of one thread and batches of 8, and decode by simplejpeg
at 1/2, 1/4 or 1/8, cut out what is needed and resize that by OpenCV. tf.data decodes at these reductions too. The job's
time includes opening its encoder, theirs does not; it gets eight times as many photographs as they, or more where they
are much slower, so that this counts little and the whole takes ten minutes.

Large photographs are mosaics of those of --data, without their last rows: of every pixel as much detail as there, and
JPEG of quality 90 as cameras write it. The cosine is that of a network's features with the float network's, both given
the same pixels.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import common
import cv2
import embed
import numpy as np
import peer_networks
import simplejpeg
from peer_networks import BATCH, Maker

from lookalike.model.cores import cores
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.networks import backbone
from lookalike.sources.pack import pack
from lookalike.sources.tfrecord import Example

SHORT, CROP = 256, 224
"""What the default bundle's preprocessing scales the shorter side to, and cuts out then."""
CORPORA = {400: (3068, 1, 4), 1600: (64, 4, 20), 4000: (16, 4, 20)}
"""Shorter side -> different photographs, how often each is in the shards, how often the shards are in the corpus."""
TILE = (533, 400)


class Way(NamedTuple):
    """One that is measured: what it is called, what it takes, and what runs it and gives the number of images."""

    name: str
    cosine: float
    run: Callable[[Sequence[Path]], int]
    share: float = 1.0


def mosaics(data: Path, side: int, count: int, folder: Path) -> None:
    """Writes photographs whose shorter side has `side` pixels, each of as many of `data` as fill it."""
    paths = sorted((data / "train").glob("*/*.jpg"))
    number = side // TILE[1]
    choice = np.random.default_rng(0)
    for index in range(count):
        tiles = [_tile(paths[place]) for place in choice.integers(0, len(paths), number * number)]
        rows = [np.hstack(tiles[row * number : (row + 1) * number]) for row in range(number)]
        cv2.imwrite(str(folder / f"{index:03}.jpg"), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 90])


def _tile(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path))
    if pixels.shape[1] > pixels.shape[0]:
        pixels = np.rot90(pixels)
    if pixels.shape[0] < TILE[0] or pixels.shape[1] != TILE[1]:
        return cv2.resize(pixels, TILE[::-1], interpolation=cv2.INTER_AREA)
    return pixels[: TILE[0]]


def corpus(data: Path, side: int, work: Path) -> Path:
    """A folder of TFRecord files, of which some are links to others."""
    count, copies, links = CORPORA[side]
    source = data / "train"
    if side != TILE[1]:
        source = work / f"photographs-{side}"
        source.mkdir()
        mosaics(data, side, count, source)
        for path in sorted(source.iterdir()):
            for copy in range(1, copies):
                os.link(path, source / f"{path.stem}-{copy}.jpg")
    packed = work / f"packed-{side}"
    pack(str(source), str(packed), format="tfrecord", images_per_shard=embed.IMAGES_PER_SHARD)
    shards = work / f"shards-{side}"
    for link in range(links):
        (shards / str(link)).mkdir(parents=True)
        for path in packed.glob("*.tfrecord"):
            os.link(path, shards / str(link) / path.name)
    return shards


def records(files: Sequence[Path]) -> Iterator[bytes]:
    """The images of TFRecord files, checksums unread."""
    for path in files:
        with path.open("rb") as file:
            while header := file.read(12):
                data = file.read(int.from_bytes(header[:8], "little"))
                file.seek(4, os.SEEK_CUR)
                yield Example.FromString(data).features.feature["image/encoded"].bytes_list.value[0]


def pixels_of(image: bytes, target: np.ndarray) -> None:
    """Decodes an image, cuts out what is needed and resizes that into `target` (CROP, CROP, 3)."""
    pixels = simplejpeg.decode_jpeg(image, "RGB", min_height=SHORT, min_width=SHORT, min_factor=2)
    size = round(min(pixels.shape[:2]) * CROP / SHORT)
    top, left = (pixels.shape[0] - size) // 2, (pixels.shape[1] - size) // 2
    cv2.resize(pixels[top : top + size, left : left + size], (CROP, CROP), dst=target)


def by_hand(make: Maker) -> Callable[[Sequence[Path]], int]:
    """A loop a core: the next images, decoding, network."""
    networks = [make() for _ in range(cores())]

    def run(files: Sequence[Path]) -> int:
        images, lock, counts, failed = records(files), threading.Lock(), [], []

        def work(network: peer_networks.Features) -> None:
            try:
                count = 0
                vectors = []
                pixels = np.zeros((BATCH, CROP, CROP, 3), np.uint8)
                while True:
                    with lock:
                        batch = list(islice(images, BATCH))
                    if not batch:
                        break
                    for image, target in zip(batch, pixels, strict=False):
                        pixels_of(image, target)
                    vectors.append(network(pixels)[: len(batch)])
                    count += len(batch)
                counts.append(count)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(network,)) for network in networks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return sum(counts)

    return run


def by_keras(network: Any, mean: np.ndarray, std: np.ndarray) -> Callable[[Sequence[Path]], int]:
    """tf.data, and `predict` in batches of 32."""
    import tensorflow as tf

    def pixels(record: Any) -> Any:
        feature = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
        image = tf.io.parse_single_example(record, feature)["image/encoded"]
        short = tf.reduce_min(tf.io.extract_jpeg_shape(image)[:2])
        decoders = [
            lambda ratio=ratio: tf.io.decode_jpeg(image, channels=3, ratio=ratio) for ratio in (1, 2, 4, 8)
        ]
        step = tf.searchsorted([2 * SHORT, 4 * SHORT, 8 * SHORT], [short], side="right")[0]
        decoded = tf.switch_case(step, decoders)
        size = tf.shape(decoded)
        part = tf.cast(tf.round(tf.cast(tf.reduce_min(size[:2]), tf.float32) * CROP / SHORT), tf.int32)
        top, left = (size[0] - part) // 2, (size[1] - part) // 2
        middle = tf.image.crop_to_bounding_box(decoded, top, left, part, part)
        resized = tf.image.resize(middle, (CROP, CROP))
        return (resized - mean) / std

    def run(files: Sequence[Path]) -> int:
        data = tf.data.TFRecordDataset([str(path) for path in files])
        data = data.map(pixels, num_parallel_calls=tf.data.AUTOTUNE).batch(32).prefetch(tf.data.AUTOTUNE)
        return len(network.predict(data, verbose=0))

    return run


def peers(bundle: Path, data: Path, work: Path) -> list[Way]:
    """All but the job. One that cannot be made here is left out, and why is printed."""
    preprocess = Encoder.load(bundle).preprocess
    expected = preprocess.spec, preprocess.height
    if expected != (f"decode|resize_short({SHORT})|center_crop({CROP})|normalize(127,128)", CROP):
        raise SystemExit(f"Expected the preprocessing of efficientnet_lite0. Received: {preprocess}")
    paths = sorted((data / "train").glob("*/*.jpg"))
    sample = np.stack([preprocess.pixels(path.read_bytes())[0] for path in paths[:: len(paths) // 208]])
    network = backbone("efficientnet_lite0").network
    test, sample = sample[:BATCH], sample[BATCH:208]
    truth = network(preprocess.normalize(test)).numpy()
    loop = "simplejpeg, OpenCV, "
    makers: dict[str, tuple[Callable[[], Maker], float]] = {
        f"{loop}TFLite int8 (the bundle's)": (lambda: peer_networks.tflite_int8(bundle), 0.125),
        f"{loop}ONNX Runtime int8": (
            lambda: peer_networks.onnx_int8(network, preprocess, sample, work),
            0.125,
        ),
        f"{loop}OpenVINO int8 (NNCF)": (
            lambda: peer_networks.openvino(bundle, preprocess, cores(), "f32", sample),
            0.125,
        ),
        f"{loop}OpenVINO bf16": (lambda: peer_networks.openvino(bundle, preprocess, cores(), "bf16"), 0.08),
        f"{loop}OpenVINO fp32": (lambda: peer_networks.openvino(bundle, preprocess, cores(), "f32"), 0.05),
    }
    ways = []
    for name, (maker, share) in makers.items():
        try:
            make = maker()
            ways.append(Way(name, _cosine(make()(test), truth), by_hand(make), share))
        except (ImportError, AttributeError) as error:  # of libraries that do not go with one another
            print(f"Left out: {name}: {error}")
    keras = by_keras(network, preprocess.mean, preprocess.std)
    return [*ways, Way("tf.data, Keras predict", 1.0, keras, 0.04)]


def _cosine(found: np.ndarray, truth: np.ndarray) -> float:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(truth, axis=1)
    return float(((found * truth).sum(axis=1) / lengths).mean())


def job(bundle: Path, work: Path) -> Way:
    """The embedding job into a new store."""

    def run(files: Sequence[Path]) -> int:
        return embed.job(Path(os.path.commonpath([path.parent for path in files])), bundle, work)()

    return Way(f"job, {Encoder.load(bundle).variant}", float("nan"), run)


def measure(ways: Sequence[Way], shards: Path, rounds: int) -> list[dict[str, Any]]:
    """Images a second of every way, in turns, after one to warm up with few."""
    files = sorted(shards.glob("*/*.tfrecord"))
    rates: dict[str, list[float]] = {way.name: [] for way in ways}
    cpu: dict[str, list[float]] = {way.name: [] for way in ways}
    for warm in [True] + [False] * rounds:
        for way in ways:
            share = files[: max(1, round(len(files) * (0.1 if warm else way.share)))]
            before, used = time.perf_counter(), time.process_time()
            count = way.run(share)
            if not warm:
                rates[way.name].append(count / (time.perf_counter() - before))
                cpu[way.name].append(1000 * (time.process_time() - used) / count)
    ours = median(rates[ways[0].name])
    return [
        {
            "way": way.name,
            "images/s": median(rates[way.name]),
            "lowest": min(rates[way.name]),
            "highest": max(rates[way.name]),
            "job : this": ours / median(rates[way.name]),
            "processor ms an image": median(cpu[way.name]),
            "cosine to float": way.cosine,
        }
        for way in ways
    ]


def main() -> None:
    """Measures and prints."""
    parser = common.parser(__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=list(CORPORA), choices=list(CORPORA))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--encoder", type=Path, help="a bundle of efficientnet_lite0; else one is made")
    arguments = parser.parse_args()
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        bundle = arguments.encoder or work / "encoder"
        if not arguments.encoder:
            common.build_default_encoder(bundle, arguments.data)
        ways = [job(bundle, work), *peers(bundle, arguments.data, work)]
        for side in arguments.sides:
            shards = corpus(arguments.data, side, work)
            rows = measure(ways, shards, arguments.rounds)
            tables.append((f"Photographs of {side:,} pixels", rows))
            for name in ("photographs", "packed", "shards"):
                shutil.rmtree(work / f"{name}-{side}", ignore_errors=True)
    common.show(tables, arguments.json)


if __name__ == "__main__":
    main()
