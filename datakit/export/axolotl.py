"""Axolotl's chat_template rows with a mark per turn that says whether it is trained, and the lines for its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datakit.core.example import Example
from datakit.export.formats import Exported, Kind, kind_of, label_loss, pair_of, turns

__all__ = ["Axolotl"]

_TYPES: Mapping[Kind, str] = {
    "chat": """\
    type: chat_template
    field_messages: messages
    message_property_mappings: {role: role, content: content}
    message_field_training: train
    roles_to_train: []
""",
    "preference": """\
    type: chat_template.default
    field_messages: messages
    field_chosen: chosen
    field_rejected: rejected
    message_property_mappings: {role: role, content: content}
""",
    "text": """\
    type: completion
    field: text
""",
}


class Axolotl:
    """Conversations, pairs (with ``rl: dpo``) or plain text."""

    suffix = ".jsonl"

    def row(self, example: Example) -> Exported:
        """Only the last answer is marked for training."""
        kind = kind_of(example)
        if kind == "text":
            return Exported({"text": example.text}, losses=label_loss(example))
        if kind == "preference":
            prompt, better, worse = pair_of(example)
            return Exported({"messages": turns(prompt), "chosen": turns([better])[0], "rejected": turns([worse])[0]})
        rows: list[dict[str, Any]] = list(turns(example.messages or ()))
        for index, turn in enumerate(rows):
            turn["train"] = index == len(rows) - 1
        return Exported({"messages": rows})

    def beside(self, files: Mapping[str, str], kind: Kind) -> Mapping[str, str]:
        """``axolotl.yaml``: the part of a config that names these files."""
        lines = ["# Part of an Axolotl config; paths are relative to this folder.\n"]
        if kind == "preference":
            lines.append("rl: dpo\n")
        first = "train" if "train" in files else next(iter(files))
        named = {"datasets": first} | ({"test_datasets": "validation"} if {"train", "validation"} <= set(files) else {})
        lines += [
            f"{key}:\n  - path: {files[split]}\n    ds_type: json\n    split: train\n{_TYPES[kind]}"
            for key, split in named.items()
        ]
        return {"axolotl.yaml": "".join(lines)}
