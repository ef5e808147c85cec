"""What differs between two runs: recipe, sources, steps, rows with the reason, and the results in the reports.

Rows are matched by the id of their source row: source name, file, line and content.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datakit.core.errors import StorageError
from datakit.core.hashing import json_digest
from datakit.core.storage import read_json, read_table
from datakit.core.yaml import load_yaml
from datakit.folder import FORMAT
from datakit.ledger import read_ledger

__all__ = ["Change", "Difference", "Rows", "StepChange", "difference"]

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Change:
    """Two values that stand at the same place; None where there is none."""

    place: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class StepChange:
    """A step whose counts differ; None on the side that has no such step."""

    step: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Source rows that are in both datasets or in one.

    Attributes:
        before: Source rows the first run kept.
        after: Source rows the second run kept.
        both: Kept by both.
        only_before: Why the second run does not have them: reason to count.
        only_after: Why the first run does not have them.
        moved: In both, on another side of the split.
        relabelled: In both, with another label.
        changed: In both, with other text or turns.
        examples: Kind to some ids, for ``datakit why``.
    """

    before: int
    after: int
    both: int
    only_before: Mapping[str, int]
    only_after: Mapping[str, int]
    moved: int
    relabelled: int
    changed: int
    examples: Mapping[str, tuple[str, ...]]

    @property
    def same(self) -> bool:
        """Whether both datasets hold the same rows."""
        return not (self.only_before or self.only_after or self.moved or self.relabelled or self.changed)


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two runs."""

    recipe: tuple[Change, ...]
    sources: tuple[Change, ...]
    steps: tuple[StepChange, ...]
    splits: tuple[Change, ...]
    rows: Rows
    results: tuple[Change, ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return self.rows.same and not (self.recipe or self.sources or self.steps or self.splits or self.results)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What became of one source row."""

    sides: tuple[str, ...]
    labels: tuple[str | None, ...]
    content: str


def difference(before: Path, after: Path) -> Difference:
    """Compares two runs.

    Args:
        before: Run folder.
        after: Run folder.

    Raises:
        StorageError: A folder is no run.
        NewerFormat: A run of a newer version.
    """
    one, other = _facts(before), _facts(after)
    return Difference(
        recipe=_changes(_recipe(before), _recipe(after)),
        sources=_changes(_sources(one), _sources(other)),
        steps=_steps(one["steps"], other["steps"]),
        splits=_changes(one["splits"], other["splits"]),
        rows=_rows(before, after),
        results=_changes(_results(before), _results(after)),
    )


def _facts(run: Path) -> Mapping[str, Any]:
    found = read_json(run / "manifest.json", format=FORMAT).get("data")
    if not isinstance(found, Mapping):
        raise StorageError("no built dataset in this run", where=run, hint="Build it with: datakit build RECIPE")
    return found


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    places = dict.fromkeys([*before, *after])
    return tuple(
        Change(place, before.get(place), after.get(place)) for place in places if before.get(place) != after.get(place)
    )


def _recipe(run: Path) -> dict[str, Any]:
    path = run / "recipe.yaml"
    return dict(_flat(load_yaml(path).value, "")) if path.is_file() else {}


def _flat(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Key path to value; a step stands under its name, so that one more step does not shift the others."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{place}.{key}" if place else str(key))
    elif place == "data.steps" and isinstance(value, list):
        names: Counter[str] = Counter()
        for step in value:
            name, params = next(iter(step.items())) if isinstance(step, Mapping) and step else (step, None)
            names[str(name)] += 1
            number = f"[{names[str(name)]}]" if names[str(name)] > 1 else ""
            yield f"{place}.{name}{number}", "there"
            if isinstance(params, Mapping):
                yield from _flat(params, f"{place}.{name}{number}")
    else:
        yield place, value


def _sources(facts: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, source in facts["sources"].items():
        files = {file["name"]: file["digest"] for file in source["files"]}
        found[name] = {"rows": source["rows"], "files": json_digest(files)[:12]}
    return found


def _steps(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> tuple[StepChange, ...]:
    one, other = ({step["name"]: step for step in steps} for steps in (before, after))
    names = dict.fromkeys([*one, *other])
    return tuple(StepChange(name, one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name))


def _rows(before: Path, after: Path) -> Rows:
    one, other = _kept(before), _kept(after)
    both = one.keys() & other.keys()
    lost, new = sorted(one.keys() - both), sorted(other.keys() - both)
    moved = sorted(root for root in both if one[root].sides != other[root].sides)
    relabelled = sorted(root for root in both if one[root].labels != other[root].labels)
    changed = sorted(root for root in both if one[root].content != other[root].content)
    kinds = {"only_before": lost, "only_after": new, "moved": moved, "relabelled": relabelled, "changed": changed}
    return Rows(
        before=len(one),
        after=len(other),
        both=len(both),
        only_before=_reasons(lost, after),
        only_after=_reasons(new, before),
        moved=len(moved),
        relabelled=len(relabelled),
        changed=len(changed),
        examples={kind: tuple(roots[:_EXAMPLES]) for kind, roots in kinds.items() if roots},
    )


def _kept(run: Path) -> dict[str, _Kept]:
    """Source row to what stands in the dataset of it."""
    found: dict[str, list[tuple[str, str | None, str]]] = {}
    for file in sorted((run / "data").glob("*-00000-of-*.parquet")):
        side = file.name.partition("-")[0]
        columns = ["group", "label", "messages", "rejected", "text", "choices"]
        for batch in read_table(file).select(columns).to_batches(max_chunksize=4096):
            for row in batch.to_pylist():
                content = json_digest([row["messages"], row["rejected"], row["text"], row["choices"]])
                found.setdefault(row["group"], []).append((side, row["label"], content))
    kept: dict[str, _Kept] = {}
    for root, rows in found.items():
        sides, labels = tuple(sorted({side for side, _, _ in rows})), {label for _, label, _ in rows}
        content = json_digest(sorted(content for _, _, content in rows))
        kept[root] = _Kept(sides, tuple(sorted(labels, key=lambda label: label or "")), content)
    return kept


def _reasons(roots: list[str], run: Path) -> dict[str, int]:
    """Why a run does not have these source rows, most frequent first."""
    if not roots:
        return {}
    ledger = read_ledger(run).select(["step", "example_id", "parent", "action", "reason"]).to_pylist()
    parents = {line["example_id"]: line["parent"] for line in ledger if line["parent"]}
    reasons: dict[str, str] = {}
    for line in ledger:
        if line["action"] in ("dropped", "merged"):
            root = line["example_id"]
            while root in parents:
                root = parents[root]
            reasons[root] = f"{line['step']}: {line['reason']}"
    return dict(Counter(reasons.get(root, "not in its sources") for root in roots).most_common())


def _results(run: Path) -> dict[str, Any]:
    """Arm and figure to its value, from report.json; nothing where the run has no report."""
    path = run / "report.json"
    if not path.is_file():
        return {}
    found: dict[str, Any] = {}
    for arm in read_json(path).get("arms", []):
        label = arm["label"]
        found[f"{label}: gate"] = arm["gate"]["status"]
        if arm["gain"] is not None:
            found[f"{label}: gain on {arm['gain']['task']}"] = _points(arm["gain"]["value"])
        if arm["suite_mean"] is not None:
            found[f"{label}: suite mean"] = _points(arm["suite_mean"]["difference"])
        for row in arm["general"]:
            found[f"{label}: {row['task']}"] = f"{_points(row['difference'])} {row['verdict']}"
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def _points(value: float | None) -> str:
    return "?" if value is None else f"{100 * value:+.1f}"
