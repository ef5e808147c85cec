"""Between a loaded model and its first step: what the start model is asked, what is looked at, what the loop needs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from datakit.core.checkpoint import load_model
from train.checks.sums import check_start, check_sums, few_rows
from train.data import batches
from train.loop import Training, computing
from train.objectives import Referring, validation_rows
from train.retention.terms import retention_terms
from train.retention.token_mask import without_surprises

if TYPE_CHECKING:
    from train.attention import DocumentAttention
    from train.callbacks.watch import Watch
    from train.checks import Finding
    from train.data import Stream
    from train.plan import Plan

__all__ = ["asked", "looked_at", "training_of"]


def asked(plan: Plan, model: Any, findings: list[Finding]) -> Plan:
    """The plan with what the start model says of the data, where the objective or the arm wants to know that.

    Args:
        plan: What is trained.
        model: At its start.
        findings: Gets what is to be said of it.
    """
    arm, objective, ready = plan.arm, plan.objective, plan.ready
    if not isinstance(objective, Referring) and arm.token_mask is None:
        return plan
    group, found = plan.group, None
    if group.rank == 0:  # asked of one process, so that all train the same rows
        found = _answered(plan, model)
    train, validation, told = group.agree(found)
    findings.extend(told)
    own = replace(ready.train, rows=train), replace(ready.validation, rows=validation)
    return replace(plan, ready=replace(ready, train=own[0], validation=own[1]))


def _answered(plan: Plan, model: Any) -> tuple[list[Any], list[Any], list[Finding]]:
    """Training and validation rows with what the start model says of them, and what is to be said of that."""
    arm, objective, ready = plan.arm, plan.objective, plan.ready
    size, pad, train, validation = arm.batch_size, ready.pad, ready.train.rows, ready.validation.rows
    told: list[Finding] = []
    model.eval()
    with computing(model, bfloat16=plan.bfloat16):
        if isinstance(objective, Referring):
            train, validation = (objective.refer(model, rows, batch_size=size, pad=pad) for rows in (train, validation))
        if arm.token_mask is not None:
            share, keep = arm.token_mask.quantile, ready.stop_tokens
            masked = without_surprises(model, train, share, keep=keep, batch_size=size, pad=pad)
            train, told = masked.rows, [masked.finding]
    model.train()
    return train, validation, told


def looked_at(plan: Plan, model: Any) -> list[Finding]:
    """What a few short rows say of the model that is trained."""
    objective, pad = plan.objective, plan.ready.pad
    rows = few_rows(plan.ready.train.rows, objective)
    with computing(model, bfloat16=plan.bfloat16):
        sums = check_sums(model, objective, rows, pad=pad, rounded=plan.bfloat16)
        start = check_start(model, objective, rows, pad=pad)
    return [sums] if start is None else [sums, start]


def training_of(
    plan: Plan, model: Any, stream: Stream, *, steps: int, watch: Watch | None, attention: DocumentAttention | None
) -> Training:
    """All that the loop needs.

    Args:
        plan: What is trained.
        model: At its start; sharded, where several processes train.
        stream: The rows of every step.
        steps: Optimizer steps.
        watch: Looks at every validation.
        attention: Rows are packed and attended to by it; None where they stand side by side.
    """
    arm, objective, ready = plan.arm, plan.objective, plan.ready

    def start() -> Any:
        loaded = load_model(ready.folder, dtype=plan.stored, architecture=objective.architecture).to(model.device)
        plan.group.shard(loaded.requires_grad_(False))
        return loaded

    against = retention_terms(arm, model, load=start, general=ready.general.rows, seed=plan.source.seed)
    validation = validation_rows(objective, ready.validation.rows)
    return Training(
        model,
        objective,
        stream,
        batches(validation, batch_size=arm.batch_size, pad=ready.pad, collate=objective.collate),
        arm,
        steps=steps,
        pad=ready.pad,
        against=against,
        watch=watch,
        bfloat16=plan.bfloat16,
        attention=attention,
        group=plan.group,
    )
