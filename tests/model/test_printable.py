"""What is printed shows every character that acts, and no secret."""

import json
import unicodedata

import pytest

from lookalike.model.printable import json_printable, masked, printable, printable_lines

ACTING = "\0\a\b\t\n\v\f\r\x1b\x7f\x80\x9b\xad\u061c\u200b\u200e\u2028\u2029\u202e\u2066\ufeff\U000e0041"


def test_text_that_can_be_seen_stays_as_it_is():
    for text in ("", "plain", "tïtle, 猫 🐈 नमस्ते", "a\\b [red]x[/red] {0} %s", "no\u00a0break\u3000wide"):
        assert printable(text) == json_printable(text) == text


@pytest.mark.parametrize("character", ACTING, ids=lambda c: f"U+{ord(c):04X}")
def test_a_character_that_acts_is_written_as_in_python(character):
    shown = printable(f"a{character}b")
    assert shown.isprintable()
    assert shown.encode("ascii").decode("unicode_escape") == f"a{character}b"


def test_bytes_that_are_not_utf_8_are_written_as_bytes():
    assert printable(b"caf\xe9".decode("utf-8", "surrogateescape")) == "caf\\xe9"
    assert printable("\ud800") == "\\ud800"


def test_every_line_stays_a_line():
    assert printable_lines(["a\nERROR b", 3]) == "a\\nERROR b\n3"


def test_json_keeps_its_meaning():
    value = {ACTING: [ACTING, "tïtle \U000e0041"]}
    text = json_printable(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert not {unicodedata.category(c) for c in text} & {"Cc", "Cf", "Zl", "Zp"}
    assert "tïtle" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://AKIAABCDEFGHIJKLMNOP:wJalr/x@b/c", "s3://***:wJalr/x@b/c"),
        ("see https://me:secret@host/a@b.jpg", "see https://***@host/a@b.jpg"),
        ('Invalid bucket name "me:secret@b": no', 'Invalid bucket name "***@b": no'),
        ("hdfs://token@host: x", "hdfs://***@host: x"),
        (
            "https://b.s3.amazonaws.com/k?X-Amz-Credential=AK%2F1&X-Amz-Date=3&X-Amz-Signature=0f1e",
            "https://b.s3.amazonaws.com/k?X-Amz-Credential=***&X-Amz-Date=3&X-Amz-Signature=***",
        ),
        ("?sv=2022&sig=a%2Bb'", "?sv=2022&sig=***'"),
        ("The key AKIAABCDEFGHIJKLMNOP is unknown", "The key *** is unknown"),
        ("aws_secret_access_key = abc/def+g", "aws_secret_access_key = ***"),
        ("{'SecretAccessKey': 'abc', 'x': 1}", "{'SecretAccessKey': '***', 'x': 1}"),
        (
            "cats/17.jpg, user@host, a?b=c&d=e, photos/sig=3.jpg",
            "cats/17.jpg, user@host, a?b=c&d=e, photos/sig=3.jpg",
        ),
    ],
)
def test_secrets_are_masked_and_nothing_else(text, shown):
    assert masked(text) == printable(text) == shown


def test_json_with_masked_secrets_is_json():
    text = 'x?sig=abc\\" y "https://a:b@c" \n'
    assert json.loads(masked(json.dumps([text])))
