"""Everything before the model is loaded: tokenizer, encoded rows, and the checks on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datakit.core.chat import ChatSettings, ends_turn
from datakit.core.checkpoint import find_model, load_tokenizer
from train.checks import Finding
from train.checks.rendering import check_prefix, check_turns, sampled
from train.config import Arm
from train.data import Encoded, find_files, read_files
from train.encoder import Encoder
from train.errors import TrainError
from train.models import longest_length
from train.objectives import objective_of, parts
from train.objectives.sft import Sft
from train.preflight import check_rows, check_truncated, segments, stop_tokens

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Data ready for a model.

    Attributes:
        folder: The model's folder.
        tokenizer: The model's.
        train: Training rows.
        validation: Validation rows; may be empty.
        replay: Rows to replay; empty where the arm does not.
        general: Rows on which the divergence from the start model is taken; empty where the arm takes none there.
        files: The files by role.
        max_length: Longest row in tokens.
        stop_tokens: Ids that end an answer; none where the objective trains no answers.
        findings: Of the checks that need no model.
    """

    folder: Path
    tokenizer: Any
    train: Encoded
    validation: Encoded
    replay: Encoded
    general: Encoded
    files: Mapping[str, list[Path]]
    max_length: int
    stop_tokens: list[int]
    findings: tuple[Finding, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Rows to train on, to validate on, to replay; training rows that lost their end, or were left out."""
        return {
            "train": len(self.train.rows),
            "validation": len(self.validation.rows),
            "replay": len(self.replay.rows),
            "truncated": self.train.truncated,
            "dropped": len(self.train.dropped),
        }

    @property
    def pad(self) -> int:
        """Token id to pad with."""
        known = (*self.stop_tokens, self.tokenizer.pad_token_id, self.tokenizer.eos_token_id)
        return next((int(id) for id in known if id is not None), 0)

    def preview(self, rows: int = 3) -> list[list[tuple[str, bool]]]:
        """The first training rows decoded, in pieces that are trained or not."""
        return [segments(row, self.tokenizer) for row in parts(self.train.rows[:rows])[:rows]]


def prepare(
    arm: Arm,
    *,
    model: Path | str,
    data: Path,
    chat: ChatSettings | None = None,
    replay: Mapping[str, Path] | None = None,
    offline: bool = False,
) -> Prepared:
    """Encodes a dataset for a model and checks every row; loads the tokenizer, not the weights.

    Raises:
        TrainError: A model, file or row that cannot be used; rows are named.
        Unreachable: The Hub does not give the model out.
    """
    chat = chat or ChatSettings()
    folder = find_model(model, offline=offline)
    tokenizer = load_tokenizer(folder)
    max_length = longest_length(folder, arm.max_length)
    objective = objective_of(arm)
    end = ends_turn(tokenizer, chat) if objective.answers else ""
    end_ids: list[int] = tokenizer(end, add_special_tokens=False)["input_ids"] if end else []
    stops = stop_tokens(end_ids, tokenizer) if objective.answers else []

    files = {**find_files(data), "replay": _replay_files(arm, replay or {})}
    if arm.kl is not None and arm.kl.source is not None:
        files["general"] = [_source("kl.from", arm.kl.source, replay or {})]
    encoded = {"general": Encoded()}
    findings: list[Finding] = []
    for role, paths in files.items():
        plain = role in ("replay", "general")
        encoder = Encoder(tokenizer, chat, end, max_length, plain_text=plain)
        own = Sft() if role == "general" else objective
        table = read_files(paths, columns=own.columns) if paths else None
        encoded[role] = Encoded() if table is None else own.encode(table, encoder)
        check_rows(parts(encoded[role].rows), tokenizer, end_ids=() if plain else end_ids)
        if role != "validation" and paths:
            _check_some(role, encoded[role], paths[0], max_length)
        if role == "train" and table is not None:
            findings.append(check_truncated(encoded[role], max_length, most=arm.max_truncated))
            if objective.answers:
                rows = sampled(table)
                findings += [check_prefix(rows, encoder), check_turns(rows, encoder)]
    return Prepared(
        folder=folder,
        tokenizer=tokenizer,
        train=encoded["train"],
        validation=encoded["validation"],
        replay=encoded["replay"],
        general=encoded["general"],
        files=files,
        max_length=max_length,
        stop_tokens=stops,
        findings=tuple(findings),
    )


def _check_some(role: str, encoded: Encoded, file: Path, max_length: int) -> None:
    if not encoded.rows:
        cut = len(encoded.dropped)
        why = f"all {cut} answers lie behind max_length {max_length}" if cut else "it has no rows"
        raise TrainError(f"nothing to train on in '{role}': {why}", where=file)


def _replay_files(arm: Arm, replay: Mapping[str, Path]) -> list[Path]:
    return [] if arm.replay is None else [_source("replay.from", arm.replay.source, replay)]


def _source(key: str, name: str, replay: Mapping[str, Path]) -> Path:
    if name not in replay:
        known = ", ".join(sorted(replay)) or "none"
        raise TrainError(f"{key}: no replay source named '{name}'", hint=f"Known: {known}")
    return replay[name]
