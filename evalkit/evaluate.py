"""A session holds one base model and evaluates it, and adapters over it, on suites."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa

from datakit.core.chat import ChatSettings
from datakit.core.checkpoint import find_model, load_model, load_tokenizer, stored_dtype
from datakit.core.hashing import digest, json_digest
from datakit.core.require import require
from evalkit.engine import identity_of
from evalkit.errors import EvalError
from evalkit.groups import members
from evalkit.log import EvalLog, LogHeader, TaskInfo
from evalkit.models.checkpoint import (
    adapter_digest,
    check_adapter,
    tokenizer_digest,
    weights_digest,
    with_adapter,
)
from evalkit.models.encoder import is_masked, load_masked
from evalkit.models.foreign import open_foreign
from evalkit.onetask import evaluate_task
from evalkit.set_metrics import MEASURES
from evalkit.store import Entry, Store, compute_missing, entry_key
from evalkit.suite import Suite, SuiteTask, load_suite

__all__ = ["Session"]

#: Told of model label, task and how many of its requests are done; 0 for a stored result.
Progress = Callable[[str, str, int], None]
#: Libraries whose version may change a score.
_DECISIVE = ("lm_eval", "torch", "transformers")


class Session:
    """One base model, loaded when it is first needed and then kept.

    Args:
        model: Folder with ``config.json`` and safetensors (a causal or a masked language model), a hub name, or what
            ``evalkit.models`` offers: ``mock``, ``mock:right``, ``mock:wrong``, ``openai:NAME@URL``, ``vllm:FOLDER``.
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
        self.foreign = open_foreign(self.name, self.chat)
        self.folder = Path() if self.foreign else find_model(model, offline=offline)
        self.device = self.foreign.device if self.foreign else device or _device()
        self.dtype = "float32" if self.foreign else self._dtype(dtype)
        self.masked = self.foreign is None and is_masked(self.folder)
        self._digest: tuple[str, str] | None = None
        self._loaded: tuple[Any, Any] | None = None

    def _dtype(self, dtype: str) -> str:
        if dtype == "auto":
            return "float32" if self.device == "cpu" else stored_dtype(self.folder)
        if dtype not in ("float32", "bfloat16", "float16"):
            raise EvalError(f"dtype '{dtype}' is not one of auto, float32, bfloat16, float16")
        return dtype

    @property
    def causal(self) -> bool:
        """Whether it is a causal language model that is loaded here, so that its logits can be looked at."""
        return self.foreign is None and not self.masked

    @property
    def digests(self) -> tuple[str, str]:
        """Hashes of the weights and of the tokenizer, from the files' bytes."""
        if self._digest is None:
            own = self.foreign.digests if self.foreign else None
            self._digest = own or (weights_digest(self.folder), tokenizer_digest(self.folder))
        return self._digest

    def load(self) -> tuple[Any, Any]:
        """The base and its tokenizer; loaded once."""
        if self._loaded is None:
            tokenizer = load_tokenizer(self.folder)
            load = load_masked if self.masked else load_model
            self._loaded = load(self.folder, device=self.device, dtype=self.dtype), tokenizer
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
        kept = self.store if store and (self.foreign is None or self.foreign.stored) else None
        told = progress or _silent
        found = {at: entry for at, key in enumerate(keys) if kept and (entry := kept.get(key))}
        stored = len(found)
        for at in found:
            told(label, suite.tasks[at].name, 0)
        with ExitStack() as stack:
            opened: list[tuple[Any, Any]] = []

            def compute(at: int) -> Entry:
                if not opened:
                    opened.append(stack.enter_context(self._model(adapter)))
                model, tokenizer = opened[0]
                task = suite.tasks[at]
                model.done = _counter(told, label, task.name)
                if kept:
                    from evalkit.models.resuming import Resuming

                    model = Resuming(model, kept.journal(self._answers_key(task, keys[at], digests, seed, limits[at])))
                setup = task.setup(tokenizer, self.chat, seed)
                return evaluate_task(model, task, setup, limit=limits[at], offline=self.offline)

            missing = {keys[at]: at for at in range(len(keys)) if at not in found}
            for key, entry in compute_missing(kept, list(missing), lambda key: compute(missing[key])):
                found[missing[key]] = entry
        entries = [_named(found[at], task) for at, task in enumerate(suite.tasks)]
        facts = {"stored": stored, "seconds": round(time.perf_counter() - started, 3)}
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

        tokenizer = self.foreign.tokenizer if self.foreign else self.load()[1]
        counts: dict[str, int] = {}
        with quiet_engine(offline=self.offline):
            for task in _suite(suite).tasks:
                counts[task.name] = 0
                for source in members(task.source):
                    made = build_task(source, task.setup(tokenizer, self.chat, 0), task.name)
                    all_items = len(made.eval_docs)
                    counts[task.name] += min(all_items, task.limit or all_items)
        return counts

    def _key(self, task: SuiteTask, digests: Mapping[str, str], *, seed: int, limit: int | None) -> str:
        return entry_key(
            {
                **digests,
                "tokenizer": self.digests[1],
                "task": identity_of(task.source, offline=self.offline),
                "name": task.name,
                "scored": [task.metric, task.filter, task.num_fewshot, task.chat, task.private],
                "chat": self.chat.model_dump(),
                "seed": seed,
                "limit": limit,
                "dtype": self.dtype,
                "versions": {name: text for name, text in _versions().items() if name in _DECISIVE},
            }
        )

    def _answers_key(self, task: SuiteTask, key: str, digests: Mapping[str, str], seed: int, limit: int | None) -> str:
        """Whose journal the model's answers are in: another judge reads the same ones. Private ones are not kept."""
        if getattr(task.source, "judge", None) is None or task.private:
            return key
        plain = replace(task, source=replace(task.source, judge=None), metric="accuracy")  # type: ignore[type-var]
        return self._key(plain, digests, seed=seed, limit=limit)

    @contextmanager
    def _model(self, adapter: Path | None) -> Iterator[tuple[Any, Any]]:
        """lm-eval's model, with the adapter while the block runs."""
        require("lm_eval", extra="eval")
        if self.foreign:
            if adapter is not None:
                raise EvalError(f"an adapter cannot be laid over '{self.name}'", hint="Serve the tuned model itself")
            yield self.foreign.make(), self.foreign.tokenizer
            return
        base, tokenizer = self.load()
        if adapter is None:
            yield self._asked(base, tokenizer), tokenizer
            return
        try:
            with with_adapter(base, adapter) as tuned:
                yield self._asked(tuned, tokenizer), tokenizer
        except BaseException:
            # Half an adapter may be left in the base: load it again the next time.
            self._loaded = None
            raise

    def _asked(self, model: Any, tokenizer: Any) -> Any:
        """A loaded model behind lm-eval's interface."""
        if self.masked:
            from evalkit.models.masked import MaskedModel

            return MaskedModel(model, tokenizer, batch_tokens=self.batch_tokens)
        from evalkit.models.hf import HFModel

        return HFModel(model, tokenizer, chat=self.chat, batch_tokens=self.batch_tokens)

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
