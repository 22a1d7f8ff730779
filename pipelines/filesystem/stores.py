"""Object stores, by obstore: which there are, how long they may take, and one client a bucket and process."""

from __future__ import annotations

import functools
import json
import os
from datetime import timedelta
from typing import Any

from obstore import store

from lookalike.model.errors import LookalikeError

from . import aws
from .urls import split

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 20.0
"""A request has failed when nothing comes for so long."""
UPLOAD_SECONDS = 120.0
"""The same of one that sends up to `objects.PART_BYTES`: the answer comes when all is sent."""
TOTAL_SECONDS = 120.0
"""A request that has failed is not repeated after so long."""
BACKOFF_SECONDS = 0.2
"""Before a request is repeated the first time; doubled each time."""
ATTEMPTS = 5
SCHEMES = {"s3": "S3Store", "gs": "GCSStore", "az": "AzureStore", "abfs": "AzureStore", "abfss": "AzureStore"}


class _Process:
    """What this process did: `asked` whether it asked a store, `orphaned` whether it is the fork of one that did."""

    asked = False
    orphaned = False


def _forked() -> None:
    """The threads that do obstore's work, and hold its sockets, are not in the child: it would wait for ever."""
    _Process.orphaned = _Process.asked


def forget() -> None:
    """Makes clients anew, as the environment is then."""
    _store.cache_clear()
    aws.options.cache_clear()


def open_store(url: str, uploads: bool = False) -> tuple[Any, str]:
    """The store of a URL's bucket, and the name in it.

    Args:
        url: of an object, a folder or a bucket.
        uploads: whether it is to send much.

    Raises:
        LookalikeError: for a scheme that there is none for, or what is no URL of it, or a wrong configuration.
        OSError: without credentials; in the fork of a process that has asked a store.
    """
    bucket, key = split(url)
    if bucket.partition("://")[0].lower() not in SCHEMES:
        names = ", ".join(f"{name}://" for name in SCHEMES)
        raise LookalikeError(
            f"Expected a path on this machine or a URL that begins by {names}. Received: {url}"
        )
    if bucket.endswith("://"):
        raise LookalikeError(f"Expected a bucket in a URL. Received: {url}")
    if _Process.orphaned:
        raise OSError(
            "this process is the fork of one that had asked an object store, which a fork cannot do: start it afresh "
            "(multiprocessing: spawn)"
        )
    _Process.asked = True
    return _store(bucket, UPLOAD_SECONDS if uploads else ANSWER_SECONDS), key


@functools.cache
def _store(bucket: str, seconds: float) -> Any:
    scheme = bucket.partition("://")[0].lower()
    client = {
        "allow_http": True,  # where the user names an endpoint that is
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "read_timeout": timedelta(seconds=seconds),
        # Of the whole of an answer: one that streams takes as long as its reader.
        "timeout": timedelta(days=365),
    }
    attempts, told = ATTEMPTS, {}
    if scheme == "s3":
        attempts, told = aws.attempts(ATTEMPTS), aws.options()
        if bundle := os.environ.get("AWS_CA_BUNDLE"):
            with open(bundle, "rb") as file:
                client["root_certificate"] = file.read()
    if scheme == "gs" and (emulator := os.environ.get("STORAGE_EMULATOR_HOST")):
        url = emulator if "://" in emulator else f"http://{emulator}"
        nobody = dict.fromkeys(("private_key", "private_key_id", "client_email"), "")
        told = {"service_account_key": json.dumps({"gcs_base_url": url, "disable_oauth": True, **nobody})}
    retry = {
        "max_retries": attempts - 1,
        "retry_timeout": timedelta(seconds=TOTAL_SECONDS),
        "backoff": {"init_backoff": timedelta(seconds=BACKOFF_SECONDS)},
    }
    try:
        kind = getattr(store, SCHEMES[scheme])
        return kind.from_url(bucket, client_options=client, retry_config=retry, **told)
    except Exception as error:  # of a name or a setting that it cannot take
        reason = " ".join(str(error).partition("\n\nDebug")[0].split())
        raise LookalikeError(f"{bucket}: {reason}") from None


os.register_at_fork(after_in_child=_forked)
