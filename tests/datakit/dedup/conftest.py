from __future__ import annotations

import importlib.util
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"dedup_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def truth() -> ModuleType:
    return _load("truth")


@pytest.fixture(scope="session")
def edited_texts() -> Callable[[int, int], list[str]]:
    """Texts of which many are edited copies of earlier ones: a word changed, dropped, added, two swapped, cased."""

    def make(count: int, seed: int) -> list[str]:
        rng = random.Random(seed)
        vocabulary = [f"word{i}" for i in range(2000)]
        texts: list[str] = []
        while len(texts) < count:
            if texts and rng.random() < 0.6:
                units = rng.choice(texts).split()
                for _ in range(rng.choice([0, 1, 1, 1, 2, 3, 6])):
                    at = rng.randrange(len(units))
                    edit = rng.choice(["change", "drop", "add", "case"])
                    if edit == "change":
                        units[at] = rng.choice(vocabulary)
                    elif edit == "drop" and len(units) > 1:
                        del units[at]
                    elif edit == "add":
                        units.insert(at, rng.choice(vocabulary))
                    else:
                        units[at] = units[at].upper()
                texts.append(" ".join(units))
            else:
                texts.append(" ".join(rng.choices(vocabulary, k=rng.choice([1, 3, 5, 8, 20, 40, 80, 150]))))
        return texts

    return make


@pytest.fixture(scope="session")
def real_data() -> Path:
    named = os.environ.get("DATAKIT_REAL_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[4] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real data: set DATAKIT_REAL_DATA")
    return folder


@pytest.fixture(scope="module", params=["plain", "compiled"], autouse=True)
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every test twice: small inputs without the compiled kernels, and all inputs with them."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "compiled":
            patch.setattr("datakit.text.plain.MAX_TEXTS", -1)
        yield request.param
