"""A stub server, rows, and a labeller for all tests of the room; the cache of answers is a folder of the test's own."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from reviews import RECIPE, judge
from stub import Stub

from datakit.core.example import Example, to_table
from datakit.core.step import StepContext
from datakit.labelling.labeller import Labeller
from datakit.labelling.models import ModelSpec
from datakit.labelling.plan import prepare
from datakit.labelling.prices import Price, read_prices
from datakit.labelling.run import execute
from datakit.labelling.spending import Limits
from datakit.labelling.step import LabelStep
from datakit.labelling.store import AnswerStore

FREE = Price(input=0, output=0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnswerStore]:
    with AnswerStore(tmp_path / "answers.sqlite") as found:
        yield found


@pytest.fixture
def spam() -> Labeller:
    return Labeller(name="spam", kind="classify", instruction="Is it spam?", options=["ham", "spam"])


def rows(count: int, text: str = "row {}", **columns):
    """Examples ``row 0``, ``row 1``, ..."""
    return to_table(
        Example(id=f"{n:032x}", group=f"{n:032x}", source="s", origin=f"f.csv:{n}", text=text.format(n), **columns)
        for n in range(count)
    )


@pytest.fixture
def ask(stub, store, spam):
    """Labels a table at the stub; returns the plan and what it took."""

    def ask(
        table,
        labeller=spam,
        *,
        budget=None,
        redact=None,
        progress=None,
        attempts=10,
        backoff=0.02,
        patience=0.2,
        **spec,
    ):
        spec = {"timeout": 5, **spec}
        models = [ModelSpec(**{"model": "stub", "server": stub.url, **spec})]
        plan = prepare(table, labeller, models, store=store, prices=read_prices(), redact=redact)
        limits = Limits("job", budget, attempts=attempts, backoff=backoff, patience=patience)
        return plan, execute(plan, store, limits, progress=progress)

    return ask


@pytest.fixture
def labelled(stub, tmp_path):
    """Runs the label step at the stub into a run's private folder; returns output and step."""

    def labelled(table, context=None, **params):
        models = params.pop("models", [{"model": "stub", "server": stub.url, "timeout": 5}])
        params = {"use": "sentiment", "redact": False, "models": models, **params}
        made = LabelStep(LabelStep.Params(**params), context or StepContext(private=tmp_path / "run" / "private"))
        output = made.apply(table)
        output.balance("label", table.num_rows)
        return output, made

    return labelled


@pytest.fixture
def project(tmp_path, stub):
    stub.answer = judge
    with (tmp_path / "reviews.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "truth"])
        for n in range(120):
            truth = "" if n >= 40 else "negative" if n % 2 == 0 or n == 1 else "positive"
            writer.writerow([f"a {'bad' if n % 2 == 0 else 'good'} film, number {n}", truth])

    def write(extra="gold: truth"):
        (tmp_path / "reviews.yaml").write_text(RECIPE.format(url=stub.url, extra=extra))
        return tmp_path / "reviews.yaml"

    return write
