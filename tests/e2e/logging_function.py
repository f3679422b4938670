"""A function that prints and logs, and says which invocation it was."""

from __future__ import annotations

import json
import logging
from typing import Any

print("while it starts")  # noqa: T201 - what it is for


def handler(event: dict[str, Any], context: Any) -> str:
    """Every form in which Python functions log."""
    print("printed")  # noqa: T201 - see above
    logging.getLogger().warning("two\nlines")
    print(json.dumps({"level": "error", "message": {"deep": [1, 2]}, "order": 7}))  # noqa: T201 - see above
    if event.get("do") == "raise":
        raise ValueError("it broke")
    return str(context.aws_request_id)
