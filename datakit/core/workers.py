"""Processes for steps that look at each row by itself; what comes out does not depend on how many there are."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Final, TypeVar

from datakit.core.errors import StepError

__all__ = ["LEAST", "Workers"]

T = TypeVar("T")
R = TypeVar("R")

#: Characters that are worth a message to another process.
LEAST: Final = 1 << 16


class Workers:
    """Work shared out to processes, which start when there is enough of it; with one, the caller does all.

    They are started afresh, not forked: threads of numerical libraries do not survive a fork.

    Args:
        count: Of processes.
    """

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def map(self, function: Callable[[T], R], parts: Sequence[T]) -> list[R]:
        """What a function, which can be pickled, gives for each part, in order.

        Raises:
            StepError: A process died.
        """
        if self.count < 2 or len(parts) < 2:
            return [function(part) for part in parts]
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.count, mp_context=multiprocessing.get_context("spawn"))
        try:
            return list(self._pool.map(function, parts))
        except BrokenProcessPool:
            self._pool = None
            raise StepError(
                "a worker process died, out of memory perhaps", hint=f"Use fewer than {self.count} workers"
            ) from None

    def map_texts(self, function: Callable[[list[str]], list[R]], texts: list[str]) -> list[R]:
        """What a function gives for texts, one value each, whoever does which part of them."""
        size = sum(map(len, texts))
        if self.count < 2 or size < 2 * LEAST:
            return function(texts)
        parts: list[list[str]] = [[]]
        wanted = max(LEAST, size // (8 * self.count))  # several each, since some take longer
        held = 0
        for text in texts:
            parts[-1].append(text)
            held += len(text)
            if held >= wanted:
                parts.append([])
                held = 0
        return [value for values in self.map(function, [part for part in parts if part]) for value in values]
