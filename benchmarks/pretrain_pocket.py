"""Makes the pocket model from nothing but this repository: tokenizer, pretraining, files in datakit/pocket/model.

    python benchmarks/pretrain_pocket.py

One plain loop, read from top to bottom. Takes ten to twenty minutes on two cores.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import tokenizers  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: E402

from datakit.core.storage import write_json  # noqa: E402
from datakit.pocket import model_path  # noqa: E402
from datakit.pocket.corpus import SEPARATOR, documents, pieces  # noqa: E402

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
ROW = 128
# Prompts are mostly chance and answers can be learnt, so answers come first; the last part of training sees all tokens
# alike, which makes prompts good enough to build a new task on.
PROMPT_WEIGHT = 0.2
ALIKE_FROM = 0.6
# Digits one by one, so that sums have parts; a word keeps the space before it.
SPLIT = r" ?\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+"


def make_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE trained on 20,000 documents; any bytes can be encoded. It puts the start token before a text."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1280,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(itertools.islice(documents(seed), 20_000), trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, bpe.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        padding_side="right",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama of about a million parameters with random weights."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def weighted(tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> Iterator[tuple[list[int], list[float]]]:
    """Endless documents as token ids and the weight of each: PROMPT_WEIGHT, or 1 for answers and 0 for the start."""
    while True:
        texts: list[str] = []
        weights: list[float] = []
        starts: list[int] = []
        for _ in range(1000):
            starts.append(len(texts))
            for number, piece in enumerate(pieces(rng)):
                prompt = piece.text if piece.item is None else piece.item.prompt
                texts.append(prompt if number == 0 else SEPARATOR + prompt)
                weights.append(PROMPT_WEIGHT)
                if piece.item is not None:
                    texts.append(f" {piece.item.answer}")
                    weights.append(1.0)
        encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
        for start, end in itertools.pairwise([*starts, len(texts)]):
            ids, weight = [tokenizer.bos_token_id], [0.0]
            for part in range(start, end):
                ids += encoded[part]
                weight += [weights[part]] * len(encoded[part])
            yield [*ids, tokenizer.eos_token_id], [*weight, 1.0]


def rows(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[tuple[list[int], list[int], list[float]]]:
    """Endless rows of token ids, positions and weights: documents one after another, positions restart in each."""
    ids: list[int] = []
    positions: list[int] = []
    weights: list[float] = []
    for encoded, weight in weighted(tokenizer, random.Random(seed)):
        if len(ids) + len(encoded) > ROW:
            gap = ROW - len(ids)
            yield ids + [tokenizer.pad_token_id] * gap, positions + list(range(gap)), weights + [0.0] * gap
            ids, positions, weights = [], [], []
        ids += encoded
        positions += range(len(encoded))
        weights += weight


def learning_rate(step: int, *, steps: int, peak: float) -> float:
    """Linear warm-up over 100 steps, then a cosine down to a fiftieth of the peak."""
    if step < 100:
        return peak * (step + 1) / 100
    along = (step - 100) / max(1, steps - 100)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * along)))


def main() -> None:
    """Trains and saves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=16, help="rows of 128 tokens")
    parser.add_argument("--peak", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=model_path())
    parser.add_argument("--log", type=Path, default=ROOT / "benchmarks/results/pretrain_pocket.json")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    started = time.perf_counter()
    tokenizer = make_tokenizer(args.seed)
    model = make_model(tokenizer)
    decayed = [p for p in model.parameters() if p.ndim == 2]
    plain = [p for p in model.parameters() if p.ndim != 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}], betas=(0.9, 0.95)
    )
    stream = rows(tokenizer, args.seed)
    curve: list[dict[str, float]] = []
    running, tokens = 0.0, 0
    for step in range(args.steps):
        batch = list(itertools.islice(stream, args.batch))
        ids = torch.tensor([row for row, _, _ in batch])
        positions = torch.tensor([position for _, position, _ in batch])
        weights = torch.tensor([weight for _, _, weight in batch])[:, 1:].flatten()
        if step >= ALIKE_FROM * args.steps:
            weights = (weights > 0).float()
        # No mask: positions that restart make attention stay inside each document.
        with torch.autocast("cpu", torch.bfloat16):  # half the time; weights and optimizer stay float32
            logits = model(input_ids=ids, position_ids=positions, use_cache=False).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps=args.steps, peak=args.peak)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        running = loss.item() if step == 0 else 0.98 * running + 0.02 * loss.item()
        tokens += int((ids != tokenizer.pad_token_id).sum())
        if (step + 1) % 100 == 0:
            seconds = time.perf_counter() - started
            curve.append({"step": step + 1, "loss": round(running, 4), "seconds": round(seconds, 1)})
            print(f"step {step + 1:5d}  loss {running:.4f}  {tokens / seconds:,.0f} tokens/s", flush=True)
        if (step + 1) % 500 == 0 or step + 1 == args.steps:
            save(model, tokenizer, args.output)

    write_json(
        args.log,
        {
            "command": f"python benchmarks/pretrain_pocket.py --seed {args.seed} --steps {args.steps} "
            f"--batch {args.batch} --peak {args.peak}",
            "seed": args.seed,
            "seconds": round(time.perf_counter() - started, 1),
            "parameters": sum(p.numel() for p in model.parameters()),
            "vocabulary": len(tokenizer),
            "tokens": tokens,
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "tokenizers": tokenizers.__version__,
            },
            "curve": curve,
        },
    )


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes model and tokenizer; JSON files end with a newline, so that an editor does not change them."""
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in sorted(folder.glob("*.json")):
        path.write_text(json.dumps(json.loads(path.read_text()), ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
