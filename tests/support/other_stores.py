"""Servers on loopback that speak Google's and Azure's protocols."""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hashlib
import hmac
import itertools
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .dask_processes import ENDS_WITH_PARENT
from .s3_server import S3Server

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of Azurite, as it documents them."""
AZURITE = os.environ.get("LOOKALIKE_AZURITE") or shutil.which("azurite-blob")
"""Azure's own emulator (`npm install azurite`; the program is node_modules/.bin/azurite-blob)."""


class GoogleServer(S3Server):
    """What obstore asks of Google, which is Amazon's protocol but for conditions, deleting and the versions of objects.

    As Google documents its XML API, and no proof that Google's servers do so. fake-gcs-server does not take uploads by
    that API (https://github.com/fsouza/fake-gcs-server/issues/331).
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._generations: dict[str, int] = {}
        super().__init__()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        name, method, query = environ["PATH_INFO"], environ["REQUEST_METHOD"], environ["QUERY_STRING"]
        is_whole = (method == "PUT" and "partNumber" not in query) or (
            method == "POST" and "uploadId" in query
        )
        for uri in ("RAW_URI", "REQUEST_URI"):  # moto takes a bucket as it is written there
            environ[uri] = environ[uri].replace("%2D", "-")
        environ["HTTP_AUTHORIZATION"] = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request,"
        wanted = environ.get("HTTP_X_GOOG_IF_GENERATION_MATCH")
        with self._conditional if method in ("PUT", "POST", "DELETE") else contextlib.nullcontext():
            if wanted is not None and int(wanted) != self._generations.get(name, 0):
                return _refuse("412 Precondition Failed", environ, start_response)
            if method == "DELETE" and not query and self._generations.pop(name, None) is None:
                return _refuse("404 Not Found", environ, start_response)

            def start(status: str, headers: list[tuple[str, str]], *of: Any) -> Any:
                if is_whole and status.startswith("2"):
                    self._generations[name] = next(self._numbers)
                if name in self._generations:
                    headers = [*headers, ("x-goog-generation", str(self._generations[name]))]
                return start_response(status, headers, *of)

            return list(super()._answer(environ, start))


def _refuse(status: str, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response(status, [("Content-Length", "0")])
    return []


@contextlib.contextmanager
def google() -> Iterator[tuple[str, dict[str, str]]]:
    """Gives the URL of an empty bucket, and the environment in which it is found."""
    server = GoogleServer()
    try:
        yield f"gs://{server.make_bucket()}", {"STORAGE_EMULATOR_HOST": server.url}
    finally:
        server.stop()


@contextlib.contextmanager
def azure() -> Iterator[tuple[str, dict[str, str]]]:
    """The same of an empty container in Azurite, which must be there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [*ENDS_WITH_PARENT, str(AZURITE), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence",
         "--skipApiVersionCheck", "--disableTelemetry", "--silent"],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _await(port)
        _make_container(f"http://127.0.0.1:{port}", "night")
        yield (
            "az://night",
            {
                "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{ACCOUNT}",
                "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
                "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            },
        )
    finally:
        server.kill()
        server.wait()


def _await(port: int) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.1)
    raise TimeoutError("Azurite does not listen")


def _make_container(url: str, name: str) -> None:
    date = email.utils.formatdate(usegmt=True)
    signed = f"x-ms-date:{date}\nx-ms-version:2021-08-06\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    digest = hmac.new(base64.b64decode(KEY), b"PUT" + b"\n" * 12 + signed.encode(), hashlib.sha256).digest()
    headers = {
        "x-ms-date": date,
        "x-ms-version": "2021-08-06",
        "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
    }
    request = urllib.request.Request(
        f"{url}/{ACCOUNT}/{name}?restype=container", headers=headers, method="PUT"
    )
    urllib.request.urlopen(request, timeout=30).close()
