"""Our side of the worker process: starts it, speaks with it, ends it when it hangs, and says which template did it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import json
import marshal
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datakit.core.errors import TemplateError
from datakit.templates.draws import MAX_DRAWS, Supply
from datakit.templates.wire import DRAW, PARTS, is_plain, pack_row, read_frame, waiter, write_frame

__all__ = ["Limits", "Request", "Sandbox", "shared_sandbox"]

_BATCH_ROWS = 256
_BATCH_BYTES = 4 << 20

# The worker sees nothing of our environment (tokens live there) and of the user's folder (modules with our names).
_BOOT = (
    "import sys; sys.path[:0] = [{root!r}]; import datakit; sys.path.remove({root!r}); sys.path += {libraries!r}; "
    "from datakit.templates.worker import main; main({seconds!r}, {memory!r})"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a template that is not ours may use.

    Attributes:
        seconds: CPU time per row.
        memory: Address space of the worker process in bytes.
        deadline: Wall time of a batch, for code that the CPU timer cannot interrupt; then the process is killed.
    """

    seconds: float = 3.0
    memory: int = 1 << 30
    deadline: float = 20.0


@dataclass(frozen=True, slots=True)
class Request:
    """One template's rows.

    Attributes:
        digest: Identifies format and body.
        format: ``promptsource`` or ``datakit``.
        body: The template's texts.
        name: For error messages.
    """

    digest: str
    format: str
    body: Mapping[str, Any]
    name: str


class _Died(Exception):
    """The worker process is gone."""


class Sandbox:
    """One worker process; started on first use, started again after it died.

    Args:
        limits: What a template may use.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._known: dict[str, int] = {}
        self._log: Any = None
        self._patience = int(self.limits.deadline * 1000)

    def facts(self, request: Request) -> dict[str, Any]:
        """Compiles the template; ``{"random", "variables", "integers"}`` or ``{"error", "key", "line"}``."""
        with self._lock:
            try:
                found: dict[str, Any] = _loads(self._ask(request, None, "facts")[1:].decode())
            except _Died as error:
                found = {"error": f"it was stopped: {error}", "key": "text", "line": None}
            return found

    def one(
        self, request: Request, row: Mapping[str, Any], *, seed: int | None, share_random: bool, choices: bool = False
    ) -> list[str] | str | None:
        """Parts or answer choices of one row, or the text of an error. Arguments and errors as of :meth:`render`."""
        with self._lock:
            try:
                answer = self._ask_one(request, row, seed, share_random, choices)
            except _Died as error:
                return f"it was stopped: {error}"
        if answer[:1] == PARTS:
            return answer[1:].decode("utf-8", "surrogatepass").split("\x1f")
        outcome: list[str] | str | None = self._rows(request, answer)[0]
        return outcome

    def _ask_one(
        self, request: Request, row: Mapping[str, Any], seed: int | None, share_random: bool, choices: bool
    ) -> bytes:
        key = self._known.get(request.digest) if self._owner == os.getpid() else None
        try:
            if key is not None and type(row) is dict and is_plain(row):
                return self._exchange(share_random, key, choices, seed, row)
        except BrokenPipeError:  # it ended while nobody asked anything of it
            self.close()
        except (RecursionError, ValueError):
            raise TemplateError("the row is nested too deeply") from None
        return self._ask(request, [_packed(row)], "choices" if choices else "parts", (seed,), share_random)

    def render(
        self, request: Request, rows: Sequence[Mapping[str, Any]], *, seeds: Sequence[int] | None, share_random: bool
    ) -> list[Any]:
        """One outcome per row: ``[parts, choices, system]`` or the text of an error.

        Args:
            request: The template.
            rows: Values by name.
            seeds: A seed per row, for templates that use randomness.
            share_random: Draw from this process's global ``random``, as promptsource does.

        Raises:
            TemplateError: The template does not compile, or a row cannot be handed to it.
        """
        made: list[Any] = []
        with self._lock:
            for start, packed in _batches(rows):
                chosen = None if seeds is None else tuple(seeds[start : start + len(packed)])
                made += self._batch(request, packed, chosen, share_random)
        return made

    def _batch(
        self, request: Request, rows: list[bytes], seeds: tuple[int, ...] | None, share_random: bool
    ) -> list[Any]:
        made: list[Any] = []
        while len(made) < len(rows):
            part, chosen = rows[len(made) :], (None if seeds is None else seeds[len(made) :])
            try:
                answer = self._ask(request, part, None, chosen, share_random)
            except _Died as error:
                if len(part) > 1:  # one by one, to find the row that did it
                    for k, row in enumerate(part):
                        made += self._batch(request, [row], chosen and chosen[k : k + 1], share_random)
                    return made
                return [*made, f"it was stopped: {error}"]
            made += self._rows(request, answer)
        return made

    def _rows(self, request: Request, answer: bytes) -> list[Any]:
        decoded = _loads(answer[1:].decode("utf-8", "surrogatepass"))
        if "error" in decoded:
            raise TemplateError(f"template '{request.name}' does not compile: {decoded['error']}")
        rows: list[Any] = decoded["rows"]
        return rows

    def _ask(
        self,
        request: Request,
        rows: list[bytes] | None,
        only: str | None,
        seeds: tuple[int | None, ...] | None = None,
        share_random: bool = False,
    ) -> bytes:
        self._start()
        key = self._known.get(request.digest)
        new = None
        if key is None:
            key, new = len(self._known), (request.format, dict(request.body))
        try:
            answer = self._exchange(share_random, key, new, only, seeds, rows)
        except BrokenPipeError:  # it ended while nobody asked anything of it
            self.close()
            return self._ask(request, rows, only, seeds, share_random)
        if new is not None:
            self._known[request.digest] = key
        return answer

    def _exchange(self, share_random: bool, *request: Any) -> bytes:
        supply = Supply() if share_random else None
        try:
            write_frame(self._stdin, _dumps((*request, supply.block() if supply else None)))
            answer = read_frame(self._stdout) if self._wait(self._patience) else None
            if supply and answer is not None:
                answer = self._with_draws(supply, answer)
        except BrokenPipeError:
            raise
        except BaseException:
            self.close()  # interrupted half-way: the next answer would be the wrong one
            raise
        if answer is None:
            code = self.close()
            late = code in (None, -signal.SIGKILL)
            why = f"no answer in {self.limits.deadline:g} s" if late else f"the worker process ended (status {code})"
            raise _Died(why)
        return answer

    def _with_draws(self, supply: Supply, answer: bytes | None) -> bytes | None:
        """Hands out the generator's state if it is asked for; the answer begins with the number of words used."""
        if answer is not None and answer[:1] == DRAW:
            write_frame(self._stdin, supply.state())
            answer = read_frame(self._stdout) if self._wait(self._patience) else None
        used = MAX_DRAWS + 1 if answer is None else int.from_bytes(answer[1:5], "little")
        supply.settle(used if used <= MAX_DRAWS else 0)
        return None if answer is None or used > MAX_DRAWS else answer[5:]

    def _start(self) -> None:
        if self._process is not None and self._owner == os.getpid():
            return
        log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        process = subprocess.Popen(
            [sys.executable, "-P", "-s", "-c", _boot(self.limits)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
            env=_environment(),
            cwd=Path(sys.executable).anchor,
            start_new_session=True,
        )
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018 - both are pipes
        self._stdin, self._stdout = process.stdin.fileno(), process.stdout.fileno()
        self._process, self._owner, self._known = process, os.getpid(), {}
        self._log, self._wait = log, waiter(self._stdout)
        atexit.register(self.close)
        if not self._wait(60_000) or read_frame(self._stdout) is None:
            log.seek(0)
            reason = log.read().decode("utf-8", "replace").strip().splitlines()
            self.close()
            raise TemplateError(f"the process that renders templates does not start: {reason[-1] if reason else '?'}")

    def close(self) -> int | None:
        """Ends the worker process; the next request starts another. Returns its status."""
        process, self._process = self._process, None
        self._known = {}
        if process is None or self._owner != os.getpid():
            return None
        atexit.unregister(self.close)
        code = process.poll()
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, self._log):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        return process.returncode if code is None else code


