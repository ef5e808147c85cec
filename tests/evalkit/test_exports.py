"""What the package offers, and that asking for it loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

import evalkit

LATER = {"Session": "evalkit.evaluate", "load_suite": "evalkit.suite", "data_task": "evalkit.owntask"}
LATER |= {"export_items": "evalkit.items"}


@pytest.mark.parametrize("name", evalkit.__all__)
def test_every_public_name_exists(name):
    if find_spec(LATER.get(name, "evalkit")) is None:
        pytest.skip(f"{LATER[name]} is not built in this checkout")
    assert getattr(evalkit, name) is not None


def test_functions_are_not_hidden_by_their_modules():
    import evalkit.compare
    import evalkit.gate
    import evalkit.paired

    assert all(callable(function) for function in (evalkit.compare, evalkit.gate, evalkit.paired))


def test_importing_loads_nothing_heavy():
    code = "import sys, evalkit; print(*{'torch', 'numpy', 'scipy', 'pyarrow', 'transformers'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = evalkit.nothing
