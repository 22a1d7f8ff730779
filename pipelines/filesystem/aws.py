"""Where S3 is and who asks, as users have told boto3: by environment or `~/.aws`.

obstore reads the environment itself, and asks a machine's or a container's role. Profiles, and all else in `~/.aws`,
only boto3 understands; it is imported (0.4 s) where there are such files, or no keys in the environment.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from lookalike.model.errors import LookalikeError
from lookalike.model.extras import install
from lookalike.model.imports import one_at_a_time

_FILES = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}
_HOLDS = timedelta(minutes=5)
"""So long keys are used before boto3 is asked for them again, which renews those that expire."""


@functools.cache
def options() -> dict[str, Any]:
    """What an `S3Store` is to be told beside the environment, which it reads.

    Raises:
        LookalikeError: if boto3 is needed and not installed, or what it reads is wrong.
        PermissionError: if there are no keys.
    """
    has_keys = bool(os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"))
    has_files = any(
        os.path.exists(os.path.expanduser(os.environ.get(name, at))) for name, at in _FILES.items()
    )
    if os.environ.get("AWS_SKIP_SIGNATURE") or (has_keys and not has_files):
        return {}
    try:
        with one_at_a_time:
            import boto3.session
            import botocore.exceptions
    except ImportError:
        if has_keys or not has_files:
            return {}
        raise LookalikeError(
            f"~/.aws is read by a package that is not installed: {install('s3')}, or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        ) from None
    try:
        session = boto3.session.Session()
        keys = session.get_credentials()
        place = session.client("s3").meta
    except botocore.exceptions.BotoCoreError as error:
        raise LookalikeError(f"boto3 cannot use the environment or ~/.aws: {error}") from None
    if keys is None:
        raise PermissionError("Unable to locate credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    told: dict[str, Any] = {"credential_provider": _provider(keys)}
    if session.region_name:
        told["region"] = session.region_name
    if not place.endpoint_url.endswith(("amazonaws.com", "amazonaws.com.cn")):
        told["endpoint"] = place.endpoint_url
    return told


def _provider(keys: Any) -> Callable[[], dict[str, Any]]:
    def give() -> dict[str, Any]:
        frozen = keys.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(timezone.utc) + _HOLDS,
        }

    return give


def attempts(usual: int) -> int:
    """How often a request is tried (`AWS_MAX_ATTEMPTS`). Raises LookalikeError."""
    text = os.environ.get("AWS_MAX_ATTEMPTS") or str(usual)
    if not (text.isdecimal() and int(text)):
        raise LookalikeError(f"AWS_MAX_ATTEMPTS: expected a number of 1 or more. Received: {text}")
    return int(text)
