"""What is fuzzed: each target reads bytes two ways, ours and an oracle's, and makes inputs that get
far enough to differ.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from tests.fuzz import documents, messages, vocabulary
from tests.fuzz.client_context import check_client_context
from tests.fuzz.framing import check_body, check_head, check_reply
from tests.fuzz.splice import check_event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random


class Target:
    """`check` tells how the two readings of an input differ, None where they agree. `seeds` are
    valid inputs, `pieces` what they are made of; `fresh` makes one more; `whole` makes an input of
    any bytes.
    """

    def __init__(
        self,
        check: Callable[[bytes], str | None],
        seeds: Sequence[bytes],
        pieces: Sequence[bytes],
        fresh: Callable[[Random], bytes] | None = None,
        whole: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self.seeds = seeds
        self._check = check
        self._pieces = pieces
        # Joined pieces are seldom well-formed.
        self._fresh, self._fresh_share = (fresh, 0.5) if fresh else (self._joined, 0.15)
        self._whole = whole

    def check(self, data: bytes) -> str | None:
        data = self._whole(data)
        try:
            return self._check(data)
        except Exception:  # noqa: BLE001 - whatever was raised, it should not have been
            return f"{data!r}: {traceback.format_exc()}"

    def input(self, random: Random) -> bytes:
        """A new one, or a seed that is changed."""
        data = (
            self._fresh(random)
            if random.random() < self._fresh_share
            else random.choice(self.seeds)
        )
        return data if random.random() < 0.2 else self.mutated(random, data)

    def mutated(self, random: Random, data: bytes) -> bytes:
        """`data` with up to three places changed."""
        for _ in range(random.choice((1, 1, 2, 3))):
            start = random.randrange(len(data) + 1)
            end = start + random.choice((0, 0, 1, 1, 2, 8))
            data = data[:start] + self._new(random, data) + data[end:]
        return data if random.random() < 0.95 else data[: random.randrange(len(data) + 1)]

    def _new(self, random: Random, data: bytes) -> bytes:
        kind = random.random()
        if kind < 0.3:
            return b""
        if kind < 0.7:
            return random.choice(self._pieces)
        if kind < 0.85:
            return random.randbytes(1)
        start = random.randrange(len(data) + 1)  # a member or a line once more
        return data[start : start + random.choice((2, 16, 64))]

    def _joined(self, random: Random) -> bytes:
        return b"".join(random.choices(self._pieces, k=random.randrange(1, 12)))


TARGETS = {
    "head": Target(check_head, messages.HEADS, messages.HEAD_PIECES, whole=messages.whole_head),
    "reply": Target(
        check_reply, messages.REPLIES, messages.REPLY_PIECES, whole=messages.whole_head
    ),
    "body": Target(check_body, messages.BODIES, messages.BODY_PIECES),
    "event": Target(check_event, documents.event_seeds(), vocabulary.PIECES, documents.event),
    "client context": Target(
        check_client_context,
        vocabulary.CLIENT_CONTEXTS,
        vocabulary.PIECES,
        documents.client_context,
    ),
}
