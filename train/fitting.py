"""``fit``: from an arm and a built dataset to a model folder, top to bottom. The loop itself is in loop.py."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from datakit.core.chat import ChatSettings
from datakit.core.hashing import tree_digest
from datakit.core.require import require
from train.callbacks import Callback
from train.callbacks.keep import Keeper, kept_steps
from train.callbacks.watch import Watch
from train.checkpoint import check_output, save
from train.checks import Finding
from train.checks.movement import Movement
from train.checks.validation import check_validation
from train.config import Arm
from train.delegating import delegate
from train.errors import TrainError
from train.eventlog import event_log, seeded
from train.events import Checked, Event, Finished, Packing, Preflight, Progress
from train.facts import facts_of, started
from train.fused.chosen import Passes, fewer_passes
from train.loop import Probe, memory_errors, recompute, run_steps
from train.manifest import Source, data_digest, training_key
from train.packing import chosen_attention
from train.parallel import check_alike, check_together, joined
from train.plan import Plan, plan_of
from train.preflight import check_changed, fingerprint
from train.prepare import prepare
from train.result import TrainResult, result_of
from train.retention.self_replay import with_own_texts
from train.starting import asked, looked_at, training_of
from train.states import States
from train.tracking import Tracked, tracking

__all__ = ["TrainResult", "fit"]


def fit(
    arm: Arm,
    *,
    model: Path | str,
    data: Path,
    output: Path,
    chat: ChatSettings | None = None,
    seed: int = 0,
    replay: Mapping[str, Path] | None = None,
    probe: Probe | None = None,
    progress: Progress | None = None,
    offline: bool = False,
    imports: Path | None = None,
    chooses: str | None = None,
) -> TrainResult:
    """Trains one concrete arm and writes a model folder, whole or not at all.

    States of the same training that an earlier call saved beside the output are gone on from; see :mod:`train.states`.

    While it runs, ``<output>.log.jsonl`` grows beside the output; at the end it moves into the folder, after a failure
    it stays.

    Args:
        arm: What to train, with one learning rate and one number of steps (see :meth:`Arm.grid`).
        model: Model folder or Hub name.
        data: Folder made by ``datakit build``, or one Parquet file (then there is no validation).
        output: Where the folder shall stand; an earlier one of ours is replaced.
        chat: Chat settings, the same as in evaluation.
        seed: Of data order, initialisation and dropout. Equal seeds on one CPU give equal bytes.
        replay: Parquet files by source name, for an arm that replays or measures its divergence on general rows.
        probe: Called with the model and the step before the first step, after each epoch and at the end; what it
            returns goes into the history. It sees the model in eval mode and must leave its weights alone.
        progress: Receives events (:mod:`train.events`).
        offline: Never ask the Hub.
        imports: Where the user's own modules lie, such as a reward function: the recipe's folder. The current one by
            default.
        chooses: What will be chosen by the validation loss, such as a point of a grid: it is refused before the first
            step where there is none.

    Raises:
        TrainError: A model, row or setting that cannot be used.
        Unreachable: The Hub does not give the model out.
        Diverged: The loss became NaN or infinite; nothing is written but the log.
        OutOfMemory: Says what to change.
        MissingDependency: PyTorch or transformers is not installed.
    """
    for module in ("torch", "transformers", "safetensors"):
        require(module, extra="train")
    if arm.is_grid:
        raise TrainError("learning_rate or steps is a list", hint="Train each of arm.grid(), compare validation loss")
    check_output(output)
    chat = chat or ChatSettings()
    log = output.with_name(f"{output.name}.log.jsonl")
    with joined() as group, memory_errors(arm), seeded(seed):
        check_together(arm, group)
        replay = with_own_texts(arm, replay or {}, model=model, chat=chat, seed=seed, offline=offline)
        ready = prepare(arm, model=model, data=data, chat=chat, replay=replay, offline=offline)
        if (found := check_validation(arm, ready, chooses=chooses)) is not None:
            ready = replace(ready, findings=(*ready.findings, found))
        source = Source(str(model), tree_digest(ready.folder, ("*.safetensors",)), data_digest(ready.files), chat, seed)
        imports = imports or Path()
        check_alike(key := training_key(arm, source, modules=arm.modules_digest(imports)), group)
        states, silent = States(output, key, every=arm.save_every, group=group), group.rank > 0
        told = Tracked(output.name, output.parent, arm.training, states.step, offline)
        with (
            tracking(() if silent else arm.track, told, progress) as heard,
            event_log(log, heard, goes_on=states.step > 0, silent=silent) as report,
        ):
            lost = len(ready.train.dropped)
            report(Preflight(ready.preview(), ready.train.truncated, lost, ready.max_length))
            plan = plan_of(arm, ready, source, output=output, log=log, group=group)
            if arm.chosen_backend[0] == "native":
                return _train(plan, states=states, probe=probe, report=report)
            if probe is not None:
                raise TrainError("a probe looks at our own loop; this arm has another backend")
            return delegate(plan, states=states, imports=imports, report=report)


def _train(plan: Plan, *, states: States, probe: Probe | None, report: Callable[[Event], None]) -> TrainResult:
    """Our own loop, and what stands before and behind it."""
    arm, adapter, output, group = plan.arm, plan.adapter, plan.output, plan.group
    findings = list(plan.ready.findings)
    model = plan.load(findings)
    before = fingerprint(model)
    plan = asked(plan, model, findings)
    stream = plan.stream()
    facts = facts_of(plan, model, stream)

    def tell(finding: Finding) -> None:
        facts.checks.append(finding)
        report(Checked(finding.check, finding.passed, finding.text))

    for finding in [*findings, *looked_at(plan, model)]:
        tell(finding)
    report(started(facts))
    rows, objective = plan.ready.train.rows, plan.objective
    attention, why = chosen_attention(arm.packing, model, rows, objective=objective, adapter=adapter)
    report(Packing(attention is not None, why))
    passes = (
        Passes()
        if group.together
        else fewer_passes(model, rows, objective=objective, pad=plan.ready.pad, arm=arm, attention=attention)
    )
    tell(Finding("passes", True, passes.text))
    watch = None if arm.watch is None else Watch(arm.watch, output, group)
    if arm.checkpointing:
        recompute(model)
    group.shard(model)  # after what is tried on a whole one, before what looks at its weights
    training = training_of(plan, model, stream, steps=facts.steps, watch=watch, attention=attention)
    training = replace(training, passes=passes)
    group.draw_otherwise()
    keeping = Keeper(
        output,
        kept_steps(arm.checkpoints, facts.steps),
        plan.write,
        whole=plan.whole,
        writes=group.rank == 0,
        done=states.step,
        lasting=lambda: states.step > 0,
    )
    with watch or contextlib.nullcontext(), keeping as keeper:
        callbacks: list[Callback] = [keeper] if group.together else [Movement(before, facts.steps, tell), keeper]
        journal = run_steps(training, probe=probe, callbacks=callbacks, states=states, report=report)
        trained = plan.whole(model)
        if trained is None:
            return result_of(output, facts, journal)  # the first process saves
        check_changed(before, trained)
        save(trained, plan, facts=facts, journal=journal, checkpoints=keeper.folder)
    states.remove()
    report(Finished(journal.seconds, journal.trained_tokens, journal.tokens))
    return result_of(output, facts, journal)
