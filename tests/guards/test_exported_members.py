"""``__all__`` of every public module: every name is there, sorted, and nothing public is left out."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("datakit", "train", "evalkit")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


PATHS = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if not any(part.startswith("_") and part != "__init__.py" for part in path.parts)
)


def defined(tree: ast.Module) -> set[str]:
    """Public functions and classes that a module itself defines, and its public assignments."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
    return {name for name in names if not name.startswith("_")}


def declared(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "__all__":
            value = ast.literal_eval(node.value)  # type: ignore[union-attr]
            return list(value)
    return None


def order(name: str) -> tuple[int, str]:
    """Constants, classes, functions: the order ruff's RUF022 keeps."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_all(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = declared(tree)
    public = defined(tree)
    if names is None:
        assert not public, f"{path.name} defines {sorted(public)} and has no __all__"
        return
    assert names == sorted(names, key=order), "not in order"
    assert len(names) == len(set(names))
    assert public <= set(names), f"public and not in __all__: {sorted(public - set(names))}"
    module = importlib.import_module(name_of(path))
    for name in names:
        assert hasattr(module, name), f"__all__ names {name}, which is not there"


@pytest.mark.parametrize("package", PACKAGES)
def test_star_import(package: str) -> None:
    """What the package itself offers can be had by name, lazily or not."""
    module = importlib.import_module(package)
    for name in getattr(module, "__all__", []):
        assert getattr(module, name) is not None
        assert name in dir(module)
