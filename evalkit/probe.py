"""A probe for training: a small part of a suite, asked again and again of the model that is being trained.

Of every general task whose options are scored by likelihood some items are taken, of those that a selection may look at
(see ``selection``), so that whatever stops a training or chooses its state can be reported on the others. On the same
items' texts the cross-entropy and the forward KL(start || now) per token are measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from datakit.core.chat import ChatSettings
from evalkit.errors import EvalError
from evalkit.groups import GroupSource
from evalkit.selection import may_be_asked

if TYPE_CHECKING:
    import torch

    from evalkit.source import Setup
    from evalkit.suite import Suite, SuiteTask

__all__ = ["SuiteProbe", "probe_identity"]

_LOGITS = 1 << 25  # of the start model that are kept, 64 MiB in 16 bits
_ROWS = 8  # texts side by side
_LOOKED = 4  # three tenths of the items are for selection: so many are looked at for one
_LOOKED_IN_CLUSTERS = 12  # there the item and its cluster both have to be


@dataclass(frozen=True, slots=True)
class _Asked:
    """One task with the items that are asked of it."""

    task: SuiteTask
    made: Any
    setup: Setup
    metric: str
    items: list[int]


class SuiteProbe:
    """Called with a model and a step, it measures.

    Args:
        suite: Its general tasks whose options are scored by likelihood are asked.
        model: The start model, in evaluation mode.
        tokenizer: Its tokenizer.
        chat: Chat settings.
        items: Items in all, spread evenly over the tasks.
        offline: The hub is not asked.

    Attributes:
        items: Task to the number of items that are asked of it.
        start: What the start model shows.

    Raises:
        EvalError: No task of the suite can be asked.
    """

    def __init__(
        self,
        suite: Suite,
        model: Any,
        tokenizer: Any,
        *,
        chat: ChatSettings,
        items: int = 200,
        offline: bool = False,
    ) -> None:
        self._tokenizer, self._chat, self._offline = tokenizer, chat, offline
        self._asked, texts = self._choose(suite, model, items)
        if not self._asked:
            raise EvalError(
                f"the suite '{suite.name}' has nothing for a probe",
                hint="It needs general tasks with options that are scored by likelihood",
            )
        self.items: dict[str, int] = {}
        for asked in self._asked:  # members of a group stand under its name
            self.items[asked.task.name] = self.items.get(asked.task.name, 0) + len(asked.items)
        self._rows = self._within_budget(texts, int(model.get_output_embeddings().weight.shape[0]))
        self._before = self._log_probabilities(model)
        self.start = self._measured(model)

    def __call__(self, model: Any, step: int) -> Mapping[str, float]:
        """``suite``: mean score over the tasks; ``forgetting``: by how much it fell; ``general_loss`` and ``kl``."""
        found = self._measured(model)
        return {**found, "forgetting": self.start["suite"] - found["suite"]}

    def _measured(self, model: Any) -> dict[str, float]:
        scores = [self._score(model, asked) for asked in self._asked]
        loss, divergence = self._drift(model)
        return {"suite": sum(scores) / len(scores), "general_loss": loss, "kl": divergence}

    def _choose(self, suite: Suite, model: Any, items: int) -> tuple[list[_Asked], list[str]]:
        """The tasks with their items, and the texts of those items."""
        from evalkit.engine import build_task, metric_names, quiet_engine, run_task
        from evalkit.items import cluster_of

        tasks = [found for task in suite.tasks if task.kind == "general" for found in _single(task)]
        each = max(1, items // max(1, len(tasks)))
        silent = _silent(model, self._tokenizer, self._chat)
        found, texts = [], []
        for member, task in tasks:
            setup = task.setup(self._tokenizer, self._chat, 0)
            with quiet_engine(offline=self._offline):
                made = build_task(task.source, setup, task.name)
                if made.OUTPUT_TYPE != "multiple_choice":
                    continue
                names = metric_names(made)[0]
                metric = task.metric or ("acc" if "acc" in names else names[0])
                own: dict[int, Any] = {}
                for looked in (_LOOKED, _LOOKED_IN_CLUSTERS):
                    samples = run_task(silent, made, setup, rendered=task.source.rendered, limit=looked * each)
                    own = {sample["doc_id"]: sample for sample in samples if _may_be_asked(sample, member)}
                    if all(cluster_of(sample["doc"]) is None for sample in samples):
                        break
            chosen = sorted(own)[:each]
            if chosen:
                found.append(_Asked(task, made, setup, metric, chosen))
                texts += ["".join(own[at]["arguments"][0]) for at in chosen]
        return found, texts

    def _score(self, model: Any, asked: _Asked) -> float:
        from evalkit.engine import quiet_engine, run_task
        from evalkit.models.hf import HFModel

        with quiet_engine(offline=self._offline):
            samples = run_task(
                HFModel(model, self._tokenizer, chat=self._chat),
                asked.made,
                asked.setup,
                rendered=asked.task.source.rendered,
                limit=None,
                only=asked.items,
            )
        values = {sample["doc_id"]: float(sample[asked.metric]) for sample in samples}
        return sum(values.values()) / len(values)

    def _within_budget(self, texts: Sequence[str], vocabulary: int) -> list[list[int]]:
        """Token ids of so many texts, evenly from all, that the start model's probabilities may be kept."""
        rows = [ids for text in texts if len(ids := self._tokenizer(text)["input_ids"]) > 1]
        most = max(1, _LOGITS // vocabulary)
        while len(rows) > 1 and sum(map(len, rows)) > most:
            rows = rows[::2]
        return [ids[: most + 1] for ids in rows]

    def _logits(self, model: Any, part: Sequence[Sequence[int]]) -> torch.Tensor:
        """Logits of (rows, longest, vocabulary); padding stands on the right, where no token sees it."""
        import torch

        ids = torch.zeros(len(part), max(map(len, part)), dtype=torch.long)
        for line, row in enumerate(part):
            ids[line, : len(row)] = torch.tensor(row)
        logits: torch.Tensor = model(input_ids=ids.to(model.device), use_cache=False).logits
        return logits

    def _log_probabilities(self, model: Any) -> list[torch.Tensor]:
        """Of the start model at every position but a row's last, in 16 bits, on the CPU."""
        import torch

        kept: list[torch.Tensor] = []
        with torch.inference_mode():
            for at in range(0, len(self._rows), _ROWS):
                part = self._rows[at : at + _ROWS]
                logits = self._logits(model, part)
                for line, row in enumerate(part):
                    kept.append(logits[line, : len(row) - 1].float().log_softmax(-1).half().cpu())
        return kept

    def _drift(self, model: Any) -> tuple[float, float]:
        """Cross-entropy and forward KL per token of the items' texts, in nats."""
        import torch

        loss, divergence, count = 0.0, 0.0, 0
        with torch.inference_mode():
            for at in range(0, len(self._rows), _ROWS):
                part = self._rows[at : at + _ROWS]
                logits = self._logits(model, part)
                for line, row in enumerate(part):
                    now = logits[line, : len(row) - 1].float().log_softmax(-1).cpu()
                    # 16 bits do not sum to one; renormalised, equal models have a divergence of 1e-6.
                    before = self._before[at + line].float().log_softmax(-1)
                    loss -= float(now.gather(-1, torch.tensor(row[1:])[:, None]).sum())
                    divergence += float((before.exp() * (before - now)).sum())
                    count += len(row) - 1
        return loss / count, max(0.0, divergence / count)


def probe_identity(suite: Suite, *, offline: bool = False) -> Any:
    """JSON value that changes whenever a probe of the suite may ask or score otherwise; holds no machine's paths.

    Args:
        suite: Its general tasks count; what is measured of the others, margins and descriptions do not.
        offline: The hub is not asked.
    """
    from evalkit.engine import identity_of

    return [
        [task.name, task.metric, task.num_fewshot, task.chat, identity_of(task.source, offline=offline)]
        for task in suite.tasks
        if task.kind == "general"
    ]


def _single(task: SuiteTask) -> list[tuple[str, SuiteTask]]:
    """A task, or the members of a group, each with what its clusters are called by in a log."""
    if not isinstance(task.source, GroupSource):
        return [("", task)]
    return [(f"{name}/", replace(task, source=source)) for name, source in task.source.members.items()]


def _may_be_asked(sample: Mapping[str, Any], member: str) -> bool:
    from evalkit.items import cluster_of

    cluster = cluster_of(sample["doc"])
    return may_be_asked(sample["doc_hash"], None if cluster is None else f"{member}{cluster}")


def _silent(model: Any, tokenizer: Any, chat: ChatSettings) -> Any:
    """A model that answers nothing, so that lm-eval hands back what it would have asked."""
    from evalkit.models.hf import HFModel

    class Silent(HFModel):
        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            return [(0.0, False)] * len(requests)

    return Silent(model, tokenizer, chat=chat)
