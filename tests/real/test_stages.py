"""A sequence of real tasks on a real pretrained model: examples/stages_o_lora.yaml with few rows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from datakit.core.storage import read_json
from datakit.experiment.run import run
from evalkit.sequences import sequence

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.real
def test_three_tasks_of_the_o_lora_benchmark(tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAKIT_REAL_DATA", str(real_data))
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path / "cache"))
    text = (ROOT / "examples" / "stages_o_lora.yaml").read_text(encoding="utf-8")
    text = re.sub(r"(      columns: \{text: sentence)", r"      limit: 60\n\1", text)
    text = re.sub(r"^  lora:.*\n", "", text, flags=re.M)
    text = text.replace("steps: 40", "steps: 6").replace("steps: 30", "steps: 4")
    text = text.replace("examples: 400", "examples: 20").replace("stages_suite.yaml}", "stages_suite.yaml, limit: 20}")
    recipe = tmp_path / "few.yaml"
    recipe.write_text(text.replace("stages_suite.yaml", str(ROOT / "examples" / "stages_suite.yaml")), encoding="utf-8")

    folder = run(recipe, output=tmp_path / "run").folder
    (cell,) = read_json(folder / "stages.json")["cells"]
    assert cell["stages"] == ["copa", "cb", "rte"]
    assert sum(cell["items"]) == 54, "three tenths of three times sixty rows"
    assert len(cell["scores"]) == 3
    for measure in cell["measures"]:
        again = sequence(cell["scores"], convention=measure["convention"], baseline=cell["base"])
        assert (measure["forgetting"], measure["forward_transfer"]) == (again.forgetting, again.forward_transfer)
    for row, at in zip(cell["learnt"], range(3), strict=True):
        assert row["after"] == cell["scores"][at][at]
    assert "stages" in read_json(folder / "report.json")
    assert str(real_data) not in (folder / "stages.json").read_text(encoding="utf-8")
