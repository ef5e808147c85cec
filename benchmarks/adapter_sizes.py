"""What each adapter trains and what it takes on disk, beside a full copy: the pocket model, default settings.

    python benchmarks/adapter_sizes.py

One step is trained, since neither figure depends on what is learnt. Sizes are those of the safetensors files.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from datakit.core.example import Example, Message, to_table  # noqa: E402
from datakit.core.storage import read_json, write_json, write_table  # noqa: E402
from datakit.pocket import model_path  # noqa: E402
from train import Arm, fit  # noqa: E402

ARMS = {
    "full": {},
    "lora": {},
    "rslora": {},
    "dora": {},
    "osf": {},
    "loreft": {},
    "direft": {},
    "peft:ia3": {},
    "peft:vera": {"options": {"target_modules": "all-linear"}},
    "peft:loha": {"options": {"target_modules": "all-linear"}},
    "peft:prompt_tuning": {"options": {"num_virtual_tokens": 8}},
}


def main() -> None:
    """Trains one step with each and writes benchmarks/results/adapter_sizes.json."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        data, out = Path(name) / "train.parquet", Path(name) / "out"
        turns = (Message("user", "which colour has grass?"), Message("assistant", "green"))
        example = Example(id="1", group="1", source="s", origin="s:1", messages=turns)
        write_table(data, to_table([example]))
        for adapter, settings in ARMS.items():
            arm = Arm(adapter=adapter, learning_rate=1e-2, steps=1, **settings)
            fit(arm, model=model_path(), data=data, output=out)
            record = read_json(out / "train.json")
            facts = {key: record[key] for key in ("trainable_parameters", "bytes", "full_copy_bytes")}
            rows.append({"adapter": adapter, **settings, **facts})
    facts = {
        "command": "python benchmarks/adapter_sizes.py",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("torch", "peft")}},
        "adapters": rows,
    }
    write_json(ROOT / "benchmarks" / "results" / "adapter_sizes.json", facts, format=1)


if __name__ == "__main__":
    main()
