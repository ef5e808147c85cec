"""The base install has no torch: curation and help work where the libraries of the extras cannot be imported."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from datakit.cli.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What `pip install .` does not bring: everything only an extra asks for, and what those bring in turn.
ABSENT = (
    *("torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers", "lm_eval", "evaluate"),
    *("presidio_analyzer", "spacy", "tldextract", "phonenumbers", "openai", "ray", "trl", "statsmodels", "hypothesis"),
)

BLOCK = f"""
import sys
class Absent:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent)
"""


def without_extras(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", BLOCK + code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run(folder: Path, *arguments: str) -> str:
    code = f"from datakit.cli import main\nmain({list(arguments)!r})"
    return without_extras(f"sys.path.insert(0, {str(ROOT)!r})\n{code}", folder)


def test_the_block_blocks(tmp_path: Path) -> None:
    code = "try:\n    import torch.nn\nexcept ModuleNotFoundError as error:\n    print(error.name)"
    assert without_extras(code, tmp_path).strip() in ("torch", "torch.nn")


@pytest.mark.parametrize("name", ["datakit", "datakit.core.chat", "datakit.core.example", "evalkit", "train"])
def test_import(name: str, tmp_path: Path) -> None:
    without_extras(f"sys.path.insert(0, {str(ROOT)!r})\nimport {name}", tmp_path)


@pytest.mark.parametrize("room", ["sources", "templates", "filters", "dedup", "mixing", "export", "build", "recipe"])
def test_import_of_a_curation_room(room: str, tmp_path: Path) -> None:
    if not ((ROOT / "datakit" / room).is_dir() or (ROOT / "datakit" / f"{room}.py").exists()):
        pytest.skip(f"datakit.{room} is not there yet")
    without_extras(f"sys.path.insert(0, {str(ROOT)!r})\nimport datakit.{room}", tmp_path)


def test_first_page(tmp_path: Path) -> None:
    assert "Whole loop" in run(tmp_path, "--help")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command: str, tmp_path: Path) -> None:
    """Also of those that need an extra to run: help is where a person learns that."""
    if not (ROOT / "datakit" / "cli" / f"{COMMANDS[command].module}.py").exists():
        pytest.skip(f"datakit/cli/{COMMANDS[command].module}.py is not there yet")
    assert "Usage:" in run(tmp_path, command, "--help")


# Libraries that come with a declared one and cannot be had without it.
BROUGHT = {
    "huggingface_hub": "datasets",
    "yaml": "datasets",
    "tokenizers": "transformers",
    "tldextract": "presidio_analyzer",
    "phonenumbers": "presidio_analyzer",
    "regex": "presidio_analyzer",
}
MODULE_NAMES = {"ruamel.yaml": "ruamel"}


def modules(requirements: list[str]) -> set[str]:
    """Import names of pip requirements."""
    names = {re.split(r"[<>=\[;~! ]", line, maxsplit=1)[0].lower().replace("-", "_") for line in requirements}
    return {MODULE_NAMES.get(name, name) for name in names}


def declared() -> set[str]:
    """Import names of everything pyproject names, extras included."""
    return modules(
        [*PROJECT["dependencies"], *itertools.chain.from_iterable(PROJECT["optional-dependencies"].values())]
    )


def imported(path: Path) -> set[str]:
    """Top-level names a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_every_library_that_is_imported_is_declared() -> None:
    known = {*declared(), *sys.stdlib_module_names, "datakit", "train", "evalkit"}
    paths = [path for package in ("datakit", "train", "evalkit") for path in (ROOT / package).rglob("*.py")]
    unknown = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in paths
        for name in imported(path)
        if BROUGHT.get(name, name) not in known
    }
    assert not unknown


def test_every_base_dependency_is_used() -> None:
    paths = [path for package in ("datakit", "train", "evalkit") for path in (ROOT / package).rglob("*.py")]
    used = set().union(*(imported(path) for path in paths))
    names = {
        re.split(r"[<>=\[;~! ]", line, maxsplit=1)[0].lower().replace("-", "_") for line in PROJECT["dependencies"]
    }
    unused = {name for name in names if MODULE_NAMES.get(name, name) not in used}
    assert not unused
