"""What a training asks of the allocator: one pass forward and back recorded, block by block, and scaled to any batch.

Three short batches go through: some rows, twice as many, some of another length. A block that is as large in the
first two is a weight's (a gradient, a copy of it in another type); one that grows belongs to tokens, or to logits where
its growth divides by the vocabulary, or to pairs of tokens where the third batch says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Block", "Pass", "Recorded", "Size", "pass_of", "recorded", "room", "spread_of"]

_MOMENTS = 2  # AdamW keeps two numbers per trained parameter, in float32
_BYTES = 4
_TURN = "datakit: backward"
_MAPPED = 32 << 20  # bytes from which glibc maps a block by itself
_MOST = 3.0  # of what a measured spread is believed


@dataclass(frozen=True, slots=True)
class Size:
    """How large a batch is.

    Attributes:
        tokens: Rows times the longest.
        squares: Rows times the longest squared.
        logits: Tokens whose logits are computed.
    """

    tokens: int
    squares: int
    logits: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """A pass as it was.

    Attributes:
        blocks: Bytes, in the order they were asked for.
        course: Numbers of the blocks, counted from 1, as they were asked for; negative where one was given back.
        forward: So many of the course belong to the pass forward.
        size: Of the batch.
    """

    blocks: tuple[int, ...]
    course: tuple[int, ...]
    forward: int
    size: Size


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes: always, and for each token, pair of tokens and logit row of a batch."""

    fixed: float
    per_token: float = 0.0
    per_square: float = 0.0
    per_logit: float = 0.0

    def bytes(self, size: Size) -> int:
        """In a batch of that size."""
        grown = self.per_token * size.tokens + self.per_square * size.squares + self.per_logit * size.logits
        return int(self.fixed + grown)


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass as it will be; as :class:`Recorded`."""

    blocks: tuple[Block, ...]
    course: tuple[int, ...]
    forward: int

    @property
    def lasting(self) -> frozenset[int]:
        """Indices of the blocks that are there after it: gradients."""
        gone = {-at for at in self.course if at < 0}
        return frozenset(at - 1 for at in self.course if at > 0 and at not in gone)


def recorded(forward: Callable[[], Any], backward: Callable[[Any], None], size: Size) -> Recorded:
    """What a pass asks for, on the CPU; blocks from before it that it gives back are left out.

    Args:
        forward: Makes a loss.
        backward: Takes it.
        size: Of the batch.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it writes two lines to the terminal otherwise
    from torch._C._profiler import _EventType
    from torch.profiler import ProfilerActivity, profile, record_function

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        loss = forward()
        with record_function(_TURN):
            pass
        backward(loss)
        del loss
    tree = list(seen.profiler.kineto_results.experimental_event_tree())
    events, turn = [], 0
    while tree:
        event = tree.pop()
        tree.extend(event.children)
        if event.name == _TURN:
            turn = event.start_time_ns
        elif event.tag == _EventType.Allocation and event.extra_fields.device.type == "cpu":
            events.append((event.start_time_ns, event.extra_fields.ptr, event.extra_fields.alloc_size))
    events.sort(key=lambda event: event[0])
    blocks: list[int] = []
    course: list[int] = []
    held: dict[int, int] = {}
    ahead = 0
    for moment, place, count in events:
        if count > 0:
            blocks.append(count)
            held[place] = len(blocks)
            course.append(len(blocks))
        elif place in held:
            course.append(-held.pop(place))
        if moment < turn:
            ahead = len(course)
    return Recorded(tuple(blocks), tuple(course), ahead, size)


def pass_of(one: Recorded, two: Recorded, other: Recorded | None, *, vocabulary: int) -> Pass | None:
    """How the blocks grow; None where the passes are not the same sequence of blocks.

    Args:
        one: Of a batch.
        two: Of twice that batch.
        other: Of another length, if there is one.
        vocabulary: Tokens that a logit row has a number for.
    """
    if one.course != two.course:
        return None
    if other is not None and (other.course != one.course or other.size.tokens == one.size.tokens):
        other = None
    thirds = [None] * len(one.blocks) if other is None else other.blocks
    told = zip(one.blocks, two.blocks, thirds, strict=True)
    blocks = tuple(_grown(a, b, c, one.size, other, vocabulary) for a, b, c in told)
    return Pass(blocks, one.course, one.forward)


def _grown(first: int, second: int, third: int | None, size: Size, other: Recorded | None, vocabulary: int) -> Block:
    growth = second - first
    if growth <= 0:
        return Block(first)
    fixed = max(0, first - growth)
    if size.logits and growth % (size.logits * vocabulary) == 0:
        return Block(fixed, per_logit=growth / size.logits)
    if third is not None and other is not None:
        linear = fixed + growth * other.size.tokens / size.tokens
        square = fixed + growth * other.size.squares / size.squares
        if abs(third - square) < abs(third - linear):
            return Block(fixed, per_square=growth / size.squares)
    return Block(fixed, per_token=growth / size.tokens)


def room(found: Pass, steps: Sequence[Sequence[Size]], trained: Sequence[int], *, spread: float) -> int:
    """Bytes that steps take at their peak beside the weights, AdamW's moments with the first of them.

    What stays for a step or longer (gradients, moments) takes its own bytes, what passes takes ``spread`` times its
    bytes, and the heap does not shrink; a block of 32 MiB and more is mapped by itself and given back whole.

    Args:
        found: The pass.
        steps: For each optimizer step its batches.
        trained: Numbers of every trained tensor.
        spread: From :func:`spread_of`.
    """
    moments = [count * _BYTES for count in trained for _ in range(_MOMENTS)]
    lasting = found.lasting
    heap = _Heap(spread)
    for place, batches in enumerate(steps):
        for number, batch in enumerate(batches):
            sizes = [block.bytes(batch) for block in found.blocks]
            for at in found.course:
                index = abs(at) - 1
                heap.change(sizes[index] if at > 0 else -sizes[index], stays=index in lasting)
            if number:  # a second batch's gradients are added to the first's
                for index in lasting:
                    heap.change(-sizes[index], stays=True)
        for size in moments if place == 0 else ():
            heap.change(size, stays=True)
        for index in lasting if batches else ():
            heap.change(-sizes[index], stays=True)
    return heap.peak


def spread_of(found: Pass, size: Size, grown: int) -> float:
    """How much more room passing blocks take in the heap than they have bytes, from one forward pass.

    An allocator cannot use every hole again: an aligned block does not fit into a freed one of its own size, and small
    objects come to lie in between. No formula says how much that is; the process says it.

    Args:
        found: The pass.
        size: Of the batch that went forward.
        grown: Bytes that the process has behind it, above those before.
    """
    heap = _Heap(1.0)
    sizes = [block.bytes(size) for block in found.blocks]
    for at in found.course[: found.forward]:
        heap.change(sizes[abs(at) - 1] * (1 if at > 0 else -1), stays=False)
    return min(_MOST, max(1.0, (grown - heap.mapped) / heap.most)) if heap.most else 1.0


class _Heap:
    """What a heap takes: it grows, and does not shrink."""

    def __init__(self, spread: float) -> None:
        self._spread = spread
        self._passing = self._staying = 0
        self.mapped = self.most = self.peak = 0

    def change(self, count: int, *, stays: bool) -> None:
        """A block that came, or went where the count is negative."""
        if abs(count) >= _MAPPED:
            self.mapped += count
        elif stays:
            self._staying += count
        else:
            self._passing += count
        self.most = max(self.most, int(self._staying + self._spread * self._passing))
        self.peak = max(self.peak, self.most + self.mapped)
