"""Checks before the first step and after the last: what would otherwise be found out hours later, or never."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from train.checks import Finding
from train.errors import TrainError
from train.masking import Row

if TYPE_CHECKING:
    from train.data import Encoded

__all__ = [
    "check_changed",
    "check_rows",
    "check_stops",
    "check_trainable",
    "check_truncated",
    "fingerprint",
    "marked",
    "segments",
    "stop_tokens",
]

_PIECE = 1 << 18  # numbers of a tensor that are summed at a time


def segments(row: Row, tokenizer: Any) -> list[tuple[str, bool]]:
    """A row decoded, in pieces of text that are trained or not, special tokens written out."""
    pieces: list[tuple[str, bool]] = []
    before, start = "", 0
    trained = [bool(value) for value in row.trained]
    for stop in range(1, len(row) + 1):
        if stop < len(row) and trained[stop] == trained[start]:
            continue
        # The whole text so far, because a tokenizer decodes a piece alone without the space before it.
        text = tokenizer.decode(row.ids[:stop].tolist(), clean_up_tokenization_spaces=False)
        pieces.append((text[len(before) :], trained[start]))
        before, start = text, stop
    return pieces


def marked(pieces: Sequence[tuple[str, bool]]) -> str:
    """Pieces as plain text with the trained ones in ⟦ ⟧."""
    return "".join(f"⟦{text}⟧" if trained else text for text, trained in pieces)


def stop_tokens(end_ids: Sequence[int], tokenizer: Any) -> list[int]:
    """The first special token of an answer's end: what generation has to stop at.

    Raises:
        TrainError: There is none, so that a trained model would never stop.
    """
    special = {*tokenizer.all_special_ids}
    special |= {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    found = [id for id in end_ids if id in special]
    if not found:
        raise TrainError(
            "the chat template puts no end-of-turn token after an answer, so the model would never learn to stop",
            hint="Mend the template, or set chat.template: none",
        )
    return found[:1]


def check_rows(rows: Sequence[Row], tokenizer: Any, *, end_ids: Sequence[int] = ()) -> None:
    """Looks at every row.

    Args:
        rows: Encoded rows.
        tokenizer: Theirs.
        end_ids: Every row that was not cut has to end with these, trained; none for plain text.

    Raises:
        TrainError: A row with no trained token, with two BOS tokens, or whose end is not trained; names the row.
    """
    bos = tokenizer.bos_token_id
    ending = list(end_ids)
    for row in rows:
        where = f"row {row.id}"
        if not row.trained.any():
            raise TrainError("no trained token", where=where)
        if bos is not None and len(row) > 1 and row.ids[0] == bos and row.ids[1] == bos:
            raise TrainError(
                "begins with two BOS tokens", where=where, hint="Take the BOS out of the chat template or the text"
            )
        if ending and not row.truncated:
            last = row.ids[-len(ending) :].tolist()
            if last != ending or not row.trained[-len(ending) :].all():
                raise TrainError("the end of the turn is not trained, the model would not learn to stop", where=where)


def check_truncated(encoded: Encoded, max_length: int, *, most: float) -> Finding:
    """How many rows are longer than what is trained.

    Args:
        encoded: The training rows.
        max_length: Longest row in tokens.
        most: Share of rows that may lose their end, or their whole answer.

    Raises:
        TrainError: More do.
    """
    lost, total = encoded.truncated + len(encoded.dropped), len(encoded.rows) + len(encoded.dropped)
    if not lost:
        return Finding("length", True, f"all {total:,} rows fit into {max_length:,} tokens")
    text = (
        f"{lost / total:.1%} of {total:,} rows are longer than {max_length:,} tokens: {encoded.truncated:,} lose "
        f"their end, {len(encoded.dropped):,} their whole answer and are left out"
    )
    if lost / total > most:
        raise TrainError(
            f"{text}; at most {most:.0%} may be", hint="Raise max_length, filter long rows, or raise max_truncated"
        )
    return Finding("length", False, text)


def check_stops(settings: Any, stops: Sequence[int]) -> None:
    """Generation stops where the trained end of turn is.

    Args:
        settings: A generation config.
        stops: From :func:`stop_tokens`.

    Raises:
        TrainError: It goes on.
    """
    known = settings.eos_token_id if isinstance(settings.eos_token_id, list) else [settings.eos_token_id]
    if missing := [id for id in stops if id not in known]:
        raise TrainError(
            f"generation does not stop at token {missing[0]}, which ends a trained answer",
            hint="Put it into eos_token_id of generation_config.json",
        )


def check_trainable(model: Any) -> tuple[int, int]:
    """Numbers of trainable and of all parameters.

    Raises:
        TrainError: Nothing is trainable.
    """
    total = sum(parameter.numel() for parameter in model.parameters())
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    if not trainable:
        raise TrainError("nothing is trainable: the adapter found none of its targets in the model")
    return trainable, total


def fingerprint(model: Any) -> dict[str, float]:
    """A sum per trainable tensor, in float64: cheap, and an update that leaves all of them equal does not happen.

    A piece at a time: ``sum`` makes a float64 copy of what it is given, which for an embedding is hundreds of MB.
    """
    import torch

    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    sums = [
        torch.stack([part.sum(dtype=torch.float64) for part in value.detach().reshape(-1).split(_PIECE)]).sum()
        for _, value in named
    ]
    return {name: float(total) for (name, _), total in zip(named, sums, strict=True)}


def check_changed(before: dict[str, float], model: Any) -> int:
    """Compares with the fingerprint from before the first step; returns how many tensors changed.

    Raises:
        TrainError: None did.
    """
    after = fingerprint(model)
    changed = sum(after[name] != value for name, value in before.items())
    if not changed:
        raise TrainError(
            "training changed no weight at all", hint="Raise the learning rate; weights as they were are not saved"
        )
    return changed
