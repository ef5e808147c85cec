"""Parts of the training side: a backend, an adapter, an objective, a reward."""

import itertools
import time
from dataclasses import replace
from typing import ClassVar

from train.adapters import Default
from train.backends import BackendSettings, Outcome
from train.data import collate, encode_rows
from train.events import StepDone
from train.losses import nll


class NudgeSettings(BackendSettings):
    """Settings of ``nudge``."""

    momentum: float = 0.0


class Nudge:
    """Plain gradient descent, one row at a time."""

    Params = NudgeSettings
    follows = frozenset({"learning_rate"})
    loads = True

    def check(self, arm, settings):
        return "momentum is below 1" if settings.momentum >= 1 else None

    def train(self, job, folder):
        import torch

        from train.objectives import objective_of

        started, objective, model = time.perf_counter(), objective_of(job.arm), job.load()
        parameters = [value for value in model.parameters() if value.requires_grad]
        optimizer = torch.optim.SGD(parameters, lr=job.arm.learning_rate, momentum=job.settings.momentum)
        history, trained, tokens = [], 0, 0
        for step, rows in enumerate(itertools.islice(job.stream, job.steps), start=1):
            total = 0.0
            for row in rows:
                batch = objective.collate([row], pad=job.ready.pad).to(model.device)
                loss = objective.loss(model, batch).total
                loss.backward()
                total, trained, tokens = total + loss.item(), trained + row.trained_tokens, tokens + len(row)
            weight = sum(row.weight for row in rows)
            for value in parameters:
                value.grad /= weight
            optimizer.step()
            optimizer.zero_grad()
            history.append({"step": step, "loss": total / weight, "weight": weight})
            seconds = time.perf_counter() - started
            rate = job.arm.learning_rate
            job.report(StepDone(step, job.steps, total / weight, rate, 0.0, trained, tokens, seconds))
        job.write(model, folder)
        return Outcome(time.perf_counter() - started, trained, tokens, history, {"shouting": "1.0"})


class Norms:
    """Trains the normalisation weights alone."""

    defaults: ClassVar = {"learning_rate": Default(1e-2, "there are few of them")}
    trains_base = True

    def apply(self, model, arm):
        for name, value in model.named_parameters():
            value.requires_grad_("norm" in name)
        return model

    def save(self, model, folder):
        model.save_pretrained(folder)


class FirstToken:
    """Only the first token of an answer is trained."""

    architecture = "causal"
    columns = ("id", "messages", "text")
    answers = False
    rows = "tokens"
    options: ClassVar = {}

    def encode(self, table, encoder):
        import numpy as np

        def first(row):
            return replace(row, trained=np.arange(len(row)) == row.trained.argmax())

        found = encode_rows(table, encoder)
        return replace(found, rows=[first(row) for row in found.rows])

    def collate(self, rows, *, pad):
        return collate(rows, pad=pad)

    def loss(self, model, batch):
        return nll(model, batch)


def loudness(completions, **columns):
    """A reward: the share of exclamation marks."""
    return [text.count("!") / max(len(text), 1) for text in completions]
