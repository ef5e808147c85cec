"""Whether a cell is done already: by its key, its weights and a manifest that can be read."""

from __future__ import annotations

import json
from pathlib import Path

from datakit.experiment.cell_key import CellKey, complete_note, difference, is_trained, note_trained


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


def test_a_note_from_before_gets_its_parts(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    (tmp_path / "train.json").write_text('{"format": 1}')
    key = CellKey({"arm": {"rank": 2}}, {"seed": 0})
    note_trained(tmp_path, key, grid=[1])
    note = json.loads((tmp_path / "cell.json").read_text())
    (tmp_path / "cell.json").write_text(json.dumps({name: note[name] for name in ("format", "key", "weights", "grid")}))
    assert is_trained(tmp_path, key)
    other = CellKey({"arm": {"rank": 4}})
    assert difference(tmp_path, other) == "trained with other settings, data or base than the recipe has now"
    complete_note(tmp_path, key)
    assert json.loads((tmp_path / "cell.json").read_text()) == note
    assert difference(tmp_path, other) == "arm.rank was 2 and is 4"
    (tmp_path / "cell.json").write_text(json.dumps({**note, "parts": "hello"}))
    assert difference(tmp_path, other) == "trained with other settings, data or base than the recipe has now"
