"""Environment variables, read by kind: text, number, address, and so on.

A value that cannot be used gives one warning and the default; an empty one counts as unset
(OpenTelemetry's rule). Loaded before the extension registers, so this file imports nothing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    T = TypeVar("T")

_QUOTED_LIMIT = 60
_SWITCHES = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}
_PORT_DIGITS, _HIGHEST_PORT = 5, 65_535


class Environment:
    """The variables of one process, read by kind; `warnings` collects what could not be used."""

    __slots__ = ("variables", "warnings")

    def __init__(self, variables: "Mapping[bytes, bytes]") -> None:
        self.variables = variables
        self.warnings: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        """The value as it stands; `default` where it is unset or empty."""
        return (
            self.variables.get(name.encode(), b"").decode("utf-8", "surrogateescape").strip()
            or default
        )

    def flag(self, name: str, default: bool) -> bool:
        """``true`` or ``false``, in any case."""
        return self._parsed(name, default, _flag)

    def switch(self, name: str, default: bool) -> bool:
        """On or off, in the words that people write. OpenTelemetry's variables have `flag`."""
        return self._parsed(name, default, lambda text: _SWITCHES[text.lower()])

    def port(self, name: str, default: int) -> int:
        """A plain decimal from 1 to 65535, blanks around it ignored: what `opt/wrapper`
        takes too.
        """
        text = self.variables.get(name.encode(), b"").strip(b" \t\n")
        if not text:
            return default
        is_plain = text.isdigit() and not text.startswith(b"0") and len(text) <= _PORT_DIGITS
        if is_plain and int(text) <= _HIGHEST_PORT:
            return int(text)
        quoted = ascii(text[:_QUOTED_LIMIT])[1:]
        self.warn(f"{name}={quoted} cannot be used; {default} is used instead")
        return default

    def number(self, name: str, default: int, lowest: int, highest: int, says: str = "") -> int:
        """A whole number within bounds that are both allowed. `says` are the warning's words for
        the default, where the number itself would mislead.
        """
        return self._parsed(
            name, default, lambda text: _within(_decimal(text), lowest, highest), says
        )

    def one_of(self, name: str, default: str, choices: tuple[str, ...], says: str = "") -> str:
        """One of `choices`, in any case. `says` are the warning's words for the default."""
        return self._parsed(name, default, lambda text: choices[choices.index(text.lower())], says)

    def word_or_number(
        self, name: str, default: str, choices: tuple[str, ...], lowest: int, highest: int
    ) -> str | int:
        """One of `choices`, in any case, or a whole number within bounds that are both allowed."""

        def parse(text: str) -> str | int:
            return (
                text.lower()
                if text.lower() in choices
                else _within(_decimal(text), lowest, highest)
            )

        chosen: str | int = default
        return self._parsed(name, chosen, parse)

    def several_of(
        self, name: str, default: tuple[str, ...], choices: tuple[str, ...]
    ) -> tuple[str, ...]:
        """A comma-separated list, each once; what is not of `choices` is left out with a warning
        (OpenTelemetry's rule).
        """
        names = dict.fromkeys(
            part.strip().lower() for part in self.text(name).split(",") if part.strip()
        )
        for unknown in (part for part in names if part not in choices):
            self.warn(
                f"{name}: {quoted(unknown)} is not one of {', '.join(choices)}; it is ignored"
            )
        return tuple(part for part in names if part in choices) or default

    def address(self, name: str, default: tuple[str, int] | None) -> tuple[str, int] | None:
        """``host:port``."""
        return self._parsed(name, default, _address)

    def warn(self, text: str) -> None:
        """Keep a warning, once: some variables are read for two signals."""
        if text not in self.warnings:
            self.warnings.append(text)

    def _parsed(self, name: str, default: "T", parse: "Callable[[str], T]", says: str = "") -> "T":
        text = self.text(name)
        if not text:
            return default
        try:
            return parse(text)
        except (KeyError, ValueError):
            self.warn(
                f"{name}={quoted(text)} cannot be used; {says or repr(default)} is used instead"
            )
            return default


def _flag(text: str) -> bool:
    return ("false", "true").index(text.lower()) == 1


def _decimal(text: str) -> int:
    # Plain digits: `int` also reads "+1", "1_000" and the digits of other alphabets.
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def quoted(text: str) -> str:
    """For a warning, however long it is."""
    return repr(text if len(text) <= _QUOTED_LIMIT else text[:_QUOTED_LIMIT] + "...")


def _within(value: int, lowest: int, highest: int) -> int:
    if lowest <= value <= highest:
        return value
    raise ValueError(value)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    # A scheme, credentials, a path or IPv6 would only fail at every call.
    if not (host and colon) or any(character in host for character in ":/@ \t"):
        raise ValueError(text)
    return host, _within(_decimal(port), 1, 65_535)
