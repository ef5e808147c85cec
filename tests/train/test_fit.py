from __future__ import annotations

import json
import resource

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from datakit.core.chat import ChatSettings
from datakit.core.errors import StorageError
from datakit.core.storage import read_json, write_table
from train import Arm, Checked, Diverged, Finished, OutOfMemory, Preflight, Started, TrainError, fit, marked
from train.objectives import Loss
from train.retention.settings import TokenMask

FULL = Arm(adapter="full", learning_rate=1e-2, steps=4, batch_size=4)
LORA = Arm(rank=2, learning_rate=1e-2, steps=4, batch_size=4, dropout=0.2)


def weights(folder):
    return {file.name: file.read_bytes() for file in folder.glob("*.safetensors")}


@pytest.mark.parametrize("arm", [FULL, LORA], ids=["full", "lora"])
def test_equal_seeds_give_equal_bytes_and_others_do_not(arm, model_folder, dataset, tmp_path):
    data = dataset()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.rand(seed)  # the caller's random state plays no role
        fit(arm, model=model_folder, data=data, output=tmp_path / name, seed=seed)
    assert len(weights(tmp_path / "a")) == 1
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert weights(tmp_path / "a") != weights(tmp_path / "c")


def test_the_callers_random_state_is_left_alone(model_folder, dataset, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(FULL, model=model_folder, data=dataset(), output=tmp_path / "out", seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_a_full_model_loads_as_any_model_does(model_folder, dataset, tmp_path):
    trained = []
    result = fit(
        FULL,
        model=model_folder,
        data=dataset(),
        output=tmp_path / "out",
        probe=lambda model, step: trained.append(model) or {},
    )
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    ids = AutoTokenizer.from_pretrained(tmp_path / "out")("capital of", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        assert torch.equal(again(ids).logits, trained[-1].eval()(ids).logits)
    before = load_file(model_folder / "model.safetensors")
    after = load_file(result.folder / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[name], after[name]) for name in before)


def test_an_adapter_loads_over_an_unchanged_base(model_folder, dataset, tmp_path):
    peft = pytest.importorskip("peft")
    before = weights(model_folder)
    trained = []
    fit(
        LORA,
        model=model_folder,
        data=dataset(),
        output=tmp_path / "out",
        probe=lambda model, step: trained.append(model) or {},
    )
    base = AutoModelForCausalLM.from_pretrained(model_folder)
    ids = torch.tensor([[256, 10, 20, 30]])
    with torch.no_grad():
        plain = base(ids).logits
        adapted = peft.PeftModel.from_pretrained(base, tmp_path / "out")(ids).logits
        assert torch.equal(adapted, trained[-1].eval()(ids).logits)
    assert not torch.allclose(plain, adapted)
    assert weights(model_folder) == before
    assert {file.suffix for file in (tmp_path / "out").iterdir()} <= {".safetensors", ".json", ".jsonl", ".md"}


def test_the_saved_model_keeps_the_bases_data_type(bfloat16_folder, dataset, tmp_path):
    fit(FULL, model=bfloat16_folder, data=dataset(), output=tmp_path / "out")
    assert {value.dtype for value in load_file(tmp_path / "out" / "model.safetensors").values()} == {torch.bfloat16}


def test_computing_in_bfloat16(bfloat16_folder, dataset, tmp_path):
    for name, arm in (("full", FULL), ("lora", LORA)):
        bfloat16 = arm.model_copy(update={"precision": "bfloat16"})
        seen = []

        def probe(model, step, seen=seen):
            seen.extend((value.dtype, value.requires_grad) for value in model.parameters())
            return {}

        result = fit(bfloat16, model=bfloat16_folder, data=dataset(), output=tmp_path / name, probe=probe)
        assert {dtype for dtype, trained in seen if trained} == {torch.float32}
        assert {dtype for dtype, trained in seen if not trained} <= {torch.bfloat16}
        assert result.validation_loss < result.history[0]["validation_loss"]
        assert read_json(tmp_path / name / "train.json")["precision"] == "bfloat16"
    adapter = load_file(tmp_path / "lora" / "adapter_model.safetensors")
    assert {value.dtype for value in adapter.values()} == {torch.float32}


def test_the_manifest_says_what_was_done(model_folder, dataset, replay_file, tmp_path):
    arm = Arm(adapter="full", learning_rate=1e-2, epochs=2, batch_size=4, replay={"from": "general", "share": 0.2})
    events = []
    result = fit(
        arm,
        model=model_folder,
        data=dataset(),
        output=tmp_path / "out",
        seed=3,
        replay={"general": replay_file},
        progress=events.append,
    )
    found = read_json(tmp_path / "out" / "train.json")
    assert found["arm"]["replay"] == {"from": "general", "share": 0.2}
    assert (found["seed"], found["steps"], found["steps_per_epoch"]) == (3, 6, 3)
    assert found["rows"] == {"train": 8, "validation": 3, "replay": 5, "truncated": 0, "dropped": 0}
    assert found["trainable_parameters"] == found["total_parameters"] == result.total_parameters
    assert found["bytes"] == (tmp_path / "out" / "model.safetensors").stat().st_size
    assert found["validation_loss"] == result.validation_loss == result.history[-1]["validation_loss"]
    assert found["history"] == result.history
    assert [type(event) for event in events if not isinstance(event, Checked)][:2] == [Preflight, Started]
    assert isinstance(events[-1], Finished)
    assert marked(events[0].rows[2]) == "<s>수도는 어디?⟦ 서울</s>⟧"
    assert found["trained_tokens"] == events[-1].trained_tokens


def test_data_and_weights_have_digests_that_follow_their_bytes(model_folder, dataset, tmp_path, pairs):
    fit(LORA, model=model_folder, data=dataset(), output=tmp_path / "a")
    fit(LORA, model=model_folder, data=dataset(pairs[:5]), output=tmp_path / "b")
    a, b = (read_json(tmp_path / name / "train.json") for name in "ab")
    assert a["model_digest"] == b["model_digest"]
    assert a["data_digest"] != b["data_digest"]


def test_nothing_that_is_written_holds_training_text(model_folder, dataset, tmp_path):
    secret = "kilimanjaro"
    data = dataset([(f"call {secret} now", secret)] * 4, [(f"no {secret}", "ok")])
    fit(FULL, model=model_folder, data=data, output=tmp_path / "out", progress=lambda event: None)
    for file in (tmp_path / "out").iterdir():
        assert secret.encode() not in file.read_bytes(), file.name


def test_a_chat_model_learns_to_end_its_turn(chat_folder, dataset, tmp_path, pairs):
    arm = Arm(adapter="full", learning_rate=1e-2, steps=60, batch_size=8)
    fit(arm, model=chat_folder, data=dataset(pairs[:2]), output=tmp_path / "out")
    model, tokenizer = (kind.from_pretrained(tmp_path / "out") for kind in (AutoModelForCausalLM, AutoTokenizer))
    assert model.generation_config.eos_token_id == [257, 259]
    for prompt, answer in pairs[:2]:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        said = model.generate(ids, max_new_tokens=20, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
        assert tokenizer.decode(said) == f"{answer}<|im_end|>"


def test_chat_settings_without_a_template(chat_folder, dataset, tmp_path):
    events = []
    fit(
        FULL,
        model=chat_folder,
        data=dataset(),
        output=tmp_path / "out",
        chat=ChatSettings(template="none", delimiter=" -> "),
        progress=events.append,
    )
    assert marked(events[0].rows[0]) == "capital of France?⟦ -> Paris</s>⟧"


def test_replay_is_trained_on(model_folder, dataset, replay_file, tmp_path):
    replaying = FULL.model_copy(update={"replay": Arm(replay={"from": "general", "share": 0.5}).replay})
    plain = fit(FULL, model=model_folder, data=dataset(), output=tmp_path / "a")
    mixed = fit(replaying, model=model_folder, data=dataset(), output=tmp_path / "b", replay={"general": replay_file})
    assert mixed.trained_tokens > 2 * plain.trained_tokens
    assert weights(tmp_path / "a") != weights(tmp_path / "b")


def test_cut_and_dropped_rows_are_counted(model_folder, dataset, tmp_path):
    data = dataset([("q", "a"), ("q", "x" * 40), ("p" * 40, "gone")])
    events = []
    arm = FULL.model_copy(update={"max_length": 20, "max_truncated": 0.7})
    fit(arm, model=model_folder, data=data, output=tmp_path / "out", progress=events.append)
    assert (events[0].truncated, events[0].dropped, events[0].max_length) == (1, 1, 20)
    assert read_json(tmp_path / "out" / "train.json")["rows"]["dropped"] == 1
    with pytest.raises(TrainError, match=r"66.7% of 3 rows are longer than 20 tokens.*at most 10% may be"):
        fit(arm.model_copy(update={"max_truncated": 0.1}), model=model_folder, data=data, output=tmp_path / "b")


def test_one_parquet_file_trains_without_validation(model_folder, dataset, tmp_path):
    result = fit(FULL, model=model_folder, data=dataset() / "train-00000.parquet", output=tmp_path / "out")
    assert result.validation_loss is None
    assert read_json(tmp_path / "out" / "train.json")["validation_loss"] is None


def test_an_earlier_model_is_replaced_but_nothing_else(model_folder, dataset, tmp_path):
    data = dataset()
    fit(FULL, model=model_folder, data=data, output=tmp_path / "out")
    fit(LORA, model=model_folder, data=data, output=tmp_path / "out")
    assert not (tmp_path / "out" / "model.safetensors").exists()
    with pytest.raises(TrainError, match="not replaced"):
        fit(FULL, model=model_folder, data=data, output=data)
    assert (data / "train-00000.parquet").exists()


def test_a_diverged_training_keeps_what_was_there(model_folder, dataset, tmp_path):
    fit(FULL, model=model_folder, data=dataset(), output=tmp_path / "out")
    before = weights(tmp_path / "out")
    with pytest.raises(Diverged):
        fit(
            FULL.model_copy(update={"learning_rate": 1e30}),
            model=model_folder,
            data=dataset(),
            output=tmp_path / "out",
        )
    assert weights(tmp_path / "out") == before
    log = [json.loads(line) for line in (tmp_path / "out.log.jsonl").read_text().splitlines()]
    assert "stepdone" in {entry["event"] for entry in log}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out", "out.log.jsonl"]


def test_out_of_memory_says_what_to_change(model_folder, dataset, tmp_path):
    def probe(model, step):
        torch.empty(1 << 50, dtype=torch.uint8)
        return {}

    with pytest.raises(OutOfMemory, match=r"batch_size 2 and accumulate 2.*or adapter lora") as caught:
        fit(FULL, model=model_folder, data=dataset(), output=tmp_path / "out", probe=probe)
    assert caught.value.exit_code == 6


def test_weights_that_do_not_move_are_not_saved(model_folder, dataset, tmp_path):
    for arm, message in ((FULL, "changed no weight"), (LORA, "changed no weight|every lora_B is zero")):
        still = arm.model_copy(update={"learning_rate": 1e-60})
        with pytest.raises(TrainError, match=message):
            fit(still, model=model_folder, data=dataset(), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_adapter_that_only_decayed_is_refused(model_folder, dataset, tmp_path, monkeypatch):
    """A moves by weight decay alone while B stays zero: weights changed, and the adapter does nothing."""
    arm = LORA.model_copy(update={"weight_decay": 0.5})

    def nothing(model, batch):
        return Loss(0.0 * sum(parameter.sum() for parameter in model.parameters()))

    monkeypatch.setattr("train.objectives.sft.nll", nothing)
    with pytest.raises(TrainError, match="every lora_B is zero"):
        fit(arm, model=model_folder, data=dataset(), output=tmp_path / "out")


@pytest.mark.parametrize(
    ("train_rows", "message"),
    [
        ([("q", None)], "row row0: no trained token"),
        ([("q" * 300, "a")], "nothing to train on in 'train': all 1 answers lie behind max_length 128"),
    ],
)
def test_data_that_cannot_be_trained_on(model_folder, dataset, tmp_path, train_rows, message):
    with pytest.raises(TrainError, match=message):
        fit(FULL, model=model_folder, data=dataset(train_rows), output=tmp_path / "out")
    assert not (tmp_path / "out.log.jsonl").exists()


def test_an_empty_split_is_refused(model_folder, dataset, tmp_path):
    data = dataset()
    file = data / "train-00000.parquet"
    import pyarrow.parquet as pq

    write_table(file, pq.read_table(file).slice(0, 0))
    with pytest.raises(TrainError, match="nothing to train on in 'train': it has no rows"):
        fit(FULL, model=model_folder, data=data, output=tmp_path / "out")


def test_settings_that_do_not_fit_the_call(model_folder, dataset, tmp_path):
    data, output = dataset(), tmp_path / "out"
    replaying = Arm(replay={"from": "general"})
    with pytest.raises(TrainError, match=r"no replay source named 'general'\. Known: other"):
        fit(replaying, model=model_folder, data=data, output=output, replay={"other": data})
    with pytest.raises(TrainError, match="is a list"):
        fit(Arm(learning_rate=[1e-4, 1e-3]), model=model_folder, data=data, output=output)
    with pytest.raises(TrainError, match="max_length 999 is more than the 128"):
        fit(Arm(max_length=999), model=model_folder, data=data, output=output)
    with pytest.raises(TrainError, match=r"targets.*Give all-linear or some of: .*q_proj"):
        fit(Arm(targets=["query"]), model=model_folder, data=data, output=output)


def test_weights_that_cannot_be_written_leave_nothing_behind(model_folder, dataset, tmp_path):
    """A file limit in the place of a full disk: both reach us through safetensors as an error of the system."""
    data = dataset()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(StorageError, match="out: File too large"):
            fit(FULL, model=model_folder, data=data, output=tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out.log.jsonl"]


def test_a_folder_that_cannot_be_made(model_folder, dataset, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        fit(FULL, model=model_folder, data=dataset(), output=tmp_path / "file" / "out")


def test_two_processes_do_not_train_into_one_output(model_folder, dataset, tmp_path):
    import fcntl

    arm = Arm(adapter="full", learning_rate=1e-3, steps=1)
    log = tmp_path / "out.log.jsonl"
    log.write_text("another\n")
    with log.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TrainError, match="out: another process trains into this output now"):
            fit(arm, model=model_folder, data=dataset(), output=tmp_path / "out")
        assert log.read_text() == "another\n"
    assert fit(arm, model=model_folder, data=dataset(), output=tmp_path / "out").steps == 1


def test_a_token_mask_that_changes_nothing_is_told_and_kept(model_folder, dataset, tmp_path):
    """Rows that are all alike have no least likely tenth."""
    arm, events = FULL.model_copy(update={"token_mask": TokenMask(quantile=0.9), "batch_size": 1}), []
    fit(arm, model=model_folder, data=dataset([("say", "no")] * 6), output=tmp_path / "out", progress=events.append)
    told = [event for event in events if isinstance(event, Checked) and event.check == "token_mask"]
    assert [event.passed for event in told] == [False]
    assert "leaves out none of 24 trained tokens (6 end an answer and always stay)" in told[0].text
    written = read_json(tmp_path / "out" / "train.json")["checks"]
    assert {"check": "token_mask", "passed": False, "text": told[0].text} in written
    assert json.dumps(told[0].text) in (tmp_path / "out" / "log.jsonl").read_text()
    fit(arm, model=model_folder, data=dataset(), output=tmp_path / "out", progress=events.append)
    last = [event for event in events if isinstance(event, Checked) and event.check == "token_mask"][-1]
    assert last.passed
    assert "are left out" in last.text
