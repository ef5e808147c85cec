"""lm-eval's samples turned into the rows of an EvalLog, and a suite's items written out for decontamination."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from datakit.core.chat import ChatSettings
from datakit.core.hashing import digest
from datakit.core.storage import write_table
from evalkit.engine import build_task, quiet_engine
from evalkit.errors import EvalError
from evalkit.groups import members
from evalkit.log import ITEMS
from evalkit.models.facts import Facts, RequestFacts
from evalkit.suite import Suite

__all__ = ["OF_PAIRS", "Primary", "cluster_of", "export_items", "item_ids", "items_table"]

#: Metrics of the whole set for which lm-eval logs pairs of gold and predicted option.
OF_PAIRS = ("mcc",)
EXPORT = pa.schema([(name, pa.string()) for name in ("task", "item_id", "prompt", "answer")])


@dataclass(frozen=True, slots=True)
class Primary:
    """The one metric and filter of a task that verdicts are about."""

    metric: str
    filter: str


def items_table(
    name: str,
    task: Any,
    samples: Sequence[Mapping[str, Any]],
    facts: Facts,
    *,
    primary: Primary,
    seed: int,
    private: bool = False,
) -> pa.Table:
    """Rows of :data:`evalkit.log.ITEMS`, one per item, metric and filter, sorted.

    Args:
        name: The task's name in the suite.
        task: lm-eval's task.
        samples: Its logged samples.
        facts: What the model told about the requests.
        primary: Marks the rows that verdicts are about.
        seed: Goes into every row.
        private: Prompts, and answers that are no common labels, are replaced by hashes.
    """
    ids = item_ids(samples)
    labels = _common_labels(samples) if private else None
    rows = [
        row
        for sample in samples
        for row in _rows(task, sample, facts, labels)
        if row.update(task=name, item_id=ids[sample["doc_id"]], seed=seed) is None
    ]
    for row in rows:
        row["is_primary"] = row["metric"] == primary.metric and row["filter"] == primary.filter
        row["cluster"] = row["cluster"] or row["item_id"]
    if not any(row["is_primary"] for row in rows):
        given = sorted({f"{row['metric']} ({row['filter']})" for row in rows})
        raise EvalError(
            f"task '{name}' gives no score '{primary.metric}' with filter '{primary.filter}'",
            hint=f"It gives: {', '.join(given) or 'none that is a mean over items'}",
        )
    rows.sort(key=lambda row: (row["item_id"], row["metric"], row["filter"]))
    return pa.Table.from_pylist(rows, schema=ITEMS)


def item_ids(samples: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Item ids by position: the doc's own id for rows of ours, else its hash, with a number where docs are equal."""
    ids: dict[int, str] = {}
    seen: dict[str, int] = {}
    for sample in samples:
        if sample["doc_id"] in ids:
            continue
        own = _own_id(sample["doc"]) or sample["doc_hash"][:16]
        seen[own] = seen.get(own, 0) + 1
        ids[sample["doc_id"]] = own if seen[own] == 1 else f"{own}-{seen[own]}"
    return ids


def _own_id(doc: Any) -> str | None:
    return str(doc["datakit_id"]) if isinstance(doc, Mapping) and "datakit_id" in doc else None


@dataclass(slots=True)
class _Options:
    """Options of a multiple-choice item, as texts, and the gold one."""

    texts: list[str]
    logprobs: list[float]
    gold: str


def _rows(task: Any, sample: Mapping[str, Any], facts: Facts, labels: set[str] | None) -> Iterator[dict[str, Any]]:
    doc, arguments = sample["doc"], sample["arguments"]
    first = sample["resps"][0][0]
    known = facts.requests.get((sample["doc_id"], 0), RequestFacts())
    row: dict[str, Any] = dict.fromkeys(ITEMS.names)
    row |= {
        "doc_hash": sample["doc_hash"],
        "prompt_hash": sample["prompt_hash"],
        "target_hash": sample["target_hash"],
        "filter": sample["filter"],
        "prompt": str(arguments[0][0]),
        "cluster": cluster_of(doc),
        "status": "ok",
    }
    if isinstance(first, float):
        yield from _rolling(row, float(first), known, private=labels is not None)
        return
    options: _Options | None = None
    if isinstance(first, str):
        row |= {"answer": first, "target": _text(sample["target"]), "n_tokens": known.n_tokens}
        row["status"] = _status(first, sample["filtered_resps"][0], known, sample)
    elif len(arguments) > 1 or task.OUTPUT_TYPE == "multiple_choice":
        options = _options(task, sample)
        row |= {"choice_logprobs": options.logprobs, "n_choices": len(options.texts), "target": options.gold}
    else:
        row |= {"sum_logprob": first[0], "n_tokens": known.n_tokens, "target": arguments[0][1]}
        row["answer"] = arguments[0][1] if first[1] else None
    for metric in sample["metrics"]:
        score = _agrees(sample[metric]) if metric in OF_PAIRS else _number(sample[metric])
        if score is not None:
            answer = _chosen(options, metric) if options is not None else row["answer"]
            status = sample.get("statuses", {}).get(metric, row["status"])
            yield _hidden(row | {"metric": metric, "score": score, "answer": answer, "status": status}, labels)


def _rolling(row: dict[str, Any], total: float, known: RequestFacts, *, private: bool) -> Iterator[dict[str, Any]]:
    size = len(row["prompt"].encode("utf-8", "surrogatepass"))
    row |= {"sum_logprob": total, "n_tokens": known.n_tokens, "n_bytes": size}
    row["prompt"] = digest(row["prompt"]) if private else row["prompt"][:200]
    scores = {"bits_per_byte": -total / (math.log(2) * max(size, 1)), "nll_per_token": -total / max(known.n_tokens, 1)}
    for metric, score in scores.items():
        yield row | {"metric": metric, "score": score}


