"""How far a tuned model's predictions moved: forward KL(base || tuned) per token, over the whole vocabulary.

Measured while both models are in memory: an adapter is switched off and on over one model, a fully tuned model stands
beside its base. Nothing is approximated; where two models do not fit, nothing is measured. Never in the gate.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from evalkit.errors import EvalError
from evalkit.log import ITEMS, EvalLog, TaskInfo
from evalkit.store import Entry, entry_key

if TYPE_CHECKING:
    from evalkit.evaluate import Session
    from evalkit.suite import Suite, SuiteTask

__all__ = ["MAX_ITEMS", "divergences", "measure_kl", "with_kl"]

REVISION = 1
MAX_ITEMS = 200  # of each task: a mean over some ten thousand tokens
_LOGITS = 1 << 25  # elements of one model's logits in a batch (128 MiB in float32)

Forward = Callable[[Any], Any]
Found = dict[str, dict[str, float]]


def measure_kl(
    base: Session,
    suite: Suite,
    *,
    adapter: Path | None = None,
    tuned: Session | None = None,
    seed: int = 0,
    limit: int | None = None,
    store: bool = True,
) -> Found:
    """Forward KL per token on what the tasks of kind ``gain`` and ``drift`` show: task inputs, and general texts.

    Args:
        base: The model before.
        suite: Only its tasks of those kinds are looked at, the first :data:`MAX_ITEMS` items of each.
        adapter: PEFT folder over the base; or
        tuned: A fully tuned model, held in memory beside the base.
        seed: Of few-shot samples.
        limit: Items of each task at most.
        store: Whether results are looked up and kept.

    Returns:
        Task to item id to nats per token. Empty for mock models and where no task is of those kinds.

    Raises:
        EvalError: Neither or both of adapter and tuned, other vocabularies, or two models that do not fit in memory.
    """
    if (adapter is None) == (tuned is None):
        raise EvalError("KL is measured of a base and one tuned model: give an adapter or a session")
    tasks = [task for task in suite.tasks if task.kind in ("gain", "drift")]
    if not tasks or not base.causal or (tuned is not None and not tuned.causal):
        return {}
    keys = {task.name: _key(base, task, adapter, tuned, seed=seed, limit=_most(task, limit)) for task in tasks}
    found = {name: kept for name, key in keys.items() if store and (kept := _stored(base, key)) is not None}
    missing = [task for task in tasks if task.name not in found]
    if missing:
        if tuned is not None:
            _check_memory(base, tuned)
        with _both(base, adapter, tuned) as (before, after, model):
            for task in missing:
                texts = _asked(base, task, model, seed=seed, limit=_most(task, limit))
                values = _of_texts(base, texts, before, after, model)
                found[task.name] = values
                if store:
                    base.store.put(keys[task.name], Entry(TaskInfo(kind=task.kind), _rows(task.name, values)))
    return {task.name: found[task.name] for task in tasks}


def with_kl(log: EvalLog, found: Mapping[str, Mapping[str, float]]) -> EvalLog:
    """The log with ``kl_to_base`` filled in for the items that were measured."""
    tasks, items = (log.items.column(name).to_pylist() for name in ("task", "item_id"))
    values = [found.get(task, {}).get(item) for task, item in zip(tasks, items, strict=True)]
    at = log.items.schema.get_field_index("kl_to_base")
    return EvalLog(log.header, log.items.set_column(at, ITEMS.field("kl_to_base"), pa.array(values, pa.float64())))


def divergences(
    rows: Sequence[Sequence[int]],
    before: Forward,
    after: Forward,
    *,
    vocabulary: int,
    device: str,
    asked: Sequence[int] | None = None,
) -> list[float]:
    """Mean over the positions of each row of sum_v p(v) (log p(v) - log q(v)), p before and q after, in nats.

    Args:
        rows: Token ids, none empty. Rows are padded on the right, which no position of a causal model sees.
        before: Token ids of shape (rows, width) to logits of shape (rows, width, vocabulary).
        after: The same of the model after.
        vocabulary: Size of the output layer, for the size of batches.
        device: Where ids go.
        asked: Tokens of each row that are its prompt, for a model that reads prompts in another way; all by default.

    Raises:
        EvalError: Logits of other sizes, or that are not numbers.
    """
    import torch

    from datakit.core.reft import prompts

    asked = asked or [len(row) for row in rows]
    order = sorted(range(len(rows)), key=lambda row: -len(rows[row]))
    result = [0.0] * len(rows)
    while order:
        width = len(rows[order[0]])
        size = max(1, _LOGITS // (width * vocabulary))
        batch, order = order[:size], order[size:]
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        for line, row in enumerate(batch):
            ids[line, : len(rows[row])] = torch.tensor(rows[row])
        spans = [(line, 0, asked[row]) for line, row in enumerate(batch)]
        with torch.inference_mode(), prompts(spans):
            p, q = (forward(ids.to(device))[:, -width:] for forward in (before, after))
            if p.shape != q.shape:
                raise EvalError(f"the models predict {p.shape[-1]} and {q.shape[-1]} tokens; KL needs one vocabulary")
            for line, row in enumerate(batch):
                own = slice(0, len(rows[row]))
                first = p[line, own].float().log_softmax(-1)
                second = q[line, own].float().log_softmax(-1)
                value = float((first.exp() * (first - second)).sum(-1).double().mean())
                if value != value:
                    raise EvalError("the models give probabilities that are not numbers", hint="Try dtype float32")
                result[row] = max(0.0, value)
    return result


def _check_memory(base: Session, tuned: Session) -> None:
    """Two models are loaded only where they take less than half of what is free.

    Raises:
        EvalError: They take more.
    """
    import os

    import torch

    stored = sum(file.stat().st_size for model in (base, tuned) for file in model.folder.glob("*.safetensors"))
    size = stored * (2 if base.dtype == "float32" else 1)  # most are stored in 16 bits
    if base.device.startswith("cuda"):
        free = torch.cuda.mem_get_info(base.device)[0]
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > free / 2:
        raise EvalError(
            f"base and tuned model take {size / 1e9:.1f} GB together, and {free / 1e9:.1f} GB are free; twice is needed"
        )


@contextlib.contextmanager
def _both(base: Session, adapter: Path | None, tuned: Session | None) -> Iterator[tuple[Forward, Forward, Any]]:
    """Logits of both models, and the base itself."""
    import torch

    from datakit.core.adapters import switched_off
    from evalkit.models.checkpoint import check_adapter, with_adapter

    def plain(model: Any) -> Forward:
        return lambda ids: model(input_ids=ids, use_cache=False).logits

    try:
        model, tokenizer = base.load()
        if adapter is not None:
            check_adapter(adapter, base.folder)
            with with_adapter(model, adapter) as wrapped:

                def without(ids: Any) -> Any:
                    with switched_off(wrapped):
                        return wrapped(input_ids=ids, use_cache=False).logits

                yield without, plain(wrapped), model
            return
        if tuned is not None:
            other, its_tokenizer = tuned.load()
            if tokenizer.get_vocab() != its_tokenizer.get_vocab():
                raise EvalError("the tuned model has another vocabulary than its base; KL needs one")
            yield plain(model), plain(other), model
    except torch.OutOfMemoryError:
        raise EvalError("base and tuned model do not fit into memory together") from None


def _asked(base: Session, task: SuiteTask, model: Any, *, seed: int, limit: int) -> dict[str, tuple[str, bool]]:
    """What the task shows of each item, as it is asked: text by item id, and whether it is a document."""
    from evalkit.engine import build_task, quiet_engine, run_task
    from evalkit.items import item_ids
    from evalkit.models.hf import HFModel

    class Asked(HFModel):
        """Answers nothing; lm-eval then hands back what it would have asked."""

        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            return [(0.0, False)] * len(requests)

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            return [0.0] * len(requests)

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            return [""] * len(requests)

    tokenizer = base.load()[1]
    setup = task.setup(tokenizer, base.chat, seed)
    with quiet_engine(offline=base.offline):
        made = build_task(task.source, setup, task.name)
        asked = Asked(model, tokenizer, chat=base.chat)
        samples = run_task(asked, made, setup, rendered=task.source.rendered, limit=limit)
    ids = item_ids(samples)
    return {
        ids[sample["doc_id"]]: (str(sample["arguments"][0][0]), len(sample["arguments"][0]) == 1) for sample in samples
    }


def _of_texts(
    base: Session, texts: Mapping[str, tuple[str, bool]], before: Forward, after: Forward, model: Any
) -> dict[str, float]:
    from lm_eval.models.utils import resolve_max_length

    from evalkit.models.tokens import prefix_id, tokenize_all

    tokenizer = base.load()[1]
    most = int(resolve_max_length(model.config, tokenizer))
    ids = tokenize_all([text for text, _ in texts.values()], tokenizer)
    rows, asked = [], []
    for text, document in texts.values():
        own = ids[text] or [prefix_id(tokenizer)]
        rows.append(own[:most] if document else own[-most:])
        asked.append(1 if document else len(rows[-1]))
    size = int(model.get_output_embeddings().weight.shape[0])
    found = divergences(rows, before, after, vocabulary=size, device=base.device, asked=asked)
    return dict(zip(texts, found, strict=True))


def _most(task: SuiteTask, limit: int | None) -> int:
    return min(most for most in (MAX_ITEMS, task.limit, limit) if most is not None)


def _key(base: Session, task: SuiteTask, adapter: Path | None, tuned: Session | None, *, seed: int, limit: int) -> str:
    from evalkit.engine import quiet_engine
    from evalkit.models.checkpoint import adapter_digest

    if task.source.local:
        identity = task.source.identity()
    else:
        with quiet_engine(offline=base.offline):
            identity = task.source.identity()
    other = adapter_digest(adapter) if adapter is not None else tuned.digests[0] if tuned is not None else ""
    return entry_key(
        {
            "kl": REVISION,
            "base": base.digests,
            "tuned": other,
            "task": identity,
            "shown": [task.name, task.num_fewshot, task.chat],
            "chat": base.chat.model_dump(),
            "seed": seed,
            "limit": limit,
            "dtype": base.dtype,
        }
    )


def _rows(task: str, values: Mapping[str, float]) -> pa.Table:
    empty = dict.fromkeys(ITEMS.names)
    return pa.Table.from_pylist(
        [empty | {"task": task, "item_id": item, "kl_to_base": value} for item, value in values.items()], schema=ITEMS
    )


def _stored(base: Session, key: str) -> dict[str, float] | None:
    entry = base.store.get(key)
    if entry is None:
        return None
    columns = (entry.items.column(name).to_pylist() for name in ("item_id", "kl_to_base"))
    return dict(zip(*columns, strict=True))
