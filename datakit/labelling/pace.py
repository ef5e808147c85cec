"""How many calls may be in flight: more while the server takes them, fewer when it answers 429.

Additive increase, multiplicative decrease, decided on shares and not on single answers: a server that refuses three
calls in a hundred at random is not one that is at its limit, and halving at each refusal would starve on it. Calls are
counted in windows of one round trip; the share of refused calls lowers the limit once it is beyond doubt (Wilson's
bound) or has stayed high for several windows.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable

__all__ = ["Pace"]

_TOLERATED = 0.05  # share of refused calls that a server which is not at its limit may show
_TOO_MANY = 0.08  # share over several windows that lowers the limit
_PATIENCE = 4  # windows that are gathered before a share that is not beyond doubt decides
_CALM = 12  # windows without trouble before a height that was too much is tried again
_SURE = 3.9  # one window in ten thousand is taken for a limit by mistake


class Pace:
    """A limit on calls in flight that finds its own height.

    Args:
        most: Never more than this.
        start: At the beginning; doubled each round trip until the server has refused too many.
        clock: Seconds, rising; the event loop's by default.
    """

    def __init__(self, most: int, *, start: int = 8, clock: Callable[[], float] | None = None) -> None:
        self.most = most
        self.limit = float(min(start, most))
        self.in_flight = 0
        self.refused = 0
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._epoch = 0
        self._done = self._bad = 0
        self._doubling = True
        self._ceiling, self._calm = math.inf, 0
        self._blocked_until = 0.0

    def _now(self) -> float:
        return asyncio.get_running_loop().time() if self._clock is None else self._clock()

    async def enter(self, *, first: bool = False) -> int:
        """Waits for a place; returns a ticket for :meth:`leave`.

        Args:
            first: Before all who wait; for what has waited before, so that its next failure does not come last of all.
        """
        while True:
            pause = self._blocked_until - self._now()
            if pause > 0:
                await asyncio.sleep(pause)
            elif self.in_flight < int(self.limit):
                self.in_flight += 1
                return self._epoch
            else:
                place = asyncio.get_running_loop().create_future()
                self._waiting.appendleft(place) if first else self._waiting.append(place)
                try:
                    await place
                except asyncio.CancelledError:
                    if place.done() and not place.cancelled():
                        self._wake()
                    raise

    def leave(self, ticket: int, *, refused: bool = False, retry_after: float | None = None) -> None:
        """Gives the place back.

        Args:
            ticket: From :meth:`enter`.
            refused: The server says that there were too many calls.
            retry_after: Seconds in which the server wants none.
        """
        self.in_flight -= 1
        self.refused += refused
        if retry_after:
            self.hold(retry_after)
        if ticket == self._epoch:  # calls that began under the limit before say nothing about this one
            self._done += 1
            self._bad += refused
            self._decide()
        self._wake()

    def hold(self, seconds: float) -> None:
        """Lets no call begin for so long."""
        self._blocked_until = max(self._blocked_until, self._now() + seconds)

    def _decide(self) -> None:
        window = max(4, math.ceil(self.limit))
        if self._done % window:
            return
        share = self._bad / self._done
        if self._bad and _lower_bound(self._bad, self._done, _SURE) > _TOLERATED:
            self._lower(share)
        elif not self._bad or _lower_bound(self._bad, self._done, 1.0) <= _TOLERATED:
            self._raise()
        elif self._done >= _PATIENCE * window + 40:
            self._lower(share) if share > _TOO_MANY else self._next()

    def _lower(self, share: float) -> None:
        # What the server took is what it can take.
        self._ceiling = self.limit
        self.limit = max(1.0, self.limit * max(0.5, 1 - share))
        self._doubling = False
        self._calm = 0
        self._next()

    def _raise(self) -> None:
        self._calm += 1
        # Where it was too much before, it is tried again only after a while: a server's limit may rise.
        if self.limit + 1 < self._ceiling or self._calm >= _CALM:
            self._ceiling = math.inf if self.limit + 1 >= self._ceiling else self._ceiling
            self._calm = 0
            self.limit = min(float(self.most), self.limit * 2 if self._doubling else self.limit + 1)
        self._next()

    def _next(self) -> None:
        self._epoch += 1
        self._done = self._bad = 0

    def _wake(self) -> None:
        free = int(self.limit) - self.in_flight
        while self._waiting and free > 0:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1


def _lower_bound(hits: int, n: int, z: float) -> float:
    """Wilson's lower bound of a share."""
    share, z2 = hits / n, z * z
    spread = z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return (share + z2 / (2 * n) - spread) / (1 + z2 / n)
