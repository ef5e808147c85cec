"""Logs of lighteval (``--save-details``): one Parquet file of details per task, and ``results_<date>.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from datakit.core.errors import StorageError
from datakit.core.hashing import digest, json_digest
from datakit.core.storage import read_table
from evalkit.errors import LogError
from evalkit.log import ITEMS, EvalLog, LogHeader, TaskInfo

__all__ = ["Lighteval"]

_DETAILS = re.compile(r"details_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)\.parquet")
_COLUMNS = {"doc", "metric", "model_response"}
_LACKS = "lighteval does not record chat template, tokenizer and weights: that they fit is not checked."


class Lighteval:
    """Reads lighteval's details."""

    def recognises(self, path: Path) -> bool:
        """A details file, or a folder with some (also its ``details/<model>/<date>`` below)."""
        return any(_details(path)) if path.is_dir() else bool(_DETAILS.fullmatch(path.name))

    def read(self, path: Path) -> EvalLog:
        """The tasks of one model; of several runs in a folder the newest.

        Raises:
            LogError: A truncated or foreign file, several models, or a metric of unknown direction.
        """
        files = sorted(_details(path)) if path.is_dir() else [path]
        dates = sorted({_match(file)["date"] for file in files})
        notes = [_LACKS]
        if len(dates) > 1:
            notes.append(f"Of {len(dates)} runs of lighteval in the folder the newest was read.")
            files = [file for file in files if _match(file)["date"] == dates[-1]]
        if len({file.parent for file in files}) > 1:
            raise LogError("details of several models", where=path, hint="Name the folder of one of them")
        results = _results(files[0], dates[-1])
        if results is None:
            notes.append("lighteval's results_*.json was not found: generation settings and seeds are not known.")
        rows: list[dict[str, Any]] = []
        tasks, settings = {}, {}
        for file in files:
            task = _match(file)["task"]
            config = (results or {}).get("config_tasks", {}).get(task, {})
            own, tasks[task] = _task(task, file, config)
            rows += own
            settings[task] = _settings(config, results)
        general = (results or {}).get("config_general") or {}
        model = str(general.get("model_name") or files[0].parent.parent.name)
        rows.sort(key=lambda row: (row["task"], row["item_id"], row["metric"]))
        return EvalLog(
            LogHeader(
                suite="lighteval",
                model=model,
                tasks=tasks,
                settings={"tasks": settings},
                recorded={"tool": "lighteval", "model": model},
                versions={"lighteval": str(general.get("lighteval_sha") or "")},
                notes=tuple(notes),
            ),
            pa.Table.from_pylist(rows, schema=ITEMS),
        )


def _match(file: Path) -> re.Match[str]:
    match = _DETAILS.fullmatch(file.name)
    if match is None:
        raise LogError("not named details_<task>_<date>.parquet", where=file)
    return match


def _details(folder: Path) -> Iterator[Path]:
    """Details in a folder or below it (tasks of a name with `/` stand one deeper)."""
    return (file for file in folder.rglob("details_*.parquet") if _DETAILS.fullmatch(file.name))


def _results(details: Path, date: str) -> dict[str, Any] | None:
    """``results/<model>/results_<date>.json`` beside ``details/<model>/<date>/``, or next to the details."""
    model = details.parent.parent
    for place in (details.parent, *(above / "results" for above in details.parents[:6])):
        for file in (place / f"results_{date}.json", place / model.name / f"results_{date}.json"):
            if file.is_file():
                try:
                    found = json.loads(file.read_text("utf-8"))
                except ValueError as error:
                    raise LogError(f"not valid JSON ({error}); the file may be cut off", where=file) from None
                return found if isinstance(found, dict) else None
    return None


def _settings(config: Mapping[str, Any], results: Mapping[str, Any] | None) -> dict[str, Any]:
    if results is None:
        return {}
    general = results.get("config_general") or {}
    model = general.get("model_config") or {}
    return {
        "num_fewshot": config.get("num_fewshots"),
        "version": config.get("version"),
        "generation_size": config.get("generation_size"),
        "stop_sequence": config.get("stop_sequence"),
        "num_samples": config.get("num_samples"),
        "generation": model.get("generation_parameters"),
        "system_prompt": model.get("system_prompt"),
        "fewshot_seeds": general.get("num_fewshot_seeds"),
        "limit": general.get("max_samples"),
    }


def _task(task: str, file: Path, config: Mapping[str, Any]) -> tuple[list[dict[str, Any]], TaskInfo]:
    try:
        table = read_table(file)
    except StorageError as error:
        raise LogError(f"cannot be read: {error}", where=file) from None
    if not set(table.column_names) >= _COLUMNS:
        raise LogError(f"has no columns {sorted(_COLUMNS)}: not lighteval's details", where=file)
    if not table.num_rows:
        raise LogError(f"no item of task '{task}'", where=file)
    known = {entry["metric_name"]: entry for entry in config.get("metrics") or () if isinstance(entry, Mapping)}
    details = table.select(sorted(_COLUMNS)).to_pylist()
    names = [name for name in details[0]["metric"] if _scalar(details, name)]
    if not names:
        raise LogError(f"task '{task}' has no metric that is a number per item", where=file)
    primary = names[0]
    better = known.get(primary, {}).get("higher_is_better")
    if isinstance(better, Mapping):
        better = better.get(primary)
    if better is None and primary not in ("acc", "em"):
        raise LogError(
            f"whether more '{primary}' is better is not known",
            where=file,
            hint="Keep results_*.json of the run with it",
        )
    rows = [row for detail in details for row in _rows(task, detail, names, primary)]
    counts = [row["n_choices"] for row in rows if row["is_primary"]]
    return rows, TaskInfo(
        metric=primary,
        higher_is_better=bool(better) if better is not None else True,
        chance=sum(1 / count for count in counts) / len(counts) if all(counts) else 0.0,
        description="lighteval",
    )


def _scalar(details: list[dict[str, Any]], name: str) -> bool:
    return all(isinstance(detail["metric"].get(name), bool | int | float) for detail in details)


def _rows(task: str, detail: Mapping[str, Any], names: list[str], primary: str) -> Iterator[dict[str, Any]]:
    doc, said = detail["doc"], detail["model_response"]
    choices = [str(choice) for choice in doc["choices"] or ()]
    golds = doc["gold_index"] if isinstance(doc["gold_index"], list) else [doc["gold_index"]]
    target = [choices[gold] for gold in golds if isinstance(gold, int) and 0 <= gold < len(choices)]
    asked = said.get("input")
    prompt = asked if isinstance(asked, str) else json.dumps(asked, ensure_ascii=False) if asked else None
    logprobs = said.get("logprobs") or None
    texts = said.get("text_post_processed") or said.get("text") or []
    status = "ok"
    if logprobs and len(logprobs) == len(choices):
        answer = choices[logprobs.index(max(logprobs))].strip()
    else:
        answer, logprobs = (texts[0] if texts else ""), None
        status = "ok" if answer.strip() else "empty"
    for name in names:
        yield dict.fromkeys(ITEMS.names) | {
            "task": task,
            "item_id": str(doc["id"]),
            "doc_hash": json_digest([doc["query"], choices, doc.get("instruction")]),
            "prompt_hash": digest(prompt) if prompt else None,
            "target_hash": digest(*target),
            "metric": name,
            "filter": "none",
            "is_primary": name == primary,
            "score": float(detail["metric"][name]),
            "prompt": prompt or doc["query"],
            "answer": answer,
            "target": target[0].strip() if target else "",
            "choice_logprobs": logprobs,
            "n_choices": len(choices) if logprobs else None,
            "status": status,
        }
