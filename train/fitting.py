"""``fit``: from an arm and a built dataset to a model folder, top to bottom. The loop itself is in loop.py."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datakit.core.chat import ChatSettings
from datakit.core.checkpoint import empty_model, load_model, stored_dtype
from datakit.core.hashing import tree_digest
from datakit.core.require import require
from train.adapters import adapter_named
from train.backends import Job
from train.backends.handing import hand_over
from train.callbacks import Callback
from train.callbacks.keep import Keeper, kept_steps
from train.callbacks.watch import Watch
from train.checkpoint import check_output, save, write_weights
from train.checks import Finding
from train.checks.movement import Movement
from train.checks.sums import check_start, check_sums, few_rows
from train.config import Arm
from train.data import Stream, batches
from train.errors import TrainError
from train.eventlog import event_log, seeded
from train.events import Checked, Event, Finished, Packing, Preflight, Progress, Started
from train.loading import computes_in_bfloat16, load_to_train, stream_of
from train.loop import Probe, Training, computing, memory_errors, recompute, run_steps
from train.manifest import Course, Facts, Source, data_digest, training_key
from train.objectives import Objective, Referring, objective_of, validation_rows
from train.packing import chosen_attention
from train.parallel import Group, check_together, joined
from train.preflight import check_changed, check_trainable, fingerprint
from train.prepare import Prepared, prepare
from train.retention.self_replay import with_own_texts
from train.retention.terms import retention_terms
from train.retention.token_mask import without_surprises
from train.states import States
from train.tracking import Tracked, tracking

__all__ = ["TrainResult", "fit"]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A trained model and how it went.

    Attributes:
        folder: Where the weights or the adapter lie, with train.json.
        validation_loss: Mean nats per trained token after the last step; None without a validation split.
        train_loss: The same over the last epoch of training; None where a backend did not tell.
        steps: Optimizer steps.
        seconds: Of training, without loading, validation and saving.
        trained_tokens: Tokens trained.
        trainable_parameters: Parameters trained.
        total_parameters: All parameters, the adapter's included.
        history: Per logging step and per validation one entry, as in train.json.
    """

    folder: Path
    validation_loss: float | None
    train_loss: float | None
    steps: int
    seconds: float
    trained_tokens: int
    trainable_parameters: int
    total_parameters: int
    history: list[dict[str, Any]]


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
        check_together(arm, group, probe=probe is not None)
        replay = with_own_texts(arm, replay or {}, model=model, chat=chat, seed=seed, offline=offline)
        ready = prepare(arm, model=model, data=data, chat=chat, replay=replay, offline=offline)
        source = Source(str(model), tree_digest(ready.folder, ("*.safetensors",)), data_digest(ready.files), chat, seed)
        states = None if group.together else States(output, training_key(arm, source), every=arm.save_every)
        done, silent = 0 if states is None else states.step, group.rank > 0
        told = Tracked(output.name, output.parent, arm.training, done, offline)
        with (
            tracking(() if silent else arm.track, told, progress) as heard,
            event_log(log, heard, goes_on=done > 0, silent=silent) as report,
        ):
            lost = len(ready.train.dropped)
            report(Preflight(ready.preview(), ready.train.truncated, lost, ready.max_length))
            if arm.chosen_backend[0] != "native":
                if probe is not None:
                    raise TrainError("a probe looks at our own loop; this arm has another backend")
                return _hand_over(arm, ready, source, output, log, imports or Path(), report=report)
            return _train(arm, ready, source, output, log, group, states=states, probe=probe, report=report)


