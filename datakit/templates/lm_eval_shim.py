"""Lets lm-eval's ``use_prompt: promptsource:...`` work without promptsource, which current Pythons cannot install.

lm-eval imports ``DatasetTemplates`` from ``promptsource.templates``; inside :func:`promptsource_for_lm_eval` that
module is ours. Templates render as there, truncation included, in the same sandbox as everywhere else.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from datakit.core.hashing import json_digest
from datakit.templates.choose import row_seed
from datakit.templates.promptsource import read_dataset
from datakit.templates.template import Template

__all__ = ["DatasetTemplates", "promptsource_for_lm_eval"]

_TRUNCATED = " | string | truncate(2048) }}"


class _Prompt:
    """One template with the methods that lm-eval calls."""

    def __init__(self, template: Template) -> None:
        self.name = template.name
        self.metadata = template.metadata
        self._template = template
        jinja = str(template.jinja).replace("}}", _TRUNCATED)
        body = {**template.body, "jinja": jinja}
        self._truncated = Template(name=template.name, format="promptsource", body=body, origin=template.origin)

    def apply(self, example: Mapping[str, Any], truncate: bool = True) -> list[str]:
        """Prompt and answer; values are cut at 2,048 characters as promptsource does by default."""
        template = self._truncated if truncate else self._template
        return template.apply(example, seed=self._seed(example))

    def get_answer_choices_list(self, example: Mapping[str, Any]) -> list[str] | None:
        """The answers to choose from."""
        return self._template.get_answer_choices_list(example, seed=self._seed(example))

    def _seed(self, example: Mapping[str, Any]) -> int:
        # lm-eval renders an item once for its prompt and once for its answer: both must draw the same.
        return row_seed(0, json_digest(dict(example)), self.name)


class DatasetTemplates:
    """Promptsource's class of this name, as far as lm-eval uses it.

    Args:
        dataset_name: ``glue``.
        subset_name: ``mrpc``.

    Raises:
        TemplateError: Not installed, or no such dataset.
    """

    def __init__(self, dataset_name: str, subset_name: str | None = None) -> None:
        found = read_dataset(dataset_name if subset_name is None else f"{dataset_name}/{subset_name}")
        self._prompts = {template.name: _Prompt(template) for template in found.values()}

    @property
    def all_template_names(self) -> list[str]:
        """Names, sorted."""
        return sorted(self._prompts)

    def __getitem__(self, name: str) -> _Prompt:
        return self._prompts[name]

    def __len__(self) -> int:
        return len(self._prompts)


@contextlib.contextmanager
def promptsource_for_lm_eval() -> Iterator[None]:
    """Inside the block ``from promptsource.templates import DatasetTemplates`` gives ours."""
    names = ("promptsource", "promptsource.templates")
    before = {name: sys.modules.get(name) for name in names}
    for name in names:
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        sys.modules[name] = module
    sys.modules[names[1]].__dict__["DatasetTemplates"] = DatasetTemplates
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = old