@functools.cache
def shared_sandbox() -> Sandbox:
    """The sandbox of this process with the default limits."""
    return Sandbox()


_loads = json.JSONDecoder().decode
_dumps = marshal.dumps


def _batches(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, list[bytes]]]:
    start, size, packed = 0, 0, list[bytes]()
    for k, row in enumerate(rows):
        if packed and (len(packed) == _BATCH_ROWS or size > _BATCH_BYTES):
            yield start, packed
            start, size, packed = k, 0, []
        packed.append(_packed(row))
        size += len(packed[-1])
    if packed:
        yield start, packed


def _packed(row: Mapping[str, Any]) -> bytes:
    try:
        return pack_row(row)
    except TypeError as error:
        raise TemplateError(str(error)) from None
    except (RecursionError, ValueError):
        raise TemplateError("the row is nested too deeply") from None


def _boot(limits: Limits) -> str:
    root = str(Path(__file__).resolve().parents[2])
    specs = [importlib.util.find_spec(name) for name in ("jinja2", "markupsafe")]
    libraries = list({str(Path(spec.origin).resolve().parents[1]) for spec in specs if spec and spec.origin})
    return _BOOT.format(root=root, libraries=libraries, seconds=limits.seconds, memory=limits.memory)


def _environment() -> dict[str, str]:
    # Shared libraries of the interpreter may need these; a fixed hash seed keeps renderings equal between runs.
    kept = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
    return {"PYTHONHASHSEED": "0"} | {name: os.environ[name] for name in kept if name in os.environ}
