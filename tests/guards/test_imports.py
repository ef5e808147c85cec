"""Who may import whom, read from the source itself; ``make check`` holds the same through import-linter."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("datakit", "train", "evalkit")
HEAVY = {
    "torch",
    "transformers",
    "datasets",
    "peft",
    "presidio_analyzer",
    "spacy",
    "lm_eval",
    "ray",
    "numba",
    "scipy",
    "trl",
}
# Classes of lm-eval and torch are derived from; numba decorates kernels; they are imported in functions.
KERNELS = {
    "datakit.core.jit",
    "datakit.text.compiled",
    "datakit.dedup.compiled",
    "datakit.dedup.crowd",
    "train.fused.kernels",
}
DERIVED = {
    *(f"evalkit.models.{name}" for name in ("hf", "masked", "mock", "resuming")),
    "datakit.core.reft",
    "evalkit.doctask",
    "evalkit.rowstask",
    "evalkit.thinkingtask",
    "train.fused.functions",
    "train.fused.grouping",
    "train.fused.layer",
    "train.fused.loops",
    *KERNELS,
}
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imported(path: Path, *, only_at_import: bool) -> set[str]:
    """Full names of imported modules; with ``only_at_import`` those that importing the file imports."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        deferred = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
            isinstance(node, ast.stmt) and is_type_checking(node)
        )
        if not (only_at_import and deferred):
            for child in ast.iter_child_nodes(node):
                visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def breaks(module: str, target: str) -> bool:
    """Whether ``module`` may not import ``target``."""

    def inside(name: str, *rooms: str) -> bool:
        return any(name == room or name.startswith(room + ".") for room in rooms)

    if inside(module, "train", "evalkit"):
        other = "evalkit" if inside(module, "train") else "train"
        return inside(target, other) or (inside(target, "datakit") and not inside(target, "datakit.core"))
    if inside(module, "datakit.core"):
        return inside(target, *PACKAGES) and not inside(target, "datakit.core")
    return inside(target, "train", "evalkit") and not inside(module, "datakit.cli", "datakit.experiment")


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_direction(path: Path) -> None:
    wrong = {target for target in imported(path, only_at_import=False) if breaks(name_of(path), target)}
    assert not wrong


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_heavy_libraries_are_imported_inside_functions(path: Path) -> None:
    targets = imported(path, only_at_import=True)
    wrong = {target for target in targets if target in DERIVED or target.rpartition(".")[0] in DERIVED}
    if name_of(path) in DERIVED:  # they are loaded where heavy libraries may be, and derive from one another
        own = {"evalkit.doctask", "train.fused", "train.fused.loops", *(KERNELS if name_of(path) in KERNELS else ())}
        wrong = {target for target in wrong if target.rpartition(".")[0] not in own}
    if name_of(path) not in DERIVED:
        wrong |= {target for target in targets if target.split(".")[0] in HEAVY}
    assert not wrong


CORE = [path for path in SOURCES if name_of(path).startswith("datakit.core.") and name_of(path) not in DERIVED]


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_core_stands_on_little(path: Path) -> None:
    allowed = {*sys.stdlib_module_names, "pyarrow", "pydantic", "datakit"}
    found = {target.split(".")[0] for target in imported(path, only_at_import=True)}
    assert found <= allowed


def test_the_rules_can_fail() -> None:
    assert breaks("train.loop", "datakit.build")
    assert breaks("train.loop", "evalkit.log")
    assert breaks("datakit.core.chat", "datakit.text.kernel")
    assert breaks("datakit.dedup.minhash", "train")
    assert not breaks("train.loop", "datakit.core.storage.write_json")
    assert not breaks("datakit.experiment.run", "train.fit")
