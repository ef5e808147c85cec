"""A training that is stopped between two steps and gone on with, whoever's loop it is."""

from __future__ import annotations

from collections.abc import Callable

from train.events import Event, Resumed, Stopped
from train.signals import Waiting
from train.snapshot import Parts, capture, restore
from train.states import States

__all__ = ["after_step", "resume", "save_state"]


def resume(parts: Parts, states: States | None, *, steps: int, report: Callable[[Event], None]) -> int:
    """Puts the newest saved state back; returns the steps that are done.

    Args:
        parts: Set up as for a first step.
        states: Of this training; None where nothing is saved.
        steps: Optimizer steps in all.
        report: Receives Resumed.
    """
    if states is None:
        return 0
    if states.step or states.damaged:
        report(Resumed(states.step, steps, states.damaged))
    saved = states.read()
    if saved is None:
        return 0
    restore(parts, saved)
    return saved.step


def save_state(states: States, parts: Parts, step: int) -> None:
    """Saves the state after a step; last of all that happens in it, so that going on repeats nothing."""
    parts.journal.pause()
    states.write(capture(parts, step))
    parts.journal.resume()


def after_step(
    states: States, parts: Parts, step: int, *, steps: int, signal: Waiting, report: Callable[[Event], None]
) -> None:
    """Saves the state where one is due or a signal ends the training, which takes effect then.

    Args:
        states: Takes it.
        parts: What has a state.
        step: That is done.
        steps: In all.
        signal: One that waits, if any.
        report: Receives Stopped.
    """
    ends = signal.number is not None
    if not ends and not states.due(step, steps):
        return
    save_state(states, parts, step)
    if ends:
        report(Stopped(step, steps, signal.name))
        signal.deliver()
