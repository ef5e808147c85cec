"""A session holds one base model and evaluates it, and adapters over it, on suites."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa

from datakit.core.chat import ChatSettings
from datakit.core.checkpoint import find_model, load_model, load_tokenizer, stored_dtype
from datakit.core.hashing import digest, json_digest
from datakit.core.require import require
from evalkit.errors import EvalError
from evalkit.log import EvalLog, LogHeader, TaskInfo
from evalkit.models.checkpoint import (
    adapter_digest,
    check_adapter,
    tokenizer_digest,
    weights_digest,
    with_adapter,
)
from evalkit.onetask import evaluate_task
from evalkit.set_metrics import MEASURES
from evalkit.store import Entry, Store, entry_key
from evalkit.suite import Suite, SuiteTask, load_suite

__all__ = ["Session"]

#: Told of model label, task and how many of its requests are done; 0 for a stored result.
Progress = Callable[[str, str, int], None]
#: Libraries whose version may change a score.
_DECISIVE = ("lm_eval", "torch", "transformers")


class Session:
    """One base model, loaded when it is first needed and then kept.

    Args:
        model: Folder with ``config.json`` and safetensors, a hub name, or ``mock``, ``mock:right``, ``mock:wrong``.
        chat: Rendering of prompts; part of what must agree between two logs.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; None takes a GPU where there is one.
        dtype: ``float32``, ``bfloat16``, ``float16``; ``auto`` is the checkpoint's own, float32 on the CPU.
        offline: The hub is not asked.
        batch_tokens: Tokens of one forward pass; None chooses by device.
        store: Where results are kept; None for the default folder.

    Raises:
        EvalError: The path is no model.
        Unreachable: A hub name that cannot be fetched.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        chat: ChatSettings | None = None,
        device: str | None = None,
        dtype: str = "auto",
        offline: bool = False,
        batch_tokens: int | None = None,
        store: Store | None = None,
    ) -> None:
        self.name = str(model)
        self.chat = chat or ChatSettings()
        self.offline = offline
        self.batch_tokens = batch_tokens
        self.store = store or Store()
        self.mock = self.name if self.name.partition(":")[0] == "mock" and not Path(self.name).exists() else None
        self.folder = Path() if self.mock else find_model(model, offline=offline)
        self.device = "cpu" if self.mock else device or _device()
        self.dtype = "float32" if self.mock else self._dtype(dtype)
        self._digest: tuple[str, str] | None = None
        self._loaded: tuple[Any, Any] | None = None

    def _dtype(self, dtype: str) -> str:
        if dtype == "auto":
            return "float32" if self.device == "cpu" else stored_dtype(self.folder)
        if dtype not in ("float32", "bfloat16", "float16"):
            raise EvalError(f"dtype '{dtype}' is not one of auto, float32, bfloat16, float16")
        return dtype

    @property
    def digests(self) -> tuple[str, str]:
        """Hashes of the weights and of the tokenizer, from the files' bytes."""
        if self._digest is None:
            mocked = (digest("mock", self.name), "")
            self._digest = mocked if self.mock else (weights_digest(self.folder), tokenizer_digest(self.folder))
        return self._digest

    def load(self) -> tuple[Any, Any]:
        """The base and its tokenizer; loaded once."""
        if self._loaded is None:
            tokenizer = load_tokenizer(self.folder)
            self._loaded = load_model(self.folder, device=self.device, dtype=self.dtype), tokenizer
        return self._loaded

    def unload(self) -> None:
        """Frees the memory of the base; it is loaded again when it is next needed."""
        self._loaded = None

    def evaluate(
        self,
        suite: Suite | SuiteTask | str | Path,
        *,
        adapter: Path | None = None,
        label: str = "base",
        seed: int = 0,
        limit: int | None = None,
        progress: Progress | None = None,
        store: bool = True,
    ) -> EvalLog:
        """Evaluates the base, or the base with an adapter, on every task of a suite.

        Results that the store has are not computed again; each task is stored as soon as it is done.

        Args:
            suite: A suite, one task, or what :func:`evalkit.suite.load_suite` takes.
            adapter: PEFT folder, laid over the base in memory and taken off afterwards.
            label: Name of the model in reports.
            seed: Of few-shot samples and of sampling, where a task samples.
            limit: At most so many items of each task.
            progress: Told of requests that are done.
            store: Whether results are looked up and kept.

        Raises:
            EvalError: See the tasks, the adapter and the metrics; each is one line.
        """
        suite = _suite(suite)
        started = time.perf_counter()
        if adapter is not None:
            check_adapter(adapter, self.folder)
        digests = {"weights": self.digests[0], "adapter": adapter_digest(adapter) if adapter else ""}
        limits = [_limit(task.limit, limit) for task in suite.tasks]
        keys = [self._key(task, digests, seed=seed, limit=most) for task, most in zip(suite.tasks, limits, strict=True)]
        kept = self.store if store else None
        told = progress or _silent
        found = {at: entry for at, key in enumerate(keys) if kept and (entry := kept.get(key))}
        for at in found:
            told(label, suite.tasks[at].name, 0)
        if missing := [at for at in range(len(keys)) if at not in found]:
            with self._model(adapter) as (model, tokenizer):
                for at in missing:
                    task = suite.tasks[at]
                    setup = task.setup(tokenizer, self.chat, seed)
                    model.done = _counter(told, label, task.name)
                    found[at] = evaluate_task(model, task, setup, limit=limits[at], offline=self.offline)
                    if kept:
                        kept.put(keys[at], found[at])
        entries = [_named(found[at], task) for at, task in enumerate(suite.tasks)]
        facts = {"stored": len(keys) - len(missing), "seconds": round(time.perf_counter() - started, 3)}
        header = self._header(suite, entries, label, digests, keys, seed=seed, limit=limit, facts=facts)
        items = pa.concat_tables([entry.items for entry in entries])
        order = [(name, "ascending") for name in ("task", "item_id", "metric", "filter")]
        return EvalLog(header, items.sort_by(order))

    def sizes(self, suite: Suite | SuiteTask | str | Path) -> dict[str, int]:
        """Number of items of each task, without evaluating any.

        Raises:
            EvalError: A task that cannot be made.
        """
        from evalkit.engine import build_task, quiet_engine

        tokenizer = None if self.mock else self.load()[1]
        counts: dict[str, int] = {}
        with quiet_engine(offline=self.offline):
            for task in _suite(suite).tasks:
                made = build_task(task.source, task.setup(tokenizer, self.chat, 0), task.name)
                all_items = len(made.eval_docs)
                counts[task.name] = min(all_items, task.limit or all_items)
        return counts

    def _key(self, task: SuiteTask, digests: Mapping[str, str], *, seed: int, limit: int | None) -> str:
        return entry_key(
            {
                **digests,
                "tokenizer": self.digests[1],
                "task": self._identity(task),
                "name": task.name,
                "scored": [task.metric, task.filter, task.num_fewshot, task.chat, task.private],
                "chat": self.chat.model_dump(),
                "seed": seed,
                "limit": limit,
                "dtype": self.dtype,
                "versions": {name: text for name, text in _versions().items() if name in _DECISIVE},
            }
        )

    def _identity(self, task: SuiteTask) -> Any:
        if task.source.local:
            return task.source.identity()
        from evalkit.engine import quiet_engine

        with quiet_engine(offline=self.offline):
            return task.source.identity()

    @contextmanager
    def _model(self, adapter: Path | None) -> Iterator[tuple[Any, Any]]:
        """lm-eval's model, with the adapter while the block runs."""
        require("lm_eval", extra="eval")
        if self.mock:
            from evalkit.models.mock import MockModel

            yield MockModel(self.mock), None
            return
        from evalkit.models.hf import HFModel

        base, tokenizer = self.load()
        if adapter is None:
            yield HFModel(base, tokenizer, chat=self.chat, batch_tokens=self.batch_tokens), tokenizer
            return
        try:
            with with_adapter(base, adapter) as tuned:
                yield HFModel(tuned, tokenizer, chat=self.chat, batch_tokens=self.batch_tokens), tokenizer
        except BaseException:
            # Half an adapter may be left in the base: load it again the next time.
            self._loaded = None
            raise

    def _header(
        self,
        suite: Suite,
        entries: list[Entry],
        label: str,
        digests: Mapping[str, str],
        keys: list[str],
        *,
        seed: int,
        limit: int | None,
        facts: Mapping[str, Any],
    ) -> LogHeader:
        by_name = {task.name: entry for task, entry in zip(suite.tasks, entries, strict=True)}
        return LogHeader(
            suite=suite.name,
            model=label,
            model_digest=digest(*digests.values()) if digests["adapter"] else digests["weights"],
            key=json_digest(keys),
            tasks={name: entry.info for name, entry in by_name.items()},
            settings={
                "chat": self.chat.model_dump(),
                "seed": seed,
                "limit": limit,
                "private": any(task.private for task in suite.tasks),
                "tasks": {name: dict(entry.settings) for name, entry in by_name.items()},
            },
            recorded={
                "model": self.name,
                "dtype": self.dtype,
                "device": self.device,
                "suite": _facts(suite),
                "tasks": {name: dict(entry.recorded) for name, entry in by_name.items()},
                **facts,
            },
            versions=_versions(),
        )


