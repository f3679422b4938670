"""When a template is learned, and the compiler of its pattern.

Templates only ever save time. Without them everything is parsed.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Sequence

    from lrap_otel.text.patterns import Matcher, Part

_FREE_ATTEMPTS = 4
_LONGEST_PAUSE_BITS = 8


class PatternCompiler:
    """Compiles patterns with this Python's own matcher, which is looked for when the first is
    needed.

    `is_off`: the matcher is unknown here, or has refused a pattern. It is not asked again.
    """

    __slots__ = ("_matcher", "is_off")

    def __init__(self) -> None:
        self._matcher: Matcher | None = None
        self.is_off = False

    def compile(self, parts: "Sequence[Part]") -> "re.Pattern[bytes] | None":
        """The pattern of these parts, one after the other, for bytes; None if patterns are off."""
        if self.is_off:
            return None
        try:
            if self._matcher is None:
                from lrap_otel.text.patterns import Matcher  # noqa: PLC0415 - not needed before the second event

                self._matcher = Matcher()
            return self._matcher.compile(parts)
        except (
            ImportError,
            AttributeError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
            OverflowError,
        ):
            self.is_off = True
            return None


class LearningBackoff:
    """Says when to learn a template: that takes longer than it saves, unless the form comes again.

    The first opportunity is skipped, since many sandboxes see one event only. `misses` counts the
    templates learned since one last matched; the user of a match resets it. After four, exponential
    back-off: up to 256 opportunities are skipped between two.
    """

    __slots__ = ("_has_begun", "_skips", "misses")

    def __init__(self) -> None:
        self._has_begun = False
        self._skips = 0
        self.misses = 0

    def should_learn(self) -> bool:
        """Whether to use this opportunity."""
        if not self._has_begun:
            self._has_begun = True
            return False
        if self.misses > _FREE_ATTEMPTS and self._skips > 0:
            self._skips -= 1
            return False
        self.misses += 1
        self._skips = 2 ** min(max(self.misses - _FREE_ATTEMPTS, 0), _LONGEST_PAUSE_BITS)
        return True
