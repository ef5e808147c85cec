"""The ``label`` step of a recipe: rows go to models, labels with a confidence come back.

Ledger: one ``changed`` row per example that got a label, reason ``labelled``; evidence ``labeller``, ``models``,
``prompt`` (hash of what was asked), ``votes``, ``agreement``, ``confidence``, and ``by: people`` where they said it.
Gold rows have the reason ``gold_sample`` instead. Rows without a usable label are ``dropped``: ``low_confidence``,
``in_review``, ``refused``, ``outside_options``, ``unreadable``, ``refused_request``, ``too_long``, ``empty_input``,
``tie``. No label and no text stands there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa

from datakit.core.errors import StepError
from datakit.core.hashing import digest, file_digest
from datakit.core.step import Params, StepContext, StepOutput, entry, ledger_table
from datakit.labelling.folder import LabelFolder, folder_name
from datakit.labelling.job import Decision, Labelled, decide, finish, has_label, read_gold
from datakit.labelling.labeller import FROM_DATA, Labeller, load_labeller
from datakit.labelling.params import LabelParams
from datakit.labelling.place import filled, place
from datakit.labelling.plan import Estimate, Plan, answers_can_come, prepare
from datakit.labelling.prices import read_prices
from datakit.labelling.run import execute
from datakit.labelling.spending import Limits, Spending
from datakit.labelling.store import AnswerStore, answers_file
from datakit.labelling.told import card_notes, cost_line, items_table, page_name, row_evidence, spent_facts

__all__ = ["CONFIRM_ABOVE", "LabelStep"]

#: Money that is spent without asking.
CONFIRM_ABOVE = 1.0


class LabelStep:
    """Labels rows, and adds the column ``held_out`` that keeps the gold sample out of the training split."""

    name: ClassVar[str] = "label"
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["row", "table"]] = "table"
    Params: ClassVar[type[Params]] = LabelParams
    train_only: ClassVar[bool] = True

    def __init__(self, params: LabelParams, context: StepContext) -> None:
        self.params, self.context = params, context
        self.labeller = load_labeller(params.use, folder=context.folder, language=params.language)
        for spec in params.models:
            answers_can_come(spec, self.labeller)
        self.folder = None if context.private is None else LabelFolder(context.private, self.labeller.name)
        self.estimate: Estimate | None = None
        self.spending = Spending()
        self._notes: list[str] = []
        self._documents: dict[str, str] = {}

    def after(self, earlier: Sequence[Any]) -> None:
        """Refuses what another label step before this one makes pointless, before anything is paid for.

        Raises:
            StepError: The same labeller, or one that fills the same place.
        """
        mine = self.labeller
        for other in (step.labeller for step in earlier if isinstance(step, LabelStep)):
            if folder_name(other.name) == folder_name(mine.name):
                raise StepError(
                    f"two label steps use a labeller named '{mine.name}'",
                    hint="Ask several models in one step (models: [...]), or give one labeller another name:",
                )
            place = filled(mine)
            if place == filled(other) and self.params.existing != "check":
                raise StepError(
                    f"the labellers '{other.name}' and '{mine.name}' both fill {place}",
                    hint="Make one of them a multilabel, or write existing: check in the second",
                )

    def fingerprint(self) -> str:
        """Hash of the labeller, of gold and corrections, and of a local model's weights."""
        params, parts = self.params, [self.labeller.name, self.labeller.digest]
        if params.gold is not None and params.gold.endswith(".csv"):
            path = self.context.folder / params.gold
            parts.append(file_digest(path) if path.is_file() else "")
        if self.folder is not None and self.folder.review.exists():
            with self.folder.corrections() as said:
                parts.append(said.digest())
        return digest(*parts, *sorted(self._digests().values()))

    def _digests(self) -> dict[str, str]:
        from datakit.labelling.local import local_digest

        folder, offline = self.context.folder, self.context.offline
        names = [spec.local for spec in self.params.models if spec.local is not None]
        return {name: local_digest(name, folder=folder, offline=offline) for name in names}

    def notes(self) -> list[str]:
        """What the data card says of it."""
        return self._notes

    def documents(self) -> dict[str, str]:
        """File name to text, put beside the data card."""
        return self._documents

    def apply(self, table: pa.Table) -> StepOutput:
        """Labels the rows.

        Raises:
            StepError: It would cost more than was agreed to, or gold that is none of the options.
            DatakitError: A server that cannot be used, or the budget is spent; all answers are kept.
        """
        params = self.params
        labeller = self._with_options(table)
        rows = table.select(["label", "fields", "messages"]).to_pylist()
        there = [has_label(labeller, row) for row in rows]
        gold = {} if params.gold is None else self._gold(table, labeller)
        said = self._said()
        ids = table["id"].to_pylist()
        asked = [
            not has or params.existing != "fill" or id in gold or id in said for id, has in zip(ids, there, strict=True)
        ]
        part = table.filter(pa.array(asked, pa.bool_()))
        plan, labelled = self._label(part, labeller, gold, said)
        decisions = self._decisions(labelled, labeller, part)
        self._keep(plan, part, labelled, labeller, page=page_name(table, labeller))
        return self._output(table, labeller, decisions, labelled, plan)

    def _with_options(self, table: pa.Table) -> Labeller:
        if self.labeller.options != FROM_DATA:
            return self.labeller
        names = list(dict.fromkeys(name for names in self.context.labels.values() for name in names))
        return self.labeller.with_options(names or sorted(set(table["label"].drop_null().to_pylist())))

    def _gold(self, table: pa.Table, labeller: Labeller) -> dict[str, str]:
        names = {theirs: ours for columns in self.context.columns.values() for ours, theirs in columns.items()}
        assert self.params.gold is not None
        return read_gold(table, labeller, self.params.gold, folder=self.context.folder, names=names)

    def _said(self) -> dict[str, Any]:
        if self.folder is None or not self.folder.review.exists():
            return {}
        with self.folder.corrections() as corrections:
            return dict(corrections.latest())

    def _label(
        self, table: pa.Table, labeller: Labeller, gold: Mapping[str, str], said: Mapping[str, Any]
    ) -> tuple[Plan, Labelled]:
        params, context = self.params, self.context
        redact = None
        if params.redact and any(spec.local is None for spec in params.models):
            if context.redact is None:
                raise StepError(
                    "personal data cannot be hidden here", hint="Write redact: false to send rows as they are"
                )
            redact = context.redact(params.languages or (("en",) if labeller.language == "en" else ("en", "ko")))
        with AnswerStore(answers_file()) as store:
            prices = read_prices(None if params.prices is None else context.folder / params.prices)
            plan = prepare(
                table, labeller, params.models, store=store, prices=prices, redact=redact, digests=self._digests(),
                offline=context.offline,
            )  # fmt: skip
            _refuse_nothing_to_show(plan, table)
            self.estimate = plan.estimate()
            self._agree(self.estimate)
            job = digest("job", str(Path(context.private or context.folder).resolve()), labeller.name)
            tell = context.tell
            self.spending = execute(
                plan, store, Limits(job, params.budget), folder=context.folder, offline=context.offline,
                progress=lambda state: tell(f"{state.done:,} of {state.total:,} · {state.in_flight} at once"),
            )  # fmt: skip
        existing = table["label"].to_pylist() if params.existing == "check" and labeller.kind == "classify" else None
        labelled = finish(
            plan, method=params.aggregate, calibrate=params.calibrate, gold=gold, corrections=said, existing=existing,
            seed=context.seed,
        )  # fmt: skip
        return plan, labelled

    def _agree(self, estimate: Estimate) -> None:
        """A budget is agreement; without one, more than a little is asked for, or refused where nobody can be asked."""
        if self.params.budget is not None or estimate.cost <= CONFIRM_ABOVE:
            return
        if self.context.confirm is None or not self.context.confirm(f"{cost_line(estimate)}. Go on?"):
            raise StepError(
                f"labelling was not agreed to: {cost_line(estimate)}",
                hint=f"Name what it may cost: budget: {estimate.worst:.2f}",
            )

    def _decisions(self, labelled: Labelled, labeller: Labeller, part: pa.Table) -> dict[str, Decision]:
        params = self.params
        found = {
            row["example_id"]: decide(row, min_confidence=params.min_confidence, below=params.below)
            for row in labelled.results.to_pylist()
        }
        if params.existing == "check":
            # The labels that were there stay, but for those that people have changed.
            people = {row["example_id"] for row in labelled.results.to_pylist() if row["correction"] or row["gold"]}
            kept = zip(part["id"].to_pylist(), part.select(["label", "fields", "messages"]).to_pylist(), strict=True)
            for id, row in kept:
                if id not in people and has_label(labeller, row):
                    found[id] = Decision(None, None)
        return found

    def _keep(self, plan: Plan, part: pa.Table, labelled: Labelled, labeller: Labeller, *, page: str) -> None:
        from datakit.labelling.report import labels_page

        labelled.facts["spending"] = spent_facts(plan, self.spending)
        labelled.facts["prompt"] = plan.models[0].prompt.digest if plan.models else None
        settings = {
            "seed": self.context.seed,
            "min_confidence": self.params.min_confidence,
            "below": self.params.below,
            "models": [spec.name for spec in self.params.models],
        }
        items = items_table(plan, part)
        self._documents = {page: labels_page(labelled, labeller, items, settings=settings)}
        if self.folder is not None:
            self.folder.write(items, labelled, labeller, settings)

    def _output(
        self, table: pa.Table, labeller: Labeller, decisions: Mapping[str, Decision], labelled: Labelled, plan: Plan
    ) -> StepOutput:
        results = {row["example_id"]: row for row in labelled.results.to_pylist()}
        models = [asked.spec.name for asked in plan.models]
        ledger, keep, held = [], [], []
        for id in table["id"].to_pylist():
            made = decisions.get(id)
            keep.append(made is None or made.dropped is None)
            if keep[-1]:
                held.append(made is not None and made.held_out)
            if made is not None and (made.dropped or made.label is not None):
                why = row_evidence(results[id], labeller, models, plan)
                if made.dropped:
                    ledger.append(entry(self.name, id, "dropped", made.dropped, evidence=why))
                else:
                    reason = "gold_sample" if made.held_out else "labelled"
                    ledger.append(entry(self.name, id, "changed", reason, evidence=why))
        kept = place(table.filter(pa.array(keep, pa.bool_())), labeller, decisions)
        if "held_out" in kept.column_names:  # gold of a label step before this one stays gold
            held = [one or other for one, other in zip(held, kept["held_out"].to_pylist(), strict=True)]
            kept = kept.drop_columns(["held_out"])
        self._notes = card_notes(decisions, labeller, models, labelled.facts, page=page_name(table, labeller))
        return StepOutput(kept.append_column("held_out", pa.array(held, pa.bool_())), ledger_table(ledger))


def _refuse_nothing_to_show(plan: Plan, table: pa.Table) -> None:
    """Rows whose text stands in a column that nobody named would all be dropped as empty."""
    if not plan.ids or any(text is not None for text in plan.inputs):
        return
    fields = [json.loads(text) for text in table["fields"].to_pylist()[:100] if text]
    columns = list(dict.fromkeys(name for row in fields for name in row))
    raise StepError(
        f"no row has what the labeller '{plan.labeller.name}' shows ({plan.labeller.input or '{text}'}); the columns "
        f"are {', '.join(columns) or 'none'}",
        hint="Name the text's: --text COLUMN, or columns: {text: COLUMN} in a recipe's source",
    )
