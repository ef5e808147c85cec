"""Models with random weights, rows and arms whose memory is estimated and measured by benchmarks/train_memory.py.

The cases under ``LOOKED_AT`` were looked at while the estimate was made; those under ``HELD_OUT`` are of other
architectures, and were run once, when it was done.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

__all__ = ["CASES", "HELD_OUT", "LOOKED_AT", "MODELS", "make_data", "make_model"]

_SMALL = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
_NONE = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
_ENDS = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
MODELS: dict[str, dict[str, Any]] = {
    "llama-110M": {"kind": "Llama", **_SMALL, "intermediate_size": 2048, "vocab_size": 32000},
    "llama-190M": {"kind": "Llama", **_SMALL, "num_hidden_layers": 10, "intermediate_size": 3072, "vocab_size": 64000},
    "llama-130M, 128k words": {
        "kind": "Llama",
        "hidden_size": 512,
        "intermediate_size": 1792,
        "num_hidden_layers": 16,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "vocab_size": 128256,
        "tie_word_embeddings": True,
    },
    "qwen3-170M": {
        "kind": "Qwen3",
        "hidden_size": 640,
        "intermediate_size": 1920,
        "num_hidden_layers": 14,
        "num_attention_heads": 10,
        "num_key_value_heads": 5,
        "head_dim": 64,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
    "gpt2-124M": {"kind": "GPT2", "vocab_size": 50257, **_NONE},
    "bert-110M": {"kind": "Bert", "vocab_size": 30522},
    "neox-160M": {"kind": "GPTNeoX", **_SMALL, "intermediate_size": 3072, "vocab_size": 50304},
    "opt-125M": {"kind": "OPT", **_SMALL, "ffn_dim": 3072, "vocab_size": 50272, **_ENDS},
    "gemma3-160M": {
        "kind": "Gemma3Text",
        "hidden_size": 576,
        "intermediate_size": 2304,
        "num_hidden_layers": 12,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "vocab_size": 160000,
        **_ENDS,
    },
    "starcoder2-180M": {
        "kind": "Starcoder2",
        "hidden_size": 896,
        "intermediate_size": 3584,
        "num_hidden_layers": 9,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 80000,
        "tie_word_embeddings": True,
    },
    "modernbert-150M": {
        "kind": "ModernBert",
        "vocab_size": 50368,
        "cls_token_id": 0,
        "sep_token_id": 0,
        **_ENDS,
    },
}


def _case(model: str, batch: int, length: int | list[int], **arm: Any) -> dict[str, Any]:
    lengths = [length] if isinstance(length, int) else length
    return {"model": model, "lengths": lengths, "arm": {"batch_size": batch, "adapter": "full", **arm}}


_LARGE, _QWEN3, _MIXED = "llama-130M, 128k words", "qwen3-170M", [32, 64, 96, 128, 192, 256, 320, 448]
LOOKED_AT = [
    _case("llama-110M", 2, 128),
    _case("llama-110M", 4, 256, adapter="lora"),
    _case("llama-110M", 4, 256),
    _case("llama-190M", 2, 256, adapter="lora"),
    _case("llama-190M", 2, 128),
    _case(_LARGE, 2, 256),
    _case(_LARGE, 4, 256, adapter="lora"),
    _case(_LARGE, 2, 512, adapter="dora"),
    _case(_LARGE, 2, 128, kl={"weight": 1.0}),
    _case(_LARGE, 2, 256, objective="text"),
    _case(_QWEN3, 2, 256, adapter="lora", kl={"weight": 1.0}),
    _case(_QWEN3, 2, 128, l2={"weight": 0.01}),
    _case(_QWEN3, 2, 128, adapter="osf"),
    _case(_QWEN3, 4, 256, adapter="loreft"),
    _case(_QWEN3, 8, _MIXED, adapter="lora", batch_tokens=512),
    _case("gpt2-124M", 4, 256),
    _case("gpt2-124M", 1, 1024, adapter="lora"),
    _case("gpt2-124M", 4, 256, checkpointing=True),
    _case("gpt2-124M", 4, 256, adapter="lora", precision="bfloat16"),
    _case("gpt2-124M", 4, 128, precision="bfloat16"),
    _case("bert-110M", 8, 128, objective="mlm"),
    _case("bert-110M", 2, 512, objective="mlm", adapter="lora"),
    _case("bert-110M", 4, _MIXED, objective="mlm"),
]
HELD_OUT = [
    _case("neox-160M", 2, 256),
    _case("neox-160M", 1, 1024, adapter="lora"),
    _case("neox-160M", 8, _MIXED, packing=False),
    _case("opt-125M", 4, 256, l2={"weight": 0.01}),
    _case("opt-125M", 2, 512, adapter="dora", checkpointing=True),
    _case("gemma3-160M", 2, 128),
    _case("gemma3-160M", 1, 512, objective="text", adapter="lora"),
    _case("gemma3-160M", 2, 512, adapter="loreft"),
    _case("gemma3-160M", 2, 256, adapter="lora", precision="bfloat16"),
    _case("starcoder2-180M", 8, _MIXED, batch_tokens=640, kl={"weight": 0.5}),
    _case("starcoder2-180M", 4, 256, adapter="lora", kl={"weight": 0.5}),
    _case("starcoder2-180M", 2, 256, adapter="osf"),
    _case("modernbert-150M", 4, 256, objective="mlm"),
    _case("modernbert-150M", 2, 512, objective="mlm", adapter="lora"),
]
CASES = [*LOOKED_AT, *HELD_OUT]


def make_model(folder: Path, *, kind: str, vocab_size: int, **sizes: Any) -> None:
    """A model with random weights, and a tokenizer of one token per word."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    special = {"unk_token": "<unk>", "eos_token": "</s>", "mask_token": "<mask>"}
    words = {f"w{number}": number for number in range(vocab_size - len(special))}
    words |= {token: len(words) + number for number, token in enumerate(special.values())}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(vocab_size=vocab_size, **sizes)
    masked = kind.endswith(("Bert", "bert"))
    auto = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
    model = auto.from_config(config)
    with torch.no_grad():  # a word here, whose row of zeros would have gradients without bound in a model of norms
        model.get_input_embeddings().weight[config.pad_token_id or 0].normal_(std=0.02)
    model.save_pretrained(folder)


def make_data(path: Path, lengths: list[int], rows: int) -> None:
    """Rows of those tokens in turn: conversations whose last quarter is the answer, and the same as plain text."""
    import pyarrow as pa

    from datakit.core.example import Example, Message, to_table
    from datakit.core.storage import write_table

    def text(number: int, start: int, count: int) -> str:
        return " ".join(f"w{(number * 31 + at) % 20000}" for at in range(start, start + count))

    made, texts = [], []
    for number, length in zip(range(rows), itertools.cycle(lengths), strict=False):
        answer = length // 4
        turns = (
            Message("user", text(number, 0, length - answer)),
            Message("assistant", text(number, length, answer - 1)),
        )
        made.append(Example(id=str(number), group=str(number), source="s", origin=f"s:{number}", messages=turns))
        texts.append(text(number, 0, length))
    table = to_table(made)
    at = table.column_names.index("text") if "text" in table.column_names else None
    column = pa.array(texts)
    write_table(path, table.append_column("text", column) if at is None else table.set_column(at, "text", column))
