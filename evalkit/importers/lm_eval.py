"""Logs of lm-evaluation-harness: ``samples_<task>_<date>.jsonl`` and, beside them, ``results_<date>.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from evalkit.errors import LogError
from evalkit.items import OF_PAIRS, Primary, items_table
from evalkit.log import EvalLog, LogHeader, TaskInfo
from evalkit.models.facts import Facts

__all__ = ["LmEval"]

_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl")
_RESULTS = re.compile(r"(?P<stem>.*?)_?(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)\.json")
#: Metrics whose direction their definition says; any other needs the results file.
_HIGHER = {"acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "f1", "mcc"}
_CONFIG = ("limit", "gen_kwargs", "random_seed", "numpy_seed", "torch_seed", "fewshot_seed")
_TOP = ("system_instruction_sha", "chat_template_sha", "fewshot_as_multiturn")


class LmEval:
    """Reads lm-eval's samples (written with ``--log_samples``)."""

    def recognises(self, path: Path) -> bool:
        """A samples file, a results file with samples beside it, or a folder with samples."""
        if path.is_dir():
            return any(_samples_of(path))
        if _SAMPLES.fullmatch(path.name):
            return True
        return path.suffix == ".json" and bool(_RESULTS.fullmatch(path.name)) and any(_of_date(path))

    def read(self, path: Path) -> EvalLog:
        """All tasks of one run: those of a folder (the newest of each task), of a results file, or one samples file.

        Raises:
            LogError: A line that is no sample, no sample at all, or a metric of unknown direction.
        """
        files, notes = _chosen(path)
        results = _results(files)
        tables, tasks, settings = [], {}, {}
        for task, file in files.items():
            found = results.get(file)
            config = (found or {}).get("configs", {}).get(task, {})
            table, info = _task(task, file, config, found)
            tables.append(table)
            tasks[task] = info
            settings[task] = _settings(task, config, found)
            if found is None:
                notes.append(
                    f"lm-eval's results_*.json is not beside {file.name}: few-shot number, chat template, generation "
                    "settings and limit are not known."
                )
        if not tables:
            raise LogError("no samples", where=path, hint="Run lm-eval with --log_samples")
        first = next((found for found in results.values() if found), {})
        header = LogHeader(
            suite="lm-eval",
            model=str(first.get("model_name") or _model_of(next(iter(files.values())))),
            tasks=tasks,
            settings={"tasks": settings},
            recorded={"tool": "lm-eval", "model": str(first.get("model_name") or "")},
            versions={"lm_eval": str(first.get("lm_eval_version") or "")},
            notes=(
                *notes,
                "lm-eval does not record which weights were read: that the two models differ is not checked.",
            ),
        )
        order = [(name, "ascending") for name in ("task", "item_id", "metric", "filter")]
        return EvalLog(header, pa.concat_tables(tables).sort_by(order))


