"""The process that renders templates not shipped by us. It reads requests from stdin and answers on stdout.

Started by :mod:`datakit.templates.sandbox` with an empty environment; imports Jinja and the standard library only.
What stands in a frame is said in :mod:`datakit.templates.wire`. A template that loops or eats memory is stopped here by
the CPU timer and the address-space limit; what neither stops is ended by the parent's deadline.
"""

from __future__ import annotations

import gc
import json
import marshal
import os
import random
import signal
import sys
from dataclasses import asdict
from typing import Any, NoReturn

from datakit.templates.draws import Drawer
from datakit.templates.environment import begin, set_source
from datakit.templates.render import Compiled, CompileError, explain
from datakit.templates.wire import DRAW, DREW, FIXED, JSON, PARTS, read_frame, unpack_row, waiter, write_frame

__all__ = ["main"]

_BATCH_TEXT = 16 << 20
"""Characters after which an answer is sent although rows are left; the parent asks again for those."""


class _TimeUp(BaseException):
    """The CPU time of one row is used up; no ``except Exception`` of a filter catches it."""


def _time_up(number: int, frame: object) -> NoReturn:
    raise _TimeUp


class _Timer:
    """CPU seconds per row; wall time would count what other processes do.

    The clock ticks all the time and a row that meets too many ticks is stopped: setting a timer for every row would
    take as long as many a row.
    """

    _TICKS = 10

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._met = -1
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGPROF, self._tick)
            signal.setitimer(signal.ITIMER_PROF, seconds / self._TICKS, seconds / self._TICKS)

    def _tick(self, number: int, frame: object) -> None:
        if self._met >= 0:
            self._met += 1
            if self._met > self._TICKS:  # the first tick comes early
                self._met = 0
                raise _TimeUp

    def start(self, met: int = 0) -> None:
        """Begins a row, or goes on with one that met so many ticks before."""
        self._met = met

    def stop(self) -> int:
        """Ends or interrupts a row; the ticks it met."""
        met, self._met = self._met, -1
        return met


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


def _outcome(compiled: Compiled, values: dict[str, Any], only: str | None) -> Any:
    if only == "choices":
        return compiled.answer_choices(values)
    parts, choices, system = compiled.render(values)
    return parts if only == "parts" else [parts, FIXED if compiled.has_fixed_choices else choices, system]


class _Server:
    """Templates by number, and the answers to requests about them.

    Args:
        stdin, stdout: Descriptors.
        timer: CPU seconds per row.
    """

    def __init__(self, stdin: int, stdout: int, timer: _Timer) -> None:
        self.stdin, self.stdout, self.timer = stdin, stdout, timer
        self.known: dict[int, Compiled | CompileError] = {}

    def answer(self, frame: bytes) -> bytes:
        """The answer to one request."""
        *request, block = marshal.loads(frame)
        drawer = None if block is None else Drawer(block, self._more)
        set_source(None if drawer is None else drawer.draw)
        try:
            made = (self._one if len(request) == 4 else self._many)(*request)
        except MemoryError:
            raise
        except (Exception, _TimeUp) as error:
            made = _json({"error": explain(error), "key": "text", "line": None})
        finally:
            self.timer.stop()
        return made if drawer is None else DREW + drawer.used.to_bytes(4, "little") + made

    def _many(self, key: int, new: Any, only: str | None, seeds: Any, rows: list[bytes]) -> bytes:
        compiled = self.known.get(key) or self._compile(key, *new)
        if isinstance(compiled, CompileError):
            return _json({"error": explain(compiled), "key": compiled.key, "line": compiled.line})
        if only == "facts":
            return _json(asdict(compiled.facts))
        made = self._rows(compiled, rows, seeds, only)
        return _json({"rows": made}) if only is None else _one_row(made[0])

    def _one(self, key: int, choices: bool, seed: int | None, row: dict[str, Any]) -> bytes:
        """One row of a template that is known."""
        compiled = self.known[key]
        if isinstance(compiled, CompileError):
            return _json({"error": explain(compiled), "key": compiled.key, "line": compiled.line})
        begin()
        if seed is not None:
            random.seed(seed)
        made: Any
        try:
            self.timer.start()
            made = compiled.answer_choices(row) if choices else compiled.render(row)[0]
        except _TimeUp:
            made = self._too_slow()
        except Exception as error:
            made = explain(error)
        return _one_row(made)

    def _too_slow(self) -> str:
        return f"it took more than {self.timer.seconds:g} seconds of CPU time on one row"

    def _compile(self, key: int, format: Any, body: dict[str, Any]) -> Compiled | CompileError:
        self.timer.start()
        try:
            self.known[key] = Compiled(format, body)
        except CompileError as error:
            self.known[key] = error
        except _TimeUp:
            self.known[key] = CompileError("compiling it took too long", "text")
        return self.known[key]

    def _rows(
        self, compiled: Compiled, rows: list[bytes], seeds: tuple[int | None, ...] | None, only: str | None
    ) -> list[Any]:
        made, size = list[Any](), 0
        for k, row in enumerate(rows):
            outcome: Any
            try:
                values = unpack_row(row)
                self.timer.start()
                begin()
                if seeds is not None and seeds[k] is not None:
                    random.seed(seeds[k])
                outcome = _outcome(compiled, values, only)
            except _TimeUp:
                outcome = self._too_slow()
            except Exception as error:
                outcome = explain(error)
            made.append(outcome)
            if only is None:
                size += sum(map(len, outcome)) if isinstance(outcome, str) else sum(map(len, outcome[0]))
                if size > _BATCH_TEXT:
                    break
        return made

    def _more(self) -> bytes:
        """The state of the generator of the process that asked."""
        met = self.timer.stop()  # a row that is stopped between question and answer would leave the answer in the pipe
        write_frame(self.stdout, DRAW)
        state = read_frame(self.stdin)
        if state is None:
            os._exit(0)
        self.timer.start(met)
        return state


def _one_row(made: Any) -> bytes:
    if type(made) is list and made:
        text = "\x1f".join(made)
        if text.count("\x1f") == len(made) - 1:
            return PARTS + text.encode("utf-8", "surrogatepass")
    return _json({"rows": [made]})


_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _json(answer: dict[str, Any]) -> bytes:
    return JSON + _ENCODE(answer).encode("utf-8", "surrogatepass")


def main(seconds: float, memory: int) -> None:
    """Serves until stdin ends.

    Args:
        seconds: CPU time per row.
        memory: Address space in bytes.
    """
    timer = _Timer(seconds)
    stdin, stdout = sys.stdin.fileno(), sys.stdout.fileno()
    wait = waiter(stdin)
    server = _Server(stdin, stdout, timer)
    gc.freeze()  # what is there now stays: no collection shall walk through it
    write_frame(stdout, b"ready")
    _limit_memory(memory)
    while wait(None) and (frame := read_frame(stdin)) is not None:
        try:
            answer = server.answer(frame)
        except (MemoryError, _TimeUp):
            os._exit(70)  # what is left of this process may be too small for anything; the parent starts another
        write_frame(stdout, answer)
    os._exit(0)
