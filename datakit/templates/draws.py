"""Random choices of a template in the worker process, made as the asking process's global generator would make them.

promptsource draws from Python's global generator. To draw the same there and to leave the generator in the same place,
we hand the worker a block of the generator's next 32-bit words, learn how many it used, and step back over the rest.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

__all__ = ["BLOCK", "Drawer", "Supply"]

BLOCK = 32
"""Words in a block; a choice takes one or, where the number of options is no power of two, now and then two."""

_FORMAT = struct.Struct(f"<{BLOCK}I")


class Supply:
    """Our side: blocks of words of the global generator."""

    def __init__(self) -> None:
        self._state: tuple[object, ...] | None = None

    def block(self) -> bytes:
        """The next words. Those handed out before count as used."""
        self._state = random.getstate()
        return random.getrandbits(32 * BLOCK).to_bytes(4 * BLOCK, "little")

    def settle(self, used: int) -> None:
        """Puts the generator where it is after so many words of the last block."""
        if self._state is not None and used < BLOCK:
            random.setstate(self._state)
            if used:
                random.getrandbits(32 * used)
        self._state = None


class Drawer:
    """The worker's side: indices drawn from a block.

    Args:
        block: Of :meth:`Supply.block`.
        more: Asks for the next block.
    """

    def __init__(self, block: bytes, more: Callable[[], bytes]) -> None:
        self._words = _FORMAT.unpack(block)
        self._more = more
        self.used = 0

    def draw(self, options: int) -> int:
        """As ``random.choice(range(options))``: the top bits of a word, again while they are too large.

        Raises:
            IndexError: There is nothing to choose from.
        """
        if options < 1:
            raise IndexError("Cannot choose from an empty sequence")
        shift = 32 - options.bit_length()
        while True:
            if self.used == BLOCK:
                self._words, self.used = _FORMAT.unpack(self._more()), 0
            index = int(self._words[self.used] >> shift)
            self.used += 1
            if index < options:
                return index
