"""Task configurations of lm-eval written by users: read safely, with their data files found and read by us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datakit.core.hashing import file_digest
from datakit.core.variables import expand
from datakit.core.yaml import load_yaml
from evalkit.docs import FORMATS, Docs, read_docs
from evalkit.errors import EvalError
from evalkit.source import Setup, docs_digest

__all__ = ["ConfigSource", "read_config", "with_includes"]

#: Keys of lm-eval that name code; only lm-eval's own task files may have them.
_CODE = ("class", "custom_dataset", "process_docs", "process_results", "unsafe_code")


def read_config(path: Path) -> dict[str, Any]:
    """Reads a task file with its ``include`` files.

    Raises:
        EvalError: It is no mapping, or includes itself.
        RecipeError: Missing or not valid YAML; tags such as ``!function`` are refused.
    """
    return _read(path, ())


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    document = load_yaml(path)
    if not isinstance(document.value, dict):
        raise EvalError("a task file is a mapping of lm-eval's task keys", where=path)
    if path.resolve() in seen:
        raise EvalError("includes itself", where=path)
    return with_includes(document.value, path.parent, (*seen, path.resolve()))


def with_includes(config: Mapping[str, Any], folder: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The configuration over those of its ``include`` files; its own keys win."""
    own = dict(config)
    names = own.pop("include", None) or []
    merged: dict[str, Any] = {}
    for name in names if isinstance(names, list) else [names]:
        merged |= _read(folder / str(name), seen)
    return merged | own


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """A user's task.

    Attributes:
        name: Its ``task`` key.
        config: lm-eval's task keys without those about data files.
        kind: Data format, None where lm-eval loads a dataset by name.
        files: Split to files.
        options: Other keys of ``dataset_kwargs``.
        where: For errors.
    """

    name: str
    config: Mapping[str, Any]
    kind: str | None
    files: Mapping[str, tuple[Path, ...]]
    options: Mapping[str, Any]
    where: str

    rendered = False

    @classmethod
    def make(cls, config: Mapping[str, Any], *, folder: Path, where: str) -> ConfigSource:
        """Checks a configuration and finds its files.

        Args:
            config: lm-eval's task keys.
            folder: Relative paths start here.
            where: For errors.

        Raises:
            EvalError: A key that lm-eval does not know, a key that names code, a data file that is missing.
        """
        plain = {key: value for key, value in config.items() if key not in ("tag", "task_alias")}
        for key in _CODE:
            if plain.get(key):
                raise EvalError(f"'{key}' names code, which a task file may not", where=where)
        if not isinstance(plain.get("task"), str):
            raise EvalError("a task needs a name: `task: my_task`", where=where)
        _check_keys(plain, where)
        options = dict(plain.pop("dataset_kwargs", None) or {})
        kind = plain.get("dataset_path")
        if kind not in FORMATS:
            return cls(plain["task"], plain | ({"dataset_kwargs": options} if options else {}), None, {}, {}, where)
        if kind == "text":
            # The obvious keys of a text corpus may be left out.
            plain = {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}"} | plain
        files = _files(options.pop("data_files", None), folder, where)
        if not {"test_split", "validation_split"} & set(plain):
            plain["test_split"] = "test" if "test" in files else next(iter(files))
        for key in ("training_split", "validation_split", "test_split", "fewshot_split"):
            if (split := plain.get(key)) is not None and split not in files:
                raise EvalError(f"{key} '{split}' has no data files; there are {sorted(files)}", where=where)
        return cls(plain["task"], plain, kind, files, options, where)

    @property
    def local(self) -> bool:
        """Whether its data are files here."""
        return self.kind is not None

    def identity(self) -> Any:
        """The configuration and the hashes of the data files' bytes."""
        config = {key: value for key, value in self.config.items() if key not in ("metadata", "task")}
        files = {split: [file_digest(path) for path in paths] for split, paths in self.files.items()}
        loaded = [] if self.local else docs_digest(self)
        parts = {"config": config, "options": dict(self.options), "files": files, "docs": loaded}
        tabs = any(".tsv" in path.suffixes for paths in self.files.values() for path in paths)
        return parts | ({"quotes": "sniffed"} if tabs else {})  # read otherwise before: kept scores are of other texts

    def build(self, setup: Setup) -> Any:
        """lm-eval's ConfigurableTask over the rows of the files."""
        from copy import deepcopy

        from lm_eval.api.task import ConfigurableTask

        config = deepcopy(dict(self.config))
        if self.kind is not None:
            config.pop("dataset_path")
            config.pop("metadata", None)
            config["custom_dataset"] = self._read
        if config.get("output_type") == "generate_until":
            config.setdefault("generation_kwargs", {"until": ["\n\n"], "do_sample": False, "max_gen_toks": 256})
        return ConfigurableTask(config=config)

    def _read(self, **_: Any) -> dict[str, Docs]:
        kind = self.kind or ""
        return {split: read_docs(kind, paths, self.options) for split, paths in self.files.items()}


def _check_keys(config: Mapping[str, Any], where: str) -> None:
    from datakit.core.registry import suggest
    from evalkit.builtin import config_keys

    known = config_keys()
    for key in config:
        if key not in known:
            raise EvalError(f"lm-eval's tasks have no key '{key}'", where=where, hint=suggest(key, known))


def _files(value: Any, folder: Path, where: str) -> dict[str, tuple[Path, ...]]:
    if not value:
        raise EvalError("dataset_kwargs.data_files is missing", where=where, hint="Name a file, a list or splits")
    splits = value if isinstance(value, dict) else {"test": value}
    found: dict[str, tuple[Path, ...]] = {}
    for split, names in splits.items():
        paths: list[Path] = []
        for name in names if isinstance(names, list) else [names]:
            pattern = folder / Path(expand(str(name), where=where)).expanduser()
            inside = pattern.resolve()
            hits = (
                [inside]
                if inside.exists()
                else sorted(Path(inside.anchor).glob(str(inside.relative_to(inside.anchor))))
            )
            if not hits:
                raise EvalError(f"no file '{pattern}'", where=where, hint=f"Relative paths start at {folder.resolve()}")
            paths += [hit.resolve() for hit in hits]
        found[str(split)] = tuple(paths)
    return found
