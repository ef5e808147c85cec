"""The committed weights load and know what the documentation says; the suite's files are tasks that lm-eval accepts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datakit.pocket import model_path, suite_path

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def tokenizer():
    return transformers.AutoTokenizer.from_pretrained(model_path())


@pytest.fixture(scope="module")
def model():
    return transformers.AutoModelForCausalLM.from_pretrained(model_path(), dtype=torch.float32).eval()


def test_tokenizer_puts_the_start_token_and_keeps_any_text(tokenizer):
    for text in ("Ada has the lamp.", "안녕하세요 12+3", "\U0001f98a tab\tand\nline", ""):
        ids = tokenizer(text)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.eos_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert len({tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}) == 3
    assert tokenizer.chat_template is None


def test_prompt_and_answer_tokens_join(tokenizer):
    """Tokens of a prompt followed by tokens of space and answer are the tokens of the whole."""
    for line in (suite_path().parent / "facts.jsonl").read_text().splitlines()[:50]:
        row = json.loads(line)
        for choice in row["choices"]:
            apart = (
                tokenizer(row["prompt"])["input_ids"] + tokenizer(f" {choice}", add_special_tokens=False)["input_ids"]
            )
            assert apart == tokenizer(f"{row['prompt']} {choice}")["input_ids"]


def test_model_is_small_and_complete(model, tokenizer):
    assert sum(parameter.numel() for parameter in model.parameters()) < 2_500_000
    assert model.config.model_type == "llama"
    assert model.config.vocab_size == len(tokenizer)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize(
    ("family", "least"), [("facts", 0.9), ("entities", 0.9), ("sentiment", 0.9), ("sums", 0.9), ("entailment", 0.9)]
)
def test_base_accuracy_on_the_first_hundred_items(model, tokenizer, family, least):
    right = 0
    for line in (suite_path().parent / f"{family}.jsonl").read_text().splitlines()[:100]:
        row = json.loads(line)
        start = len(tokenizer(row["prompt"])["input_ids"])
        batch = tokenizer([f"{row['prompt']} {c}" for c in row["choices"]], padding=True, return_tensors="pt")
        with torch.no_grad():
            logs = model(**batch).logits.log_softmax(-1)[:, :-1]
        taken = logs.gather(2, batch["input_ids"][:, 1:, None])[..., 0] * batch["attention_mask"][:, 1:]
        right += int(taken[:, start - 1 :].sum(1).argmax()) == row["label"]
    assert right / 100 >= least


def test_format_is_generated_and_ends_by_itself(model, tokenizer):
    right = 0
    for line in (suite_path().parent / "format.jsonl").read_text().splitlines()[:20]:
        row = json.loads(line)
        batch = tokenizer(row["prompt"], return_tensors="pt")
        made = model.generate(**batch, max_new_tokens=12, do_sample=False)[0, batch["input_ids"].shape[1] :]
        right += tokenizer.decode(made, skip_special_tokens=True).split("\n")[0].strip() == row["answer"]
    assert right >= 18


@pytest.mark.filterwarnings("ignore")  # warnings of lm-eval and its dependencies are not ours
def test_every_task_loads_in_lm_eval(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yaml = pytest.importorskip("ruamel.yaml").YAML(typ="safe")
    task_module = pytest.importorskip("lm_eval.api.task")
    suite = yaml.load(suite_path().read_text())
    assert suite["format"] == 1
    assert len(suite["tasks"]) >= 8
    for entry in suite["tasks"]:
        config = yaml.load((suite_path().parent / entry["task"]).read_text())
        files = config["dataset_kwargs"]["data_files"]
        assert not any(Path(name).is_absolute() for name in files.values())
        config["dataset_kwargs"] = {"data_files": {k: str(suite_path().parent / name) for k, name in files.items()}}
        task = task_module.ConfigurableTask(config=config)
        assert len(task.eval_docs) == 500
        assert entry["metric"] in {metric["metric"] for metric in config["metric_list"]}
