"""Who asks S3, and where it is: by environment, or by `~/.aws` through boto3."""

import os
import sys

import pytest

from lookalike.filesystem import aws, files
from lookalike.model.errors import LookalikeError

FILES = {
    "config": "[default]\nregion = eu-west-1\n[profile night]\nregion = us-east-2\nendpoint_url = {url}\n",
    "credentials": "[default]\naws_access_key_id = d\naws_secret_access_key = ds\n[night]\naws_access_key_id = n\n"
    "aws_secret_access_key = ns\naws_session_token = nt\n",
}


@pytest.fixture
def home(server, environ, tmp_path):
    """`~/.aws` with two profiles; no keys in the environment."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text.format(url=server.url))
    environ(
        AWS_CONFIG_FILE=str(tmp_path / "config"),
        AWS_SHARED_CREDENTIALS_FILE=str(tmp_path / "credentials"),
        AWS_ACCESS_KEY_ID=None,
        AWS_SECRET_ACCESS_KEY=None,
        AWS_ENDPOINT_URL_S3=None,
        AWS_DEFAULT_REGION=None,
    )
    return environ


@pytest.fixture
def without_boto3(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "boto3"] + ["boto3"]:
        monkeypatch.setitem(sys.modules, name, None)


def test_keys_of_the_environment_need_no_boto3(server, bucket, without_boto3):
    assert aws.options() == {}
    files.write_bytes(f"s3://{bucket}/x", b"x")
    assert files.read_bytes(f"s3://{bucket}/x") == b"x"


def test_any_endpoint_of_the_environment_is_asked(server, bucket, environ):
    environ(AWS_ENDPOINT_URL_S3=None, AWS_ENDPOINT_URL=server.url)
    assert files.list_files(f"s3://{bucket}") == []
    environ(AWS_ENDPOINT_URL_S3=server.url, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert files.list_files(f"s3://{bucket}") == []


def test_a_profile_tells_keys_region_and_endpoint(server, bucket, home):
    home(AWS_PROFILE="night")
    told = aws.options()
    keys = told["credential_provider"]()
    assert (keys["access_key_id"], keys["secret_access_key"], keys["token"]) == ("n", "ns", "nt")
    assert (told["region"], told["endpoint"]) == ("us-east-2", server.url)
    assert files.list_files(f"s3://{bucket}") == []


def test_without_a_profile_it_is_the_default_one(home):
    told = aws.options()
    assert told["credential_provider"]()["access_key_id"] == "d"
    assert told["region"] == "eu-west-1"
    assert "endpoint" not in told


def test_a_profile_that_does_not_exist_is_told(home):
    home(AWS_PROFILE="day")
    with pytest.raises(LookalikeError, match="day"):
        files.read_bytes("s3://bucket/x")


def test_files_without_boto3_are_told(home, without_boto3):
    with pytest.raises(LookalikeError, match=r"pip install boto3"):
        files.read_bytes("s3://bucket/x")


def test_without_keys_there_is_a_sentence(server, environ):
    environ(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    for call in (files.read_bytes, files.open_read, files.list_files):
        with pytest.raises(PermissionError, match="Unable to locate credentials") as raised:
            call("s3://bucket/x")
        assert files.reason(raised.value).endswith("s3://bucket/x")


def test_who_does_not_sign_needs_no_keys(server, bucket, environ):
    environ(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None, AWS_SKIP_SIGNATURE="true")
    assert files.list_files(f"s3://{bucket}") == []
    assert "AWS_ACCESS_KEY_ID" not in os.environ
