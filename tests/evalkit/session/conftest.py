"""A tiny random Llama with a real tokenizer, adapters over it, and task files, made once per test run."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datakit.core.example import Example, Message, to_table
from datakit.core.storage import write_table

TEXT = "the cat sat on a mat and unhappy dogs were running happily over green hills while birds sang songs"
WORDS = TEXT.split(" ")
CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% if enable_thinking %}<think>{% endif %}{% endif %}"
)


def build_tokenizer(folder: Path, *, bos: bool = True, chat: bool = False) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS), "running unhappily", "\n\n", "Q: A: yes no maybe"] * 20, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    if chat:
        fast.chat_template = CHAT
        fast.add_special_tokens({"additional_special_tokens": special[2:]})
    fast.save_pretrained(folder)


def build_model(folder: Path, *, seed: int = 0, length: int = 128, **tokenizer: bool) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=384,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=length,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    build_tokenizer(folder, **tokenizer)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny matrices gain nothing from threads, and lose much where another process has the cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def no_bos_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("no_bos"), bos=False)


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("chat"), chat=True, length=512)


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "own", **options: Any) -> Path:
        return build_model(tmp_path / name, **options)

    return make


@pytest.fixture(scope="session")
def make_adapter(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A LoRA over the tiny model; ``trained`` gives it weights that change something."""

    def make(*, base: Path | None = None, trained: bool = True, seed: int = 0, **options: Any) -> Path:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        folder = tmp_path_factory.mktemp("adapter")
        model = AutoModelForCausalLM.from_pretrained(base or model_folder)
        config = LoraConfig(**{"r": 4, "target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM"} | options)
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5 for a property under its old name.
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
            tuned = get_peft_model(model, config)
        torch.manual_seed(seed)
        for name, weight in tuned.named_parameters():
            if trained and "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.5)
        tuned.save_pretrained(folder)
        return folder

    return make


def pairs(count: int = 40) -> list[dict[str, Any]]:
    """Multiple-choice rows with two to four options of several lengths."""
    rows = []
    for number in range(count):
        options = [
            " ".join(WORDS[(number + at) % 12 : (number + at) % 12 + 1 + at % 3]) for at in range(2 + number % 3)
        ]
        question = f"Q: {' '.join(WORDS[number % 9 : number % 9 + 6])}? A:"
        rows.append({"question": question, "options": options, "gold": number % len(options), "number": number})
    return rows


CHOICE_TASK = """
task: {name}
dataset_path: json
dataset_kwargs:
  data_files: {{test: {name}.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: question
doc_to_choice: options
doc_to_target: gold
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
"""


@pytest.fixture
def suite_file(tmp_path: Path) -> Path:
    """A suite of a multiple-choice, an open and a drift task."""
    rows = pairs()
    write_lines(tmp_path / "choice.jsonl", rows)
    write_lines(tmp_path / "open.jsonl", [{"prompt": f"say {word}", "answer": word} for word in WORDS[:6]])
    (tmp_path / "text.txt").write_text("\n".join(" ".join(WORDS[at:]) for at in range(6)))
    (tmp_path / "choice.yaml").write_text(CHOICE_TASK.format(name="choice"))
    (tmp_path / "suite.yaml").write_text(
        """
format: 1
name: small
margin: 0.05
margin_reason: because
tasks:
  - {task: choice.yaml, metric: acc, chance: 0.3}
  - task:
      task: open
      dataset_path: json
      dataset_kwargs: {data_files: open.jsonl}
      output_type: generate_until
      doc_to_text: prompt
      doc_to_target: answer
      generation_kwargs: {until: ["\\n"], max_gen_toks: 4, do_sample: false}
      metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
    metric: exact_match
  - kind: drift
    task: {task: prose, dataset_path: text, dataset_kwargs: {data_files: text.txt}}
"""
    )
    return tmp_path / "suite.yaml"


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def lines() -> Callable[[Path, list[dict[str, Any]]], None]:
    return write_lines


@pytest.fixture
def test_rows(tmp_path: Path) -> Callable[..., Path]:
    """A built test split: rows with options, and open ones on request."""

    def make(*, count: int = 12, open_rows: int = 0, group: Callable[[int], str] = str, name: str = "test") -> Path:
        def row(number: int) -> Example:
            options = ("yes", "no", "maybe")
            answer = options[number % 3] if number < count else WORDS[number % len(WORDS)]
            turns = (Message("user", f"{' '.join(WORDS[number % 7 :])} {number}?"), Message("assistant", answer))
            return Example(
                id=f"row{number:03d}",
                group=group(number),
                source="s",
                origin="s:1",
                messages=turns,
                choices=options if number < count else None,
                label=answer if number < count else None,
            )

        path = tmp_path / f"{name}.parquet"
        write_table(path, to_table(row(number) for number in range(count + open_rows)))
        return path

    return make


@pytest.fixture(scope="session")
def real_data() -> Path:
    root = Path(os.environ.get("DATAKIT_REAL_DATA", "../shared/data"))
    if not (root / "weights").is_dir():
        pytest.skip("no real data: set DATAKIT_REAL_DATA")
    return root.resolve()
