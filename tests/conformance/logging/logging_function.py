"""Prints a line and logs a warning, as functions for ``awslambdaric`` do."""

import logging


def handler(event: object, context: object) -> object:
    """The event, as it is."""
    print("printed")  # noqa: T201 - what it is for
    logging.getLogger().warning("logged")
    return event
