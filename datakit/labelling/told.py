"""What the ``label`` step tells: costs, evidence for the ledger, notes for the card, and what was shown of each row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from datakit.labelling.folder import folder_name
from datakit.labelling.job import Decision
from datakit.labelling.labeller import Labeller
from datakit.labelling.plan import Estimate, Plan
from datakit.labelling.spending import Spending

__all__ = ["card_notes", "cost_line", "items_table", "page_name", "row_evidence", "spent_facts"]


def cost_line(estimate: Estimate) -> str:
    """What a plan will take, in one line."""
    calls = f"{estimate.calls:,} calls for {estimate.rows:,} rows ({estimate.cached:,} answered already)"
    tokens = f"about {estimate.tokens_in:,} tokens in and {estimate.tokens_out:,} out"
    money = f"{estimate.cost:,.2f} {estimate.currency} (at most {estimate.worst:,.2f})"
    return f"{calls} · {tokens} · {money}"


def spent_facts(plan: Plan, spending: Spending) -> dict[str, Any]:
    """Calls, tokens and money, of this run and of the answers that were there."""
    return {
        "calls": spending.calls,
        "answered": spending.answered,
        "cached": spending.cached,
        "questions": len({one.key for one in plan.questions}),
        "tokens_in": sum(answer.tokens_in for answer in plan.answers.values()),
        "tokens_out": sum(answer.tokens_out for answer in plan.answers.values()),
        "cost": sum(answer.cost for answer in plan.answers.values()),
        "spent": spending.spent,
        "currency": plan.currency,
        "faults": dict(spending.faults),
    }


def page_name(table: pa.Table, labeller: Labeller) -> str:
    """Name of the report: a second label step's has the labeller's name in it."""
    return f"labels-{folder_name(labeller.name)}.html" if "held_out" in table.column_names else "labels.html"


def items_table(plan: Plan, part: pa.Table) -> pa.Table:
    """What was shown of each row, as people see it: with its personal data."""
    from datakit.labelling.inputs import shown

    pairs = list(shown(part, plan.labeller))
    return pa.table(
        {
            "example_id": pa.array(plan.ids, pa.string()),
            "source": part["source"].combine_chunks(),
            "origin": part["origin"].combine_chunks(),
            "text": pa.array([one for one, _ in pairs], pa.string()),
            "plain": pa.array(plan.sources, pa.string()),
            "given": part["label"].combine_chunks(),
        }
    )


def row_evidence(row: Mapping[str, Any], labeller: Labeller, models: Sequence[str], plan: Plan) -> dict[str, Any]:
    """What the ledger says of one row: who said it and how sure they are, and no text."""
    found: dict[str, Any] = {
        "labeller": labeller.name,
        "models": list(models),
        "prompt": plan.models[0].prompt.digest,
        "votes": row["votes"],
        "agreement": row["agreement"] and round(row["agreement"], 4),
        "confidence": row["confidence"] and round(row["confidence"], 4),
    }
    if row["gold"] is not None or row["correction"] is not None:
        found["by"] = "people"
    return found


def card_notes(
    decisions: Mapping[str, Decision], labeller: Labeller, models: Sequence[str], facts: Mapping[str, Any], *, page: str
) -> list[str]:
    """What the data card says of the step.

    Args:
        decisions: Row to what became of it.
        labeller: Who was asked, and
        models: with which models.
        facts: Of the whole job.
        page: Name of the report.
    """
    counts = Counter(one.dropped or "labelled" for one in decisions.values())
    lines = [f"labelled by `{labeller.name}` with {', '.join(f'`{name}`' for name in models)}; see {page}"]
    gold = facts["gold"]
    if gold.get("accuracy") and gold["accuracy"]["value"] is not None:
        figure = gold["accuracy"]
        ends = "" if figure["low"] is None else f" [{100 * figure['low']:.1f}, {100 * figure['high']:.1f}]"
        lines.append(f"{100 * figure['value']:.1f} % of {figure['n']:,} gold rows agree with people{ends}")
    if counts["in_review"]:
        lines.append(f"{counts['in_review']:,} rows wait for people: datakit review RUN, then build again")
    held = sum(one.held_out for one in decisions.values())
    if held:
        lines.append(f"{held:,} gold rows are kept out of the training split")
    return lines
