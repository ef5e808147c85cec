"""Adapters that look at where the prompt ends, or put tokens in front: scored and asked as they were trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit import Session
from evalkit.kl import measure_kl
from evalkit.models.scoring import Scorer
from evalkit.nets import check_tuned
from evalkit.suite import load_suite

pytestmark = pytest.mark.filterwarnings("ignore:Position ids are not supported for parameter efficient tuning")


@pytest.fixture
def folders(model_folder: Path, tmp_path: Path) -> dict[str, Path]:
    import torch
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from datakit.core.reft import ReftConfig, attach, write

    made = {name: tmp_path / name for name in ("loreft", "prompt_tuning")}
    torch.manual_seed(3)
    made["loreft"].mkdir()
    config = ReftConfig("loreft", 4, (0, 1), first=2, last=2, tied=False, base_model_name_or_path=str(model_folder))
    write(attach(AutoModelForCausalLM.from_pretrained(model_folder), config), made["loreft"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        tuned = get_peft_model(
            AutoModelForCausalLM.from_pretrained(model_folder),
            PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"),
        )
    torch.nn.init.normal_(next(value for value in tuned.parameters() if value.requires_grad))
    tuned.save_pretrained(made["prompt_tuning"])
    return made


def by_hand(model: Any, context: list[int], continuation: list[int]) -> float:
    import torch

    from datakit.core.reft import prompts

    whole = [*context, *continuation]
    with torch.inference_mode(), prompts([(0, 0, len(context))]):
        scores = model(input_ids=torch.tensor([whole]), use_cache=False).logits[0, -len(whole) :].log_softmax(-1)
    return sum(float(scores[at - 1, whole[at]]) for at in range(len(context), len(whole)))


@pytest.mark.parametrize("kind", ["loreft", "prompt_tuning"])
def test_requests_that_share_a_context_are_scored_as_if_alone(kind: str, folders: dict[str, Path]) -> None:
    session = Session(Path(str(_base(folders))))
    model, _ = session.load()
    context = list(range(20, 60))
    pairs = [(context, [7, 8, 9]), (context, [11]), (context, [12]), (context[:4], [context[4], 5]), ([0], context)]
    from evalkit.models.checkpoint import with_adapter

    with with_adapter(model, folders[kind]) as tuned:
        found, _ = Scorer(tuned, device="cpu", max_length=128, batch_tokens=512).score(pairs)
        expected = [by_hand(tuned, *pair) for pair in pairs]
    assert [value for value, _ in found] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", ["loreft", "prompt_tuning"])
def test_a_suite_is_evaluated_with_it_and_the_base_stays(
    kind: str, folders: dict[str, Path], suite_file: Path, base_of: Callable[[], Any]
) -> None:
    session = Session(_base(folders))
    before = base_of()
    check_tuned(folders[kind], session.folder)
    log = session.evaluate(suite_file, adapter=folders[kind], label=kind)
    assert log.header.model_digest != before.header.model_digest
    assert log.items != before.items
    assert session.evaluate(suite_file, store=False).items == before.items
    values = measure_kl(session, load_suite(suite_file), adapter=folders[kind])["prose"].values()
    assert len(values) == 6
    assert min(values) > 1e-3


@pytest.fixture
def base_of(model_folder: Path, suite_file: Path) -> Callable[[], Any]:
    return lambda: Session(model_folder).evaluate(suite_file)


def _base(folders: dict[str, Path]) -> Path:
    from datakit.core.adapters import base_name

    return Path(base_name(folders["loreft"]))