def _facts(suite: Suite) -> dict[str, Any]:
    return {"margin": suite.margin, "margin_reason": suite.margin_reason, "alpha": suite.alpha}


def _suite(suite: Suite | SuiteTask | str | Path) -> Suite:
    if isinstance(suite, SuiteTask):
        return Suite(suite.name, (suite,), margin=suite.margin)
    return suite if isinstance(suite, Suite) else load_suite(suite)


def _named(entry: Entry, task: SuiteTask) -> Entry:
    """A stored entry with what the suite says now: margin, kind and description are not part of the key."""
    info = asdict(entry.info) | {"kind": task.kind, "margin": task.margin, "description": task.description}
    if task.chance is not None:
        info["chance"] = task.chance
    asked = tuple(name for name in getattr(task.source, "metrics", ()) if name in MEASURES)
    info["metrics"] = tuple(dict.fromkeys((*info["metrics"], *asked)))
    return Entry(TaskInfo(**info), entry.items, entry.settings, entry.recorded)


def _limit(own: int | None, given: int | None) -> int | None:
    limits = [limit for limit in (own, given) if limit is not None]
    return min(limits) if limits else None


def _silent(label: str, task: str, done: int) -> None:
    """Nobody listens."""


def _counter(progress: Progress, label: str, name: str) -> Callable[[int], None]:
    """Adds up the requests of the batches of one task."""
    so_far = 0

    def done(count: int) -> None:
        nonlocal so_far
        so_far += count
        progress(label, name, so_far)

    return done


def _device() -> str:
    torch = require("torch", extra="eval")
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _versions() -> dict[str, str]:
    found = {}
    for name in ("datakit", "lm_eval", "peft", "torch", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found
