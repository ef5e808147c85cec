"""Logs of inspect (``.eval``): a zip file of ``header.json`` and one JSON file per sample; inspect is not needed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from datakit.core.hashing import digest, json_digest
from evalkit.errors import LogError
from evalkit.importers.zipped import read_member
from evalkit.log import ITEMS, EvalLog, LogHeader, TaskInfo

__all__ = ["Inspect"]

VERSION = 2  # of the log format, the only one seen
#: What inspect's own ``value_to_float`` makes of a score's value.
_VALUES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_STATUSES = {"max_tokens": "truncated", "model_length": "truncated", "content_filter": "refused"}
_LACKS = (
    "inspect does not record chat template, tokenizer and weights of a local model: that they fit is not checked.",
    "inspect does not say whether more is better: higher scores are taken as better, as its own metrics do.",
)


class Inspect:
    """Reads inspect's ``.eval`` files."""

    def recognises(self, path: Path) -> bool:
        """An ``.eval`` file, or a folder with some."""
        return any(path.glob("*.eval")) if path.is_dir() else path.suffix == ".eval"

    def read(self, path: Path) -> EvalLog:
        """The tasks of one model: one file, or a folder with one file per task (of several the newest).

        Raises:
            LogError: A damaged file, an unknown version, an evaluation that did not finish, or several models.
        """
        headers = [(_header(file), file) for file in (sorted(path.glob("*.eval")) if path.is_dir() else [path])]
        newest: dict[str, tuple[dict[str, Any], Path]] = {}
        for header, file in sorted(headers, key=lambda entry: str(entry[0]["eval"].get("created"))):
            newest[str(header["eval"]["task"])] = (header, file)
        models = sorted({str(header["eval"]["model"]) for header, _ in newest.values()})
        if len(models) > 1:
            raise LogError("logs of several models", where=path, hint=f"Give one file; models: {', '.join(models)}")
        notes = list(_LACKS)
        if len(newest) < len(headers):
            notes.append(f"Of {len(headers)} inspect logs in the folder the newest of each task was read.")
        rows: list[dict[str, Any]] = []
        tasks, settings = {}, {}
        for task, (header, file) in newest.items():
            own, tasks[task] = _task(task, header, file, notes)
            rows += own
            settings[task] = _settings(header)
        rows.sort(key=lambda row: (row["task"], row["item_id"], row["metric"]))
        packages = next(iter(newest.values()))[0]["eval"].get("packages") or {}
        return EvalLog(
            LogHeader(
                suite="inspect",
                model=models[0],
                tasks=tasks,
                settings={"tasks": settings},
                recorded={"tool": "inspect", "model": models[0]},
                versions={str(name): str(value) for name, value in packages.items()},
                notes=tuple(notes),
            ),
            pa.Table.from_pylist(rows, schema=ITEMS),
        )


def _open(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError) as error:
        raise LogError(f"not a zip file, or cut off ({error})", where=file) from None


