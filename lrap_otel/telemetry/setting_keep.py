"""The grammar of ``LRAP_KEEP``: ``errors,slow:1s,cold,ratio:0.05``."""

ERRORS, SLOW, COLD, RATIO = "errors", "slow", "cold", "ratio"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_DIGITS_LIMIT = 15


def parse(text: str) -> dict[str, float]:
    """The rules, each once, with its number: seconds of `SLOW`, a share of `RATIO`, else 0.0. Empty
    for no text.

    Raises ValueError for anything else.
    """
    rules: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.lower().split(","))):
        name, colon, value = part.partition(":")
        if name in rules or bool(colon) != (name in {SLOW, RATIO}):
            raise ValueError(part)
        if name == SLOW:
            rules[name] = _seconds(value)
        elif name == RATIO:
            rules[name] = _number(value)
            if rules[name] > 1:
                raise ValueError(part)
        elif name in {ERRORS, COLD}:
            rules[name] = 0.0
        else:
            raise ValueError(part)
    return rules


def _seconds(text: str) -> float:
    unit = text.lstrip("0123456789.")
    if unit not in _SECONDS:
        raise ValueError(text)
    return _number(text.removesuffix(unit)) * _SECONDS[unit]


def _number(text: str) -> float:
    # Plain decimals: `float` also reads "1e3", "nan" and the digits of other alphabets.
    if len(text) > _DIGITS_LIMIT or not text.isascii() or not text.replace(".", "", 1).isdigit():
        raise ValueError(text)
    return float(text)
