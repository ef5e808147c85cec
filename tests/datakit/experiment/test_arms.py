"""Whether a cell is done already: by its key, its weights and a manifest that can be read."""

from __future__ import annotations

import json
from pathlib import Path

from datakit.core.hashing import tree_digest
from datakit.experiment.arms import is_trained


def test_a_cell_is_done_as_long_as_nobody_touched_it(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    (tmp_path / "train.json").write_text('{"format": 1}')
    record = {"format": 1, "key": "k", "weights": tree_digest(tmp_path, ("*.safetensors",), deep=False)}
    (tmp_path / "cell.json").write_text(json.dumps(record))
    assert is_trained(tmp_path, "k")
    assert not is_trained(tmp_path, "other")
    (tmp_path / "train.json").write_text("{edited")
    assert not is_trained(tmp_path, "k")
    (tmp_path / "train.json").write_text('{"format": 1}')
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weightz")
    assert not is_trained(tmp_path, "k")
