"""A session: logs of a base and of adapters, what is stored, and every way it can go wrong."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datakit.core.chat import ChatSettings
from datakit.core.errors import DatakitError, ModelError, Unreachable
from evalkit.errors import EvalError
from evalkit.evaluate import Session
from evalkit.log import ITEMS, EvalLog
from evalkit.models.checkpoint import same_weights
from evalkit.suite import Suite, load_suite


def rows(log: EvalLog, task: str, metric: str) -> list[dict[str, Any]]:
    return [row for row in log.items.to_pylist() if row["task"] == task and row["metric"] == metric]


@pytest.fixture
def base_log(model_folder: Path, suite_file: Path) -> EvalLog:
    return Session(model_folder).evaluate(suite_file)


def test_scores_are_those_of_lm_eval(model_folder: Path, suite_file: Path, base_log: EvalLog) -> None:
    import datasets
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    from datakit.core.checkpoint import load_model, load_tokenizer
    from evalkit.taskfile import read_config

    config = read_config(suite_file.parent / "choice.yaml")
    data = datasets.Dataset.from_json(str(suite_file.parent / "choice.jsonl"), cache_dir=str(suite_file.parent / "hf"))
    config = {key: value for key, value in config.items() if not key.startswith("dataset")}
    task = ConfigurableTask(config={**config, "custom_dataset": lambda **_: {"test": data}, "num_fewshot": 0})
    model, tokenizer = load_model(model_folder, dtype="float32"), load_tokenizer(model_folder)
    reference = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=16, logits_cache=False)
    found = evaluate(reference, {"tasks": {"choice": task}}, bootstrap_iters=0)
    assert found is not None
    samples = {sample["doc_hash"]: sample for sample in found["samples"]["choice"]}
    for metric in ("acc", "acc_norm"):
        ours = rows(base_log, "choice", metric)
        assert len(ours) == len(samples) == 40
        for row in ours:
            sample = samples[row["doc_hash"]]
            assert row["score"] == sample[metric]
            assert (row["prompt_hash"], row["target_hash"]) == (sample["prompt_hash"], sample["target_hash"])
            assert row["choice_logprobs"] == pytest.approx([one[0][0] for one in sample["resps"]], abs=1e-4)
    assert 0 < sum(row["score"] for row in ours) < 40


def test_the_log_says_what_a_comparison_needs(base_log: EvalLog, tmp_path: Path) -> None:
    header = base_log.header
    assert base_log.items.schema == ITEMS
    assert {name: (task.kind, task.metric, task.higher_is_better) for name, task in header.tasks.items()} == {
        "choice": ("general", "acc", True),
        "open": ("general", "exact_match", True),
        "prose": ("drift", "nll_per_token", False),
    }
    assert header.tasks["choice"].chance == 0.3
    assert header.tasks["open"].chance == 0.0
    assert header.settings["chat"]["thinking"] is False
    assert header.settings["tasks"]["open"]["generation"]["max_gen_toks"] == 4
    assert header.recorded["dtype"] == "float32"
    primary = base_log.primary().to_pylist()
    assert len(primary) == 40 + 6 + 6
    assert len({(row["task"], row["item_id"]) for row in primary}) == len(primary)
    choice = next(row for row in primary if row["task"] == "choice")
    assert choice["n_choices"] == len(choice["choice_logprobs"])
    assert (choice["answer"] == choice["target"]) == (choice["score"] == 1)
    assert EvalLog.read(base_log.write(tmp_path / "log")).header == header


def test_drift_is_cross_entropy(base_log: EvalLog) -> None:
    for row in rows(base_log, "prose", "nll_per_token"):
        assert row["score"] == pytest.approx(-row["sum_logprob"] / row["n_tokens"])
    for row in rows(base_log, "prose", "bits_per_byte"):
        assert row["score"] == pytest.approx(-row["sum_logprob"] / row["n_bytes"] / math.log(2))
        assert row["cluster"] == row["item_id"]


def test_a_stored_result_is_returned_and_a_changed_checkpoint_is_not_taken_for_it(
    make_model: Callable[..., Path], suite_file: Path
) -> None:
    folder = make_model()
    first = Session(folder).evaluate(suite_file)
    session = Session(folder)
    again = session.evaluate(suite_file, label="again")
    assert session._loaded is None
    assert again.header.recorded["stored"] == 3
    assert again.items == first.items
    assert again.header.key == first.header.key
    moved = shutil.copytree(folder, folder.parent / "moved")
    assert Session(moved).evaluate(suite_file).header.recorded["stored"] == 3
    shutil.rmtree(folder)
    make_model(seed=1)
    other = Session(folder).evaluate(suite_file)
    assert other.header.recorded["stored"] == 0
    assert other.header.key != first.header.key
    assert other.items != first.items
    assert not same_weights(folder, moved)


def test_what_is_missing_is_computed_and_the_rest_taken(model_folder: Path, suite_file: Path) -> None:
    suite = load_suite(suite_file)
    Session(model_folder).evaluate(Suite("part", suite.tasks[:1]))
    assert Session(model_folder).evaluate(suite).header.recorded["stored"] == 1
    changed = replace(suite.tasks[0], margin=0.5, chance=0.1, description="new")
    log = Session(model_folder).evaluate(changed)
    assert log.header.recorded["stored"] == 1
    assert (log.header.tasks["choice"].margin, log.header.tasks["choice"].chance) == (0.5, 0.1)


@pytest.mark.parametrize("change", [{"limit": 3}, {"seed": 1}])
def test_settings_are_part_of_the_key(change: dict[str, int], model_folder: Path, suite_file: Path) -> None:
    Session(model_folder).evaluate(suite_file)
    log = Session(model_folder).evaluate(suite_file, **change)
    assert log.header.recorded["stored"] == 0
    if "limit" in change:
        assert len(log.primary()) == 9


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_adapters_share_the_base_and_leave_it_as_it_was(
    model_folder: Path, suite_file: Path, make_adapter: Callable[..., Path], base_log: EvalLog
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    session = Session(model_folder)
    base, _ = session.load()
    weights = {name: weight.clone() for name, weight in base.state_dict().items()}
    logs = []
    for seed in (0, 1):
        adapter = make_adapter(seed=seed)
        log = session.evaluate(suite_file, adapter=adapter, label=f"lora-{seed}")
        logs.append(log)
        assert log.header.model_digest != base_log.header.model_digest
        merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model_folder), adapter)
        folder = adapter / "merged"
        merged.merge_and_unload().save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(model_folder / name, folder / name)
        whole = Session(folder).evaluate(suite_file)
        pairs = zip(log.items.to_pylist(), whole.items.to_pylist(), strict=True)
        assert all(one["choice_logprobs"] == pytest.approx(other["choice_logprobs"], abs=1e-3) for one, other in pairs)
    assert logs[0].items != logs[1].items
    after = session.load()[0].state_dict()
    assert set(after) == set(weights)
    assert all(torch.equal(after[name], weights[name]) for name in weights)
    assert session.evaluate(suite_file, store=False).items == base_log.items


def test_an_adapter_that_changes_nothing_is_an_error(
    model_folder: Path, suite_file: Path, make_adapter: Callable[..., Path]
) -> None:
    with pytest.raises(EvalError, match="changes nothing"):
        Session(model_folder).evaluate(suite_file, adapter=make_adapter(trained=False))


def test_adapters_that_do_not_fit_are_errors(
    model_folder: Path,
    make_model: Callable[..., Path],
    suite_file: Path,
    make_adapter: Callable[..., Path],
    base_log: EvalLog,
) -> None:
    import json

    other = make_model("other", seed=5)
    adapter = make_adapter(base=other)
    with pytest.raises(EvalError, match="trained on another base"):
        Session(model_folder).evaluate(suite_file, adapter=adapter)
    config = json.loads((adapter / "adapter_config.json").read_text())
    for change, message in (({"target_modules": ["c_attn"]}, "does not fit"), ({"r": 2}, "does not fit")):
        changed = config | change | {"base_model_name_or_path": "gone"}
        (adapter / "adapter_config.json").write_text(json.dumps(changed))
        session = Session(model_folder)
        with pytest.raises(EvalError, match=message) as caught:
            session.evaluate(suite_file, adapter=adapter)
        assert "\n" not in str(caught.value)
        assert session.evaluate(suite_file, store=False).items == base_log.items
    with pytest.raises(EvalError, match="no adapter"):
        Session(model_folder).evaluate(suite_file, adapter=suite_file.parent)


def test_what_is_no_model_is_one_line(tmp_path: Path, model_folder: Path, make_adapter: Callable[..., Path]) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"empty': the folder has no config\.json"):
        Session(tmp_path / "empty")
    with pytest.raises(ModelError, match="no such folder"):
        Session(tmp_path / "gone" / "deep" / "x")
    with pytest.raises(ModelError, match="is an adapter"):
        Session(make_adapter())
    with pytest.raises(Unreachable, match="the network is off"):
        Session("nobody/nothing", offline=True)
    with pytest.raises(EvalError, match="dtype 'int8' is not one of"):
        Session(model_folder, dtype="int8")
    broken = shutil.copytree(model_folder, tmp_path / "broken")
    (broken / "config.json").write_text('{"model_type": "no_such_model"}')
    with pytest.raises(ModelError, match=r"not loadable|no usable tokenizer") as caught:
        Session(broken).load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "f1"}, "no metric 'f1'. It gives: acc, acc_norm"),
        ({"filter": "strict"}, "no filter 'strict'. It has: none"),
        ({"num_fewshot": 2}, "no split for its 2 examples"),
    ],
)
def test_metrics_and_examples_that_a_task_does_not_have(
    change: dict[str, Any], message: str, model_folder: Path, suite_file: Path
) -> None:
    task = replace(load_suite(suite_file).tasks[0], **change)
    with pytest.raises(EvalError, match=message):
        Session(model_folder).evaluate(task)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "no rows"),
        ("[1]", "list of objects"),
        ("{", "not readable as json"),
        ('{"x": 1}', "cannot make|not render"),
    ],
)
def test_unusable_data_is_one_line(data: str, message: str, model_folder: Path, suite_file: Path) -> None:
    (suite_file.parent / "choice.jsonl").write_text(data)
    with pytest.raises(DatakitError, match=message) as caught:
        Session(model_folder).evaluate(load_suite(suite_file).tasks[0])
    assert "\n" not in str(caught.value)


def test_tasks_of_the_hub_need_the_hub(model_folder: Path) -> None:
    with pytest.raises(Unreachable, match="blimp_adjunct_island"):
        Session(model_folder, offline=True).evaluate(Suite("s", load_suite(["blimp_adjunct_island"]).tasks))


def test_chat_models_get_their_template_and_say_so(chat_folder: Path, suite_file: Path) -> None:
    suite = load_suite(suite_file)
    chat = ChatSettings(system="Be brief.", thinking=False)
    log = Session(chat_folder, chat=chat).evaluate(suite)
    row = rows(log, "choice", "acc")[0]
    assert row["prompt"].startswith("<|system|>Be brief.<|end|><|user|>Q:")
    assert row["prompt"].endswith("<|end|><|assistant|>")
    assert log.header.settings["tasks"]["choice"]["chat_template"]
    plain = Session(chat_folder, chat=chat).evaluate(replace(suite.tasks[0], chat="none"))
    assert rows(plain, "choice", "acc")[0]["prompt"].startswith("Be brief.\n")
    assert plain.header.settings["tasks"]["choice"]["chat_template"] is None
    thinking = Session(chat_folder, chat=ChatSettings(thinking=True)).evaluate(suite)
    assert rows(thinking, "open", "exact_match")[0]["prompt"].endswith("<|assistant|><think>")
    assert {row["status"] for row in rows(thinking, "open", "exact_match")} == {"truncated"}


def test_lm_eval_is_left_as_it_was(model_folder: Path, suite_file: Path) -> None:
    import logging

    import lm_eval.api.task
    import lm_eval.utils

    before = (lm_eval.api.task.tqdm, logging.getLogger("lm_eval").level)
    Session(model_folder).evaluate(suite_file)
    assert (lm_eval.api.task.tqdm, logging.getLogger("lm_eval").level) == before
    assert "from_string" not in vars(lm_eval.utils.env)


def test_progress_is_told(model_folder: Path, suite_file: Path) -> None:
    told: list[tuple[str, str, int]] = []
    session = Session(model_folder)
    session.evaluate(suite_file, progress=lambda *event: told.append(event))
    assert max(done for _, name, done in told if name == "choice") == sum(2 + at % 3 for at in range(40))
    told.clear()
    session.evaluate(suite_file, progress=lambda *event: told.append(event))
    assert told == [("base", name, 0) for name in ("choice", "open", "prose")]
