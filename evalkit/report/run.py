"""A run folder becomes a report: logs and small JSON files only, no model, no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.storage import read_json
from evalkit.contamination import contaminated_items
from evalkit.errors import EvalError
from evalkit.report.chosen import cells_asked, without_asked
from evalkit.report.model import ArmResult, Report
from evalkit.report.watched import watched_course

if TYPE_CHECKING:
    from evalkit.log import EvalLog

__all__ = ["combined_log", "from_logs", "from_run", "is_private", "read_logs"]

BASE = "base"

_SEEDED = re.compile(r"(?P<name>.+)-(?P<seed>\d+)")


def read_logs(path: Path) -> list[EvalLog]:
    """The logs of one model: those of a folder (its ``*.json``), or the one log a ``.json`` or ``.parquet`` names.

    Raises:
        EvalError: A folder without logs.
        LogError: A file that is no log.
    """
    from evalkit.log import EvalLog

    if not path.is_dir():
        return [EvalLog.read(path)]
    logs = [EvalLog.read(file) for file in sorted(path.glob("*.json")) if file.with_suffix(".parquet").exists()]
    if not logs:
        raise EvalError(
            "no evaluation log in this folder", where=path, hint="Expected <suite>.json and <suite>.parquet"
        )
    return logs


def combined_log(path: Path) -> EvalLog:
    """The logs of one model's suites as one.

    Args:
        path: As :func:`read_logs` takes it.
    """
    from evalkit.compare import combine_logs

    return combine_logs(read_logs(path))


def from_logs(
    before: Sequence[EvalLog],
    arms: Mapping[tuple[str, int | None], Sequence[EvalLog]],
    *,
    title: str,
    alpha: float | None = None,
    seed: int = 0,
    pairing: Mapping[str, Any] | None = None,
    beside: Mapping[str, Sequence[EvalLog]] | None = None,
    **facts: Any,
) -> Report:
    """Compares each arm's logs with the base's and makes a report of them.

    Args:
        before: Logs of the base, one per suite.
        arms: (name, seed) to the logs of an arm; it is compared on the suites it has.
        title: Name of the run.
        alpha: 1 - confidence; None takes what the suite of the general tasks states, else 0.05.
        seed: Seed of permutations and bootstraps.
        pairing: ``join``, ``prompts`` and ``contaminated`` of :func:`evalkit.compare`.
        beside: Name to logs of further models on the user's task.
        **facts: Further fields of :class:`Report`; ``train_facts`` maps (name, seed) to what train.json says.

    Raises:
        EvalError: The base has no log of a suite an arm was evaluated on.
    """
    from evalkit.classes import per_class
    from evalkit.compare import combine_logs, compare
    from evalkit.report.beside import beside_of

    by_suite = {log.header.suite: log for log in before}
    stated = _stated(before)
    level = float(stated.get("alpha", 0.05)) if alpha is None else alpha
    train_facts = facts.pop("train_facts", {})
    results = []
    for key, logs in arms.items():
        suites = [log.header.suite for log in logs]
        if missing := [suite for suite in suites if suite not in by_suite]:
            raise EvalError(
                f"'{key[0]}' was evaluated on '{missing[0]}' and the base was not",
                hint=f"The base has: {', '.join(by_suite)}",
            )
        pair = combine_logs([by_suite[suite] for suite in suites]), combine_logs(logs)
        comparison = compare(*pair, alpha=level, seed=seed, **(pairing or {}))
        own = comparison.gains[0].task if comparison.gains else None
        classes = per_class(*pair, own) if own is not None and not facts.get("private") else ()
        results.append(ArmResult(key[0], key[1], comparison, train_facts.get(key, {}), classes))
    others = [beside_of(name, logs, arms, alpha=level, seed=seed) for name, logs in (beside or {}).items()]
    facts["beside"] = tuple(found for found in others if found is not None)
    facts.setdefault("base", _base_name(before[0]))
    facts.setdefault("margin_reason", str(stated.get("margin_reason") or ""))
    facts.setdefault("settings", _settings(before))
    hidden = any(log.header.settings.get("private") is True for log in before)
    return Report(title=title, arms=results, **(facts | {"private": hidden or facts.get("private", False)}))


def _stated(logs: Sequence[EvalLog]) -> Mapping[str, Any]:
    """What the suite of the general tasks says of itself: alpha, margin and its reason."""
    for log in logs:
        if any(info.kind == "general" for info in log.header.tasks.values()):
            return _mapping(log.header.recorded.get("suite"))
    return {}


def _base_name(log: EvalLog) -> str:
    """The model's own name where the log has one; of a path on this machine only its last part."""
    name = str(log.header.recorded.get("model") or log.header.model)
    return Path(name).name if Path(name).is_absolute() else name


def _settings(logs: Sequence[EvalLog]) -> dict[str, Any]:
    evaluation: Any = {log.header.suite: log.header.settings for log in logs}
    if len(logs) == 1:
        evaluation = logs[0].header.settings
    kept = {key: value for key, value in logs[0].header.recorded.items() if key in ("dtype", "device")}
    return {"evaluation": evaluation, "recorded": kept, "versions": logs[0].header.versions}


