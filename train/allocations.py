"""What a training asks of the allocator: one pass forward and back recorded, block by block, and scaled to any batch.

Three short batches go through: some rows, twice as many, some of another length. A block that is as large in the
first two is a weight's (a gradient, a copy of it in another type); one that grows belongs to tokens, or to logits where
its growth divides by the vocabulary, or to pairs of tokens where the third batch says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

__all__ = ["Block", "Pass", "Recorded", "Size", "Spread", "Taken", "pass_of", "recorded", "room", "spread_of"]

_MOMENTS = 2  # AdamW keeps two numbers per trained parameter, in float32
_BYTES = 4
_TURN = "datakit: backward"
_MAPPED = 32 << 20  # bytes from which glibc maps a block by itself
_MOST = 3.0  # of what a measured spread is believed


@dataclass(frozen=True, slots=True)
class Size:
    """How large a batch is.

    Attributes:
        tokens: Rows times the longest; of a packed batch, tokens.
        squares: Pairs of tokens that attend to each other.
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
        two: Of twice as many tokens.
        other: Of another length, if there is one.
        vocabulary: Tokens that a logit row has a number for.
    """
    if one.course != two.course:
        return None
    if other is not None and (other.course != one.course or other.size.tokens == one.size.tokens):
        other = None
    seen = [one, two] if other is None else [one, two, other]
    sizes = [each.size for each in seen]
    blocks = tuple(_grown(counts, sizes, vocabulary) for counts in zip(*(each.blocks for each in seen), strict=True))
    return Pass(blocks, one.course, one.forward)


def _grown(counts: Sequence[int], sizes: Sequence[Size], vocabulary: int) -> Block:
    """A block that had so many bytes in batches of those sizes: it grows with what tells the third best."""
    first, growth = counts[0], counts[1] - counts[0]
    if growth <= 0:
        return Block(first)
    more = Size(*(b - a for a, b in zip(astuple(sizes[0]), astuple(sizes[1]), strict=True)))
    found = [
        Block(first - growth * sizes[0].tokens / more.tokens, per_token=growth / more.tokens),
        Block(first - growth * sizes[0].squares / more.squares, per_square=growth / more.squares),
    ]
    if more.logits > 0:
        found.append(Block(first - growth * sizes[0].logits / more.logits, per_logit=growth / more.logits))
        if growth % (more.logits * vocabulary) == 0:
            return found[-1]
    possible = [block for block in found if block.fixed > -0.01 * first] or found[:1]
    best = min(possible, key=lambda block: abs(counts[-1] - block.bytes(sizes[-1])))
    return replace(best, fixed=max(0.0, best.fixed))


@dataclass(frozen=True, slots=True)
class Spread:
    """How a heap takes more than what is held in it.

    Attributes:
        passing: Room that blocks of a pass take, as a multiple of their bytes.
        shared: Share of that room which gradients could find again where both are not there at the same time.
    """

    passing: float
    shared: float


def room(found: Pass, steps: Sequence[Sequence[Size]], trained: Sequence[int], *, spread: Spread) -> int:
    """Bytes that steps take at their peak beside the weights, AdamW's moments with the first of them.

    What stays for a step or longer (gradients, moments) takes its own bytes, what passes takes more, and the heap does
    not shrink; a block of 32 MiB and more is mapped by itself and given back whole.

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
            sizes = heap.play(found, batch)
            if number:  # a second batch's gradients are added to the first's
                for index in lasting:
                    heap.change(-sizes[index], stays=True)
        for size in moments if place == 0 else ():
            heap.change(size, stays=True)
        for index in lasting if batches else ():
            heap.change(-sizes[index], stays=True)
    return heap.peak


@dataclass(frozen=True, slots=True)
class Taken:
    """Bytes by which a process was larger than before with batches that it passed.

    Attributes:
        ahead: When the first of them had gone forward.
        first: Its size.
        most: At most while they went forward and back.
        largest: Size of the largest of them.
    """

    ahead: int
    first: Size
    most: int
    largest: Size


def spread_of(found: Pass, taken: Taken) -> Spread:
    """How much more room a pass takes in the heap than its blocks have bytes, from some that were looked at.

    An allocator cannot use every hole again: an aligned block does not fit into a freed one of its own size, small
    objects come to lie in between, and gradients find part of the room of activations that are gone. No formula says
    how much that is; the process says it.

    Args:
        found: The pass.
        taken: What the process took.
    """
    ahead = _Heap(Spread(1.0, 0.0))
    ahead.play(found, taken.first, until=found.forward)
    passing = min(_MOST, max(1.0, (taken.ahead - ahead.mapped) / ahead.passing)) if ahead.passing else 1.0
    least, most = _Heap(Spread(passing, 1.0)), _Heap(Spread(passing, 0.0))
    for heap in (least, most):
        heap.play(found, taken.largest)
    if taken.most > most.peak and most.passing:
        return Spread(min(_MOST, passing + (taken.most - most.peak) / most.passing), 0.0)
    shares = most.peak - least.peak
    return Spread(passing, min(1.0, (most.peak - taken.most) / shares) if shares else 1.0)


class _Heap:
    """What a heap takes: it grows, and does not shrink.

    Attributes:
        passing: Bytes of passing blocks at most.
        mapped: Bytes of blocks that are mapped by themselves now.
        peak: Bytes at most, blocks that are mapped included.
    """

    def __init__(self, spread: Spread) -> None:
        self._spread = spread
        self._passes = self._stays = self._together = self._staying = 0.0
        self.passing = self.mapped = self.peak = 0

    def play(self, found: Pass, batch: Size, *, until: int | None = None) -> list[int]:
        """A pass with a batch, or the first of its course; returns the bytes of its blocks."""
        sizes, lasting = [block.bytes(batch) for block in found.blocks], found.lasting
        for at in found.course[:until]:
            index = abs(at) - 1
            self.change(sizes[index] if at > 0 else -sizes[index], stays=until is None and index in lasting)
        return sizes

    def change(self, count: int, *, stays: bool) -> None:
        """A block that came, or went where the count is negative."""
        if abs(count) >= _MAPPED:
            self.mapped += count
        elif stays:
            self._stays += count
        else:
            self._passes += count
        self.passing, self._staying = max(self.passing, int(self._passes)), max(self._staying, self._stays)
        self._together = max(self._together, self._stays + self._spread.passing * self._passes)
        apart = self._staying + self._spread.passing * self.passing
        heap = apart - self._spread.shared * (apart - self._together)
        self.peak = max(self.peak, int(heap + self.mapped))
