"""Clients for AWS, and advice if they cannot be made or AWS refuses.

boto3 is an extra; it is imported here, when a command runs, so that `lrap-otel --help` does not
need it.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from lrap_otel.extras import remedy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from boto3.session import Session
    from types_boto3_lambda import LambdaClient

# Attempts of a throttled call, with botocore's exponential back-off of at most 20 s each.
ATTEMPTS = 10

_LOGIN = "log in with `aws sso login` or `aws configure`, or name a profile by AWS_PROFILE"
_EXPIRED = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "UnrecognizedClientException",
}


class AwsError(Exception):
    """An error for people: what went wrong, and what to do next."""


class Account:
    """Clients for each service and region, made once, with boto3's standard chain of credentials.

    Clients may be used by several threads; `connections` is how many at once.
    """

    def __init__(self, connections: int) -> None:
        try:
            import boto3  # noqa: PLC0415 - an extra
        except ImportError:
            raise AwsError(f"this command needs boto3: {remedy('aws')}") from None
        from botocore.config import Config  # noqa: PLC0415 - comes with boto3
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - see above

        self._config = Config(
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            max_pool_connections=connections,
            connect_timeout=10,
            read_timeout=60,
        )
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()
        try:
            self._session: Session = boto3.Session()
        except BotoCoreError as error:
            raise AwsError(explain(error)) from None

    def regions(self, named: Sequence[str]) -> list[str]:
        """The regions named, each once; else the one of the environment or the profile;
        else empty.
        """
        # The aws CLI reads AWS_REGION; boto3 reads only AWS_DEFAULT_REGION and the profile.
        usual = os.environ.get("AWS_REGION") or self._session.region_name
        return list(dict.fromkeys(named)) or ([usual] if usual else [])

    def client(self, region: str) -> LambdaClient:
        """The region's client. Raises `AwsError` if it cannot be made."""
        client: LambdaClient = self.service("lambda", region)
        return client

    def service(self, name: str, region: str) -> Any:
        """The region's client for another service. Raises `AwsError` if it cannot be made."""
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - comes with boto3

        with self._lock:
            if (name, region) not in self._clients:
                try:
                    client = self._session.client(name, region_name=region, config=self._config)  # type: ignore[call-overload]
                except (BotoCoreError, ValueError) as error:
                    raise AwsError(explain(error)) from None
                self._clients[name, region] = client
            return self._clients[name, region]


def errors_of_aws() -> tuple[type[Exception], ...]:
    """Every exception that a client's call may raise, for `except`."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - comes with boto3

    return BotoCoreError, ClientError


def code_of(error: Exception) -> str:
    """AWS's name of an error, such as ``ResourceNotFoundException``; empty if AWS did
    not answer.
    """
    answer: Mapping[str, Any] = getattr(error, "response", {})
    return str(answer.get("Error", {}).get("Code", ""))


def explain(error: Exception) -> str:
    """One line: the error of AWS or boto3, and what to do next."""
    name = type(error).__name__
    code = code_of(error)
    text = " ".join(str(error).split()).rstrip(".")
    if "Credentials" in name or code in _EXPIRED:
        return f"no valid AWS credentials ({text}): {_LOGIN}"
    if "Token" in name or "SSO" in name or name == "ProfileNotFound":
        return f"{text}: {_LOGIN}"
    if name == "NoRegionError":
        return NO_REGION
    if name in {"EndpointConnectionError", "ConnectTimeoutError", "InvalidRegionError"}:
        return f"{text}: is the region's name right, and is AWS reachable from here?"
    if code in {"AccessDeniedException", "AccessDenied"}:
        return f"{text}: ask for that permission (docs/install.md lists what is needed)"
    return text


NO_REGION = "no region: pass --region eu-west-1 (it may be repeated), or set AWS_REGION"
