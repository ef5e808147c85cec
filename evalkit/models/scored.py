"""Log-probabilities at the scored places only: the output matrix is not applied to the other tokens.

A prompt has hundreds of tokens and a vocabulary tens of thousands of entries; few tokens are scored. What a model does
to its logits afterwards (a scale, a soft cap) it still does, since only its output layer sees fewer rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

__all__ = ["log_probabilities", "only_at"]

Array = np.ndarray[Any, Any]
#: Elements of float32 logits turned into log-probabilities at a time: what fits into caches, and a share of a GPU.
_BLOCK_CPU, _BLOCK_GPU = 1 << 20, 1 << 26


@contextmanager
def only_at(head: Any, lines: Array, places: Array, width: int) -> Iterator[None]:
    """Within it the output layer is given the hidden states at ``(lines, places)`` alone, as one line.

    Args:
        head: The output layer (``get_output_embeddings``).
        lines: Line of the batch, per scored place.
        places: Place in the line.
        width: Tokens of the batch's input; what the model puts in front by itself (prompt tuning) is not counted.
    """

    def narrow(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not args or args[0].ndim != 3:
            return None
        shift = args[0].shape[1] - width
        return (args[0][lines, places + shift][None], *args[1:])

    handle = head.register_forward_pre_hook(narrow)
    try:
        yield
    finally:
        handle.remove()


def log_probabilities(logits: Any, wanted: Array) -> tuple[Array, Array]:
    """Of each wanted token, and whether it is the most likely one, block by block in float32.

    Args:
        logits: ``(places, vocabulary)``.
        wanted: A token per place.
    """
    import torch

    values, greedy = [np.zeros(0)], [np.zeros(0, dtype=bool)]
    goals = torch.from_numpy(wanted).to(logits.device)
    step = max(1, (_BLOCK_CPU if logits.device.type == "cpu" else _BLOCK_GPU) // logits.shape[-1])
    for at in range(0, len(wanted), step):
        chosen, goal = logits[at : at + step].float(), goals[at : at + step]
        own = chosen.gather(1, goal[:, None])[:, 0]
        values.append((own - chosen.logsumexp(-1)).double().cpu().numpy())
        greedy.append((chosen.argmax(-1) == goal).cpu().numpy())
    return np.concatenate(values), np.concatenate(greedy)
