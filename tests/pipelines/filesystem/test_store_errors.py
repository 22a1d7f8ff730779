"""What a store says becomes one sentence that names the file."""

import errno

import pytest
from obstore import exceptions

from lookalike.filesystem import files, stores
from lookalike.filesystem.store_errors import named
from lookalike.model.errors import LookalikeError
from tests.support.s3_server import HANG, from_the

GOOGLE = """Generic GCS error: Error performing GET http://x - Server returned non-2xx status code: 403 Forbidden: {
  "error": {"code": 403, "message": "no permission"}}

Debug source:
Generic { }"""


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("403 Forbidden", "Forbidden: Forbidden, said the test (403 Forbidden)"),
        (
            "500 Server Error",
            "ServerError: Server Error, said the test (500 Internal Server Error), tried 2 times",
        ),
        ("301 Moved Permanently", "the bucket is in another region; AWS_DEFAULT_REGION tells which"),
        ("400 Bad Request", "BadRequest: Bad Request, said the test (400 Bad Request)"),
    ],
)
def test_an_answer_is_told_in_the_stores_own_words(server, bucket, environ, status, sentence):
    environ(AWS_MAX_ATTEMPTS="2")
    url = f"s3://{bucket}/x"
    for call in (files.read_bytes, lambda url: files.write_bytes(url, b""), files.list_files):
        server.reset(from_the(1, status))
        with pytest.raises(OSError, match=r".") as raised:
            call(url)
        assert sentence in files.reason(raised.value)
        assert files.reason(raised.value).endswith(f": {url}")
        assert "\n" not in str(raised.value)


def test_a_refusal_is_a_permission_error(server, bucket):
    server.reset(from_the(1, "403 Forbidden"))
    with pytest.raises(PermissionError, match="403 Forbidden"):
        files.look(f"s3://{bucket}/x")


def test_what_is_not_there_is_told_from_a_bucket_that_is_not(bucket):
    with pytest.raises(FileNotFoundError) as raised:
        files.read_bytes(f"s3://{bucket}/x")
    assert files.reason(raised.value) == f"No such file or directory: s3://{bucket}/x"
    for call in (files.read_bytes, files.list_files, lambda url: files.write_bytes(url, b"")):
        with pytest.raises(OSError, match="bucket does not exist") as other:
            call("s3://no-such-bucket/x")
        assert not isinstance(other.value, FileNotFoundError)


def test_a_server_that_does_not_answer_is_waited_for_so_long(server, bucket, environ, monkeypatch):
    monkeypatch.setattr(stores, "ANSWER_SECONDS", 0.2)
    environ(AWS_MAX_ATTEMPTS="2")
    server.reset(from_the(1, HANG))
    with pytest.raises(OSError, match=r"no answer from http://127\.0\.0\.1:\d+, tried 2 times"):
        files.read_bytes(f"s3://{bucket}/x")


def test_a_server_that_is_not_there(server, bucket, environ):
    environ(AWS_ENDPOINT_URL_S3="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="2")
    with pytest.raises(OSError, match=r"could not connect to http://127\.0\.0\.1:9, tried 2 times"):
        files.read_bytes(f"s3://{bucket}/x")


@pytest.mark.parametrize(
    ("raised", "expected", "sentence"),
    [
        (exceptions.GenericError(GOOGLE), OSError, "no permission (403 Forbidden): gs://b/o"),
        (exceptions.UnauthenticatedError("no\nkeys"), PermissionError, "no keys: gs://b/o"),
        (
            exceptions.GenericError(
                "Generic GCS error: Error performing token request: Error performing GET x"
            ),
            OSError,
            "no credentials were found, and this machine has no role of its own: gs://b/o",
        ),
        (
            OSError("No space left on device (os error 28)"),
            OSError,
            "No space left on device (os error 28): gs://b/o",
        ),
        (OSError(errno.ENOSPC, "No space left", "/tmp/x"), OSError, "No space left: /tmp/x"),
    ],
)
def test_whatever_is_raised_names_the_file(raised, expected, sentence):
    with pytest.raises(expected) as told, named("gs://b/o"):
        raise raised
    assert files.reason(told.value) == sentence


def test_a_sentence_of_ours_is_left_alone():
    with pytest.raises(LookalikeError, match="as it is"), named("gs://b/o"):
        raise LookalikeError("as it is")
