"""Every error of a local file names it."""

import errno
import os
import re
import resource
import tempfile

import pytest

from lookalike.filesystem import files
from lookalike.filesystem.naming import LocalFile, naming, temporary_file


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_whatever_fails_in_writing_names_the_file(tmp_path, monkeypatch, number):
    """The system tells a number and no name of what is read, written or flushed."""

    def fails(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))) as error:
        files.write_bytes(str(tmp_path / "some"), b"x")
    assert (error.value.errno, str(tmp_path / ".some.tmp-") in files.reason(error.value)) == (number, True)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_names_the_file_that_was_written(tmp_path):
    with pytest.raises(OSError, match="No space left on device") as error:  # noqa: SIM117
        with LocalFile("/dev/full", "w") as file:
            file.write(b"x")
    assert files.reason(error.value) == "No space left on device: /dev/full"


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with open("/proc/self/mem", "rb") as unreadable, pytest.raises(OSError, match="Input") as error:
        unreadable.read(1)
    assert error.value.filename is None
    with files.open_read("/proc/self/mem") as named, pytest.raises(OSError, match="Input") as error:
        named.read(1)
    assert files.reason(error.value) == "Input/output error: /proc/self/mem"


def test_what_arrow_says_of_a_file_system_names_the_file():
    with pytest.raises(OSError, match="No space") as error, naming("a.parquet"):
        raise OSError(
            errno.ENOSPC, "[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left"
        )
    assert files.reason(error.value) == "No space left on device: a.parquet"
    with pytest.raises(OSError, match="denied") as error, naming("a.parquet"):
        raise OSError(errno.EACCES, "Permission denied", "b")
    assert files.reason(error.value) == "Permission denied: b"


def test_a_temporary_file_names_its_folder_where_that_is_full(tmp_path):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    with temporary_file(str(tmp_path)) as file:
        assert (list(tmp_path.iterdir()), file.write(b"some")) == ([], 4)
        file.seek(0)
        assert file.read() == b"some"
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, limit[1]))
        try:
            with pytest.raises(OSError, match="File too large") as error:
                file.write(bytes(1 << 20))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert files.reason(error.value) == f"File too large: {tmp_path}"
    with temporary_file() as file:
        assert file.name == tempfile.gettempdir()