def _hand_over(
    arm: Arm,
    ready: Prepared,
    source: Source,
    output: Path,
    log: Path,
    imports: Path,
    *,
    report: Callable[[Event], None],
) -> TrainResult:
    """Another backend trains the same rows in the same order."""
    import torch

    backend, settings = arm.chosen_backend
    bfloat16 = computes_in_bfloat16(arm)
    adapter, objective = adapter_named(arm.adapter), objective_of(arm)
    stream = stream_of(arm, objective, ready, source.seed)
    stored = getattr(torch, stored_dtype(ready.folder))

    def write(model: Any, folder: Path) -> None:
        write_weights(model, adapter, base=ready.folder, folder=folder, stops=ready.stop_tokens, dtype=stored)

    with torch.device("meta"):
        shape = adapter.apply(empty_model(ready.folder, architecture=objective.architecture), arm)
    facts = _facts(arm, ready, shape, stream, source, bfloat16=bfloat16)
    report(_started(facts))
    job = Job(
        arm=arm,
        settings=settings,
        ready=ready,
        name=source.model,
        chat=source.chat,
        seed=source.seed,
        steps=facts.steps,
        stream=stream,
        bfloat16=bfloat16,
        work=output.with_name(f".{output.name}.work"),
        log=output.with_name(f"{output.name}.{backend}.log"),
        imports=imports,
        load=lambda: load_to_train(arm, adapter, objective, ready, source.model, bfloat16=bfloat16),
        write=write,
        report=report,
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    facts, course = hand_over(backend, job, facts, output=output, log=log, device=device, report=report)
    return _result(output, facts, course)


def _train(
    arm: Arm,
    ready: Prepared,
    source: Source,
    output: Path,
    log: Path,
    group: Group,
    *,
    states: States | None,
    probe: Probe | None,
    report: Callable[[Event], None],
) -> TrainResult:
    import torch

    bfloat16 = computes_in_bfloat16(arm)
    adapter, objective = adapter_named(arm.adapter), objective_of(arm)
    findings = list(ready.findings)
    model = load_to_train(arm, adapter, objective, ready, source.model, findings, bfloat16=bfloat16)
    before = fingerprint(model)
    ready = _asked(arm, objective, ready, model, bfloat16=bfloat16)
    stream = stream_of(arm, objective, ready, source.seed)
    facts = _facts(arm, ready, model, stream, source, bfloat16=bfloat16)

    def tell(finding: Finding) -> None:
        facts.checks.append(finding)
        report(Checked(finding.check, finding.passed, finding.text))

    for finding in [*findings, *_looked_at(objective, ready, model, bfloat16=bfloat16)]:
        tell(finding)
    report(_started(facts))
    stored = getattr(torch, stored_dtype(ready.folder))
    watch = None if arm.watch is None else Watch(arm.watch, output)
    training = _training(
        arm, objective, ready, model, stream, steps=facts.steps, watch=watch, bfloat16=bfloat16, group=group
    )
    attention, why = chosen_attention(arm.packing, model, ready.train.rows, objective=objective, adapter=adapter)
    report(Packing(attention is not None, why))
    training = replace(training, attention=attention)
    if arm.checkpointing:
        recompute(model)
    group.shard(model)  # last: what is tried on the model before is tried on a whole one

    def write(folder: Path) -> None:
        write_weights(model, adapter, base=ready.folder, folder=folder, stops=facts.stop_tokens, dtype=stored)

    wanted = kept_steps(arm.checkpoints, facts.steps)
    done = 0 if states is None else states.step
    keeping = Keeper(output, wanted, write, done=done, lasting=lambda: states is not None and states.step > 0)
    with watch or contextlib.nullcontext(), keeping as keeper:
        callbacks: list[Callback] = [keeper] if group.together else [Movement(before, facts.steps, tell), keeper]
        journal = run_steps(training, probe=probe, callbacks=callbacks, states=states, report=report)
        if group.together:
            trained = group.gather(model)
            if group.rank:
                return _result(output, facts, journal)
            model = load_to_train(arm, adapter, objective, ready, source.model, bfloat16=bfloat16)
            model.load_state_dict(trained, strict=False)
        check_changed(before, model)
        save(
            model,
            adapter,
            base=ready.folder,
            output=output,
            log=log,
            facts=facts,
            journal=journal,
            dtype=stored,
            checkpoints=keeper.folder,
        )
    if states is not None:
        states.remove()
    report(Finished(journal.seconds, journal.trained_tokens, journal.tokens))
    return _result(output, facts, journal)


def _result(output: Path, facts: Facts, journal: Course) -> TrainResult:
    return TrainResult(
        folder=output,
        validation_loss=journal.validation_loss,
        train_loss=journal.mean_loss(after=facts.steps - facts.steps_per_epoch),
        steps=facts.steps if journal.ended is None else journal.ended[0],
        seconds=journal.seconds,
        trained_tokens=journal.trained_tokens,
        trainable_parameters=facts.trainable_parameters,
        total_parameters=facts.total_parameters,
        history=journal.history,
    )


def _looked_at(objective: Objective, ready: Prepared, model: Any, *, bfloat16: bool) -> list[Finding]:
    """What a few short rows say of the model that is trained."""
    rows = few_rows(ready.train.rows, objective)
    with computing(model, bfloat16=bfloat16):
        sums = check_sums(model, objective, rows, pad=ready.pad, rounded=bfloat16)
        start = check_start(model, objective, rows, pad=ready.pad)
    return [sums] if start is None else [sums, start]


def _asked(arm: Arm, objective: Objective, ready: Prepared, model: Any, *, bfloat16: bool) -> Prepared:
    """The data with what the start model says of it, where the objective or the arm wants to know that."""
    if not isinstance(objective, Referring) and arm.token_mask is None:
        return ready
    size, pad, train, validation = arm.batch_size, ready.pad, ready.train.rows, ready.validation.rows
    model.eval()
    with computing(model, bfloat16=bfloat16):
        if isinstance(objective, Referring):
            train, validation = (objective.refer(model, rows, batch_size=size, pad=pad) for rows in (train, validation))
        if arm.token_mask is not None:
            share, keep = arm.token_mask.quantile, ready.stop_tokens
            train = without_surprises(model, train, share, keep=keep, batch_size=size, pad=pad)
    model.train()
    own = replace(ready.train, rows=train), replace(ready.validation, rows=validation)
    return replace(ready, train=own[0], validation=own[1])


def _training(
    arm: Arm,
    objective: Objective,
    ready: Prepared,
    model: Any,
    stream: Stream,
    *,
    steps: int,
    watch: Watch | None,
    bfloat16: bool,
    group: Group,
) -> Training:
    import torch

    def start() -> Any:
        stored = getattr(torch, stored_dtype(ready.folder))
        return load_model(ready.folder, dtype=stored, architecture=objective.architecture)

    validation = validation_rows(objective, ready.validation.rows)
    return Training(
        model,
        objective,
        stream,
        batches(validation, batch_size=arm.batch_size, pad=ready.pad, collate=objective.collate),
        arm,
        steps=steps,
        pad=ready.pad,
        terms=retention_terms(arm, model, load=start, general=ready.general.rows, pad=ready.pad),
        watch=watch,
        bfloat16=bfloat16,
        group=group,
    )


def _facts(arm: Arm, ready: Prepared, model: Any, stream: Stream, source: Source, *, bfloat16: bool) -> Facts:
    import torch

    trainable, total = check_trainable(model)
    return Facts(
        arm=arm,
        seed=source.seed,
        model=source.model,
        model_digest=source.model_digest,
        data_digest=source.data_digest,
        chat=source.chat,
        rows=ready.counts,
        steps=_steps(arm, stream),
        steps_per_epoch=stream.steps_per_epoch,
        trainable_parameters=trainable,
        total_parameters=total,
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        precision="bfloat16" if bfloat16 else "float32",
        max_length=ready.max_length,
        stop_tokens=ready.stop_tokens,
        base_bytes=sum(file.stat().st_size for file in ready.folder.glob("*.safetensors")),
    )


def _started(facts: Facts) -> Started:
    parameters = (facts.trainable_parameters, facts.total_parameters)
    return Started(facts.rows, facts.steps, *parameters, facts.device, facts.precision)


def _steps(arm: Arm, stream: Stream) -> int:
    if isinstance(arm.steps, int):
        return arm.steps
    return max(1, math.ceil((arm.epochs or 0) * stream.steps_per_epoch))
