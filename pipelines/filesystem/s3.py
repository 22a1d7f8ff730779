"""Beam's file system for S3, mended where a run through the night needs more of it.

As it comes it makes a client for every operation (0.15 s each); repeats for ten minutes what boto3 has repeated
already; reads on in another object if the one it reads is replaced; and cannot write an empty object.

Where S3 is, and who asks, is boto3's to know: environment (`AWS_ENDPOINT_URL_S3`, `AWS_ACCESS_KEY_ID`, ...) or
`~/.aws`. It also says how often a request is tried (`AWS_MAX_ATTEMPTS`, `AWS_RETRY_MODE`).
"""

from __future__ import annotations

import errno
import functools
import logging
import os
from typing import Any

import boto3
from apache_beam.io.aws.clients.s3 import boto3_client, messages
from botocore.config import Config

CONNECT_SECONDS = 10.0
READ_SECONDS = 20.0
"""Without an answer for so long, a request has failed; boto3 repeats it."""


class S3Error(messages.S3ClientError, OSError):
    """What S3 says, or the way to it; an OSError, also where it is met in reading a file that was opened before.

    Args:
        message: what boto3 says.
        code: HTTP status, if one came; or S3's own word for it.
    """

    def __init__(self, message: str | None = None, code: int | str | None = None) -> None:
        # Beam takes this one for an object or a folder that is not there.
        if code == 404 and "NoSuchBucket" in str(message):
            code = None
        # Beam repeats what has no code and what is the server's fault.
        final = isinstance(code, int) and 400 <= code < 500 and code != 408
        self.message, self.code = message, code if final else 400
        text = "changed while it was read" if code == 412 else " ".join(str(message).split())
        OSError.__init__(self, errno.ESTALE if code == 412 else errno.EIO, text)


def status_of(error: Exception) -> int | None:
    """The HTTP status that came with an error; Beam's own fails where the answer did not come in time."""
    response = getattr(error, "response", None) or {}
    return response.get("ResponseMetadata", {}).get("HTTPStatusCode")


@functools.cache
def connections() -> Any:
    """boto3's client of this process; threads share it."""
    config = Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS)
    return boto3.session.Session().client("s3", config=config)


# A forked child would share the parent's sockets.
os.register_at_fork(after_in_child=connections.cache_clear)


class S3Client(boto3_client.Client):
    """Beam's client for one operation, such as reading one file.

    Args:
        options: Beam's, which are not asked.
    """

    def __init__(self, options: Any) -> None:
        self.client = connections()
        self._etag = ""
        self._body: Any = None
        self._position = 0

    def get_object_metadata(self, request: Any) -> Any:
        """Size and other facts; what is read afterwards is this very object."""
        item = super().get_object_metadata(request)
        self._etag = item.etag
        return item

    def get_range(self, request: Any, start: int, end: int) -> bytes:
        """Reads bytes; where the connection breaks it goes on, once.

        Raises:
            S3Error: with errno ESTALE if the object was replaced.
        """
        for last in (False, True):
            try:
                if self._body is None or start != self._position:
                    self._open(request, start)
                data: bytes = self._body.read(end - start)
                self._position += len(data)
                return data
            except Exception as error:
                self._close()
                if last:
                    failed = S3Error(str(error), status_of(error))
                    failed.filename = f"s3://{request.bucket}/{request.object}"
                    raise failed from error
        raise AssertionError("unreachable")

    def _open(self, request: Any, start: int) -> None:
        self._close()
        found = self.client.get_object(
            Bucket=request.bucket, Key=request.object, Range=f"bytes={start}-", IfMatch=self._etag
        )
        self._body, self._position = found["Body"], start

    def _close(self) -> None:
        if self._body is not None:
            self._body.close()
        self._body = None

    def complete_multipart_upload(self, request: Any) -> None:
        """Makes an object of the parts that were uploaded; an empty one of none, which S3 refuses."""
        if request.parts:
            super().complete_multipart_upload(request)
            return
        place = {"Bucket": request.bucket, "Key": request.object}
        try:
            self.client.abort_multipart_upload(**place, UploadId=request.upload_id)
            self.client.put_object(**place, Body=b"")
        except Exception as error:
            raise S3Error(str(error), status_of(error)) from error


@functools.cache
def prepare() -> None:
    """Puts the above into Beam, which has no other way to be given them."""
    messages.S3ClientError = S3Error  # type: ignore[misc]
    boto3_client.Client = S3Client  # type: ignore[misc]
    boto3_client.get_http_error_code = status_of
    # It logs, with stack traces and under no name, what it raises as well.
    logging.getLogger().addFilter(lambda record: record.module != "s3io")
