from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import datakit

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

PACKAGES = [
    "datakit.build",
    "datakit.cache",
    "datakit.export",
    "datakit.filters",
    "datakit.folder",
    "datakit.ledger",
    "datakit.mixing",
    "datakit.recipe",
    "datakit.sources",
]


@pytest.mark.parametrize("name", PACKAGES)
def test_all_names_exist_and_are_sorted(name):
    module = importlib.import_module(name)
    assert [entry for entry in module.__all__ if not hasattr(module, entry)] == []
    assert len(set(module.__all__)) == len(module.__all__)


def test_the_three_functions_for_scripts():
    assert set(datakit.__all__) == {"read", "build", "run"}
    assert callable(datakit.read)
    assert callable(datakit.build)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        datakit.nonsense  # noqa: B018


def test_importing_the_core_loads_nothing_heavy():
    code = (
        "import sys, datakit, datakit.core.errors, datakit.recipe\n"
        "print([name for name in ('torch', 'transformers', 'datasets', 'pandas', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_for_libraries(tmp_path):
    lines = [json.dumps({"text": f"a sentence with number {n % 90}"}) for n in range(100)] + ['{"text": "no"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    command = [sys.executable, str(ROOT / "examples" / "curate.py"), "a.jsonl", "out"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, cwd=tmp_path, check=True)
    assert "101 rows read, 90 kept" in done.stdout
    assert "train 63, validation 9, test 18" in done.stdout
    assert datakit.read(tmp_path / "out").num_rows == 90
    assert len((ROOT / "examples" / "curate.py").read_text().splitlines()) <= 36
