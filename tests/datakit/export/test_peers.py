"""Each format is loaded by the reader it is for, which must find what was written."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from datakit.core.example import Example, Message, to_table
from datakit.export import export

ROOT = Path(__file__).resolve().parents[3]

TALKS = [
    (("system", "One word."), ("user", f"Question {n}?"), ("assistant", f"First {n}."), ("user", "Sure?"),
     ("assistant", f"Yes {n}."))
    for n in range(4)
]  # fmt: skip


def examples(*, worse: bool = False, text: bool = False) -> Any:
    return to_table(
        Example(
            id=str(n),
            group=str(n),
            source="s",
            origin=f"a:{n}",
            messages=None if text else tuple(Message(*turn) for turn in talk),
            rejected=(Message("assistant", f"No {n}."),) if worse else None,
            text=f"Plain text {n}." if text else None,
        )
        for n, talk in enumerate(TALKS)
    )


TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A Llama of a few thousand weights and a tokenizer of bytes with a chat template."""
    pytest.importorskip("trl")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {token: place for place, token in enumerate(["<pad>", "<eos>", *sorted(alphabet)])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<eos>", pad_token="<pad>")
    tokenizer.chat_template = TEMPLATE
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(vocabulary), pad_token_id=0, eos_token_id=1, **shape))
    return model, tokenizer


