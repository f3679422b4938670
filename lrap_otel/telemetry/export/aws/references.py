"""References to secrets in settings: ``${arn:aws:secretsmanager:...}`` and ``${arn:aws:ssm:...}``.

The ARN of a secret may go on as it does in a task definition of ECS:
``...:secret:NAME:json-key:version-stage:version-id``, the parts from the end left out or empty.

Sources: Amazon ECS Developer Guide, "Pass Secrets Manager secrets through environment variables";
AWS Secrets Manager and AWS Systems Manager API references, "GetSecretValue" and "GetParameter".
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

OPENING, CLOSING = "${arn:", "}"
_SECRET_PARTS, _PARAMETER_PARTS = 7, 6
_MOST_PARTS = _SECRET_PARTS + 3


class Reference:
    """One secret, or one parameter: `service` is ``secretsmanager`` or ``ssm``, `arn` its own ARN.

    `json_key` names a member of the secret's JSON object, empty for the whole text;
    `version_stage` and `version_id` are empty for the current version.
    """

    __slots__ = ("arn", "json_key", "region", "service", "version_id", "version_stage")

    def __init__(self, text: str) -> None:
        """`text` is what is between the braces. Raises ValueError, with a text for people, if it is
        no such ARN.
        """
        parts = text.split(":")
        self.service, self.region = (
            (parts[2], parts[3]) if len(parts) >= _PARAMETER_PARTS else ("", "")
        )
        if not self.region or not parts[4]:
            raise ValueError("is no ARN with a region and an account")
        own_parts = len(parts)
        self.json_key = self.version_stage = self.version_id = ""
        if self.service == "secretsmanager":
            if (
                len(parts) < _SECRET_PARTS
                or parts[5] != "secret"
                or not parts[6]
                or len(parts) > _MOST_PARTS
            ):
                raise ValueError(
                    "is no ARN of a secret (arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME:KEY)"
                )
            own_parts = _SECRET_PARTS
            self.json_key, self.version_stage, self.version_id = [
                *parts[_SECRET_PARTS:],
                "",
                "",
                "",
            ][:3]
        elif self.service != "ssm" or not parts[5].startswith("parameter/"):
            raise ValueError(
                "is no ARN of a secret or a parameter (arn:aws:ssm:REGION:ACCOUNT:parameter/NAME)"
            )
        self.arn = ":".join(parts[:own_parts])


def references_in(text: str) -> list[str]:
    """What is between the braces of each reference in `text`, in order.

    Raises ValueError, with a text for people, if one is malformed.
    """
    found = []
    position = text.find(OPENING)
    while position >= 0:
        end = text.find(CLOSING, position)
        if end < 0:
            raise ValueError("has a reference without a closing brace")
        found.append(text[position + 2 : end])
        Reference(found[-1])
        position = text.find(OPENING, end)
    return found


def with_values(text: str, values: "Mapping[str, str]") -> str:
    """`text` with each reference replaced by its value; what is between the braces is the key."""
    parts = []
    rest = text
    while True:
        before, opening, after = rest.partition(OPENING)
        parts.append(before)
        if not opening:
            return "".join(parts)
        name, _, rest = after.partition(CLOSING)
        parts.append(values[f"arn:{name}"])