def _samples_of(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Task, date and path of the samples in a folder, or in its only subfolder that has some."""
    for pattern in ("samples_*.jsonl", "*/samples_*.jsonl"):
        found = [(match, file) for file in sorted(folder.glob(pattern)) if (match := _SAMPLES.fullmatch(file.name))]
        if found:
            yield from ((match["task"], match["date"], file) for match, file in found)
            return


def _of_date(results: Path) -> Iterator[tuple[str, str, Path]]:
    match = _RESULTS.fullmatch(results.name)
    for task, date, file in _samples_of(results.parent):
        if match is not None and date == match["date"] and file.parent == results.parent:
            yield task, date, file


def _chosen(path: Path) -> tuple[dict[str, Path], list[str]]:
    """Task to file, and notes on what was passed over."""
    if path.is_file():
        match = _SAMPLES.fullmatch(path.name)
        return ({match["task"]: path} if match else {task: file for task, _, file in _of_date(path)}), []
    newest: dict[str, tuple[str, Path]] = {}
    older: dict[str, int] = {}
    models = set()
    for task, date, file in _samples_of(path):
        models.add(file.parent)
        if task in newest:
            older[task] = older.get(task, 0) + 1
        if task not in newest or date > newest[task][0]:
            newest[task] = (date, file)
    if len(models) > 1:
        raise LogError(
            "samples of several models", where=path, hint=f"Name one: {', '.join(sorted(str(one) for one in models))}"
        )
    notes = [
        f"Of task '{task}' the newest of {count + 1} runs in the folder was read." for task, count in older.items()
    ]
    return {task: file for task, (_, file) in sorted(newest.items())}, notes


def _results(files: Mapping[str, Path]) -> dict[Path, dict[str, Any] | None]:
    """The results file of the same date beside each samples file, None where there is none."""
    found: dict[Path, dict[str, Any] | None] = {}
    for file in files.values():
        match = _SAMPLES.fullmatch(file.name)
        beside = sorted(file.parent.glob(f"*{match['date']}.json")) if match else []
        found[file] = _json(beside[0].read_text("utf-8"), beside[0]) if beside else None
    return found


def _json(text: str, where: Path | str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise LogError(f"not valid JSON ({error}); the file may be cut off", where=where) from None
    if not isinstance(value, dict):
        raise LogError("not a JSON object", where=where)
    return value


def _model_of(file: Path) -> str:
    return file.parent.name.replace("__", "/") or "lm-eval"


def _task(
    task: str, file: Path, config: Mapping[str, Any], results: Mapping[str, Any] | None
) -> tuple[pa.Table, TaskInfo]:
    samples = list(_read_samples(file, config.get("output_type")))
    if not samples:
        raise LogError("no samples", where=file)
    metric, filter_name, kind = _primary(samples, config)
    made = SimpleNamespace(OUTPUT_TYPE=samples[0]["output_type"], multiple_input=0)
    table = items_table(task, made, samples, Facts(), primary=Primary(metric, filter_name), seed=0)
    table = _without_tokens(table)
    better = ((results or {}).get("higher_is_better") or {}).get(task, {}).get(metric)
    if kind == "drift":
        better = False
    elif better is None and metric in _HIGHER:
        better = True
    if better is None:
        raise LogError(
            f"whether more '{metric}' is better is not known",
            where=file,
            hint="Put results_*.json of the run beside it",
        )
    counts = [count for count in table.filter(table.column("is_primary")).column("n_choices").to_pylist() if count]
    chance = sum(1 / count for count in counts) / len(counts) if counts else 0.0
    further = tuple(name for name in OF_PAIRS if name in samples[0]["metrics"] and name != metric)
    return table, TaskInfo(
        metrics=further,
        kind=kind,
        metric=metric,
        filter=filter_name,
        higher_is_better=bool(better),
        chance=chance,
        description="lm-eval",
    )


def _without_tokens(table: pa.Table) -> pa.Table:
    """Numbers of tokens are not in lm-eval's samples: neither are scores per token."""
    import pyarrow.compute as pc

    table = table.filter(pc.field("metric") != "nll_per_token")
    at = table.schema.get_field_index("n_tokens")
    return table.set_column(at, table.schema.field(at), pa.nulls(table.num_rows, table.schema.field(at).type))


def _read_samples(file: Path, output_type: str | None) -> Iterator[dict[str, Any]]:
    """Samples as lm-eval has them in memory: numbers were written as texts, tuples as numbered mappings."""
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            sample = _json(line, f"{file}:{number}")
            try:
                yield _restored(sample, output_type)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise LogError(f"not a sample of lm-eval ({error!r})", where=f"{file}:{number}") from None


def _restored(sample: dict[str, Any], output_type: str | None) -> dict[str, Any]:
    arguments = [tuple(argument.values()) for argument in sample["arguments"].values()]
    responses = sample["resps"]
    if len(arguments[0]) == 1:
        kind, responses = "loglikelihood_rolling", [[float(responses[0][0])]]
    elif isinstance(arguments[0][1], Mapping):
        kind = "generate_until"
    else:
        kind = output_type or ("multiple_choice" if len(arguments) > 1 else "loglikelihood")
        responses = [[(float(value), greedy == "True") for value, greedy in one] for one in responses]
    target = sample["target"]
    if kind == "multiple_choice" and isinstance(target, str) and re.fullmatch(r"-?\d+", target):
        target = int(target)
    filtered = sample["filtered_resps"]
    return sample | {
        "arguments": arguments,
        "resps": responses,
        "filtered_resps": filtered,
        "target": target,
        "output_type": kind,
    }


def _primary(samples: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> tuple[str, str, Any]:
    """As evalkit chooses for tasks of its own: acc, exact_match, else the first; the first filter."""
    if samples[0]["output_type"] == "loglikelihood_rolling":
        return "bits_per_byte", str(samples[0]["filter"]), "drift"
    listed = [entry["metric"] for entry in config.get("metric_list") or () if isinstance(entry, Mapping)]
    names = [name for name in listed if isinstance(name, str)] or list(samples[0]["metrics"])
    scalar = [name for name in names if isinstance(samples[0].get(name), int | float)] or names
    metric = next((name for name in ("acc", "exact_match") if name in scalar), scalar[0])
    filters = [entry["name"] for entry in config.get("filter_list") or ()] or [str(samples[0]["filter"])]
    return metric, str(filters[0]), "general"


def _settings(task: str, config: Mapping[str, Any], results: Mapping[str, Any] | None) -> dict[str, Any]:
    if results is None:
        return {}
    run = results.get("config") or {}
    return {
        "num_fewshot": (results.get("n-shot") or {}).get(task),
        "generation": config.get("generation_kwargs"),
        "version": (results.get("versions") or {}).get(task),
        **{key: run.get(key) for key in _CONFIG},
        **{key: results.get(key) for key in _TOP},
    }
