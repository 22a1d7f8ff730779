"""Digests: the published one of a file, and one of a value that does not depend on how it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.model.digests import LongListDigest, parse_json, sha256_file, sha256_json

# FIPS 180-4: of nothing, of "abc", and of a million times "a", which is nearly one read of the file.
PUBLISHED = {
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"a" * 1_000_000: "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
}


@pytest.mark.parametrize(("content", "expected"), PUBLISHED.items(), ids=["nothing", "abc", "a million a"])
def test_a_file_has_the_published_digest(tmp_path, content, expected):
    (tmp_path / "file").write_bytes(content)
    assert sha256_file(tmp_path / "file") == expected


def test_a_file_longer_than_one_read_is_read_to_its_end(tmp_path):
    (tmp_path / "a").write_bytes(b"a" * (1 << 20) + b"x")
    (tmp_path / "b").write_bytes(b"a" * (1 << 20) + b"y")
    assert sha256_file(tmp_path / "a") != sha256_file(tmp_path / "b")


def test_the_order_of_keys_does_not_matter_and_all_else_does():
    assert sha256_json({"a": 1, "b": [1, "ü"]}) == sha256_json({"b": [1, "ü"], "a": 1})
    values = [{"a": 1}, {"a": 1.5}, {"a": "1"}, {"a": None}, ["a", 1], {"a": [1, 2]}, {"a": [2, 1]}]
    assert len({sha256_json(value) for value in values}) == len(values)


def test_a_digest_is_the_same_in_every_version():
    # Artifacts are named by it: with another text for the same value every store would be made anew.
    assert (
        sha256_json({"b": 1, "a": "ü"}) == "9e638ba662cf35927d64a82a7a37816af709b246653acb28cd8cebbb17fb51aa"
    )


@given(
    key=st.text(max_size=3),
    others=st.dictionaries(
        st.text(max_size=3), st.none() | st.lists(st.text(max_size=2), max_size=2), max_size=4
    ),
    elements=st.lists(
        st.integers() | st.text(max_size=3) | st.lists(st.text(max_size=2), max_size=2), max_size=4
    ),
)
def test_a_long_list_has_the_digest_that_it_has_when_it_is_held(key, others, elements):
    others.pop(key, None)
    digest = LongListDigest(key, others)
    for number, element in enumerate(elements):
        assert digest.hexdigest() == sha256_json({**others, key: elements[:number]})
        digest.add(element)
    assert digest.hexdigest() == sha256_json({**others, key: elements})


def test_json_is_read_unless_a_text_in_it_is_no_unicode():
    assert parse_json(b'{"a": ["\\ud83d\\ude00", 1.5, null]}') == {"a": ["\U0001f600", 1.5, None]}
    for data in (b'["\\ud800"]', b'{"\\udc00": 1}', b"{", b"\xff"):
        with pytest.raises(ValueError, match=r"surrogates|Expecting|decode"):
            parse_json(data)
