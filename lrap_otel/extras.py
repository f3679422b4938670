"""How to get the packages that a command needs and an extension does not."""

# By the packages' own names: this project's name on an index may be somebody else's.
PACKAGES = {
    "aws": "boto3 'pyyaml>=6.0.4'",
    "emulator": "aiohttp h11 opentelemetry-proto 'pyyaml>=6.0.4'",
}


def remedy(extra: str) -> str:
    """What to do if a package of `extra` is missing, in one line."""
    return (
        f"in a checkout `make setup` installs it, elsewhere pip install {PACKAGES[extra]} "
        f"(the extra `{extra}`)"
    )
