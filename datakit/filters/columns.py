"""What the filters look at, as Arrow columns: a row's text, prompt or answer; and the rows that go, with reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import pyarrow as pa

from datakit.core.step import StepOutput, entry, ledger_table

__all__ = ["View", "drop_rows", "is_train", "view"]

View = Literal["auto", "text", "prompt", "answer", "all"]
"""``text``; ``prompt``: all turns before the answer; ``answer``: the last turn where it is the assistant's; ``all``:
every turn. ``auto`` is all turns of a conversation and the text of a row without one."""


def view(table: pa.Table, on: View) -> pa.Array:
    """One string per row, null where the row has no such part. Turns are joined by newlines."""
    import pyarrow.compute as pc

    text = table.column("text").combine_chunks()
    if on == "text":
        return text
    messages = table.column("messages").combine_chunks()
    made = _turns(messages, on)
    return pc.coalesce(made, text) if on == "auto" else made


def _turns(messages: pa.Array, on: View) -> pa.Array:
    import numpy as np
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(messages), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    ends = np.cumsum(lengths)
    turns = messages.flatten()
    roles, contents = turns.field("role"), pc.fill_null(turns.field("content"), "")
    last = np.maximum(ends - 1, 0)
    answered = lengths > 0
    if len(turns):
        is_answer = pc.equal(roles, "assistant").to_numpy(zero_copy_only=False).astype(bool)
        answered = answered & is_answer[np.minimum(last, len(turns) - 1)]
    if on == "answer":
        return contents.take(pa.array(last, mask=~answered)) if len(turns) else pa.nulls(len(lengths), pa.string())
    keep = np.ones(len(turns), bool)
    if on == "prompt":
        keep[last[answered]] = False
        lengths = lengths - answered
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), contents.filter(pa.array(keep)))
    joined = pc.binary_join(lists, "\n")
    return pc.if_else(pa.array(lengths > 0), joined, pa.scalar(None, pa.string()))


def is_train(table: pa.Table) -> Any:
    """Mask of the rows of the training side; all of them where nothing was split."""
    import numpy as np
    import pyarrow.compute as pc

    if "split" not in table.column_names:
        return np.ones(table.num_rows, bool)
    return pc.equal(table.column("split"), "train").to_numpy().astype(bool)


def drop_rows(
    step: str, table: pa.Table, reasons: Mapping[int, str], evidence: Callable[[int], Mapping[str, Any]]
) -> StepOutput:
    """The rows without a reason, and the ledger of the others.

    Args:
        step: Its name.
        table: All rows.
        reasons: Position of a row that goes to its slug.
        evidence: Measured values of the row at a position.
    """
    import numpy as np

    gone = sorted(reasons)
    keep = np.ones(table.num_rows, bool)
    keep[gone] = False
    ids = table.column("id").take(pa.array(gone, pa.int64())).to_pylist()
    lines = [
        entry(step, id, "dropped", reasons[row], evidence=evidence(row)) for id, row in zip(ids, gone, strict=True)
    ]
    return StepOutput(table.filter(pa.array(keep)), ledger_table(lines))
