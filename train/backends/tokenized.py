"""Token rows as a folder that ``datasets.load_from_disk`` reads, written without that library."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.storage import storage_errors, write_text

if TYPE_CHECKING:
    import pyarrow as pa

    from train.masking import Row

__all__ = ["write_tokenized"]

_FILE = "data-00000-of-00001.arrow"
_AT_ONCE = 1000


def write_tokenized(folder: Path, splits: dict[str, Iterable[Row]]) -> None:
    """Writes ``input_ids``, ``attention_mask`` and ``labels`` of some splits.

    The types are left to the Arrow file: how ``datasets`` names them has changed between its versions.

    Args:
        folder: Not there yet.
        splits: Rows by the split's name.
    """
    for split, rows in splits.items():
        place = folder / split
        place.mkdir(parents=True)
        _write(place / _FILE, rows)
        state: dict[str, Any] = {"_data_files": [{"filename": _FILE}], "_fingerprint": "datakit", "_split": split}
        state |= {"_format_columns": None, "_format_kwargs": {}, "_format_type": None, "_output_all_columns": False}
        write_text(place / "state.json", json.dumps(state))
        write_text(place / "dataset_info.json", "{}")
    write_text(folder / "dataset_dict.json", json.dumps({"splits": list(splits)}))


def _write(path: Path, rows: Iterable[Row]) -> None:
    import pyarrow as pa

    lists = pa.list_(pa.int64())
    schema = pa.schema([("input_ids", lists), ("attention_mask", pa.list_(pa.int8())), ("labels", lists)])
    with storage_errors(path), pa.OSFile(str(path), "wb") as stream, pa.ipc.new_stream(stream, schema) as writer:
        held: list[Row] = []
        for row in rows:
            held.append(row)
            if len(held) == _AT_ONCE:
                writer.write_batch(_batch(held, schema))
                held = []
        if held:
            writer.write_batch(_batch(held, schema))


def _batch(rows: list[Row], schema: pa.Schema) -> pa.RecordBatch:
    import numpy as np
    import pyarrow as pa

    columns = {
        "input_ids": [row.ids for row in rows],
        "attention_mask": [np.ones(len(row.ids), dtype=np.int8) for row in rows],
        "labels": [np.where(row.trained, row.ids, -100) for row in rows],
    }
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in schema], schema=schema)
