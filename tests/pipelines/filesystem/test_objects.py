"""Objects of a store: whole or not there, written only under a condition, listed whatever their names are."""

import errno
import io
import os
import threading
from types import SimpleNamespace

import pytest
from obstore.exceptions import GenericError

from lookalike.filesystem import files, objects, stores
from lookalike.model.errors import LookalikeError
from tests.support import small_stores
from tests.support.s3_server import from_the, once
from tests.support.small_stores import Bucket


def test_an_object_of_several_parts(bucket):
    content = os.urandom(20 << 20)
    files.write_bytes(f"s3://{bucket}/large", content)
    assert files.read_bytes(f"s3://{bucket}/large") == content
    assert files.sha256(f"s3://{bucket}/large") == files.sha256_bytes(content)


@pytest.mark.parametrize("content", [b"", b"x"])
def test_a_small_object_is_written_and_read_by_one_request_each(server, bucket, content):
    files.write_bytes(f"s3://{bucket}/x", content)
    assert files.read_bytes(f"s3://{bucket}/x") == content
    assert server.kinds() == {"PUT": 1, "GET": 1}
    assert (files.look(f"s3://{bucket}/x").size, files.exists(f"s3://{bucket}/x")) == (len(content), True)


@pytest.mark.parametrize(("size", "part"), [(6, 4), (100, 50)])
def test_a_large_file_is_sent_in_larger_parts_as_their_number_is_limited(tmp_path, monkeypatch, size, part):
    sent = []
    store = SimpleNamespace(put=lambda *_, **told: sent.append(told["chunk_size"]))
    monkeypatch.setattr(objects, "open_object", lambda *_, **__: (store, "x"))
    monkeypatch.setattr(objects, "PART_BYTES", 4)
    monkeypatch.setattr(objects, "_PARTS", 2)
    (tmp_path / "x").write_bytes(bytes(size))
    with open(tmp_path / "x", "rb") as file:
        objects.upload(file, "s3://bucket/x")
    assert sent == [part]


def test_what_fails_while_it_is_written_does_not_appear(server, bucket):
    files.write_bytes(f"s3://{bucket}/x", b"old")
    with pytest.raises(KeyError), files.write_atomic(f"s3://{bucket}/x") as file:  # noqa: PT012
        file.write(b"new")
        raise KeyError
    assert files.read_bytes(f"s3://{bucket}/x") == b"old"


def test_a_local_file_that_cannot_be_read_to_its_end_does_not_appear(server, bucket):
    class Failing(io.BytesIO):
        def fileno(self):
            return os.open(os.devnull, os.O_RDONLY)

        def read(self, size=-1):
            if self.tell() >= 16 << 20:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read(size)

    with pytest.raises(OSError, match="Input/output"):
        objects.upload(Failing(bytes(40 << 20)), f"s3://{bucket}/x")
    assert not files.exists(f"s3://{bucket}/x")
    assert server.client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


@pytest.mark.parametrize("request_", ["part", "end"])
def test_an_upload_that_fails_is_given_up(server, bucket, environ, request_):
    environ(AWS_MAX_ATTEMPTS="1")
    files.write_bytes(f"s3://{bucket}/x", b"old")
    sign = "partNumber=2" if request_ == "part" else "POST"
    server.reset(once(of=lambda request: sign in request and "uploadId=" in request))
    with pytest.raises(OSError, match="InternalServerError"):
        files.write_bytes(f"s3://{bucket}/x", bytes(20 << 20))
    assert files.read_bytes(f"s3://{bucket}/x") == b"old"
    assert server.client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_a_request_that_fails_is_repeated(server, bucket):
    server.reset(once(of=lambda request: request.startswith("PUT")))
    files.write_bytes(f"s3://{bucket}/x", b"new")
    assert server.kinds() == {"PUT": 2}
    server.reset(from_the(1))
    with pytest.raises(OSError, match=f"tried {stores.ATTEMPTS} times"):
        files.read_bytes(f"s3://{bucket}/x")


@pytest.mark.parametrize("times", [1, 5])
def test_an_answer_that_breaks_off_is_asked_for_again_some_times(monkeypatch, times):
    bucket = Bucket(monkeypatch)
    bucket.objects["mem://b/x"] = (b"new", 0)
    get, failures = small_stores._Store.get, iter(range(times))

    def breaking(store, key, options=None):
        found = get(store, key, options)
        if next(failures, None) is not None:
            found.bytes = lambda: (_ for _ in ()).throw(GenericError("response body error"))
        return found

    monkeypatch.setattr(small_stores._Store, "get", breaking)
    if times == 1:
        assert files.read_bytes("mem://b/x") == b"new"
    else:
        with pytest.raises(OSError, match="response body error"):
            files.read_bytes("mem://b/x")
    assert len(bucket.opened) == min(times + 1, 3)


def test_an_object_is_created_only_if_there_is_none(bucket):
    assert files.create_bytes(f"s3://{bucket}/x", b"first")
    assert not files.create_bytes(f"s3://{bucket}/x", b"second")
    assert files.read_bytes(f"s3://{bucket}/x") == b"first"


