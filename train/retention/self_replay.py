"""``replay: {from: self}``: texts that the start model makes up before training, to rehearse what it says by itself.

Drawn at temperature 1 from its own distribution, so that training on them is, in the mean, a forward KL divergence from
the start model on its own texts. With ``prompts`` it answers conversations of a source, or goes on with the beginnings
of texts; without, it begins with nothing but its first token. The texts are a function of weights, settings and seed,
and lie under that key in the cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.chat import ChatSettings, ends_turn, render_prompt, tokenize
from datakit.core.checkpoint import find_model, load_model, load_tokenizer
from datakit.core.hashing import file_digest, json_digest, tree_digest
from datakit.core.storage import cache_folder, locked, read_table, write_table
from train.errors import TrainError
from train.models import longest_length
from train.retention.settings import SELF

if TYPE_CHECKING:
    from train.config import Arm

__all__ = ["generate_rows", "with_own_texts"]

_REVISION = 1
_ROWS = 200
_AT_ONCE = 32  # texts generated side by side
_NEW_TOKENS = 256  # of a text at most
_BEGINNING = 8  # tokens of a plain text that it goes on with


def with_own_texts(
    arm: Arm, files: Mapping[str, Path], *, model: Path | str, chat: ChatSettings, seed: int, offline: bool
) -> Mapping[str, Path]:
    """The files of general rows, the start model's own texts among them where the arm replays those.

    Raises:
        TrainError: No prompts of that name, or a model that says nothing.
    """
    if arm.replay is None or arm.replay.source != SELF:
        return files
    folder, wanted = find_model(model, offline=offline), arm.replay
    if wanted.prompts is not None and wanted.prompts not in files:
        raise TrainError(f"replay.prompts: no replay source named '{wanted.prompts}'")
    prompts = None if wanted.prompts is None else files[wanted.prompts]
    length = longest_length(folder, arm.max_length)
    key = json_digest(
        {
            "revision": _REVISION,
            "model": tree_digest(folder, ("*.safetensors", "tokenizer*", "*.jinja")),
            "prompts": None if prompts is None else file_digest(prompts),
            "chat": chat.model_dump(),
            "rows": wanted.rows or _ROWS,
            "length": length,
            "seed": seed,
        }
    )
    path = cache_folder() / "self-replay" / f"{key}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock")):
        if not path.is_file():
            rows = generate_rows(folder, wanted.rows or _ROWS, prompts=prompts, chat=chat, max_length=length, seed=seed)
            _write(path, rows)
    return {**files, SELF: path}


def generate_rows(
    folder: Path, count: int, *, prompts: Path | None, chat: ChatSettings, max_length: int, seed: int
) -> list[dict[str, Any]]:
    """Rows with ``id`` and ``messages`` or ``text``, as many as asked for.

    Args:
        folder: The start model.
        count: Rows.
        prompts: Parquet file of conversations or texts; they come round where there are fewer.
        chat: Rendering of conversations.
        max_length: Longest row in tokens.
        seed: Of the draws.

    Raises:
        TrainError: The tokenizer has no token to begin with, or the model says nothing.
    """
    import torch

    tokenizer = load_tokenizer(folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    model = load_model(folder, dtype=dtype, device=device)
    asked = _asked(prompts, tokenizer, chat)
    rows: list[dict[str, Any]] = []
    tried = 0
    with torch.random.fork_rng([torch.cuda.current_device()] if device == "cuda" else []):
        torch.manual_seed(seed)
        while len(rows) < count and tried < 4 * count:
            batch = [asked[(tried + at) % len(asked)] for at in range(min(_AT_ONCE, count))]
            tried += len(batch)
            texts = _sampled(model, tokenizer, [ids for ids, _ in batch], chat, max_length=max_length)
            for text, (ids, turns) in zip(texts, batch, strict=True):
                own = f"self-{len(rows):06}"
                if not text.strip():
                    continue
                if turns is None:
                    beginning = tokenizer.decode(ids, skip_special_tokens=True)
                    rows.append({"id": own, "messages": None, "text": beginning + text})
                else:
                    answer = {"role": "assistant", "content": text.strip()}
                    rows.append({"id": own, "messages": [*turns, answer], "text": None})
    if not rows:
        raise TrainError("replay.from self: the start model says nothing", where=folder, hint="Give replay.prompts")
    return rows[:count]


Asked = tuple[list[int], list[dict[str, str]] | None]


def _asked(prompts: Path | None, tokenizer: Any, chat: ChatSettings) -> list[Asked]:
    """Token ids to go on with, each with the turns it renders, if it is a conversation."""
    if prompts is None:
        first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if first is None:
            raise TrainError("replay.from self: the tokenizer has no token to begin with", hint="Give replay.prompts")
        return [([first], None)]
    found: list[Asked] = []
    for row in read_table(prompts).to_pylist():
        turns = row.get("messages")
        if turns:
            turns = turns[:-1] if turns[-1]["role"] == "assistant" else turns
            found.append((tokenize(render_prompt(turns, tokenizer, chat), tokenizer), turns))
        elif row.get("text"):
            found.append((tokenize(row["text"], tokenizer)[:_BEGINNING], None))
    if not found:
        raise TrainError("replay.prompts: neither conversations nor texts", where=prompts)
    return found


def _sampled(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], chat: ChatSettings, *, max_length: int
) -> list[str]:
    """What the model goes on with, without special tokens; empty where a prompt leaves no room."""
    import torch

    width = max(len(ids) for ids in prompts)
    if width >= max_length:
        return [""] * len(prompts)
    pad = next(id for id in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if id is not None)
    ids = torch.full((len(prompts), width), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for line, own in enumerate(prompts):
        ids[line, width - len(own) :] = torch.tensor(own)
        mask[line, width - len(own) :] = 1
    ends = tokenizer(ends_turn(tokenizer, chat), add_special_tokens=False)["input_ids"][:1]
    stops = {*ends, *([tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else [])}
    with torch.inference_mode():
        out = model.generate(
            ids.to(model.device),
            attention_mask=mask.to(model.device),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=min(_NEW_TOKENS, max_length - width),
            eos_token_id=sorted(stops),
            pad_token_id=pad,
        )
    said: list[str] = tokenizer.batch_decode(out[:, width:], skip_special_tokens=True)
    return said


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa

    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema([("id", pa.string()), ("messages", pa.list_(turn)), ("text", pa.string())])
    write_table(path, pa.Table.from_pylist([dict(row) for row in rows], schema=schema))
