"""The templates that the events of this function have left."""

from lrap_otel.propagation.carrier.templates import (
    ANY_HEADERS,
    TemplateMatch,
    part_that_matters,
    without_escapes,
)
from lrap_otel.text.learning import LearningBackoff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from lrap_otel.propagation.carrier.scanned import ScannedCarrier
    from lrap_otel.propagation.carrier.templates import EventTemplate
    from lrap_otel.text.learning import PatternCompiler

    # `get` looks a value up by its lower-case name, `parent` is W3C's, `write` puts fields into the
    # event.
    Carrier: TypeAlias = "ScannedCarrier | TemplateMatch"

# How far after the pattern, and how far from the event's end, headers are looked for. Searching a
# megabyte takes half a millisecond.
_SEARCHED_BYTES = 16_384
# Templates at once: some 8 bytes of memory for each byte that they have in common with their
# events.
TEMPLATES_LIMIT = 16
# With so many known, one in so many others is learned: learning takes longer than a scan.
_LEARNED_OF_OTHERS = 8


class EventTemplates:
    """The last one learned comes first."""

    __slots__ = ("_compiler", "_others", "backoff", "known")

    def __init__(self, compiler: "PatternCompiler") -> None:
        self._compiler = compiler
        self._others = 0
        self.backoff = LearningBackoff()
        self.known: list[EventTemplate] = []

    def find(self, event: bytes) -> TemplateMatch | None:
        """The carrier of an event that matches; None if it has to be scanned.

        The caller checks that it is UTF-8.
        """
        for template in self.known:
            found = template.pattern.match(event)
            if found is not None:
                self.backoff.misses = 0
                # What follows the pattern must not have headers as well, which would be the ones
                # that count.
                end = found.end()
                if len(event) - end > _SEARCHED_BYTES:
                    has_more = _has_headers(event, end)
                else:
                    has_more = event.find(ANY_HEADERS, end) >= 0
                return None if has_more else TemplateMatch(template, found.groups(), end)
        return None

    def find_with_escapes(self, event: bytes) -> TemplateMatch | None:
        """The same for an event that only escaped quotes and backslashes make differ.

        It is UTF-8.
        """
        plain = without_escapes(part_that_matters(event)) if self.known else b""
        for template in self.known:
            found = template.pattern.fullmatch(plain)
            if found is not None:
                # Everything has the same place in the event as in `plain`.
                values = tuple([event[start:end] for start, end in found.regs[1:]])
                return TemplateMatch(template, values, found.end())
        return None

    def learn(self, event: "bytes | memoryview", carrier: "ScannedCarrier") -> None:
        """Keep the template of an event in which the scan has found this carrier, if it may come
        again.
        """
        if self._compiler.is_off or not carrier.objects:
            return
        self._others += 1
        is_full = len(self.known) == TEMPLATES_LIMIT
        if (is_full and self._others % _LEARNED_OF_OTHERS) or not self.backoff.should_learn():
            return
        from lrap_otel.propagation.carrier.learn import template_of  # noqa: PLC0415 - not before the second event

        template = template_of(bytes(event), carrier, self._compiler)
        if template is not None:
            # One that takes any text for a traceparent comes last: others may tell its parts apart.
            is_general = (
                template.parent_at < 0
                and "traceparent" in template.reads
                and "tracestate" not in template.reads
            )
            others = self.known[: TEMPLATES_LIMIT - 1]
            self.known = [*others, template] if is_general else [template, *others]


def _has_headers(event: bytes, start: int) -> bool:
    """From `start` on. In the middle of a large event from one of AWS's services is its body, in
    which a quote is escaped.

    An event that somebody made himself may have its headers there again; then the first of them are
    written.
    """
    if event.find(ANY_HEADERS, start, start + _SEARCHED_BYTES) >= 0:
        return True
    rest = max(start, len(event) - _SEARCHED_BYTES - len(ANY_HEADERS))
    return start + _SEARCHED_BYTES < len(event) and event.find(ANY_HEADERS, rest) >= 0
