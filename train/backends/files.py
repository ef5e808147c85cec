"""What another program is given: rows and a config, in the form it reads."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.storage import write_text
from train.backends import Job
from train.backends.tokenized import write_tokenized
from train.data import read_files
from train.schedules import warmup_steps

if TYPE_CHECKING:
    from train.masking import Row

__all__ = ["FORMATS", "Files", "Format", "write_files"]

Format = Callable[[Job, "Files"], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Files:
    """Where things lie.

    Attributes:
        folder: The program is started in it.
        data: Folder with ``train`` and, where there is one, ``validation``.
        config: Its config file.
        model: Folder of the base.
        output: Where it shall write; not there yet.
    """

    folder: Path
    data: Path
    config: Path
    model: Path
    output: Path


def write_files(job: Job, format: str, own: Mapping[str, Any]) -> Files:
    """Writes data and config into the job's folder.

    Args:
        job: What to train.
        format: One of :data:`FORMATS`.
        own: The user's keys of the config; they win.
    """
    work = job.work.resolve()
    suffix = "json" if format == "tokens" else "yaml"  # the JSON that LLaMA-Factory says it takes it cannot open
    files = Files(work, work / "data", work / f"config.{suffix}", job.ready.folder.resolve(), work / "output")
    files.data.mkdir()
    config = {**FORMATS[format](job, files), **own}
    text = _yaml(config) if suffix == "yaml" else json.dumps(config, ensure_ascii=False, indent=1) + "\n"
    write_text(files.config, text)
    return files


def _tokens(job: Job, files: Files) -> dict[str, Any]:
    _write_rows(job, files)
    arm = job.arm
    settings = arm.model_dump(mode="json", exclude={"backend", "replay", "checkpoints", "steps", "epochs"})
    return {
        "base_model": str(files.model),
        "train_file": str(files.data / "train.jsonl"),
        "validation_file": str(files.data / "validation.jsonl") if job.ready.validation.rows else None,
        "output_dir": str(files.output),
        "seed": job.seed,
        "steps": job.steps,
        "stop_tokens": job.ready.stop_tokens,
        **settings,
        "max_length": job.ready.max_length,
        "precision": "bfloat16" if job.bfloat16 else "float32",
    }


def _axolotl(job: Job, files: Files) -> dict[str, Any]:
    """Rows with input_ids, attention_mask and labels and no ``type`` are taken as they are: axolotl's own rule."""
    _write_rows(job, files, mask=True)
    arm = job.arm
    rows = {"ds_type": "json", "split": "train", "type": None}
    config: dict[str, Any] = {
        "base_model": str(files.model),
        "datasets": [{"path": str(files.data / "train.jsonl"), **rows}],
        "val_set_size": 0,
        "dataset_prepared_path": str(files.folder / "prepared"),
        "output_dir": str(files.output),
        "sequence_len": job.ready.max_length,
        "micro_batch_size": arm.batch_size,
        "gradient_accumulation_steps": arm.accumulate,
        "max_steps": job.steps,
        "optimizer": "adamw_torch_fused",
        "bf16": job.bfloat16,
        "logging_steps": 1,
        "save_strategy": "no",
        **_schedule(job, clip="max_grad_norm", schedule="lr_scheduler"),
    }
    if job.ready.validation.rows:
        config["test_datasets"] = [{"path": str(files.data / "validation.jsonl"), **rows}]
    if arm.adapter == "lora":
        everywhere = arm.targets == "all-linear"
        config |= {"adapter": "lora", "lora_r": arm.rank, "lora_alpha": arm.alpha, "lora_dropout": arm.dropout}
        config |= {"lora_target_linear": True} if everywhere else {"lora_target_modules": _names(arm.targets)}
        config |= _without_kernels()
    return config


def _without_kernels() -> dict[str, bool]:
    """Axolotl turns its kernels for LoRA on by itself, which without a GPU end the training."""
    import torch

    parts = () if torch.cuda.is_available() else ("mlp", "qkv", "o", "embedding")
    return {f"lora_{part}_kernel": False for part in parts}


