"""Whether the tokens that are trained are those that inference will see: two checks on a sample of conversations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from datakit.core.chat import is_chat, render_answer, render_prompt, tokenize
from train.checks import Finding
from train.encoder import Encoder
from train.errors import TrainError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MAX_BROKEN", "check_prefix", "check_turns", "sampled"]

#: Above this share of rows whose prompt is no beginning of the whole a dataset is refused: they train broken words.
MAX_BROKEN = 0.1
_SAMPLE = 128

Messages = Sequence[Mapping[str, str]]


def sampled(table: pa.Table, *, most: int = _SAMPLE) -> list[tuple[str, Messages]]:
    """Id and turns of conversations that end with an answer, evenly spaced over the table."""
    if "messages" not in table.column_names:
        return []
    step = max(1, table.num_rows // most)
    picked = table.take(list(range(0, table.num_rows, step))[:most]).to_pylist()
    rows = ((row.get("id") or str(1 + number * step), row["messages"]) for number, row in enumerate(picked))
    return [(id, turns) for id, turns in rows if turns and turns[-1]["role"] == "assistant"]


def check_prefix(rows: Sequence[tuple[str, Messages]], encoder: Encoder) -> Finding:
    """The tokens of the prompt alone are the first tokens of prompt and answer.

    Where they are not, a token spans the seam, and the model is trained to go on from half a word.

    Raises:
        TrainError: It is so in more than a tenth of the rows.
    """
    tokenizer = encoder.tokenizer
    broken = []
    for id, messages in rows:
        prompt = render_prompt(messages[:-1], tokenizer, encoder.chat)
        answer = render_answer(messages[-1]["content"], tokenizer, encoder.chat)
        kept = prompt.rstrip()
        first, whole = tokenize(kept, tokenizer), tokenize(prompt + answer, tokenizer)
        if whole[: len(first)] != first:
            broken.append(id)
    if not broken:
        return Finding("prefix", True, f"the prompt is a beginning of the whole in all of {len(rows)} rows")
    share = len(broken) / len(rows)
    text = f"in {share:.1%} of {len(rows)} rows a token spans the end of the prompt, in row {broken[0]} for example"
    if share > MAX_BROKEN:
        raise TrainError(text, hint="End prompts with a space or line break, or set chat.delimiter")
    return Finding("prefix", False, text)


def check_turns(rows: Sequence[tuple[str, Messages]], encoder: Encoder) -> Finding:
    """Every answer, rendered as finished, is what it was asked for followed by the answer and its end.

    Where the chat template writes a finished answer in another way (leaves its thought out, cuts white space), the
    turns after it were not trained on what they will see.
    """
    if not is_chat(encoder.tokenizer, encoder.chat):
        return Finding("turns", True, "no chat template is used")
    turns, unlike = 0, []
    for id, messages in rows:
        for number, asked, finished in _renderings(messages, encoder):
            turns += 1
            if asked != finished:
                unlike.append((id, number))
    if not unlike:
        return Finding("turns", True, f"all {turns} answers of {len(rows)} rows are rendered alike when they are over")
    id, number = unlike[0]
    return Finding(
        "turns",
        False,
        f"{len(unlike)} of {turns} answers are rendered otherwise by the chat template once they are over, "
        f"turn {number} of row {id} for example: later turns will see another text than was trained",
    )


def _renderings(messages: Messages, encoder: Encoder) -> Iterator[tuple[int, str, str]]:
    """Of every assistant turn: its number, its text as it is trained, and as the template has it afterwards."""
    tokenizer: Any = encoder.tokenizer
    chat = encoder.chat
    for at, turn in enumerate(messages):
        if turn["role"] != "assistant":
            continue
        prompt = render_prompt(messages[:at], tokenizer, chat)
        asked = prompt + render_answer(turn["content"], tokenizer, chat) + encoder.end
        before = list(messages[: at + 1])
        if chat.system is not None and before[0]["role"] != "system":
            before.insert(0, {"role": "system", "content": chat.system})
        finished = tokenizer.apply_chat_template(
            [dict(one) for one in before], tokenize=False, enable_thinking=chat.thinking
        )
        yield at + 1, asked, finished