def test_an_object_is_replaced_only_if_it_is_what_was_read(bucket):
    url = f"s3://{bucket}/x"
    files.write_bytes(url, b"1")
    content, version = files.read_version(url)
    assert content == b"1"
    assert files.replace_bytes(url, b"2", version)
    assert not files.replace_bytes(url, b"3", version)
    assert files.read_bytes(url) == b"2"
    files.delete([url])
    assert not files.replace_bytes(url, b"4", version)
    assert not files.exists(url)


def test_of_many_that_create_at_once_one_does(bucket):
    done: list[bool] = []
    start = threading.Barrier(8)

    def create(number: int) -> None:
        start.wait()
        done.append(files.create_bytes(f"s3://{bucket}/x", b"%d" % number))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [False] * 7 + [True]


@pytest.mark.parametrize(
    "write",
    [lambda url: files.create_bytes(url, b""), lambda url: files.replace_bytes(url, b"", {"e_tag": "x"})],
)
def test_a_store_without_conditions_is_told(server, bucket, environ, write):
    environ(AWS_MAX_ATTEMPTS="1")
    server.reset(from_the(1, "501 Not Implemented"))
    with pytest.raises(LookalikeError, match="only if it is absent or unchanged"):
        write(f"s3://{bucket}/x")
    server.reset()
    with pytest.raises(OSError, match="bucket does not exist"):
        write("s3://no-such-bucket/x")


def test_names_of_all_kinds_are_listed_and_read(server, bucket):
    names = sorted(["ä b#%25{}[]~?*.jpg", "a&=;+'\".jpg", "%", "e\u0301", "back\\slash", "x/y"])
    for name in names:
        server.client.put_object(Bucket=bucket, Key=f"d/{name}", Body=name.encode())
    listed = files.list_files(f"s3://{bucket}/d")
    assert sorted(file.path.removeprefix(f"s3://{bucket}/d/") for file in listed) == names
    assert [files.read_bytes(file.path).decode() for file in listed] == [
        f.path.partition("/d/")[2] for f in listed
    ]
    files.delete(file.path for file in listed)
    assert files.list_files(f"s3://{bucket}/d") == []


def test_an_object_by_which_tools_mean_a_folder_is_no_file(server, bucket):
    for key in ("d/", "d/e/", "d/e/x", "d/empty"):
        server.client.put_object(Bucket=bucket, Key=key, Body=b"x" if key.endswith("x") else b"")
    listed = [file.path.removeprefix(f"s3://{bucket}/") for file in files.list_files(f"s3://{bucket}/d")]
    assert listed == ["d/e/x", "d/empty"]
    assert sorted(objects.level(f"s3://{bucket}/d").files) == [f"s3://{bucket}/d/empty"]
    assert files.is_folder(f"s3://{bucket}/d/e")


@pytest.mark.parametrize("key", ["d/a//b", "d/../b"])
def test_a_name_that_cannot_be_asked_for_is_told(server, bucket, key):
    server.client.put_object(Bucket=bucket, Key=key, Body=b"")
    with pytest.raises(LookalikeError, match=f"s3://{bucket}/d: "):
        files.list_files(f"s3://{bucket}/d")
    with pytest.raises(LookalikeError, match=f"s3://{bucket}/{key}: "):
        files.read_bytes(f"s3://{bucket}/{key}")


def test_what_lies_in_a_folder_and_below_it(server, bucket):
    for number in range(3):
        files.write_bytes(f"s3://{bucket}/a/b/{number}", b"x")
    server.reset()
    assert objects.level(f"s3://{bucket}").folders == {f"s3://{bucket}/a"}
    assert [file.size for file in objects.below(f"s3://{bucket}/a/")] == [1, 1, 1]
    assert server.kinds() == {"LIST": 2}
    assert [files.is_folder(f"s3://{bucket}/{name}") for name in ("a", "a/b", "a/b/1", "b", "")] == [
        True, True, False, False, True,
    ]  # fmt: skip


def test_an_object_is_told_alone_as_it_is_listed(bucket):
    files.write_bytes(f"s3://{bucket}/d/x", b"x")
    told = files.look(f"s3://{bucket}/d/x")
    assert files.list_files(f"s3://{bucket}/d") == files.glob(f"s3://{bucket}/d/*") == [told]
    with files.open_read(told.path) as file:
        assert files.look_at(told.path, file) == told


def test_a_bucket_is_no_object(bucket):
    for call in (files.read_bytes, files.open_read, files.exists, lambda url: files.write_bytes(url, b"")):
        with pytest.raises(LookalikeError, match=f"that of a bucket: s3://{bucket}"):
            call(f"s3://{bucket}/")


def test_many_files_are_deleted_in_few_requests(server, bucket):
    url = f"s3://{bucket}"
    server.fill(bucket, (f"d/{number:04}" for number in range(1100)))
    files.delete_files([*(f"{url}/d/{number:04}" for number in range(1, 1100)), f"{url}/d/gone"])
    assert server.kinds() == {"BULK": 2}
    assert [file.path for file in files.list_files(url)] == [f"{url}/d/0000"]


def test_a_folder_is_deleted_and_its_neighbours_stay(server, bucket):
    url = f"s3://{bucket}"
    server.fill(bucket, ["d", "d/1", "d/f/2", "dx", "d2/x", "e"])
    files.delete([f"{url}/d/", f"{url}/gone", f"{url}/e"])
    assert server.kinds() == {"LIST": 3, "BULK": 2}
    assert [file.path for file in files.list_files(url)] == [f"{url}/d2/x", f"{url}/dx"]
