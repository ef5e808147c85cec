"""What surrounds a training: its log of events, and random states that are its own."""

from __future__ import annotations

import contextlib
import fcntl
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from datakit.core.storage import storage_errors
from train.errors import TrainError
from train.events import Event, Preflight, Progress

__all__ = ["event_log", "seeded"]


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds initialisation and dropout, and leaves the caller's random states as they were."""
    import numpy as np
    import torch

    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    pythons, numpys = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(pythons)
            np.random.set_state(numpys)


@contextlib.contextmanager
def event_log(
    path: Path, progress: Progress | None, *, goes_on: bool = False, silent: bool = False
) -> Iterator[Callable[[Event], None]]:
    """Writes every event as a line, but no training text; hands it to ``progress`` too.

    As long as the log is open no other process trains into the same output.

    Args:
        path: Of the log.
        progress: Hears every event.
        goes_on: The log of a training that goes on is written on, not anew.
        silent: Nothing is written or told: another process does.

    Raises:
        TrainError: From the first event on: another process has it open.
    """
    if silent:
        yield lambda event: None
        return
    with contextlib.ExitStack() as stack:
        streams: list[TextIO] = []

        def report(event: Event) -> None:
            entry = {"event": type(event).__name__.lower(), **asdict(event)}
            if isinstance(event, Preflight):
                del entry["rows"]
            with storage_errors(path):
                if not streams:  # a run that is refused leaves no empty log
                    path.parent.mkdir(parents=True, exist_ok=True)
                    streams.append(stack.enter_context(path.open("a", encoding="utf-8")))
                    _hold(streams[0], path)
                    if not goes_on:
                        streams[0].truncate(0)
                streams[0].write(json.dumps(entry, ensure_ascii=False) + "\n")
                streams[0].flush()
            if progress is not None:
                progress(event)

        yield report


def _hold(stream: TextIO, path: Path) -> None:
    """Only one process writes a log; a file system that knows no locks is taken as it is."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise TrainError(
            "another process trains into this output now",
            where=path.with_name(path.name.removesuffix(".log.jsonl")),
            hint="Wait for it, or give another output",
        ) from None
    except OSError:
        return
