import pytest

from lookalike.sources.content import HEAD, is_image, is_text


@pytest.mark.parametrize(
    ("head", "image", "text"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF", True, False),
        (b"GIF89a\1\0\1\0", True, False),
        (bytes(128) + b"DICM", True, False),
        (b"BMW and other cars", False, True),
        (b"", False, True),
        ("ü".encode() * HEAD, False, True),
        (("x" + "ü" * HEAD).encode()[:HEAD], False, True),
        ("caf\xe9 ".encode("latin-1") * HEAD, False, False),
        ("caf\xe9".encode("latin-1"), False, False),
        (b"text with \0 in it", False, False),
    ],
)
def test_first_bytes_tell_images_and_text(head, image, text):
    assert (is_image(head[:HEAD]), is_text(head[:HEAD])) == (image, text)
