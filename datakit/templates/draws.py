"""Random choices of a template in the worker process, made as the asking process's global generator would make them.

promptsource draws from Python's global generator. To draw the same there and to leave the generator in the same place,
we hand the worker a block of the generator's next 32-bit words, learn how many it used, and step back over the rest.
A template that needs more gets the generator's state, which takes longer to hand over than a row to render.
"""

from __future__ import annotations

import marshal
import random
import struct
from collections.abc import Callable

__all__ = ["BLOCK", "MAX_DRAWS", "Drawer", "Supply"]

BLOCK = 32
"""Words in a block; a choice takes one or, where the number of options is no power of two, now and then two."""

MAX_DRAWS = 1 << 26
"""Words one request may use: a second's work to step over."""

_FORMAT = struct.Struct(f"<{BLOCK}I")
_STEP = 1 << 16


class Supply:
    """Our side: the next words of the global generator."""

    def __init__(self) -> None:
        self._before: tuple[object, ...] = random.getstate()

    def block(self) -> bytes:
        """The next words."""
        return random.getrandbits(32 * BLOCK).to_bytes(4 * BLOCK, "little")

    def state(self) -> bytes:
        """The state of the generator behind the block."""
        return marshal.dumps(random.getstate())

    def settle(self, used: int) -> None:
        """Puts the generator where it is after so many words."""
        if used < BLOCK:
            random.setstate(self._before)
        else:
            used -= BLOCK
        while used:
            step = min(used, _STEP)
            random.getrandbits(32 * step)
            used -= step


class Drawer:
    """The worker's side: indices drawn from what the other side supplies.

    Args:
        block: Of :meth:`Supply.block`.
        more: Asks for :meth:`Supply.state`.
    """

    def __init__(self, block: bytes, more: Callable[[], bytes]) -> None:
        self._words = _FORMAT.unpack(block)
        self._more = more
        self._own: random.Random | None = None
        self.used = 0

    def draw(self, options: int) -> int:
        """As ``random.choice(range(options))``: the top bits of a word, again while they are too large.

        Raises:
            IndexError: There is nothing to choose from.
            OverflowError: Too many draws.
        """
        if options < 1:
            raise IndexError("Cannot choose from an empty sequence")
        shift = 32 - options.bit_length()
        while True:
            index = self._word() >> shift
            if index < options:
                return index

    def _word(self) -> int:
        if self.used < BLOCK:
            word = int(self._words[self.used])
        elif self.used < MAX_DRAWS:
            if self._own is None:
                made = random.Random()
                made.setstate(marshal.loads(self._more()))
                self._own = made
            word = self._own.getrandbits(32)
        else:
            raise OverflowError("it draws too often")
        self.used += 1
        return word
