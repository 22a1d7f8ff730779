import gzip
import struct
from decimal import Decimal

import pytest

from lookalike.filesystem import files
from lookalike.sources import Shard, SourceOptions, find_shards
from lookalike.sources.records import Record, Reject
from lookalike.sources.tfrecord import Example, frame, masked_crc, read
from tests.support.memory import measured


def example(**features) -> bytes:
    """An Example; double underscores in names stand for slashes, values choose their list."""
    made = Example()
    for name, values in features.items():
        feature = made.features.feature[name.replace("__", "/")]
        for value in values:
            kind = {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}[
                type(value)
            ]
            kind.value.append(value)
    return made.SerializeToString()


GOOD = example(image__encoded=[b"i"], image__filename=[b"k"])


def read_bytes(tmp_path, content: bytes, **options):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(content)
    shard = Shard(str(path), "tfrecord", (files.look(str(path)),))
    return list(read(shard, SourceOptions(**options)))


def test_the_checksum_is_the_published_one():
    # CRC-32C of 32 zero bytes: RFC 3720, section B.4.
    crc = 0x8A9136AA
    assert masked_crc(bytes(32)) == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_an_example_has_the_bytes_that_tensorflow_writes():
    serialized = b"\n\r\n\x0b\n\x01a\x12\x06\x1a\x04\n\x02\x01\x02"
    assert example(a=[1, 2]) == serialized
    assert list(Example.FromString(serialized).features.feature["a"].int64_list.value) == [1, 2]


@pytest.mark.slow
def test_tensorflow_reads_what_is_written_and_the_other_way_round():
    import tensorflow as tf

    made = tf.train.Example()
    made.features.feature["a"].int64_list.value.extend([1, -2])
    made.features.feature["b"].float_list.value.append(1.5)
    made.features.feature["c"].bytes_list.value.append(b"\xff")
    content = made.SerializeToString(deterministic=True)
    assert Example.FromString(content).SerializeToString(deterministic=True) == content


@pytest.mark.parametrize(
    ("content", "stage", "item_id", "error"),
    [
        (b"\xff\xff", "read", None, "not a tf.train.Example"),
        (example(image__filename=[b"k"]), "read", "k", "feature 'image/encoded', the image, is missing"),
        (example(image__filename=[b"k"], image__encoded=[1]), "read", "k", "one value of bytes. Received: 0"),
        (example(image__filename=[b"k"], image__encoded=[b"i", b"j"]), "read", "k", "Received: 2"),
        (example(image__encoded=[b"i"]), "id", None, "feature 'image/filename' or 'id', the id, is missing"),
        (example(image__encoded=[b"i"], image__filename=[b"\xe9"]), "id", "\\xe9", "not UTF-8 at byte 0"),
        (example(image__encoded=[b"i"], image__filename=[b""]), "id", None, "it is empty"),
        (
            example(image__encoded=[b"i"], image__filename=[b"a", b"b"]),
            "id",
            None,
            "expected text. Received: list",
        ),
    ],
)
def test_a_bad_record_is_rejected_alone(tmp_path, content, stage, item_id, error):
    items = read_bytes(tmp_path, frame(content) + frame(GOOD))
    assert (items[0].item_id, items[0].position, items[0].stage) == (item_id, 0, stage)
    assert error in items[0].error
    assert items[1] == Record("k", b"i", 1)


def test_feature_names_are_configurable_and_id_is_the_second_default(tmp_path):
    content = frame(example(id=[7], pic=[b"i"], name=[b"n"], image__encoded=[b"j"]))
    assert read_bytes(tmp_path, content) == [Record("7", b"j", 0)]
    assert read_bytes(tmp_path, content, image_field="pic", id_field="name") == [Record("n", b"i", 0)]


def test_a_list_or_an_empty_feature_is_no_scalar(tmp_path):
    content = frame(example(image__encoded=[b"i"], id=[b"k"], a=[1, 2], b=[]))
    (item,) = read_bytes(tmp_path, content, metadata={"a": "int64"})
    assert item == Reject(
        "k", 0, "metadata", "metadata field 'a' does not fit int64. Received: [1, 2] (list)"
    )
    assert read_bytes(tmp_path, content, metadata={"b": "int64"}) == [Record("k", b"i", 0, {"b": None})]


def test_a_wrong_data_checksum_rejects_one_record_and_reading_goes_on(tmp_path):
    damaged = bytearray(frame(GOOD))
    damaged[12] ^= 1
    items = read_bytes(tmp_path, frame(GOOD) + bytes(damaged) + frame(GOOD))
    assert [type(item) for item in items] == [Record, Reject, Record]
    assert items[1].error == f"data checksum is wrong, for the record at byte {len(damaged)}"


def test_a_wrong_length_checksum_ends_the_shard_and_says_where(tmp_path):
    size = len(frame(GOOD))
    damaged = bytearray(frame(GOOD) * 3)
    damaged[size] ^= 1
    items = read_bytes(tmp_path, bytes(damaged))
    assert items[1:] == [
        Reject(
            None,
            1,
            "read",
            f"length checksum of record 1 is wrong at byte {size} of {3 * size}: "
            "1 records could be read, and nothing behind them",
            ends_shard=True,
        )
    ]


