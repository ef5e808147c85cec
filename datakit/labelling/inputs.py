"""How a row is shown to a model: the names a labeller may write in braces, and what they stand for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from datakit.core.errors import StepError
from datakit.core.registry import suggest
from datakit.labelling.labeller import Labeller

__all__ = ["COLUMNS", "flipped", "gold_value", "shown"]

COLUMNS = ("id", "source", "text", "messages", "rejected", "label", "fields")

_NAME = re.compile(r"\{(\w+)\}")

_PAIR = {
    "en": "Question:\n{prompt}\n\nAnswer A:\n{first}\n\nAnswer B:\n{second}",
    "ko": "질문:\n{prompt}\n\n대답 A:\n{first}\n\n대답 B:\n{second}",
}


def _turns(turns: Sequence[Mapping[str, str]] | None) -> tuple[str, str | None]:
    """The conversation before the last assistant turn, and that turn."""
    talk = list(turns or ())
    answer = talk.pop()["content"] if talk and talk[-1]["role"] == "assistant" else None
    if len(talk) == 1:
        return talk[0]["content"], answer
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in talk), answer


def _values(row: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, str | None]:
    """What the names stand for in a row; ``text`` falls back to the conversation."""
    prompt, answer = _turns(row["messages"])
    values: dict[str, str | None] = {
        "text": row["text"] if row["text"] is not None else (prompt or None),
        "prompt": prompt or row["text"],
        "answer": answer,
        "first": answer,
        "second": _turns(row["rejected"])[1],
        "conversation": "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in row["messages"] or ()) or None,
        "label": row["label"],
    }
    rest = set(wanted) - values.keys()
    if rest:
        fields = json.loads(row["fields"]) if row["fields"] else {}
        for name in rest & fields.keys():
            value = fields[name]
            values[name] = value if isinstance(value, str) or value is None else json.dumps(value, ensure_ascii=False)
    return values


def flipped(example_id: str, vote: int) -> bool:
    """Whether a preference vote sees its two answers in the other order: every second one, begun by the row's id."""
    return (int(example_id[-2:], 16) if re.fullmatch("[0-9a-f]{2}", example_id[-2:]) else len(example_id)) % 2 != (
        vote % 2
    )


def shown(table: pa.Table, labeller: Labeller) -> Iterator[tuple[str | None, str | None]]:
    """For every row the text that is shown, and for a preference the text with the answers in the other order.

    Yields:
        ``(text, flipped text)``; None where the row has nothing to show.

    Raises:
        StepError: The labeller names a column that no row has.
    """
    is_pair = labeller.kind == "preference"
    frame = labeller.input or (_PAIR.get(labeller.language, _PAIR["en"]) if is_pair else "{text}")
    wanted = _NAME.findall(frame)
    found: set[str] = set()
    known: set[str] = set()
    for batch in table.select(COLUMNS).to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            values = _values(row, wanted)
            found.update(values)
            if set(wanted) - values.keys():
                known.update(json.loads(row["fields"]) if row["fields"] else {})
            if any(not (values.get(name) or "").strip() for name in wanted):
                yield None, None
                continue
            yield (
                _filled(frame, values),
                (_filled(frame, {**values, "first": values["second"], "second": values["first"]}) if is_pair else None),
            )
    if table.num_rows and (missing := set(wanted) - found):
        name = sorted(missing)[0]
        raise StepError(
            f"the labeller '{labeller.name}' shows '{{{name}}}', and no row has such a column",
            hint=suggest(name, sorted(found | known)),
        )


def _filled(frame: str, values: Mapping[str, str | None]) -> str:
    # One pass: braces inside a row's own text are text.
    return _NAME.sub(lambda match: values[match[1]] or "", frame)


def gold_value(labeller: Labeller, value: Any, source: str | None = None) -> str | None:
    """What a person wrote, in the form that votes are compared by; None for an empty cell.

    Args:
        labeller: Whose options they are.
        value: A cell: an option; several separated by ``;`` or as JSON; spans as JSON, with offsets or quoted.
        source: The row's text, for quoted spans.

    Raises:
        ValueError: It is none of the options, or not what the kind needs. The message names the value.
    """
    from datakit.labelling.answers import judge

    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    raw = value
    if labeller.kind in ("multilabel", "spans") and isinstance(value, str):
        text = value.strip()
        raw = _cell(text) if text[:1] in "[{" else [part.strip() for part in re.split(r"[;,|]", text) if part]
    judged = judge(labeller, raw, source)
    if judged.status != "ok":
        raise ValueError(f"'{value}' is none of: {', '.join(labeller.votes) or 'an answer'}")
    return judged.value


def _cell(text: str) -> Any:
    """JSON in a cell; spans in the form of votes (start, end, option) become ones with names."""
    value = json.loads(text)
    if isinstance(value, list) and value and all(isinstance(one, list) and len(one) == 3 for one in value):
        return [{"start": start, "end": end, "label": name} for start, end, name in value]
    return value
