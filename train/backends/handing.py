"""Hands a training to a backend and takes the result: the same checks, manifest and card as after our own loop."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from datakit.core.errors import DatakitError
from datakit.core.storage import atomic_directory, storage_errors, write_json, write_text
from train.backends import Job, backend_named
from train.backends.course import Course
from train.backends.written import Written, examine
from train.callbacks.keep import CHECKPOINTS
from train.checkpoint import MANIFEST, copy_tokenizer, same_modes
from train.errors import TrainError
from train.events import Event, Finished, Validated
from train.manifest import FORMAT, Facts, card, manifest
from train.objectives import objective_of

__all__ = ["hand_over"]


def hand_over(
    backend: str,
    job: Job,
    facts: Facts,
    *,
    output: Path,
    log: Path,
    checkpoints: Path,
    device: str,
    report: Callable[[Event], None],
) -> tuple[Facts, Course]:
    """Lets a backend train and writes the model folder, whole or not at all.

    Args:
        backend: Its name.
        job: What to train.
        facts: For the manifest; the counts of parameters are put right by what was written.
        output: Where the folder shall stand.
        log: The events so far; it moves into the folder.
        checkpoints: Folder of the states kept on the way, if any; it moves into the folder.
        device: Where the result is tried.
        report: Receives events.

    Raises:
        TrainError: It failed, or what it wrote cannot be used.
    """
    written = job.work.with_name(f".{output.name}.written")  # of a fixed name: what a kill left is found again
    for place in (job.work, written):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    try:
        with storage_errors(output):
            outcome = backend_named(backend).train(job, written)
        objective = objective_of(job.arm)
        with _of_the_backend(backend):
            found = examine(written, job.ready, objective, batch_size=job.arm.batch_size, device=device)
        with atomic_directory(output) as folder:
            for entry in written.iterdir():
                entry.rename(folder / entry.name)
            if checkpoints.is_dir():
                checkpoints.rename(folder / CHECKPOINTS)
            history = list(outcome.history)
            if found.validation_loss is not None:
                history.append({"step": job.steps, "validation_loss": found.validation_loss})
            report(Validated(job.steps, found.validation_loss, {}))
            course = Course(outcome, history, found.validation_loss)
            facts = _counted(facts, found)
            copy_tokenizer(job.ready.folder, folder)
            same_modes(folder)
            content = manifest(facts, course, folder=folder, peak_memory=outcome.peak_memory)
            content["versions"] |= outcome.versions
            write_json(folder / MANIFEST, content, format=FORMAT)
            write_text(folder / "README.md", card(facts, content))
            report(Finished(outcome.seconds, outcome.trained_tokens, outcome.tokens))
            shutil.copyfile(log, folder / "log.jsonl")
        log.unlink()
    finally:
        shutil.rmtree(job.work, ignore_errors=True)
        shutil.rmtree(written, ignore_errors=True)
    return facts, course


@contextlib.contextmanager
def _of_the_backend(name: str) -> Iterator[None]:
    """What is wrong with the written model is told of the backend, not of a folder that is gone by then."""
    try:
        yield
    except DatakitError as error:
        if error.exit_code != 1:
            raise
        raise TrainError(f"what backend '{name}' wrote cannot be used: {error.message}", hint=error.hint) from error


def _counted(facts: Facts, found: Written) -> Facts:
    if not found.adapter:
        return replace(facts, total_parameters=found.parameters)
    base = facts.total_parameters - facts.trainable_parameters
    return replace(facts, trainable_parameters=found.parameters, total_parameters=base + found.parameters)
