"""Our side of the worker process: starts it, speaks with it, ends it when it hangs, and says which template did it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import json
import os
import random
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datakit.core.errors import TemplateError
from datakit.templates.wire import is_plain, pack_state, read_frame, tag, write_frame

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
        only: ``choices`` or ``facts`` where not everything is wanted.
    """

    digest: str
    format: str
    body: Mapping[str, Any]
    name: str
    only: str | None = None


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

    def facts(self, request: Request) -> dict[str, Any]:
        """Compiles the template; ``{"random", "variables", "integers"}`` or ``{"error", "key", "line"}``."""
        with self._lock:
            try:
                return self._ask(request, {"only": "facts"})
            except _Died as error:
                return {"error": f"it was stopped: {error}", "key": "text", "line": None}

    def render(
        self, request: Request, rows: Sequence[Mapping[str, Any]], *, seeds: Sequence[int] | None, share_random: bool
    ) -> list[Any]:
        """One outcome per row: ``[parts, choices, system]`` or the text of an error.

        Args:
            request: The template.
            rows: Values by name.
            seeds: A seed per row, for templates that use randomness.
            share_random: Draw from, and advance, this process's global ``random`` as promptsource does.

        Raises:
            TemplateError: The template does not compile, or the worker died while it rendered.
        """
        made: list[Any] = []
        with self._lock:
            for start, stop, texts, tagged in _batches(rows):
                made += self._batch(
                    request, texts, None if seeds is None else list(seeds[start:stop]), tagged, share_random
                )
        return made

    def _batch(
        self, request: Request, rows: list[str], seeds: Sequence[int] | None, tagged: bool, share_random: bool
    ) -> list[Any]:
        made: list[Any] = []
        while len(made) < len(rows):
            part, chosen = rows[len(made) :], (None if seeds is None else seeds[len(made) :])
            extra: dict[str, Any] = {"seeds": chosen, "tagged": tagged, "only": request.only}
            if share_random:
                extra["state"] = pack_state(random.getstate())
            try:
                answer = self._ask(request, extra, part)
            except _Died as error:
                if len(part) > 1:  # one by one, to find the row that did it
                    for k, row in enumerate(part):
                        made += self._batch(request, [row], chosen and chosen[k : k + 1], tagged, share_random)
                    return made
                return [*made, f"it was stopped: {error}"]
            if "error" in answer:
                raise TemplateError(f"template '{request.name}' does not compile: {answer['error']}")
            if share_random:
                for options in answer["draws"]:  # our generator makes the draws that the worker's copy made
                    random.choice(range(options))
            made += answer["rows"]
        return made

    def _ask(self, request: Request, extra: Mapping[str, Any], rows: list[str] | None = None) -> dict[str, Any]:
        self._start()
        key = self._known.get(request.digest)
        if key is None:
            key = len(self._known)
            extra = {**extra, "format": request.format, "body": dict(request.body)}
        said = [f',"{name}":{_dumps(value)}' for name, value in extra.items() if value]
        if rows is not None:
            said.append(f',"rows":[{",".join(rows)}]')
        text = f'{{"template":{key}{"".join(said)}}}'
        try:
            answer = self._exchange(text.encode("utf-8", "surrogatepass"))
        except BrokenPipeError:  # it ended while nobody asked anything of it
            self.close()
            return self._ask(request, extra, rows)
        self._known[request.digest] = key
        decoded: dict[str, Any] = _loads(answer.decode("utf-8", "surrogatepass"))
        return decoded

    def _exchange(self, payload: bytes) -> bytes:
        try:
            write_frame(self._stdin, payload)
            ready = self._poll(int(self.limits.deadline * 1000))
            answer = read_frame(self._stdout) if ready else None
        except BrokenPipeError:
            raise
        except BaseException:
            self.close()  # interrupted half-way: the next answer would be the wrong one
            raise
        if answer is None:
            code = self.close()
            why = f"the worker process ended (status {code})" if ready else f"no answer in {self.limits.deadline:g} s"
            raise _Died(why)
        return answer

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
        self._log, self._poll = log, _poller(self._stdout)
        atexit.register(self.close)
        if not self._poll(60_000) or read_frame(self._stdout) is None:
            log.seek(0)
            reason = log.read().decode("utf-8", "replace").strip().splitlines()
            self.close()
            raise TemplateError(f"the process that renders templates does not start: {reason[-1] if reason else '?'}")

    def close(self) -> int | None:
        """Ends the worker process; the next request starts another. Returns its status."""
        process, self._process = self._process, None
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
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _batches(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, int, list[str], bool]]:
    start, size, texts, tagged = 0, 0, list[str](), False
    for k, row in enumerate(rows):
        plain = is_plain(row)
        if texts and (tagged == plain or len(texts) == _BATCH_ROWS or size > _BATCH_BYTES):
            yield start, k, texts, tagged
            start, size, texts = k, 0, []
        tagged = not plain
        texts.append(_dumps(row if plain else _tagged(row)))
        size += len(texts[-1])
    if texts:
        yield start, len(rows), texts, tagged


def _tagged(row: Mapping[str, Any]) -> Any:
    try:
        return tag(row)
    except (TypeError, RecursionError) as error:
        raise TemplateError(str(error) or "the row is nested too deeply") from None


def _boot(limits: Limits) -> str:
    root = str(Path(__file__).resolve().parents[2])
    specs = [importlib.util.find_spec(name) for name in ("jinja2", "markupsafe")]
    libraries = list({str(Path(spec.origin).resolve().parents[1]) for spec in specs if spec and spec.origin})
    return _BOOT.format(root=root, libraries=libraries, seconds=limits.seconds, memory=limits.memory)


def _environment() -> dict[str, str]:
    # Shared libraries of the interpreter may need these; a fixed hash seed keeps renderings equal between runs.
    kept = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
    return {"PYTHONHASHSEED": "0"} | {name: os.environ[name] for name in kept if name in os.environ}


def _poller(descriptor: int) -> Any:
    if not hasattr(select, "poll"):  # Windows: the worker's own limits remain
        return lambda milliseconds: True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return poll.poll
