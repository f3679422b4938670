"""The templates that the heads of this function's calls have left."""

from lrap_otel.http1.errors import CLIENT, SERVER
from lrap_otel.http1.heads import CHUNKED
from lrap_otel.proxy.calls import POLL, ParsedCall
from lrap_otel.proxy.head_templates import CONTENT_LENGTH, RecognisedHead
from lrap_otel.text.learning import LearningBackoff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.http1.heads import Head
    from lrap_otel.proxy.head_templates import HeadTemplate
    from lrap_otel.text.learning import PatternCompiler


# With one of these a head is hardly like another, or needs more than a look.
_NOT_LEARNED = frozenset(
    (
        b"lambda-runtime-client-context",
        b"lambda-runtime-cognito-identity",
        b"traceparent",
        b"expect",
    )
)
_LIMIT_BYTES = 2_048
_TEMPLATES_LIMIT = 4


class _Kind:
    """The templates that heads of one kind have left, the last one first."""

    __slots__ = ("_compiler", "_sender", "backoff", "known")

    def __init__(
        self,
        sender: str,
        compiler: "PatternCompiler",
    ) -> None:
        self._sender = sender
        self._compiler = compiler
        self.backoff = LearningBackoff()
        self.known: list[HeadTemplate] = []

    def recognise(self, data: bytes, into: RecognisedHead | None = None) -> RecognisedHead | None:
        """The head that `data` begins with, if it matches a template.

        `into`: an earlier head, of which nothing is needed any more, to be this one.
        """
        for template in self.known:
            found = template.pattern.match(data)
            if found is not None:
                self.backoff.misses = 0
                head = RecognisedHead(self._sender) if into is None else into
                head.template = template
                head.values = values = found.groups()
                head.raw = head.forwarded = found[0]
                head.status = template.status
                head.request_id = values[template.request_id_at].decode()
                head.invocation_id = values[template.invocation_id_at].decode()
                length = values[template.length_at]
                head.body_length = int(length) if length else CHUNKED
                return head
        return None

    def learn(self, head: "Head") -> None:
        """Keep the template of a valid head, if it may come again."""
        if self._compiler.is_off or not _may_come_again(head) or not self.backoff.should_learn():
            return
        from lrap_otel.proxy.learn_heads import template_of  # noqa: PLC0415 - not before the second event

        template = template_of(head, self._compiler)
        found = template.pattern.match(head.raw) if template is not None else None
        if template is not None and found:
            length = found[template.length_at + 1]
            # A reply that has no body, whatever its Content-Length says, is another one.
            if head.body_length == (int(length) if length else CHUNKED):
                self.known = [template, *self.known[: _TEMPLATES_LIMIT - 1]]


class HeadTemplates:
    """What is known of the heads that come again: the templates of each kind, and the last poll.

    `poll` is a call without a body: a runtime's ``/next`` never changes.
    """

    __slots__ = ("answers", "events", "poll", "results")

    def __init__(self, compiler: "PatternCompiler") -> None:
        self.results = _Kind(CLIENT, compiler)
        self.events = _Kind(SERVER, compiler)
        self.answers = _Kind(SERVER, compiler)
        self.poll: ParsedCall | None = None

    def remember(self, call: ParsedCall) -> None:
        """Keep a poll, if it may come again as it is."""
        if (
            call.kind == POLL
            and call.forwarded is call.raw
            and not call.closes
            and not call.body_length
        ):
            self.poll = call


def _may_come_again(head: "Head") -> bool:
    """With other values: it went on as it came, on a connection that goes on, each name once and
    plainly written.
    """
    return (
        head.forwarded is head.raw
        and not head.closes
        and len(head.raw) <= _LIMIT_BYTES
        and len(head.fields) == len(head.pairs)
        and _NOT_LEARNED.isdisjoint(head.fields)
        and (head.body_length == CHUNKED or CONTENT_LENGTH in head.fields)
        and all(
            line == line[: len(name)] + b": " + value and value
            for line, (name, value) in zip(head.lines, head.pairs, strict=True)
        )
    )
