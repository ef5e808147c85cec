"""What a build is to do: the recipe, checked, with the settings of its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from datakit.core.errors import RecipeError
from datakit.core.step import Params
from datakit.export import CardFacts, CardSource, CardStep
from datakit.folder import own_version
from datakit.ledger import StepCount
from datakit.recipe import DataRecipe, check_steps, read_data_recipe

__all__ = ["BuildPlan", "plan_build"]


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """A build that has not begun.

    Attributes:
        recipe: The data part.
        steps: Class and parameters of each step, in order.
        folder: Where relative paths start.
        name: For the data card.
        seed: Everything random derives from it.
        offline: Nothing is fetched.
        text: The recipe file as it is written; None for a recipe made in Python.
        hub: Folder that stands in for the hub.
    """

    recipe: DataRecipe
    steps: list[tuple[Any, Params]]
    folder: Path
    name: str
    seed: int
    offline: bool
    text: str | None
    hub: Path | None = None

    def has(self, step: str) -> bool:
        """Whether a step of that name is among the steps."""
        return any(one.name == step for one, _ in self.steps)

    def card_facts(
        self,
        sources: Mapping[str, Mapping[str, Any]],
        counts: list[StepCount],
        notes: list[tuple[str, str]],
        others: Mapping[str, pa.Table],
    ) -> CardFacts:
        """What the data card says.

        Args:
            sources: Name to what was read.
            counts: Of sources and steps.
            notes: Step and what it says of itself.
            others: Name to the rows of sources that are no training rows.
        """
        recipe = self.recipe
        return CardFacts(
            name=self.name,
            sources=[
                CardSource(
                    name,
                    facts["use"],
                    [file["name"] for file in facts["files"]],
                    rows=facts["rows"],
                    private=facts["private"],
                    license=recipe.sources[name].license or recipe.license,
                )
                for name, facts in sources.items()
            ],
            steps=[CardStep(count.name, count.rows_in, count.rows_out, count.sentence()) for count in counts],
            notes=notes,
            replay={name: table.num_rows for name, table in others.items()},
            license=recipe.license,
            language=(recipe.language,) if isinstance(recipe.language, str) else recipe.language or (),
            has_pii=self.has("pii"),
            has_decontamination=self.has("decontaminate"),
            seed=self.seed,
            version=own_version(),
        )


def plan_build(
    recipe: DataRecipe | Path | str, *, seed: int | None, folder: Path | None, name: str | None, offline: bool
) -> BuildPlan:
    """Reads and checks a recipe.

    Args:
        recipe: The data part, or the path of a recipe file.
        seed: By default the first of the file's ``seeds``, else 0.
        folder: Where relative paths start; the file's folder, or the current one.
        name: For the data card; the file's ``name``.
        offline: Nothing is fetched; also set by the file's ``network: never``.

    Raises:
        RecipeError: The recipe cannot be right.
    """
    if isinstance(recipe, DataRecipe):
        return BuildPlan(recipe, check_steps(recipe), folder or Path(), name or "data", seed or 0, offline, None)
    path = Path(recipe)
    data, document = read_data_recipe(path)
    seeds = document.value.get("seeds", [0])
    if not isinstance(seeds, list) or not seeds or not all(type(item) is int for item in seeds):
        raise RecipeError("seeds is a list of whole numbers", where=document.where(["seeds"]))
    return BuildPlan(
        data,
        check_steps(data),
        folder or path.parent,
        name or str(document.value.get("name") or path.stem),
        seeds[0] if seed is None else seed,
        offline or document.value.get("network") == "never",
        path.read_text(encoding="utf-8"),
        (folder or path.parent) / str(document.value["hub"]) if document.value.get("hub") else None,
    )
