"""The process that renders templates not shipped by us. It reads requests from stdin and answers on stdout.

Started by :mod:`datakit.templates.sandbox` with an empty environment; imports Jinja and the standard library only.
A frame is a length (4 bytes, little-endian) and UTF-8 JSON. A template that loops or eats memory is stopped here by
the CPU timer and the address-space limit; what neither stops is ended by the parent's deadline.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, NoReturn

from datakit.templates.environment import drawn
from datakit.templates.render import Compiled, CompileError, explain
from datakit.templates.wire import FIXED, read_frame, unpack_state, untag, write_frame

__all__ = ["main"]

_BATCH_TEXT = 16 << 20
"""Characters after which an answer is sent although rows are left; the parent asks again for those."""


class _TimeUp(BaseException):
    """The CPU time of one row is used up; no ``except Exception`` of a filter catches it."""


def _time_up(number: int, frame: object) -> NoReturn:
    raise _TimeUp


class _Timer:
    """CPU seconds per row; wall time would count what other processes do."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.works = hasattr(signal, "setitimer")
        if self.works:
            signal.signal(signal.SIGPROF, _time_up)

    def start(self) -> None:
        """Begins a row."""
        if self.works:
            signal.setitimer(signal.ITIMER_PROF, self.seconds)

    def stop(self) -> None:
        """Ends the last row."""
        if self.works:
            signal.setitimer(signal.ITIMER_PROF, 0)


def _limit_memory(size: int) -> None:
    try:
        import resource
    except ImportError:
        return
    for name, value in (("RLIMIT_AS", size), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0)):
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (AttributeError, ValueError, OSError):
            continue  # macOS does not know an address-space limit; the text limit and the timer remain


def _rows(compiled: Compiled, request: dict[str, Any], timer: _Timer) -> Iterator[Any]:
    rows = request["rows"]
    seeds = request.get("seeds") or [None] * len(rows)
    only_choices = request.get("only") == "choices"
    for row, seed in zip(rows, seeds, strict=True):
        try:
            timer.start()
            values = untag(row) if request.get("tagged") else row
            if seed is not None:
                random.seed(seed)
            if only_choices:
                yield [[], compiled.answer_choices(values), None]
            else:
                parts, choices, system = compiled.render(values)
                yield [parts, FIXED if compiled.has_fixed_choices else choices, system]
        except _TimeUp:
            yield f"it took more than {timer.seconds:g} seconds of CPU time on one row"
        except Exception as error:
            yield explain(error)


def _answer(request: dict[str, Any], known: dict[int, Compiled | CompileError], timer: _Timer) -> dict[str, Any]:
    key = request["template"]
    if key not in known:
        timer.start()
        try:
            known[key] = Compiled(request["format"], request["body"])
        except CompileError as error:
            known[key] = error
        except _TimeUp:
            known[key] = CompileError("compiling it took too long", "text")
    compiled = known[key]
    if isinstance(compiled, CompileError):
        return {"error": explain(compiled), "key": compiled.key, "line": compiled.line}
    if request.get("only") == "facts":
        facts = compiled.facts
        return asdict(facts)
    state = request.get("state")
    drawn.clear()
    if state is not None:
        random.setstate(unpack_state(state))
    made, size = [], 0
    for outcome in _rows(compiled, request, timer):
        made.append(outcome)
        size += sum(map(len, outcome)) if isinstance(outcome, str) else sum(map(len, outcome[0]))
        if size > _BATCH_TEXT:
            break
    return {"rows": made} if state is None else {"rows": made, "draws": [options for options, _ in drawn]}


_DECODE = json.JSONDecoder().decode
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _dump(answer: dict[str, Any]) -> bytes:
    return _ENCODE(answer).encode("utf-8", "surrogatepass")


def main(seconds: float, memory: int) -> None:
    """Serves until stdin ends.

    Args:
        seconds: CPU time per row.
        memory: Address space in bytes.
    """
    timer, known = _Timer(seconds), dict[int, Compiled | CompileError]()
    stdin, stdout = sys.stdin.fileno(), sys.stdout.fileno()
    write_frame(stdout, b'{"ready":true}')
    _limit_memory(memory)
    while (frame := read_frame(stdin)) is not None:
        try:
            answer = _dump(_answer(_DECODE(frame.decode("utf-8", "surrogatepass")), known, timer))
        except MemoryError:
            os._exit(70)  # what is left of this process may be too small for anything; the parent starts another
        except (Exception, _TimeUp) as error:
            answer = _dump({"error": explain(error), "key": "text", "line": None})
        finally:
            timer.stop()
        write_frame(stdout, answer)
    os._exit(0)
