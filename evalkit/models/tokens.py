"""Text to token ids in batches, by the rules of ``datakit.core.chat``, so that scoring sees what training saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalkit.errors import EvalError

__all__ = ["encode_pairs", "prefix_id", "rolling_windows", "tokenize_all"]

Ids = list[int]


def prefix_id(tokenizer: Any) -> int:
    """The token that stands before an empty context: BOS, else EOS.

    Raises:
        EvalError: The tokenizer has neither.
    """
    for value in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if value is not None:
            return int(value)
    raise EvalError("the tokenizer has neither a BOS nor an EOS token", hint="Set one in tokenizer_config.json")


def tokenize_all(texts: Sequence[str], tokenizer: Any) -> dict[str, Ids]:
    """``datakit.core.chat.tokenize`` for many texts at once; each distinct text is tokenised once."""
    bos: str | None = getattr(tokenizer, "bos_token", None)
    eos: str | None = getattr(tokenizer, "eos_token", None)
    eos_id: int | None = getattr(tokenizer, "eos_token_id", None)
    groups: tuple[list[str], list[str]] = ([], [])
    for text in dict.fromkeys(texts):
        groups[bool(bos) and text.startswith(bos or "")].append(text)
    found: dict[str, Ids] = {}
    for written, group in enumerate(groups):
        if not group:
            continue
        rows = tokenizer(group, add_special_tokens=not written, return_attention_mask=False, verbose=False)
        for text, ids in zip(group, rows["input_ids"], strict=True):
            if eos_id is not None and len(ids) > 1 and ids[-1] == eos_id and not text.endswith(eos or ""):
                ids = ids[:-1]
            found[text] = ids
    return found


def _plain(texts: Sequence[str], tokenizer: Any) -> dict[str, Ids]:
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return {}
    rows = tokenizer(distinct, add_special_tokens=False, return_attention_mask=False, verbose=False)
    return dict(zip(distinct, rows["input_ids"], strict=True))


def _after_nothing(ids: Ids, prefix: int) -> tuple[Ids, Ids]:
    return ([prefix], ids) if not ids or ids[0] != prefix else (ids[:1], ids[1:])


def _split(context: Ids, whole: Ids, prefix: int) -> tuple[Ids, Ids]:
    if not context:
        return _after_nothing(whole, prefix)
    if len(whole) > len(context):
        return context, whole[len(context) :]
    # The continuation melted into the context's last tokens: score from where the two differ.
    common = next((i for i, (a, b) in enumerate(zip(context, whole, strict=False)) if a != b), len(whole))
    return whole[: max(common, 1)], whole[max(common, 1) :]


def encode_pairs(pairs: Sequence[tuple[str, str]], tokenizer: Any) -> list[tuple[Ids, Ids]]:
    """Context and continuation ids of many pairs, split as lm-eval's ``TemplateLM._encode_pair`` does.

    Args:
        pairs: ``(context, continuation)``; an empty context becomes BOS (or EOS).
        tokenizer: A Hugging Face fast tokenizer.

    Returns:
        One ``(context_ids, continuation_ids)`` per pair, neither empty.

    Raises:
        EvalError: A continuation without a token of its own.
    """
    prefix = prefix_id(tokenizer)
    moved: list[tuple[str, str]] = []
    for context, continuation in pairs:
        bare = context.rstrip()
        moved.append(
            (bare, context[len(bare) :] + continuation) if len(bare) < len(context) else (context, continuation)
        )
    asked = [(*pair, "".join(pair)) for pair in moved]
    ids = tokenize_all([text for context, _, whole in asked if context for text in (context, whole)], tokenizer)
    plain = _plain([continuation for context, continuation, _ in asked if not context], tokenizer)
    found = [
        _split(ids[context], ids[whole], prefix) if context else _after_nothing(plain[continuation], prefix)
        for context, continuation, whole in asked
    ]
    for (context, continuation), (_, answer_ids) in zip(pairs, found, strict=True):
        if not answer_ids:
            raise EvalError(
                f"the answer {continuation!r} has no token of its own after {context[-40:]!r}",
                hint="An option must not be empty",
            )
    return found


def rolling_windows(ids: Ids, *, prefix: int, size: int) -> list[tuple[Ids, Ids]]:
    """Cuts a document into windows so that each token is predicted once, with as much context as fits (lm-eval 0.4).

    The first window begins with ``prefix``; a document that begins with it already is not given a second one.
    """
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    ids = ids[1:] if ids[:1] == [prefix] else ids
    windows = get_rolling_token_windows(token_list=ids, prefix_token=prefix, max_seq_len=size, context_len=1)
    return [make_disjoint_window(window) for window in windows]
