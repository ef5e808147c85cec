"""QLoRA with the real bitsandbytes, in an environment of its own: LoRA over the base that four bits leave."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

SCRIPT = """
import json, sys
from pathlib import Path

import bitsandbytes.functional as bits
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from train import Arm, fit
from train.adapters.qlora import Qlora

torch.set_num_threads(1)
model, data, work, way = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
arm = {"steps": 8, "batch_size": 4, "learning_rate": 5e-3, "rank": 4, "precision": "float32"}
if way == "rounded":  # the same base with every linear layer rounded to four bits and back, trained by plain LoRA
    plain = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    for name, part in plain.named_modules():
        if isinstance(part, torch.nn.Linear) and name != "lm_head":
            packed, state = bits.quantize_4bit(part.weight.data, quant_type="nf4", compress_statistics=True)
            part.weight.data = bits.dequantize_4bit(packed, state)
    model = work / "base"
    plain.save_pretrained(model)
    AutoTokenizer.from_pretrained(sys.argv[1]).save_pretrained(model)
adapter = "qlora" if way == "qlora" else "lora"
result = fit(Arm(adapter=adapter, **arm), model=model, data=data, output=work / way)
losses = [entry["loss"] for entry in result.history if "loss" in entry]
print("FOUND", json.dumps(losses))
"""


def losses(way: str, model: Path, data: Path, work: Path) -> list[float]:
    peers = Path(os.environ.get("DATAKIT_PEERS") or ROOT / ".cache" / "peers").absolute()
    python = peers / "bitsandbytes" / "bin" / "python"
    if not python.exists():
        pytest.skip("bitsandbytes is not installed: .ci/peer bitsandbytes")
    paths, arguments = (
        [str(ROOT), str(Path(pytest.__file__).parents[1])],
        ["run", str(model), str(data), str(work), way],
    )
    call = [python, "-c", f"import sys; sys.path += {paths}; sys.argv = {arguments}\n{SCRIPT}"]
    told = subprocess.run(call, capture_output=True, text=True, check=False, cwd=work)
    assert told.returncode == 0, told.stderr[-3000:]
    (line,) = [line for line in told.stdout.splitlines() if line.startswith("FOUND ")]
    found: list[float] = json.loads(line.removeprefix("FOUND "))
    return found


@pytest.mark.slow
def test_it_is_lora_over_the_base_that_four_bits_leave(model_folder: Path, dataset, tmp_path: Path) -> None:
    """Equal to LoRA over the rounded base at every step, gradients through four bits included; not over the base."""
    data = dataset()
    quantised, rounded, whole = (losses(way, model_folder, data, tmp_path) for way in ("qlora", "rounded", "whole"))
    assert quantised == pytest.approx(rounded, rel=2e-3)
    assert abs(quantised[0] - whole[0]) > 5 * abs(quantised[0] - rounded[0])
    assert quantised[-1] < quantised[0] - 0.1