def load(path: Path) -> Any:
    from datasets import load_dataset

    return load_dataset("json", data_files=str(path), split="train", cache_dir=str(path.parent / "cache"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_trl_trains_the_last_answer_alone(tiny: Any, tmp_path: Path) -> None:
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = tiny
    data = load(export(examples(), "trl", tmp_path / "trl.jsonl").files["train"])
    settings = SFTConfig(output_dir=str(tmp_path), report_to=[], use_cpu=True, max_length=None)
    trainer = SFTTrainer(model=model, args=settings, train_dataset=data, processing_class=tokenizer)
    batch = trainer.data_collator(list(trainer.train_dataset))
    for n, labels in enumerate(batch["labels"]):
        trained = tokenizer.decode([token for token in labels.tolist() if token >= 0], skip_special_tokens=True)
        assert trained.removeprefix("<|assistant|>") == f"Yes {n}."


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_trl_reads_pairs_messages_and_text(tiny: Any, tmp_path: Path) -> None:
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    model, tokenizer = tiny
    data = load(export(examples(worse=True), "trl", tmp_path / "pairs.jsonl").files["train"])
    settings = DPOConfig(output_dir=str(tmp_path), report_to=[], use_cpu=True, max_steps=1)
    trainer = DPOTrainer(
        model=model, ref_model=type(model)(model.config), args=settings, train_dataset=data, processing_class=tokenizer
    )
    row = trainer.train_dataset[0]
    said = {name: tokenizer.decode(row[name], skip_special_tokens=True) for name in row if name.endswith("_ids")}
    assert any("Yes 0." in text for text in said.values())
    assert any("No 0." in text for text in said.values())
    assert any("One word." in text and "First 0." in text for text in said.values())
    for name, table, expected in (("trl-messages", examples(), "First 1."), ("trl", examples(text=True), "text 1.")):
        data = load(export(table, name, tmp_path / f"{name}-more.jsonl").files["train"])
        plain = SFTConfig(output_dir=str(tmp_path), report_to=[], use_cpu=True)
        rows = SFTTrainer(model=model, args=plain, train_dataset=data, processing_class=tokenizer).train_dataset
        assert expected in tokenizer.decode(rows[1]["input_ids"])


def test_datasets_reads_our_own_folder(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    export({"train": examples(), "test": examples(worse=True)}, "huggingface", tmp_path / "hf")
    found = datasets.load_dataset(str(tmp_path / "hf"), cache_dir=str(tmp_path / "cache"))
    assert found["train"][2]["messages"][1]["content"] == "Question 2?"
    assert found["test"][0]["rejected"] == [{"role": "assistant", "content": "No 0."}]


LLAMAFACTORY = """
import json, sys, types
# Pictures and sound are not what is read here, and their libraries fit no torch without a GPU.
sys.modules["torchvision"] = None
sys.modules["torchaudio"] = None
from transformers import Seq2SeqTrainingArguments
sys.modules["torchaudio"] = types.ModuleType("torchaudio")
from llamafactory.data.parser import get_dataset_list
from llamafactory.data.loader import _load_single_dataset
from llamafactory.hparams import DataArguments, ModelArguments
data = DataArguments(dataset="train", dataset_dir=sys.argv[1], preprocessing_num_workers=None)
(one,) = get_dataset_list(["train"], sys.argv[1])
arguments = Seq2SeqTrainingArguments(output_dir=sys.argv[1] + "/out", report_to=[])
model = ModelArguments(model_name_or_path="none", cache_dir=sys.argv[1] + "/cache")
rows = _load_single_dataset(one, model, data, arguments)
print("ROWS" + json.dumps([dict(row) for row in rows]))
"""


def peer(name: str, code: str, folder: Path) -> Any:
    """What a script prints after ROWS, run in another project's own environment."""
    peers = Path(os.environ.get("DATAKIT_PEERS") or ROOT / ".cache" / "peers")
    python = peers / name / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{name} is not installed: .ci/peer {name}")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([python, "-c", code, folder], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.rpartition("ROWS")[2])


@pytest.mark.slow
def test_llamafactory_reads_chat_pairs_and_text(tmp_path: Path) -> None:
    for name, table in (("chat", examples()), ("pairs", examples(worse=True)), ("text", examples(text=True))):
        export(table, "llamafactory", tmp_path / name)
    chat, pairs, text = (peer("llamafactory", LLAMAFACTORY, tmp_path / name) for name in ("chat", "pairs", "text"))
    assert len(chat) == len(pairs) == len(text) == len(TALKS)
    assert chat[0]["_system"] == "One word."
    assert [turn["content"] for turn in chat[0]["_prompt"] + chat[0]["_response"]] == [
        content for _, content in TALKS[0][1:]
    ]
    assert [turn["content"] for turn in pairs[1]["_response"]] == ["Yes 1.", "No 1."]
    assert text[2]["_prompt"][0]["content"] == "Plain text 2."


AXOLOTL = """
import json, sys
from axolotl.prompt_strategies import chat_template
from axolotl.prompt_strategies.dpo.chat_template import default
from axolotl.utils.dict import DictDefault
from datasets import load_dataset
from ruamel.yaml import YAML
from transformers import AutoTokenizer
folder = sys.argv[1]
config = YAML(typ="safe").load(open(folder + "/axolotl.yaml"))
(one,) = config["datasets"]
files = f"{folder}/{one['path']}"
rows = load_dataset(one["ds_type"], data_files=files, split=one["split"], cache_dir=folder + "/cache")
tokenizer = AutoTokenizer.from_pretrained(folder + "/tokenizer")
settings = {"sequence_len": 4096, "train_on_inputs": False, "chat_template": "tokenizer_default", "datasets": [one]}
if config.get("rl") == "dpo":
    transform, _ = default(DictDefault(settings))
    found = [transform(row, tokenizer=tokenizer) for row in rows]
else:
    strategy = chat_template.load(tokenizer, DictDefault(settings), ds_cfg=dict(one))
    found = []
    for row in rows:
        made = strategy.tokenize_prompt(row)
        pairs = zip(made["input_ids"], made["labels"])
        trained = tokenizer.decode([token for token, label in pairs if label != -100])
        found.append({"all": tokenizer.decode(made["input_ids"]), "trained": trained})
print("ROWS" + json.dumps(found))
"""


@pytest.mark.slow
def test_axolotl_trains_the_last_answer_alone_and_reads_pairs(tiny: Any, tmp_path: Path) -> None:
    for name, table in (("chat", examples()), ("pairs", examples(worse=True))):
        export(table, "axolotl", tmp_path / name)
        tiny[1].save_pretrained(tmp_path / name / "tokenizer")
    chat, pairs = (peer("axolotl", AXOLOTL, tmp_path / name) for name in ("chat", "pairs"))
    assert [row["trained"] for row in chat] == [f"Yes {n}.<eos>" for n in range(4)]
    assert all(content in chat[2]["all"] for _, content in TALKS[2])
    assert pairs[1]["chosen"].startswith("Yes 1.")
    assert pairs[1]["rejected"].startswith("No 1.")
    assert "One word." in pairs[1]["prompt"]
