# SPDX-License-Identifier: Apache-2.0
"""Tokens as text while they come: whole characters only, and nothing of a stop string."""

import bisect
import codecs
from collections.abc import Iterable, Sequence

from coder.data.tokenizer import Tokenizer


class TextStream:
    """The text of an answer, as far as it is certain.

    Text is over before the first stop string that is complete; of two that are complete with the
    same character, the longer one counts. What may be the beginning of a stop string, or of a
    character, waits for the tokens that decide it. Bytes that are no UTF-8 become U+FFFD.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Iterable[str] = ()):
        """Begins an answer.

        Raises:
            ValueError: a stop string is empty: it would end every answer before it begins.
        """
        self.tokenizer, self.stops = tokenizer, tuple(stops)
        if "" in self.stops:
            raise ValueError("a stop string is empty, which would end every answer at once")
        self.is_complete = False
        """Whether a stop string was found; nothing follows."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting = ""

    def feed(self, ids: Sequence[int]) -> str:
        """Takes tokens; gives the text that they make certain."""
        return self._taken(self.tokenizer.decode_bytes(ids))

    def finish(self) -> str:
        """What waited, when no more tokens come; the bytes of half a character are U+FFFD."""
        certain = self._taken(b"", final=True)
        waiting, self._waiting = self._waiting, ""
        return certain + waiting

    def is_over(self, ids: Sequence[int]) -> int | None:
        """How many of all tokens of an answer complete its first stop string; None: none does.

        Depends on nothing that was fed, so that it serves several answers at once.
        """
        if not self.stops or not self._has_stop(ids):
            return None
        return bisect.bisect_left(
            range(len(ids)), True, key=lambda count: self._has_stop(ids[:count])
        )

    def _has_stop(self, ids: Sequence[int]) -> bool:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(self.tokenizer.decode_bytes(ids))
        return any(stop in text for stop in self.stops)

    def _taken(self, data: bytes, final: bool = False) -> str:
        if self.is_complete:
            return ""
        self._waiting += self._decoder.decode(data, final)
        end = stop_place(self._waiting, self.stops)
        self.is_complete = end is not None
        if end is None:
            end = len(self._waiting) - _begun(self._waiting, self.stops)
        certain, self._waiting = self._waiting[:end], self._waiting[end:]
        if self.is_complete:
            self._waiting = ""
        return certain


def stop_place(text: str, stops: Iterable[str]) -> int | None:
    """Where the stop string begins that is the first to be complete; None: none is."""
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    return min(found)[1] if found else None


def _begun(text: str, stops: Iterable[str]) -> int:
    """Characters at the end of a text that may be the beginning of a stop string."""
    longest = 0
    for stop in stops:
        for length in range(min(len(stop) - 1, len(text)), longest, -1):
            if text.endswith(stop[:length]):
                longest = length
                break
    return longest
