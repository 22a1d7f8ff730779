"""An S3 server on this machine (moto's), which counts requests and can be made to fail."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
import pytest
from botocore.config import Config
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

from lookalike.filesystem import stores
from lookalike.store import lease

Fault = Callable[[str], str | None]
"""Gets a request, as in `S3Server.seen`; gives the HTTP status to fail it with, or None."""
_numbers = itertools.count()
HANG = "503 Hang"
"""A status that comes only when the server is reset."""


class S3Server:
    """The server, in threads of this process.

    Attributes:
        seen: the requests since `reset`, as `METHOD /bucket/key?query`.
    """

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._app = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self._conditional = threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._server.daemon_threads = True
        self._released = threading.Event()
        self.reset()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @functools.cached_property
    def client(self) -> Any:
        """boto3's client, for what tests do behind the program's back."""
        config = Config(retries={"total_max_attempts": 1})
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        return boto3.session.Session().client("s3", endpoint_url=self.url, config=config, **keys)

    def make_bucket(self) -> str:
        """A new, empty bucket."""
        name = f"bucket-{next(_numbers)}"
        self.client.create_bucket(Bucket=name)
        return name

    def fill(self, bucket: str, keys: Iterable[str]) -> None:
        """Puts objects there, of one byte each: without a request, for thousands of them."""
        for key in keys:
            s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(bucket, key, b"x")

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reset(self, fault: Fault | None = None) -> None:
        """Begins to count anew, and fails what `fault` says."""
        self._released.set()
        with self._lock:
            self.seen: list[str] = []
            self._fault: Fault = fault or (lambda _: None)
            self._released = threading.Event()

    def kinds(self) -> dict[str, int]:
        """Requests so far by what they are; LIST is a GET of a bucket, BULK a POST that deletes."""
        names = (("GET", "list-type=", "LIST"), ("POST", "?delete", "BULK"))
        found = (
            next(
                (kind for method, sign, kind in names if request.startswith(method) and sign in request), None
            )
            or request.partition(" ")[0]
            for request in self.seen
        )
        return dict(Counter(found))

    def count(self, *beginnings: str) -> int:
        """Requests so far that begin like this."""
        return sum(request.startswith(beginnings) for request in self.seen)

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        query = environ["QUERY_STRING"]
        request = f"{environ['REQUEST_METHOD']} {unquote(environ['PATH_INFO'])}{'?' if query else ''}{query}"
        with self._lock:
            self.seen.append(request)
            status = self._fault(request)
        if status is None:
            if {"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"} & environ.keys() and environ[
                "REQUEST_METHOD"
            ] == "PUT":
                with self._conditional:  # moto looks first and writes then
                    return list(self._app(environ, start_response))
            return self._app(environ, start_response)
        if status == HANG:
            self._released.wait()
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        words = status.partition(" ")[2]
        code, message = words.replace(" ", ""), f"{words}, said the test"
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


@contextlib.contextmanager
def found_by_the_environment(server: S3Server, folder: Path) -> Iterator[S3Server]:
    """The environment names the server, as a user would set it; `~/.aws` is in `folder`, and empty.

    Nobody waits before a request is repeated, or for a lease to be dead.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": str(folder / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_S3": server.url,
            "LOOKALIKE_CACHE": str(folder / "cache"),
        }.items():
            patch.setenv(name, value)
        patch.setattr(stores, "BACKOFF_SECONDS", 0.001)
        patch.setattr(lease, "LOOK_SECONDS", 0.0)
        patch.setattr(lease, "DEAD_SECONDS", 0.0)
        stores.forget()  # an earlier test may have looked at another environment
        yield server
    stores.forget()


def is_write(request: str) -> bool:
    """Whether a request changes what the server holds."""
    return request.startswith(("PUT", "POST", "DELETE"))


def from_the(
    number: int, status: str = "500 Internal Server Error", of: Callable[[str], bool] = bool
) -> Fault:
    """Fails everything from the nth request on of those that are counted."""
    counted = 0

    def fault(request: str) -> str | None:
        nonlocal counted
        counted += counted >= number or of(request)
        return status if counted >= number else None

    return fault


def once(status: str = "500 Internal Server Error", of: Callable[[str], bool] = bool) -> Fault:
    """Fails the first request of those that are counted."""
    counted = 0

    def fault(request: str) -> str | None:
        nonlocal counted
        counted += of(request)
        return status if of(request) and counted == 1 else None

    return fault


def upload(client: Any, folder: Path, bucket: str, prefix: str) -> str:
    """Uploads a local folder. Returns its URL."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        client.put_object(Bucket=bucket, Key=f"{prefix}/{path.relative_to(folder)}", Body=path.read_bytes())
    return f"s3://{bucket}/{prefix}"


def contents(client: Any, bucket: str, prefix: str) -> Iterator[tuple[str, bytes]]:
    """Key below the prefix, and content, of every object."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
        for found in page.get("Contents", ()):
            body = client.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
            yield found["Key"].removeprefix(f"{prefix}/"), body
