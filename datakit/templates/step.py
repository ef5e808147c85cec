"""The step ``template``: rows become conversations, in one or several wordings each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from datakit.core import step as core
from datakit.core.errors import StepError, TemplateError
from datakit.core.example import MESSAGES, derived_id
from datakit.core.hashing import digest, json_digest
from datakit.core.step import StepContext, StepOutput, entry, ledger_table
from datakit.templates.choose import preference, row_seed
from datakit.templates.collection import select
from datakit.templates.context import row_values, values_for
from datakit.templates.numbers import displaced
from datakit.templates.shots import Exemplar, Pool
from datakit.templates.template import Rendering, Template

__all__ = ["TemplateParams", "TemplateStep"]

_NAME = "template"
_BATCH = 2048


class TemplateParams(core.Params):
    """Parameters of the step.

    Attributes:
        use: Library tasks (``classify``, ``classify.ko``, ``classify/short``), template files relative to the recipe
            (``my.yaml``, ``my.yaml:NAME``), promptsource's (``promptsource:ag_news``, ``promptsource:ag_news:NAME``).
        per_row: How many different templates each row is rendered with; fewer where fewer fit.
        language: Of library tasks named without one.
        system: System prompt of every conversation, or several of which each row gets one; wins over a template's own.
        shots: How many other rows, rendered with the same template, stand before each row's question as turns of the
            conversation. They come from the training side, never from the row's group.
        on_error: ``fail`` stops at a row that a template cannot render; ``skip`` treats it as one it does not fit.
    """

    use: str | list[str]
    per_row: int = Field(default=1, ge=1)
    language: str = "en"
    system: str | list[str] | None = None
    shots: int = Field(default=0, ge=0, le=64)
    on_error: Literal["fail", "skip"] = "fail"


@dataclass(slots=True)
class _Row:
    """A row on its way through the templates it prefers."""

    position: int
    row: Mapping[str, Any]
    values: Mapping[str, Any]
    order: Iterator[int]
    ties: frozenset[tuple[str, str]] = frozenset()
    made: list[tuple[Template, Rendering]] = field(default_factory=list)
    misfits: Counter[str] = field(default_factory=Counter)


_Shots = Mapping[tuple[str, str], Sequence[Exemplar]]
"""Id of a row and key of a template to the examples that stand before its question."""


class TemplateStep:
    """Renders rows. The first rendering keeps the row's id; further ones are new rows of the same group.

    A table step because of ``shots``: a row's examples may stand anywhere in the table.
    """

    Params: ClassVar[type[core.Params]] = TemplateParams
    name: ClassVar[str] = _NAME
    version: ClassVar[int] = 2
    kind: ClassVar[Literal["row", "table"]] = "table"

    def __init__(self, params: core.Params, context: StepContext) -> None:
        if not isinstance(params, TemplateParams):
            raise TypeError("TemplateStep takes TemplateParams")
        self.params = params
        self.context = context
        self.templates = select(params.use, folder=context.folder, language=params.language)
        if not self.templates:
            raise StepError("use names no template", where="template.use")
        for template in self.templates:
            template.facts()  # a template that does not compile is told before any row is read
        self._keys = [template.key for template in self.templates]
        self._rendered: Counter[str] = Counter()
        self._none: Counter[str] = Counter()
        self._foreign: Counter[str] = Counter()
        self._unfit: list[str] = []
        self._few = 0

    def fingerprint(self) -> str:
        """Hash of the templates' names and texts, and of what renders them: mended code renders again."""
        return json_digest([[[template.key, template.digest] for template in self.templates], _renderer()])

    def apply(self, table: pa.Table) -> StepOutput:
        """Renders every row; one that no template fits is dropped with the reason ``no_template``.

        Raises:
            TemplateError: A row that cannot be rendered, under ``on_error: fail``; or answers that are numbered in
                another order than the source's labels.
        """
        self._check_numbers()
        pieces = [table.slice(start, _BATCH) for start in range(0, table.num_rows, _BATCH)]
        if not self.params.shots:
            made = [self._finished(piece, self._render(piece), None) for piece in pieces]
        else:
            rendered = [self._render(piece) for piece in pieces]
            pool = self._pool(pieces, rendered)
            made = [self._finished(piece, rows, pool) for piece, rows in zip(pieces, rendered, strict=True)]
        tables = [one for one, _ in made]
        ledger = ledger_table(line for _, lines in made for line in lines)
        return StepOutput(pa.concat_tables(tables) if tables else table, ledger)

    def _finished(self, piece: pa.Table, rows: list[_Row], pool: Pool | None) -> tuple[pa.Table, list[dict[str, Any]]]:
        shots = {} if pool is None else self._shots(pool, rows)
        ledger = [line for row in rows for line in self._ledger(row, shots)]
        return self._table(piece, rows, shots), ledger

    def _render(self, table: pa.Table) -> list[_Row]:
        seen = ("id", "source", "origin", "messages", "rejected", "text", "choices", "label", "fields", "group")
        clusters = table.column("cluster").to_pylist() if "cluster" in table.column_names else [None] * table.num_rows
        rows = []
        for k, (row, cluster) in enumerate(zip(table.select(seen).to_pylist(), clusters, strict=True)):
            order = iter(preference(self.context.seed, row["id"], self._keys))
            ties = [("group", row["group"] or row["id"]), *([] if cluster is None else [("cluster", str(cluster))])]
            rows.append(_Row(k, row, row_values(row), order, frozenset(ties)))
        waiting = rows
        while waiting:
            # Each round every row that still wants a wording tries its next template; one batch per template.
            tries: dict[int, list[_Row]] = {}
            for row in waiting:
                chosen = next(row.order, None)
                if chosen is not None:
                    tries.setdefault(chosen, []).append(row)
            for k in sorted(tries):
                self._try(self.templates[k], tries[k])
            waiting = [row for batch in tries.values() for row in batch if len(row.made) < self.params.per_row]
        return rows

    def _pool(self, pieces: list[pa.Table], rendered: list[list[_Row]]) -> Pool:
        found = []
        for piece, rows in zip(pieces, rendered, strict=True):
            sides = piece.column("split").to_pylist() if "split" in piece.column_names else ["train"] * len(rows)
            for row, side in zip(rows, sides, strict=True):
                for template, rendering in row.made if side == "train" else ():
                    prompt, answer = rendering.parts
                    kind = (row.row["source"], template.key)
                    found.append((kind, Exemplar(row.row["id"], row.ties, prompt, answer)))
        return Pool(self.context.seed, found)

    def _shots(self, pool: Pool, rows: list[_Row]) -> dict[tuple[str, str], list[Exemplar]]:
        found = {}
        for row in rows:
            for template, _ in row.made:
                id, kind = row.row["id"], (row.row["source"], template.key)
                chosen = pool.choose(kind, id, row.ties, self.params.shots)
                found[id, template.key] = chosen
                self._few += len(chosen) < self.params.shots
        return found

    def _try(self, template: Template, rows: list[_Row]) -> None:
        values = [values_for(template, row.row, row.values, self.context) for row in rows]
        seeds = [row_seed(self.context.seed, row.row["id"], template.key) for row in rows]
        for row, rendering in zip(rows, template.render(values, seeds=seeds), strict=True):
            if rendering.error is not None and self.params.on_error == "fail":
                raise TemplateError(
                    f"template '{template.name}' failed on row {row.row['id']}: {rendering.error}",
                    where=row.row["origin"],
                    hint="Mend the template or the row's columns, or write on_error: skip",
                )
            if rendering.misfit is None:
                row.made.append((template, rendering))
            else:
                row.misfits[rendering.misfit] += 1

    def _ledger(self, row: _Row, shots: _Shots) -> list[dict[str, Any]]:
        id, made = row.row["id"], []
        if not row.made:
            self._none[_most(row.misfits)] += 1
            self._unfit.append(row.row["origin"])
            tried = {"tried": sum(row.misfits.values()), "misfits": dict(row.misfits)}
            return [entry(_NAME, id, "dropped", "no_template", evidence=tried)]
        for k, (template, rendering) in enumerate(row.made):
            self._rendered[template.key] += 1
            evidence: dict[str, Any] = {"template": template.key}
            if (id, template.key) in shots:
                evidence["shots"] = [other.id for other in shots[id, template.key]]
            if rendering.choices is not None and rendering.parts[1] not in rendering.choices:
                self._foreign[template.key] += 1
                evidence["choices"] = "answer is none of them"
            if k == 0:
                made.append(entry(_NAME, id, "changed", "rendered", evidence=evidence))
            else:
                made.append(entry(_NAME, derived_id(id, _NAME, k), "created", "rendered", parent=id, evidence=evidence))
        return made

    def _table(self, table: pa.Table, rows: list[_Row], shots: _Shots) -> pa.Table:
        positions, columns = list[int](), {name: list[Any]() for name in ("id", "parent", "messages", "choices")}
        columns |= {"label": [], "template": []}
        parents = table.column("parent").to_pylist()
        for row in rows:
            for k, (template, rendering) in enumerate(row.made):
                positions.append(row.position)
                id = row.row["id"]
                columns["id"].append(derived_id(id, _NAME, k) if k else id)
                columns["parent"].append(id if k else parents[row.position])
                columns["messages"].append(self._messages(id, rendering, shots.get((id, template.key), ())))
                choices, label = _options(rendering, row.row["label"])
                columns["choices"].append(choices)
                columns["label"].append(label)
                columns["template"].append(template.key)
        taken = table.take(pa.array(positions, pa.int64()))
        types = {"messages": MESSAGES, "choices": pa.list_(pa.string())}
        for name, values in columns.items():
            place = taken.schema.get_field_index(name)
            taken = taken.set_column(place, name, pa.array(values, types.get(name, pa.string())))
        return taken

    def _messages(self, id: str, rendering: Rendering, shots: Sequence[Exemplar]) -> list[dict[str, str]]:
        asked = [(other.prompt, other.answer) for other in shots] + [(rendering.parts[0], rendering.parts[1])]
        turns = [
            {"role": role, "content": text}
            for pair in asked
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]
        system = self._system(id) if self.params.system is not None else rendering.system
        return [{"role": "system", "content": system}, *turns] if system else turns

    def _system(self, id: str) -> str:
        said = self.params.system
        if isinstance(said, list):
            return said[preference(self.context.seed, id, said)[0]] if said else ""
        return said or ""

    def notes(self) -> list[str]:
        """For the data card: which template rendered how many rows, and how many rows none fits."""
        lines = [f"`{key}` rendered {_rows(self._rendered[key])}" for key in self._keys if self._rendered[key]]
        if unused := [f"`{key}`" for key in self._keys if not self._rendered[key]]:
            more = f" and {len(unused) - 5} more" if len(unused) > 5 else ""
            lines.append(f"no row came to {', '.join(unused[:5])}{more}")
        lines += [
            f"`{key}` gave {_rows(count)} an answer that is none of its choices; they are kept without choices"
            for key, count in self._foreign.items()
        ]
        lines += self._doubts()
        if self._few:
            lines.append(
                f"{_rows(self._few)} with fewer than {self.params.shots} examples: no others on the train side"
            )
        lines += [f"{_rows(count)} dropped: no template fits ({why})" for why, count in sorted(self._none.items())]
        if self._unfit:
            more = f" and {len(self._unfit) - 5:,} more, all in the ledger" if len(self._unfit) > 5 else ""
            lines.append(f"no template fits {', '.join(self._unfit[:5])}{more}")
        return lines

    def _numbered(self) -> Iterator[tuple[Template, Sequence[str], str, Sequence[str]]]:
        """Templates that take an answer by the label's number: template, answers, source, the source's labels."""
        for template in self.templates:
            choices = template.facts().choices
            for source, names in sorted(self.context.labels.items()):
                integers = {"label", self.context.columns.get(source, {}).get("label")} & {*template.facts().integers}
                if choices and integers:
                    yield template, choices, source, names

    def _check_numbers(self) -> None:
        for template, choices, source, names in self._numbered():
            if wrong := displaced(names, choices):
                here, there = wrong
                raise TemplateError(
                    f"template '{template.name}' would answer '{choices[here]}' for the label '{names[here]}'"
                    f" of source '{source}': it is number {here} there and number {there} in the template",
                    hint="Write the source's labels in the template's order: labels: {column: ..., names: [...]}",
                )

    def _doubts(self) -> list[str]:
        """Templates written for other labels: they number fewer answers than the source has labels."""
        return [
            f"`{template.key}` knows {len(choices)} answers by number and source '{source}' has {len(names)} labels:"
            " was it written for this data?"
            for template, choices, source, names in self._numbered()
            if len(choices) != len(names) and self._rendered[template.key]
        ]


@cache
def _renderer() -> list[str]:
    """The Jinja version and a hash of this package's code."""
    from importlib.metadata import version
    from importlib.resources import files

    sources = sorted((file for file in files(__package__).iterdir() if file.name.endswith(".py")), key=lambda f: f.name)
    return [version("jinja2"), digest(*(part for file in sources for part in (file.name, file.read_bytes())))]


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _most(misfits: Counter[str]) -> str:
    return misfits.most_common(1)[0][0].replace("_", " ") if misfits else "none tried"


def _options(rendering: Rendering, label: str | None) -> tuple[list[str] | None, str | None]:
    """Choices and label; a label is always one of the choices where there are any."""
    answer = rendering.parts[1]
    if rendering.choices is None or answer not in rendering.choices:
        return None, label
    return list(rendering.choices), answer
