"""Reasons why a function cannot be instrumented, and notes about one that can.

Each text contains the reason and what to do. Limits are Lambda's quotas. What the API does not show
(the unzipped size of code and other layers) is left to Lambda, which then refuses the whole change.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from lrap_otel.telemetry.variable_checks import WRAPPER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lrap_otel.aws.function import Function

MAX_LAYERS = 5
MAX_UNZIPPED_BYTES = 262_144_000
MAX_ENVIRONMENT_BYTES = 4_096

# They run on Amazon Linux 1, or without the Runtime API (go1.x): neither wrappers nor extensions.
_TOO_OLD = re.compile(
    r"go1\.x|java8|nodejs|nodejs(4|6|8)\..*|python2\.7|python3\.[67]|ruby2\.5|dotnetcore[12]\..*"
)
# They start the customer's own bootstrap; Lambda ignores AWS_LAMBDA_EXEC_WRAPPER.
_OWN_BOOTSTRAP = re.compile(r"provided(\..*)?|custom")
_KNOWN = re.compile(
    r"nodejs\d+\.x|python3\.\d+|java\d+(\.al\d+)?|dotnet(core3\.1|\d+)|ruby\d+\.\d+"
)
_EDGE_ROLE = re.compile(r"edge[-_]?lambda|lambda[-_@]?(at[-_]?)?edge", re.IGNORECASE)

BOOTSTRAP_LINE = f'exec {WRAPPER} "$LAMBDA_TASK_ROOT/your-program" "$@"'


def runs_wrappers(runtime: str) -> bool:
    """Whether Lambda starts this runtime through AWS_LAMBDA_EXEC_WRAPPER. An unknown runtime is
    assumed to.
    """
    return not (has_own_bootstrap(runtime) or is_too_old(runtime))


def has_own_bootstrap(runtime: str) -> bool:
    """Whether Lambda starts the customer's own bootstrap and ignores AWS_LAMBDA_EXEC_WRAPPER."""
    return bool(_OWN_BOOTSTRAP.fullmatch(runtime))


def is_too_old(runtime: str) -> bool:
    """Whether the runtime supports neither wrappers nor extensions."""
    return bool(_TOO_OLD.fullmatch(runtime))


def is_known(runtime: str) -> bool:
    """Whether this is a known runtime that supports wrappers."""
    return bool(_KNOWN.fullmatch(runtime))


def obstacle(function: Function) -> str:
    """The reason why this function cannot be instrumented through the API at all; empty
    if it can.
    """
    if function.package_type == "Image":
        return (
            "a container image takes no layers: put `COPY --from=… /opt /opt` into its Dockerfile "
            "and start its "
            f"entry point through {WRAPPER} (docs/install.md)"
        )
    if function.master_arn and function.master_arn != function.arn:
        return (
            "a replica of Lambda@Edge, which takes neither layers nor variables; trace it "
            "at the origin"
        )
    if is_too_old(function.runtime):
        return (
            f"{function.runtime} runs neither wrappers nor extensions: move it to a current runtime"
        )
    if function.environment_error:
        # To write variables that could not be read would erase them.
        return (
            f"its variables cannot be read ({function.environment_error}): "
            "you need kms:Decrypt with its key, else they would be lost"
        )
    if function.state == "Deleting":
        return "it is being deleted"
    return ""


def looks_like_edge(function: Function) -> bool:
    """Whether this may be the original of a Lambda@Edge function, which the API does not show.

    Those are in us-east-1, without layers and variables, with a role that CloudFront may assume.
    """
    return (
        function.region == "us-east-1"
        and not function.layers
        and not function.variables
        and bool(_EDGE_ROLE.search(function.role.rpartition("/")[2]))
    )


def limit_exceeded(
    function: Function, layers: Sequence[str], variables: Mapping[str, str], layer_bytes: int = 0
) -> str:
    """The quota that these layers and variables would exceed; empty if none.

    `layer_bytes` is our layer's unzipped size, 0 if unknown. Everything else counts zipped, so only
    what is certainly too large is refused here.
    """
    if len(layers) > MAX_LAYERS:
        return (
            f"it has {len(layers) - 1} layers and Lambda allows {MAX_LAYERS}: merge two of its "
            f"layers into one "
            "(unzip them into one folder), then try again"
        )
    size = environment_bytes(variables)
    if size > MAX_ENVIRONMENT_BYTES:
        return (
            f"its variables would take {size} of the {MAX_ENVIRONMENT_BYTES} bytes that Lambda "
            f"allows: move a large "
            "one into Parameter Store or Secrets Manager"
        )
    added = 0 if len(layers) == len(function.layers) else layer_bytes
    total = function.code_size + sum(function.layer_sizes) + added
    if total > MAX_UNZIPPED_BYTES:
        return (
            f"code and layers would take at least {total} of the {MAX_UNZIPPED_BYTES} bytes that "
            f"Lambda allows "
            "unzipped: make it smaller, or a container image"
        )
    return ""


def environment_bytes(variables: Mapping[str, str]) -> int:
    """The size as Lambda measures it: of the JSON object without blanks, in UTF-8."""
    return len(json.dumps(variables, ensure_ascii=False, separators=(",", ":")).encode())


def notes(function: Function) -> list[str]:
    """Notes for the user about a function that can be instrumented."""
    found: list[str] = []
    if has_own_bootstrap(function.runtime):
        found.append(
            f"{function.runtime} ignores wrappers: the layer is added, and nothing is traced until "
            f"its bootstrap "
            f"ends with this line:  {BOOTSTRAP_LINE}"
        )
    elif not is_known(function.runtime):
        found.append(
            f"the runtime {function.runtime!r} is not known here; it is taken to run wrappers"
        )
    if function.has_snap_start:
        found.append(
            "SnapStart serves published versions: nothing is traced until one is published "
            "(--publish)"
        )
    if function.is_managed_instances:
        found.append(
            "Managed Instances run published versions: nothing is traced until one is (--publish)"
        )
    if looks_like_edge(function):
        found.append(
            "its role is one of Lambda@Edge, which takes neither layers nor variables: is it at "
            "the edge?"
        )
    return found
