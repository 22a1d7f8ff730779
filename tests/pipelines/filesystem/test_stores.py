"""Which stores there are, and how long they may take."""

import multiprocessing

import pytest

from lookalike.filesystem import files, stores
from lookalike.model.errors import LookalikeError


@pytest.mark.parametrize("url", ["hdfs://host/x", "no-such://bucket/store", "http://host/x"])
def test_a_scheme_that_there_is_none_for_is_told_with_those_that_there_are(url):
    for call in (files.list_files, files.read_bytes, files.open_read, files.glob):
        with pytest.raises(LookalikeError, match=f"s3://, gs://, az://, abfs://, abfss://. Received: {url}"):
            call(url)


def test_a_url_without_a_bucket_is_told():
    with pytest.raises(LookalikeError, match="Expected a bucket in a URL"):
        files.read_bytes("s3:///x")


def test_a_container_needs_an_account(environ):
    environ(AZURE_STORAGE_ACCOUNT_NAME=None)
    with pytest.raises(LookalikeError, match="Account must be specified"):
        files.read_bytes("az://container/x")
    found, key = stores.open_store("abfss://container@account.dfs.core.windows.net/a/b")
    assert (found.config["account_name"], key) == ("account", "a/b")


def test_a_store_is_opened_once_for_reading_and_once_for_writing(s3):
    opened = {id(stores.open_store("s3://b/x", uploads)[0]) for uploads in (False, True, False, True)}
    assert len(opened) == 2


@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_a_senseless_number_of_attempts_is_told(environ, s3, number):
    environ(AWS_MAX_ATTEMPTS=number)
    with pytest.raises(LookalikeError, match=f"AWS_MAX_ATTEMPTS: .* Received: {number}"):
        files.read_bytes("s3://bucket/x")


def test_an_emulator_of_googles_is_asked_where_the_environment_names_one(environ):
    environ(STORAGE_EMULATOR_HOST="127.0.0.1:9")
    store, _ = stores.open_store("gs://bucket/x")
    assert "http://127.0.0.1:9" in store.config["service_account_key"]


def _in_a_fork(url: str, told) -> None:
    try:
        told.put(str(files.read_bytes(url)))
    except OSError as error:
        told.put(str(error))


def test_a_fork_of_a_process_that_asked_says_so_and_does_not_hang(bucket):
    url = f"s3://{bucket}/x"
    files.write_bytes(url, b"x")
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_in_a_fork, args=(url, told := context.Queue()))
    child.start()
    assert "fork of one that had asked an object store" in told.get(timeout=20)
    child.join(20)
    assert child.exitcode == 0
    assert files.read_bytes(url) == b"x"


def test_an_authority_of_the_users_is_trusted(environ, s3, tmp_path):
    (tmp_path / "ca.pem").write_bytes(b"no certificate")
    environ(AWS_CA_BUNDLE=str(tmp_path / "ca.pem"))
    with pytest.raises(LookalikeError, match="certificate"):
        files.read_bytes("s3://bucket/x")
    environ(AWS_CA_BUNDLE=str(tmp_path / "gone.pem"))
    with pytest.raises(FileNotFoundError, match=r"gone\.pem"):
        files.read_bytes("s3://bucket/x")