def test_a_length_beyond_the_file_is_damage_and_allocates_nothing(tmp_path):
    length = (1 << 60).to_bytes(8, "little")
    (item,) = read_bytes(tmp_path, length + masked_crc(length).to_bytes(4, "little") + b"abc")
    assert item.ends_shard
    assert f"the file is cut in record 0, which is to be {1 << 60} bytes long" in item.error


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_record_above_the_limit_is_rejected_alone_unread_and_reading_goes_on(tmp_path, compress):
    large = example(image__encoded=[bytes(2 << 20)], id=[b"large"])
    damaged = frame(large)[:-1] + b"?"  # it is not looked at
    content = compress(frame(GOOD) + damaged + frame(GOOD))
    assert read_bytes(tmp_path, content, max_bytes=1 << 20) == [
        Record("k", b"i", 0),
        Reject(
            None,
            1,
            "read",
            f"{len(large):,} bytes, more than corpus.max_bytes allows: 1,048,576, "
            f"for the record at byte {len(frame(GOOD))}",
        ),
        Record("k", b"i", 2),
    ]
    assert type(read_bytes(tmp_path, compress(frame(GOOD)), max_bytes=len(GOOD))[0]) is Record
    assert type(read_bytes(tmp_path, compress(frame(GOOD)), max_bytes=len(GOOD) - 1)[0]) is Reject


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_file_that_is_cut_in_a_record_above_the_limit_is_damaged(tmp_path, compress):
    content = frame(GOOD) + frame(example(image__encoded=[bytes(2 << 20)]))
    for cut in (len(content) - 1, len(content) - 5, len(GOOD) + 40):
        items = read_bytes(tmp_path, compress(content[:cut]), max_bytes=1 << 20)
        assert (len(items), items[-1].ends_shard) == (2, True)


def test_a_large_record_is_read_as_a_small_one_is(tmp_path):
    content = frame(example(image__encoded=[bytes(17 << 20)], id=[b"k"], n=[7]))
    (item,) = read_bytes(tmp_path, content, metadata={"n": "int64"})
    assert (item.item_id, item.metadata, item.image == bytes(17 << 20)) == ("k", {"n": 7}, True)
    content = frame(example(other=[bytes(17 << 20)], id=[b"k"]))
    (item,) = read_bytes(tmp_path, content)
    assert item.error == "what is not the image takes more than the 16,777,216 bytes that are read"


@pytest.mark.slow
def test_a_small_file_of_a_record_that_would_take_gigabytes_as_an_object_takes_few(tmp_path):
    numbers = b"\x1a" + _varint(200 << 20) + b"\x0a" + _varint((200 << 20) - 5) + bytes((200 << 20) - 5)
    entry = b"\x0a\x01a\x12" + _varint(len(numbers)) + numbers
    data = b"\x0a" + _varint(len(entry) + 5) + b"\x0a" + _varint(len(entry)) + entry
    content = gzip.compress(frame(data), 1)
    assert len(content) < 2 << 20
    (item,), grown = measured(lambda: read_bytes(tmp_path, content))
    assert isinstance(item, Reject)
    assert grown < 600 << 20


def _varint(value: int) -> bytes:
    return struct.pack("5B", *(value >> 7 * i & 127 | (128 if i < 4 else 0) for i in range(5)))


def test_a_first_record_whose_length_looks_like_gzip_is_read(tmp_path):
    content = example(image__encoded=[bytes(0x8B1F - 48)], id=[b"k"])
    assert len(content) == 0x8B1F
    path = tmp_path / "unnamed"
    path.write_bytes(frame(content))
    (shard,) = find_shards(str(path), SourceOptions())
    assert [item.item_id for item in read(shard, SourceOptions())] == ["k"]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("string", [b""], ""),
        ("string", [], None),
        ("float64", [214.81], 214.80999755859375),  # stored in 32 bits by another writer
        ("float64", [b"214.81"], 214.81),
        ("decimal(5,2)", [b"214.81"], Decimal("214.81")),
        ("uint64", [b"18446744073709551615"], 2**64 - 1),
        ("list<string>", [b"a"], ["a"]),
        ("list<string>", [b'["a"]'], ['["a"]']),
        ("list<int64>", [1, 2], [1, 2]),
        ("list<float64>", [0.5], [0.5]),
    ],
)
def test_a_feature_becomes_what_is_declared(tmp_path, kind, values, expected):
    content = frame(example(image__encoded=[b"i"], image__filename=[b"k"], f=values))
    assert read_bytes(tmp_path, content, metadata={"f": kind})[0].metadata == {"f": expected}


@pytest.mark.parametrize(
    ("kind", "values"), [("string", [b"a", b"b"]), ("int64", [1, 2]), ("float64", [0.5, 1.5])]
)
def test_of_several_values_none_is_taken_for_the_one(tmp_path, kind, values):
    content = frame(example(image__encoded=[b"i"], image__filename=[b"k"], f=values))
    (item,) = read_bytes(tmp_path, content, metadata={"f": kind})
    assert f"metadata field 'f' does not fit {kind}. Received: [" in item.error
