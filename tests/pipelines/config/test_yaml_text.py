"""YAML by the core schema of version 1.2, and every other text refused with its line."""

import math
import time

import pytest
import yaml

from lookalike.config import yaml_text as module
from lookalike.config.yaml_text import YamlError, decoded, read_yaml, yaml_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("-007", -7),
        ("0x1F", 31),
        ("0o17", 15),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("1e-4", 1e-4),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", -math.inf),
        ("2026-01-02", "2026-01-02"),
        ("2026-13-02", "2026-13-02"),
        *((word, word) for word in ("yes", "no", "on", "off", "y", "n", "Yes", "NO", "tRUE", "=", "<<")),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("'010'", "010"),
        ('"true"', "true"),
        ("! 010", "010"),
        ("!!str 010", "010"),
        ("|\n  010\n", "010\n"),
        ("1" * 40, int("1" * 40)),
        ("0x" + "f" * 4000, "0x" + "f" * 4000),
    ],
)
def test_what_a_single_value_is(text, value):
    found = read_yaml(f"a: {text}")[0]["a"]
    assert (type(found), found) == (type(value), value)


def test_lists_mappings_and_their_lines():
    value, lines = read_yaml("a:\n- 1\n- b: 2\n  c: [3,\n    4]\n'd': {}\n")
    assert value == {"a": [1, {"b": 2, "c": [3, 4]}], "d": {}}
    assert lines[("a",)] == 1
    assert lines[("a", 1, "b")] == 3
    assert lines[("a", 1, "c", 1)] == 5
    assert lines[("d",)] == 6


def test_an_alias_is_a_copy():
    value, _ = read_yaml("a: &x {b: [1]}\nc: *x\nd: &y 5\ne: *y\n")
    assert value == {"a": {"b": [1]}, "c": {"b": [1]}, "d": 5, "e": 5}
    assert value["a"]["b"] is not value["c"]["b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: the key `a` is given twice, first in line 1"),
        ("a:\n  b: 1\n  c: {d: 1,\n   d: 2}\n", "line 4: the key `d` is given twice, first in line 3"),
        ("a: 1\n---\nb: 2\n", "line 2: expected one document"),
        ("a: 1\n\tb: 2\n", "line 2: found character '\\t' that cannot start any token"),
        ("a: *x\n", "line 1: no value before this is named &x"),
        ("a: &x [*x]\n", "line 1: no value before this is named &x"),
        ("a: !!int 3\n", "line 1: expected values without a tag"),
        ("!!python/object:os.system {}", "expected values without a tag"),
        ("? [1]\n: 2\n", "expected a key that is a single value"),
        ("a: [\n", "line 2: "),
        ("a: b: c\n", "line 1: mapping values are not allowed here"),
        ("a: 1\nb: \x00", "line 2: the character U+0000 is not allowed"),
        ('a: "\\U0010FFFF"\nb: "\\U00110000"', "line 2: expected characters up to \\U0010FFFF"),
        ('a: "\\UFFFFFFFF"', "line 1: expected characters up to \\U0010FFFF"),
    ],
)
def test_other_text_is_refused_with_its_line(text, said):
    with pytest.raises(YamlError) as error:
        read_yaml(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        "a: " + "{b: " * 100_000,
        "".join(f"{' ' * i}- \n" for i in range(2_000)) + "x: 1",
        "a: &a [1]\n"
        + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(20)
        ),
        "a: [" + "1," * 200_000 + "]",
    ],
    ids=["list", "mapping", "block", "aliases", "long"],
)
def test_what_would_take_all_memory_or_the_whole_stack_is_refused_soon(text, monkeypatch):
    monkeypatch.setattr(module, "MOST_VALUES", 5_000)
    started = time.monotonic()
    with pytest.raises(YamlError, match="expected"):
        read_yaml(text)
    assert time.monotonic() - started < 5


def test_the_text_of_a_file_is_utf8_with_or_without_a_byte_order_mark():
    assert decoded("\ufeffa: é".encode()) == decoded("a: é".encode()) == "a: é"
    with pytest.raises(YamlError, match=r"line 2: expected UTF-8\. Received: the byte 0xe9"):
        decoded(b"a: 1\nstore: caf\xe9\n")
    with pytest.raises(YamlError, match="expected UTF-8"):
        decoded("a: 1".encode("utf-16"))
    with pytest.raises(YamlError, match="expected at most"):
        decoded(b"#" * (module.MOST_BYTES + 1))


@pytest.mark.parametrize(
    "value",
    ["010", "1e3", "yes", "0o17", "~", "1:30", "a: b", "é\nx", "2026-01-01", 1e-5, -1.5e300, 7, None, True],
)
def test_what_is_written_is_read_as_it_was_by_both_versions(value):
    text = yaml_text({"a": [value]})
    assert read_yaml(text)[0] == yaml.safe_load(text) == {"a": [value]}
