"""What botocore would have signed a request with: the oracle of our signer, and what the stand-ins
for AWS check with.
"""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING
from unittest.mock import patch

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

_one_clock = threading.Lock()
DATE_FORMAT = "%Y%m%dT%H%M%SZ"


def signature_by_botocore(
    method: str,
    host: str,
    target: str,
    fields: Mapping[str, str],
    body: bytes,
    keys: tuple[str, str, str],
    region: str,
    service: str,
) -> str:
    """The ``Authorization`` field that botocore writes, at the time that the request's
    ``X-Amz-Date`` says.

    `keys` are the access key's id, the secret and the session's token, which may be empty.
    """
    given = {name.lower(): value for name, value in fields.items()}
    at = datetime.strptime(given.pop("x-amz-date"), DATE_FORMAT).replace(tzinfo=timezone.utc)
    for own in ("authorization", "host", "x-amz-security-token"):
        given.pop(own, None)
    request = AWSRequest(method, f"https://{host}{target}", headers=given, data=body)
    request.headers["Host"] = host
    credentials = Credentials(*keys[:2], keys[2] or None)
    with _one_clock, patch("botocore.auth.get_current_datetime", lambda *_, **__: at):
        botocore.auth.SigV4Auth(credentials, service, region).add_auth(request)
    return str(request.headers["Authorization"])