def _options(task: Any, sample: Mapping[str, Any]) -> _Options:
    arguments = sample["arguments"]
    logprobs = [response[0][0] for response in sample["resps"]]
    if "acc_mutual_info" in sample["metrics"]:
        # The second half are the options without their question.
        arguments, logprobs = arguments[: len(arguments) // 2], logprobs[: len(logprobs) // 2]
    gold = sample["target"]
    if getattr(task, "multiple_input", 0):
        texts, gold = [context for context, _ in arguments], task.doc_to_text(sample["doc"])
    else:
        texts = [continuation.strip() for _, continuation in arguments]
    gold = gold[0] if isinstance(gold, list) and gold else gold
    inside = isinstance(gold, int) and 0 <= gold < len(texts)
    return _Options(texts, logprobs, texts[gold] if inside else _text(gold))


def _chosen(options: _Options, metric: str) -> str:
    """The option a metric calls the model's answer: the likeliest, per character or per byte where it says so."""
    sizes = [1] * len(options.texts)
    if metric == "acc_norm":
        sizes = [max(len(text), 1) for text in options.texts]
    elif metric == "acc_bytes":
        sizes = [max(len(text.encode()), 1) for text in options.texts]
    scaled = [value / size for value, size in zip(options.logprobs, sizes, strict=True)]
    return options.texts[scaled.index(max(scaled))]


def _status(text: str, kept: Any, known: RequestFacts, sample: Mapping[str, Any]) -> str:
    if not known.finished and not any(_number(sample[metric]) for metric in sample["metrics"]):
        return "truncated"
    if not text.strip():
        return "empty"
    kept = kept[0] if isinstance(kept, list) and kept else kept
    return "unreadable" if kept in (None, "", "[invalid]", []) else "ok"


def _common_labels(samples: Sequence[Mapping[str, Any]]) -> set[str]:
    """Options that every item has: names of classes, which may be shown where texts may not."""
    found = [
        {argument[1].strip() for argument in sample["arguments"][:]}
        for sample in samples
        if len(sample["arguments"]) > 1
    ]
    return set.intersection(*found) if found else set()


def _hidden(row: dict[str, Any], labels: set[str] | None) -> dict[str, Any]:
    if labels is None:
        return row
    shown = {key: row[key] for key in ("answer", "target") if row[key] is None or row[key] in labels}
    return row | {key: digest(row[key]) for key in ("prompt", "answer", "target") if key not in shown}


def cluster_of(doc: Any) -> str | None:
    """What an item shares with others, such as a passage; None where its document does not say."""
    if not isinstance(doc, Mapping):
        return None
    return next((str(doc[key]) for key in ("cluster", "group") if isinstance(doc.get(key), str | int)), None)


def _agrees(value: Any) -> float | None:
    """Whether the two entries of a (gold, predicted) pair are equal; the metric itself is made from all of them."""
    return float(value[0] == value[1]) if isinstance(value, list | tuple) and len(value) == 2 else None


def _number(value: Any) -> float | None:
    """A metric's value of one item; None for metrics that are no mean over items (they log pairs)."""
    try:
        return None if isinstance(value, str | tuple | list) else float(value)
    except (TypeError, ValueError):
        return None


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else str(value)


def export_items(suite: Suite, path: Path, *, chat: ChatSettings | None = None, offline: bool = False) -> Path:
    """Writes a suite's items as Parquet, for decontamination: columns task, item_id, prompt, answer.

    Prompts are those without few-shot examples and chat template; multiple-choice options stand in the answer, gold
    first, one per line. Documents of drift tasks stand in ``prompt``.

    Args:
        suite: Its tasks' data must be local or in the hub's cache.
        path: The Parquet file.
        chat: Only for tasks that render their own prompts.
        offline: The hub is not asked; what its cache lacks is an error.
    """
    import json

    rows: list[dict[str, str]] = []
    with quiet_engine(offline=offline):
        from lm_eval.utils import handle_non_serializable, hash_string

        for entry in suite.tasks:
            setup = entry.setup(None, chat or ChatSettings(), 0)
            for source in members(entry.source):
                task = build_task(source, setup, entry.name)
                task.set_config("num_fewshot", 0)
                docs = []
                for at, doc in task.doc_iterator(limit=entry.limit):
                    text = json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
                    docs.append({"doc_id": at, "doc": doc, "doc_hash": hash_string(text)})
                ids = item_ids(docs)
                rows += [{"task": entry.name, "item_id": ids[at]} | _texts(task, docs[at]["doc"]) for at in sorted(ids)]
    write_table(path, pa.Table.from_pylist(rows, schema=EXPORT))
    return path


def _texts(task: Any, doc: Any) -> dict[str, str]:
    made = task.construct_requests(
        doc=doc, ctx=task.fewshot_context(doc, num_fewshot=0), metadata=(task.config.task, 0, 1)
    )
    instances = made if isinstance(made, list) else [made]
    prompt = str(instances[0].args[0])
    if task.OUTPUT_TYPE == "loglikelihood_rolling":
        return {"prompt": prompt, "answer": ""}
    if isinstance(instances[0].args[1], str):
        target = task.doc_to_target(doc)
        texts = [instance.args[1].strip() for instance in instances]
        texts = list(dict.fromkeys(texts))
        target = texts.index(target.strip()) if isinstance(target, str) and target.strip() in texts else target
        if isinstance(target, int) and 0 <= target < len(texts):
            texts.insert(0, texts.pop(target))
        return {"prompt": prompt, "answer": "\n".join(texts)}
    return {"prompt": prompt, "answer": _text(task.doc_to_target(doc))}