def _llamafactory(job: Job, files: Files) -> dict[str, Any]:
    """LLaMA-Factory takes token rows as they are; named a template of its own, it renders conversations with that."""
    arm = job.arm
    config: dict[str, Any] = {
        "model_name_or_path": str(files.model),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": arm.adapter,
        "cutoff_len": job.ready.max_length,
        "output_dir": str(files.output),
        "per_device_train_batch_size": arm.batch_size,
        "gradient_accumulation_steps": arm.accumulate,
        "max_steps": job.steps,
        "bf16": job.bfloat16,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        **_schedule(job, clip="max_grad_norm", schedule="lr_scheduler_type"),
    }
    if arm.adapter == "lora":
        targets = "all" if arm.targets == "all-linear" else ",".join(_names(arm.targets))
        config |= {"lora_rank": arm.rank, "lora_alpha": arm.alpha, "lora_dropout": arm.dropout, "lora_target": targets}
    rendered = "template" in job.settings.config
    return config | (_conversing if rendered else _tokenized)(job, files)


def _tokenized(job: Job, files: Files) -> dict[str, Any]:
    """A dataset has to be named all the same, and a template: ``empty`` leaves the tokenizer alone."""
    place = files.data / "tokenized"
    write_tokenized(place, _splits(job))
    return {"tokenized_path": str(place), "dataset": "train", "template": "empty"}


def _conversing(job: Job, files: Files) -> dict[str, Any]:
    known = {}
    for split in ("train", "validation"):
        if paths := job.ready.files[split]:
            write_text(files.data / f"{split}.json", json.dumps(list(_conversations(job, paths)), ensure_ascii=False))
            known[split] = f"{split}.json"
    info = {
        split: {
            "file_name": name,
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
            | {"system_tag": "system", "observation_tag": "tool"},
        }
        for split, name in known.items()
    }
    write_text(files.data / "dataset_info.json", json.dumps(info, indent=1))
    return {"dataset": "train", "dataset_dir": str(files.data), "mask_history": job.arm.turns != "all"}


FORMATS: Mapping[str, Format] = {"axolotl": _axolotl, "llamafactory": _llamafactory, "tokens": _tokens}


def _schedule(job: Job, *, clip: str, schedule: str) -> dict[str, Any]:
    arm = job.arm
    return {
        "learning_rate": arm.learning_rate,
        schedule: arm.schedule,
        "warmup_steps": warmup_steps(arm.warmup, job.steps),
        "weight_decay": arm.weight_decay,
        clip: arm.clip or 0.0,
        "seed": job.seed,
    }


def _names(targets: str | list[str] | None) -> list[str]:
    return [targets] if isinstance(targets, str) else list(targets or ())


def _write_rows(job: Job, files: Files, *, mask: bool = False) -> None:
    for split, rows in _splits(job).items():
        _write_lines(files.data / f"{split}.jsonl", rows, mask=mask)


def _splits(job: Job) -> dict[str, Iterable[Row]]:
    """The rows of one epoch, replay among them, and those to validate on, as the model is to see them."""
    epoch = itertools.islice(job.stream, job.stream.steps_per_epoch)
    found: dict[str, Iterable[Row]] = {"train": itertools.chain.from_iterable(epoch)}
    return found | ({"validation": job.ready.validation.rows} if job.ready.validation.rows else {})


def _write_lines(path: Path, rows: Iterable[Row], *, mask: bool) -> None:
    lines = []
    for row in rows:
        ids = row.ids.tolist()
        labels = [id if trained else -100 for id, trained in zip(ids, row.trained.tolist(), strict=True)]
        beside = {"attention_mask": [1] * len(ids)} if mask else {}
        lines.append(json.dumps({"input_ids": ids, **beside, "labels": labels}))
    write_text(path, "\n".join(lines) + "\n")


def _conversations(job: Job, paths: list[Path]) -> Iterable[dict[str, Any]]:
    left = {*job.ready.train.dropped, *job.ready.validation.dropped}
    for record in read_files(paths, columns=("id", "messages")).to_pylist():
        messages = [{"role": turn["role"], "content": turn["content"]} for turn in record["messages"]]
        if job.chat.system is not None and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": job.chat.system})
        if record["id"] not in left:
            yield {"messages": messages}


def _yaml(config: Mapping[str, Any]) -> str:
    return "".join(f"{key}: {_flow(value)}\n" for key, value in config.items())


def _flow(value: Any) -> str:
    """Inline YAML that version 1.1 reads alike: ``1e-05`` would be a string there."""
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
