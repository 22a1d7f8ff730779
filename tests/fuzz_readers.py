"""Reads shards with random damage: no exception, no hang, little memory, each record in one place.

    python -m tests.fuzz_readers --shards 20000

Headers are damaged on purpose, with their checksums made right again, so that what they claim is believed.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import random
import struct
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.filesystem import files
from lookalike.sources import Shard, SourceOptions, parquet, read_shard
from lookalike.sources.records import Record, Reject
from lookalike.sources.tfrecord import Example, frame, masked_crc
from tests.support.memory import measured

MOST_SECONDS, MOST_BYTES = 20, 600 << 20
_NUMBERS = (0, 1, 127, 128, 511, 512, 513, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_OPTIONS = (
    {},
    {"metadata": {"n": "int64", "text": "string"}},
    {"item_id": "position"},
    {"max_bytes": 100, "metadata": {"n": "int64"}},
    {"item_id": "field:n"},
)


def _tar(chance: random.Random) -> bytes:
    file = io.BytesIO()
    kind = chance.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        for key in ("a", "ü" * 90, "c", "d/e"):
            for ending in chance.sample(["jpg", "json", "txt", "left.png", "png", ""], 3):
                info = tarfile.TarInfo(f"{key}.{ending}" if ending else key)
                data = (
                    b'{"n": 1}' if ending == "json" else b"GIF89a" + chance.randbytes(chance.randrange(900))
                )
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def _tfrecord(chance: random.Random) -> bytes:
    frames = []
    for number in range(4):
        made = Example()
        feature = made.features.feature
        feature["image/encoded"].bytes_list.value.append(chance.randbytes(chance.randrange(400)))
        feature["image/filename"].bytes_list.value.append(b"%d" % number)
        feature["n"].int64_list.value.append(number)
        frames.append(frame(made.SerializeToString()))
    return b"".join(frames)


def _parquet(chance: random.Random) -> bytes:
    images = [chance.choice([None, b"x" * 300, chance.randbytes(50)]) for _ in range(30)]
    table = pa.table({"id": [str(i) for i in range(30)], "image": images, "n": range(30), "text": ["t"] * 30})
    file = io.BytesIO()
    pq.write_table(
        table,
        file,
        compression=chance.choice(["none", "snappy", "gzip", "zstd", "brotli", "lz4"]),
        use_dictionary=chance.random() < 0.5,
        data_page_version=chance.choice(["1.0", "2.0"]),
        data_page_size=chance.choice([1, 1 << 20]),
        row_group_size=chance.choice([7, 100]),
        write_page_checksum=chance.random() < 0.3,
    )
    return file.getvalue()


def _damaged(chance: random.Random, content: bytes) -> bytes:
    """A few bytes, numbers or pieces changed."""
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 5])):
        place = chance.randrange(len(data) + 1)
        action = chance.randrange(6)
        if action < 2 and place < len(data):
            data[place] = chance.randrange(256)
        elif action == 2:
            number = chance.choice(_NUMBERS)
            width = chance.choice([4, 8])
            data[place : place + width] = (number % 256**width).to_bytes(
                width, chance.choice(["little", "big"])
            )
        elif action == 3:
            del data[place : place + chance.choice([1, 512, len(data)])]
        elif action == 4:
            other = chance.randrange(len(data) + 1)
            data[place:place] = data[other : other + chance.choice([1, 64, 512])]
        else:
            data[place : place + 1] = b"\xff" * 5
    return bytes(data)


def _with_right_tar_checksums(content: bytes) -> bytes:
    data = bytearray(content)
    for place in range(0, len(data) - 511, 512):
        if data[place + 257 : place + 262] == b"ustar":
            data[place + 148 : place + 156] = b" " * 8
            data[place + 148 : place + 156] = b"%06o\0 " % sum(data[place : place + 512])
    return bytes(data)


def _with_right_lengths(content: bytes) -> bytes:
    data, place = bytearray(content), 0
    while place + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        struct.pack_into("<I", data, place + 8, masked_crc(bytes(data[place : place + 8])))
        end = place + 12 + length
        if end + 4 > len(data):
            break
        struct.pack_into("<I", data, end, masked_crc(bytes(data[place + 12 : end])))
        place = end + 4
    return bytes(data)


Maker = Callable[[random.Random], bytes]
_FORMATS: dict[str, tuple[Maker, Callable[[bytes], bytes]]] = {
    "webdataset": (_tar, _with_right_tar_checksums),
    "tfrecord": (_tfrecord, _with_right_lengths),
    "parquet": (_parquet, bytes),
}


@contextlib.contextmanager
def _small_pages(are_small: bool) -> Iterator[None]:
    """Whether Parquet's images are read one by one, as of large pages."""
    before = parquet._MOST_PAGE, parquet.MOST_METADATA
    if are_small:
        parquet._MOST_PAGE, parquet.MOST_METADATA = 0, 0
    try:
        yield
    finally:
        parquet._MOST_PAGE, parquet.MOST_METADATA = before


def fuzz(shards: int, seed: int = 0) -> Counter[str]:
    """Reads so many damaged shards.

    Returns:
        How many records and rejects there were.

    Raises:
        AssertionError: with the seed of the shard, if a promise is broken.
    """
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        for number in range(seed, seed + shards):
            chance = random.Random(number)
            format = chance.choice(list(_FORMATS))
            make, mended = _FORMATS[format]
            content = _damaged(chance, make(chance))
            if chance.random() < 0.7:
                content = mended(content)
            if format != "parquet" and chance.random() < 0.3:
                content = gzip.compress(content, 1)
            path.write_bytes(content)
            shard = Shard("x", format, (files.look(str(path)),))
            options = SourceOptions(**chance.choice(_OPTIONS))  # type: ignore[arg-type]
            started = time.monotonic()
            try:
                with _small_pages(chance.random() < 0.5):
                    items, grown = measured(
                        lambda shard=shard, options=options: list(read_shard(shard, options))
                    )
                _check(items)
                assert time.monotonic() - started < MOST_SECONDS, "it took too long"
                assert grown < MOST_BYTES, f"it took {grown:,} bytes"
            except BaseException as error:
                raise AssertionError(f"--seed {number} --shards 1 ({format}): {error!r}") from error
            counts.update(type(item).__name__ for item in items)
            counts["shards"] += 1
    return counts


def _check(items: list[Record | Reject]) -> None:
    assert [item.position for item in items] == list(range(len(items)))
    assert not any(isinstance(item, Reject) and item.ends_shard for item in items[:-1])
    for item in items:
        assert isinstance(item, Record) or "\n" not in item.error


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the first shard")
    arguments = parser.parse_args()
    print(dict(fuzz(arguments.shards, arguments.seed)))


if __name__ == "__main__":
    main()
