import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.sources.base import MOST_METADATA
from lookalike.sources.large_example import UnfitExampleError, split
from lookalike.sources.tfrecord import Example

NAMES = st.sampled_from(["image/encoded", "id", "a", "ü"])
LISTS = st.one_of(
    st.lists(st.binary(max_size=200), max_size=3),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=3),
)


def example(features) -> bytes:
    made = Example()
    for name, values in features.items():
        feature = made.features.feature[name]
        kind = type(values[0]) if values else bytes
        lists = {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}
        lists[kind].value.extend(values)
        lists[kind].SetInParent()
    return made.SerializeToString()


@given(features=st.dictionaries(NAMES, LISTS))
def test_the_image_and_the_rest_are_those_of_the_whole(features):
    rest, images = split(example(features), "image/encoded")
    expected = {name: values for name, values in features.items() if name != "image/encoded"}
    assert Example.FromString(rest).features == Example.FromString(example(expected)).features
    values = features.get("image/encoded")
    if values is None:
        assert images is None
    elif values and isinstance(values[0], bytes):
        assert images == (values if len(values) < 2 else [b"", b""])
    else:
        assert images == []


@given(data=st.binary(max_size=300))
def test_any_bytes_are_an_example_or_refused(data):
    try:
        split(data, "a")
    except UnfitExampleError as error:
        assert str(error) == "not a tf.train.Example"  # noqa: PT017


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (example({"a": [b"x" * MOST_METADATA]}), "not the image takes more than the 16,777,216 bytes"),
        (b"\x08\x01" * 100_001, "more than 100,000 values"),
        (example({"image": [b""] * 100_001}), "more than 100,000 values"),
        (b"\xff" * 20, "not a tf.train.Example"),
        (b"\x0b", "not a tf.train.Example"),
        (b"\x0a\x05abc", "not a tf.train.Example"),
        (b"\x09\x01", "not a tf.train.Example"),
    ],
)
def test_what_would_take_much_memory_or_time_is_refused(data, error):
    with pytest.raises(UnfitExampleError, match=error):
        split(data, "image")