def from_run(run: Path, *, arm: str | None = None, seed: int = 0) -> Report:
    """Reads a run folder.

    Read are ``evals/base``, ``evals/<arm>-<seed>``, ``models/<arm>-<seed>/train.json`` and ``manifest.json``.

    Args:
        run: The folder.
        arm: Only this arm.
        seed: Seed of permutations and bootstraps.

    Raises:
        EvalError: No evaluations, or no such arm.
        StorageError: A file that is damaged or of a newer format.
    """
    if not (run / "evals" / BASE).is_dir():
        raise EvalError(
            "no evaluation of the base in this run", where=run / "evals" / BASE, hint="Finish it with: datakit run"
        )
    manifest = read_json(run / "manifest.json") if (run / "manifest.json").exists() else {}
    folders = _arm_folders(run, manifest)
    chosen = cells_asked(run, [folder.name for folder in folders.values()])  # of all arms, whichever is shown
    if arm is not None:
        known = list(dict.fromkeys(name for name, _ in folders))
        folders = {key: folder for key, folder in folders.items() if key[0] == arm}
        if not folders:
            raise EvalError(f"no arm '{arm}' in {run}", hint=f"Evaluated arms: {', '.join(known) or 'none'}")
    if not folders:
        raise EvalError("no arm of this run was evaluated yet", where=run / "evals", hint="Finish it with: datakit run")
    facts: dict[str, Any] = {
        **({"base": str(manifest["model"])} if "model" in manifest else {}),
        "data_facts": _mapping(manifest.get("data")),
        "reproduce": [str(line) for line in manifest.get("reproduce") or _commands(run)],
        "private": _says_private(manifest) or is_private(run),
        "stages": _stages(run, folders),
        "watched": list(_watched(run, folders)),
        "train_facts": {key: _train_facts(run / "models" / folder.name) for key, folder in folders.items()},
    }
    pairing = dict(_mapping(manifest.get("pairing")))
    if (contaminated := contaminated_items(run)) is not None:
        pairing["contaminated"] = contaminated
    return from_logs(
        without_asked(read_logs(run / "evals" / BASE), chosen),
        {key: without_asked(read_logs(folder), chosen) for key, folder in folders.items()},
        title=str(manifest.get("name") or run.resolve().name),
        seed=seed,
        beside=_beside(run, manifest),
        pairing=pairing,
        **facts,
    )


def _beside(run: Path, manifest: Mapping[str, Any]) -> dict[str, list[EvalLog]]:
    names = manifest.get("beside")
    folders = [(str(name), run / "evals" / str(name)) for name in names] if isinstance(names, list) else []
    return {name: read_logs(folder) for name, folder in folders if any(folder.glob("*.json"))}


def _arm_folders(run: Path, manifest: Mapping[str, Any]) -> dict[tuple[str, int | None], Path]:
    """(name, seed) to evals folder, in the manifest's order of arms, else by name, then by seed."""
    order = [str(name) for name in manifest.get("arms") or ()]
    cells = manifest.get("cells")
    found: dict[tuple[str, int | None], Path] = {}
    for folder in (run / "evals").iterdir():
        if not folder.is_dir() or folder.name == BASE or folder.name.startswith("."):
            continue
        if isinstance(cells, list) and folder.name not in cells:
            continue  # an arm or seed that the recipe no longer has
        if any(folder.glob("*.json")):
            # A run's folders all end in a seed, also where arms are called `a` and `a-1`.
            match = None if folder.name in order and cells is None else _SEEDED.fullmatch(folder.name)
            found[(match["name"], int(match["seed"])) if match else (folder.name, None)] = folder

    def position(key: tuple[str, int | None]) -> tuple[int, str, int]:
        return order.index(key[0]) if key[0] in order else len(order), key[0], key[1] or 0

    return {key: found[key] for key in sorted(found, key=position)}


def _stages(run: Path, folders: Mapping[tuple[str, int | None], Path]) -> list[Mapping[str, Any]]:
    """Of a run in stages, the matrices of the arms that are shown."""
    path = run / "stages.json"
    cells = read_json(path).get("cells", []) if path.exists() else []
    return [cell for cell in cells if (cell["arm"], cell["seed"]) in folders]


def _watched(run: Path, folders: Mapping[tuple[str, int | None], Path]) -> Iterator[Mapping[str, Any]]:
    """Of every cell whose training looked at the suite, its course."""
    for (arm, seed), folder in folders.items():
        path = run / "models" / folder.name / "train.json"
        course = watched_course(read_json(path)) if path.exists() else None
        if course is not None:
            yield {"arm": arm, "seed": seed, **course}


def _commands(run: Path) -> Iterator[str]:
    if (run / "recipe.yaml").exists():
        yield f"datakit run {run.name}/recipe.yaml"
    yield f"datakit report {run.name}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _train_facts(folder: Path) -> dict[str, Any]:
    """Numbers, words and flat tables of train.json; long lists stay there."""
    path = folder / "train.json"
    if not path.exists():
        return {}
    facts = read_json(path)
    if isinstance(model := facts.get("model"), str) and Path(model).is_absolute():
        facts["model"] = Path(model).name  # a report goes to colleagues: no path of this machine
    return {key: value for key, value in facts.items() if not isinstance(value, list) or len(value) <= 20}


def _says_private(value: Any) -> bool:
    """Whether a mapping says ``private: true`` at any depth."""
    if isinstance(value, Mapping):
        return value.get("private") is True or any(_says_private(item) for item in value.values())
    return isinstance(value, list) and any(_says_private(item) for item in value)


def is_private(run: Path) -> bool:
    """Whether a source of a run's recipe is private."""
    from datakit.core.yaml import load_yaml

    path = run / "recipe.yaml"
    return path.exists() and _says_private(load_yaml(path).value)
