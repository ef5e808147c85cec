"""A training that another backend than our own loop runs: the same rows in the same order, the same checks after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.checkpoint import empty_model
from train.backends import Job
from train.backends.handing import hand_over
from train.callbacks.keep import Keeper, kept_steps
from train.events import Checked
from train.facts import facts_of, started
from train.result import TrainResult, result_of

if TYPE_CHECKING:
    from train.events import Event
    from train.plan import Plan
    from train.states import States

__all__ = ["delegate"]


def delegate(plan: Plan, *, states: States, imports: Path, report: Callable[[Event], None]) -> TrainResult:
    """Lets the arm's backend train.

    Args:
        plan: What to train.
        states: Of this training; a backend that follows ``save_every`` goes on from them.
        imports: Where the user's own modules lie.
        report: Receives events.

    Raises:
        TrainError: It failed, or what it wrote cannot be used.
    """
    import torch

    arm, output = plan.arm, plan.output
    backend, settings = arm.chosen_backend
    stream = plan.stream()
    with torch.device("meta"):
        shape = plan.adapter.apply(empty_model(plan.ready.folder, architecture=plan.objective.architecture), arm)
    facts = facts_of(plan, shape, stream)
    for finding in plan.ready.findings:
        facts.checks.append(finding)
        report(Checked(finding.check, finding.passed, finding.text))
    report(started(facts))
    keeper = Keeper(
        output,
        kept_steps(arm.checkpoints, facts.steps),
        plan.write,
        done=states.step,
        lasting=lambda: states.step > 0,
    )

    def keep(step: int, model: Any) -> None:
        if keeper.due(step):
            keeper.keep(step, model)

    job = Job(
        arm=arm,
        settings=settings,
        ready=plan.ready,
        name=plan.source.model,
        chat=plan.source.chat,
        seed=plan.source.seed,
        steps=facts.steps,
        stream=stream,
        bfloat16=plan.bfloat16,
        work=output.with_name(f".{output.name}.work"),
        log=output.with_name(f"{output.name}.{backend}.log"),
        imports=imports,
        load=plan.load,
        write=plan.write,
        report=report,
        states=states,
        keep=keep,
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with keeper:
        facts, course = hand_over(
            backend, job, facts, output=output, log=plan.log, checkpoints=keeper.folder, device=device, report=report
        )
    states.remove()
    return result_of(output, facts, course)