def _json(archive: zipfile.ZipFile, file: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads(read_member(archive, file, name))
    except ValueError as error:
        raise LogError(f"member '{name}' is not JSON ({error})", where=file) from None
    if not isinstance(value, dict):
        raise LogError(f"member '{name}' is no JSON object", where=file)
    return value


def _header(file: Path) -> dict[str, Any]:
    with _open(file) as archive:
        if "header.json" not in archive.namelist():
            raise LogError("has no header.json: the evaluation did not finish", where=file, hint="Run it to its end")
        header = _json(archive, file, "header.json")
    if header.get("version") != VERSION:
        raise LogError(f"inspect log version {header.get('version')!r}; {VERSION} is accepted", where=file)
    if header.get("status") != "success":
        said = str((header.get("error") or {}).get("message") or "")[:200]
        raise LogError(f"the evaluation did not finish: status {header.get('status')!r} {said}".rstrip(), where=file)
    if not isinstance(header.get("eval"), dict) or not {"task", "model"} <= set(header["eval"]):
        raise LogError("header.json names no task and model", where=file)
    return header


def _settings(header: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal in two logs: how the task was made, how answers were generated, how many epochs."""
    evaluation, plan = header["eval"], header.get("plan") or {}
    config = evaluation.get("config") or {}
    return {
        "task_version": evaluation.get("task_version"),
        "task_args": evaluation.get("task_args") or {},
        "generation": {**(evaluation.get("model_generate_config") or {}), **(plan.get("config") or {})},
        "solvers": [[step.get("solver"), step.get("params")] for step in plan.get("steps") or ()],
        "epochs": config.get("epochs"),
        "limit": config.get("limit"),
    }


def _task(task: str, header: Mapping[str, Any], file: Path, notes: list[str]) -> tuple[list[dict[str, Any]], TaskInfo]:
    with _open(file) as archive:
        names = [name for name in archive.namelist() if name.startswith("samples/") and name.endswith(".json")]
        samples = [_json(archive, file, name) for name in names]
    scored = [sample for sample in samples if sample.get("scores")]
    if not scored:
        raise LogError(f"no sample of task '{task}' has a score", where=file)
    if missing := len(samples) - len(scored):
        notes.append(f"{missing} samples of task '{task}' have no score (they failed) and are left out.")
    primary = _primary(header, scored)
    groups: dict[str, list[dict[str, Any]]] = {}
    for sample in scored:
        groups.setdefault(str(sample.get("id")), []).append(sample)
    if most := max(map(len, groups.values())) - 1:
        notes.append(f"Scores of task '{task}' are means over {most + 1} epochs; texts are those of the first.")
    rows = [row for item, group in groups.items() for row in _rows(task, item, group, primary, file)]
    counts = [row["n_choices"] for row in rows if row["is_primary"]]
    chosen = primary == "choice" and all(counts)
    return rows, TaskInfo(
        metric=primary,
        chance=sum(1 / count for count in counts) / len(counts) if chosen else 0.0,
        description="inspect",
    )


def _primary(header: Mapping[str, Any], scored: Sequence[Mapping[str, Any]]) -> str:
    headline = ((header.get("results") or {}).get("headline") or {}).get("score")
    names = [name for name, _ in _scores(scored[0])]
    return headline if headline in names else names[0]


def _scores(sample: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and value of each score; a scorer that gives several has its name before each."""
    for scorer, score in sample["scores"].items():
        value = score.get("value") if isinstance(score, Mapping) else score
        if isinstance(value, Mapping):
            yield from ((f"{scorer}/{name}", own) for name, own in value.items())
        else:
            yield str(scorer), value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, str):
        if value in _VALUES or value.lower() in _VALUES:
            return _VALUES[value] if value in _VALUES else _VALUES[value.lower()]
        try:
            return float(value)
        except ValueError:
            pass
    raise LogError(f"score {value!r} is no number", where=where)


def _rows(
    task: str, item: str, group: Sequence[Mapping[str, Any]], primary: str, file: Path
) -> Iterable[dict[str, Any]]:
    first = min(group, key=lambda sample: int(sample.get("epoch") or 1))
    prompt = _prompt(first)
    target = first.get("target")
    gold = "\n".join(map(str, target)) if isinstance(target, list) else str(target)
    choices = first.get("choices") or []
    output = first.get("output") or {}
    stop = next((str(choice.get("stop_reason")) for choice in output.get("choices") or ()), "")
    completion = str(output.get("completion") or "")
    answers = {name.partition("/")[0]: (score or {}).get("answer") for name, score in first["scores"].items()}
    for metric, _ in _scores(first):
        values = [_number(dict(_scores(sample))[metric], f"{file}: sample {item}") for sample in group]
        answer = answers.get(metric.partition("/")[0])
        yield dict.fromkeys(ITEMS.names) | {
            "task": task,
            "item_id": item,
            "doc_hash": json_digest([first.get("input"), choices]),
            "prompt_hash": digest(prompt) if prompt else None,
            "target_hash": digest(gold),
            "metric": metric,
            "filter": "none",
            "is_primary": metric == primary,
            "score": sum(values) / len(values),
            "prompt": prompt or str(first.get("input")),
            "answer": completion if answer is None else str(answer),
            "target": gold,
            "n_choices": len(choices) or None,
            "status": _STATUSES.get(stop, "ok" if completion.strip() else "empty"),
            "n_tokens": (output.get("usage") or {}).get("output_tokens"),
        }


def _prompt(sample: Mapping[str, Any]) -> str:
    """The messages the model was shown first, as they were sent; empty where the log has none."""
    attachments = sample.get("attachments") or {}
    shown = []
    for message in sample.get("messages") or ():
        if message.get("role") == "assistant" and message.get("source") == "generate":
            break
        text = message.get("content")
        text = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
        if text.startswith("attachment://"):
            text = attachments.get(text.removeprefix("attachment://"), text)
        shown.append(f"{message.get('role')}: {text}")
    return "\n".join(shown)
