"""Whether a cell is done already: by its key, its weights and a manifest that can be read."""

from __future__ import annotations

from pathlib import Path

from datakit.experiment.cell_key import CellKey, is_trained, note_trained


def test_a_cell_is_done_as_long_as_nobody_touched_it(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    (tmp_path / "train.json").write_text('{"format": 1}')
    key = CellKey({"arm": "k"})
    note_trained(tmp_path, key)
    assert is_trained(tmp_path, key)
    assert not is_trained(tmp_path, CellKey({"arm": "other"}))
    (tmp_path / "train.json").write_text("{edited")
    assert not is_trained(tmp_path, key)
    (tmp_path / "train.json").write_text('{"format": 1}')
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weightz")
    assert not is_trained(tmp_path, key)
