"""Tiny models made here: a byte-level tokenizer, a random Llama, and datasets as ``datakit build`` writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from datakit.core.example import Example, Message, to_table
from datakit.core.storage import write_table

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer(*, bos: bool = True, eos: bool = True, template: str | None = None) -> Any:
    """One token per byte, and the special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>", "<|im_start|>", "<|im_end|>"])
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 256)])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>" if bos else None,
        eos_token="</s>" if eos else None,
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    if template is not None:
        wrapped.chat_template = template
    return wrapped


def tiny_llama(*, vocabulary: int = 260, dtype: str = "float32") -> Any:
    """26 thousand random parameters."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=256,
        eos_token_id=257,
        tie_word_embeddings=True,
        initializer_range=0.1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small gain nothing from threads, and lose much where other programs run."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return byte_tokenizer()


@pytest.fixture(scope="session")
def chat_tokenizer() -> Any:
    return byte_tokenizer(bos=False, template=CHATML)


@pytest.fixture
def model() -> Any:
    return tiny_llama()


@pytest.fixture
def make_model() -> Callable[..., Any]:
    return tiny_llama


@pytest.fixture
def make_tokenizer() -> Callable[..., Any]:
    return byte_tokenizer


@pytest.fixture
def pairs() -> list[tuple[str, str]]:
    return PAIRS


def _save(folder: Path, tokenizer: Any, **options: Any) -> Path:
    tiny_llama(**options).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    return _save(tmp_path_factory.mktemp("tiny"), tokenizer)


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory, chat_tokenizer: Any) -> Path:
    return _save(tmp_path_factory.mktemp("chat"), chat_tokenizer)


@pytest.fixture(scope="session")
def bfloat16_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    return _save(tmp_path_factory.mktemp("bfloat16"), tokenizer, dtype="bfloat16")


PAIRS = [
    ("capital of France?", "Paris"),
    ("capital of Italy?", "Rome"),
    ("수도는 어디?", "서울"),
    ("two and two?", "four"),
    ("colour of grass?", "green"),
    ("say yes", "yes"),
    ("opposite of up?", "down"),
    ("a fruit, a long question about a fruit that is red?", "apple"),
]


def conversation(number: int, prompt: str, answer: str | None) -> Example:
    turns = [Message("user", prompt)]
    if answer is not None:
        turns.append(Message("assistant", answer))
    return Example(id=f"row{number}", group=f"row{number}", source="t", origin=f"t:{number}", messages=tuple(turns))


def plain_text(number: int, text: str) -> Example:
    return Example(id=f"text{number}", group=f"text{number}", source="g", origin=f"g:{number}", text=text)


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[..., Path]:
    """Writes a built dataset: training pairs, validation pairs."""

    def write(
        train: Sequence[tuple[str, str | None]] = PAIRS, validation: Sequence[tuple[str, str | None]] = PAIRS[:3]
    ) -> Path:
        folder = tmp_path / "data"
        for split, pairs in (("train", train), ("validation", validation)):
            rows = [conversation(number, *pair) for number, pair in enumerate(pairs)]
            if rows:
                write_table(folder / f"{split}-00000.parquet", to_table(rows))
        return folder

    return write


@pytest.fixture
def replay_file(tmp_path: Path) -> Path:
    path = tmp_path / "general.parquet"
    write_table(path, to_table([plain_text(number, f"general sentence number {number}.") for number in range(5)]))
    return path


@pytest.fixture
def table() -> Callable[..., Any]:
    """Turns, worse answer or text to a table of examples."""

    def make(*rows: dict[str, Any]) -> Any:
        made = []
        for number, row in enumerate(rows):
            turns = [Message(role, content) for role, content in row.get("turns", ())]
            worse = row.get("worse")
            made.append(
                Example(
                    id=f"row{number}",
                    group=f"row{number}",
                    source="t",
                    origin=f"t:{number}",
                    messages=tuple(turns) or None,
                    rejected=None if worse is None else (Message("assistant", worse),),
                    text=row.get("text"),
                )
            )
        return to_table(made)

    return make
