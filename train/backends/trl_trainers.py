"""TRL's trainers, made so that they take rows as they are: no rendering, tokenising or shuffling of their own."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datakit.core.checkpoint import load_model
from train.backends import Job
from train.backends.rewards import checked_reward, load_reward
from train.data import read_files
from train.errors import TrainError
from train.loop import peak
from train.schedules import rate_factor, warmup_steps

__all__ = ["Made", "make_trainer"]


@dataclass(frozen=True, slots=True)
class Made:
    """A trainer that is ready to run.

    Attributes:
        trainer: TRL's.
        model: What it trains.
        job: Of it.
        steps: Rows of every step, where the rows are known before; empty where answers are drawn.
    """

    trainer: Any
    model: Any
    job: Job
    steps: Sequence[Sequence[Any]]

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return peak(self.job.arm) * _factor(self.job, step)

    def weight(self, step: int) -> float:
        """What the loss of a step is weighted with in a mean over steps."""
        return sum(row.weight for row in self.steps[step - 1]) if self.steps else 1.0

    def counted(self, step: int) -> tuple[int, int]:
        """Tokens trained and tokens seen up to a step; what was drawn is counted as seen and trained."""
        if not self.steps:
            return self.drawn, self.drawn
        rows = list(itertools.chain.from_iterable(self.steps[:step]))
        return sum(row.trained_tokens for row in rows), sum(map(len, rows))

    @property
    def drawn(self) -> int:
        """Tokens of prompts and drawn answers so far."""
        return int(getattr(self.trainer.state, "num_input_tokens_seen", 0))

    @property
    def trained_tokens(self) -> int:
        """Over all steps."""
        return self.counted(self.job.steps)[0]

    @property
    def tokens(self) -> int:
        """Over all steps."""
        return self.counted(self.job.steps)[1]


def make_trainer(job: Job, kind: str) -> Made:
    """The trainer of a kind: ``sft``, ``dpo``, ``grpo`` or ``rloo``.

    Raises:
        TrainError: An option that TRL does not know or that the arm decides.
    """
    import torch
    from transformers import PrinterCallback

    model = job.load()
    model.train()
    tokenizer = _tokenizer(job)
    rows_per_step = job.arm.batch_size * job.arm.accumulate
    flat = itertools.chain.from_iterable(job.stream)
    groups = {"matrices": True, "vectors": False}
    parameters = {
        name: [p for p in model.parameters() if p.requires_grad and (p.ndim >= 2) is wanted]
        for name, wanted in groups.items()
    }
    optimizer = torch.optim.AdamW(
        [
            {"params": values, "weight_decay": job.arm.weight_decay if name == "matrices" else 0.0}
            for name, values in parameters.items()
            if values
        ],
        lr=peak(job.arm),
        fused=True,
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _factor(job, step))
    beside = {"model": model, "processing_class": tokenizer, "optimizers": (optimizer, scheduler)}
    if kind in ("sft", "dpo"):
        rows = list(itertools.islice(flat, job.steps * rows_per_step))
        trainer = (_sft if kind == "sft" else _dpo)(job, rows, beside)
        steps = [rows[start : start + rows_per_step] for start in range(0, len(rows), rows_per_step)]
    else:
        rows = list(itertools.islice(flat, job.steps * rows_per_step // job.settings.completions))
        trainer, steps = _online(job, kind, rows, beside), []
    trainer.remove_callback(PrinterCallback)
    return Made(trainer, model, job, steps)


def _factor(job: Job, step: int) -> float:
    step = min(step, job.steps - 1)  # the scheduler is asked once more after the last step
    return rate_factor(job.arm.schedule, step, steps=job.steps, warmup=warmup_steps(job.arm.warmup, job.steps))


def _tokenizer(job: Job) -> Any:
    """A copy that ends where a trained answer ends, and pads with that: a trainer must not change ours."""
    tokenizer = copy.deepcopy(job.ready.tokenizer)
    stop = tokenizer.convert_ids_to_tokens(job.ready.stop_tokens[0])
    tokenizer.eos_token = stop
    tokenizer.pad_token = stop
    return tokenizer


def _config(made: type[Any], job: Job, **own: Any) -> Any:
    """TRL's settings from the arm's; further ones from the user."""
    import torch

    arm, gpu = job.arm, torch.cuda.is_available()
    ours: dict[str, Any] = {
        "output_dir": str(job.work),
        "max_steps": job.steps,
        "per_device_train_batch_size": arm.batch_size,
        "gradient_accumulation_steps": arm.accumulate,
        "learning_rate": peak(job.arm),
        "max_grad_norm": arm.clip or 0.0,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "seed": job.seed,
        "bf16": job.bfloat16,
        "use_cpu": not gpu,
        "dataloader_pin_memory": gpu,
        "disable_tqdm": True,
        **own,
    }
    free = {"gradient_checkpointing": False, **job.settings.options}
    if taken := sorted(ours.keys() & free):
        raise TrainError(f"backend.trl.options.{taken[0]}: the arm or the backend decides this")
    try:
        with warnings.catch_warnings():
            # TRL 1.16 sets a name that transformers 5.24 deprecates.
            warnings.filterwarnings("ignore", "`gradient_checkpointing` is deprecated", FutureWarning)
            return made(**ours, **free)
    except (TypeError, ValueError) as error:
        raise TrainError(f"backend.trl.options: {' '.join(str(error).split())[:200]}") from error


def _dataset(rows: Iterator[Mapping[str, Any]]) -> Any:
    from datasets import Dataset

    return Dataset.from_list([dict(row) for row in rows])


def _sft(job: Job, rows: Sequence[Any], beside: Mapping[str, Any]) -> Any:
    from trl import SFTConfig, SFTTrainer

    def labelled() -> Iterator[dict[str, Any]]:
        for row in rows:
            ids = row.ids.tolist()
            yield {"input_ids": ids, "labels": [id if on else -100 for id, on in zip(ids, row.trained, strict=True)]}

    config = _config(
        SFTConfig,
        job,
        max_length=None,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        train_sampling_strategy="sequential",
    )
    return SFTTrainer(args=config, train_dataset=_dataset(labelled()), **beside)


def _dpo(job: Job, rows: Sequence[Any], beside: Mapping[str, Any]) -> Any:
    from trl import DPOConfig, DPOTrainer

    class OnRows(DPOTrainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    def paired() -> Iterator[dict[str, Any]]:
        for pair in rows:
            chosen, rejected = pair.chosen, pair.rejected
            start = int(min(chosen.trained.argmax(), rejected.trained.argmax()))
            yield {
                "prompt_ids": chosen.ids[:start].tolist(),
                "chosen_ids": chosen.ids[start:].tolist(),
                "rejected_ids": rejected.ids[start:].tolist(),
            }

    model = beside["model"]
    reference = None if hasattr(model, "disable_adapter") else load_model(job.ready.folder, dtype=model.dtype)
    if reference is not None:
        reference.to(model.device).requires_grad_(False)
    config = _config(
        DPOConfig,
        job,
        max_length=None,
        beta=job.arm.beta,
        train_sampling_strategy="sequential",
        disable_dropout=False,
    )
    return OnRows(args=config, ref_model=reference, train_dataset=_dataset(paired()), **beside)


def _online(job: Job, kind: str, rows: Sequence[Any], beside: Mapping[str, Any]) -> Any:
    import trl

    base, made = {"grpo": (trl.GRPOTrainer, trl.GRPOConfig), "rloo": (trl.RLOOTrainer, trl.RLOOConfig)}[kind]
    reward = checked_reward(load_reward(job.settings.reward, job.imports), job.settings.reward)
    tokenizer, ids = beside["processing_class"], {}

    def prompted() -> Iterator[dict[str, Any]]:
        records = _records(job)
        for row in rows:
            prompt = row.ids[: int(row.trained.argmax())].tolist()
            text = tokenizer.decode(prompt, clean_up_tokenization_spaces=False)
            ids[text] = prompt
            yield {"prompt": text, "id": row.id, **records.get(row.id, {"answer": None, "label": None})}

    class OnRows(base):  # type: ignore[misc, valid-type]
        def _tokenize_prompts(self, prompts: Sequence[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
            return [ids[prompt] for prompt in prompts], None, {}

    settings = job.settings
    config = _config(
        made,
        job,
        num_generations=settings.completions,
        max_completion_length=settings.max_completion,
        temperature=settings.temperature,
        shuffle_dataset=False,
    )
    return OnRows(args=config, reward_funcs=reward, train_dataset=_dataset(prompted()), **beside)


def _records(job: Job) -> dict[str, dict[str, Any]]:
    """What a reward may know of a row beside its prompt."""
    table = read_files(job.ready.files["train"], columns=("id", "messages", "label"))
    found = {}
    for record in table.to_pylist():
        messages = record.get("messages")
        answer = messages[-1]["content"] if messages else None
        found[record["id"]] = {"answer": answer, "label": record.get("label")}
    return found
