"""Sets of rows to sides of the asked sizes: by hash, stratum by stratum, or along time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from datakit.core.errors import StepError
from datakit.core.hashing import digest

__all__ = ["assign", "assign_by_time", "assign_folds"]


def assign(roots: Sequence[str], strata: Sequence[Any] | None, shares: Mapping[str, float], seed: int) -> list[str]:
    """A side for every row; rows of one set get the same one, whatever their order.

    Args:
        roots: The set of each row.
        strata: Value of each row that shall have equal shares on all sides; None where nothing is stratified.
        shares: Side to its share, all above 0, together 1.
        seed: Of the hash that orders the sets.
    """
    inside = _inside(roots, strata)
    # A set with rows of several strata belongs to the one most of its rows have.
    members: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for root, counts in inside.items():
        main = min(counts, key=lambda name: (-counts[name], name))
        members[main].append((root, counts.total()))
    return _fill(roots, list(members.values()), shares, seed)


def _inside(roots: Sequence[str], strata: Sequence[Any] | None) -> dict[str, Counter[str]]:
    """Rows of each stratum in each set."""
    inside: dict[str, Counter[str]] = defaultdict(Counter)
    for root, stratum in zip(roots, [""] * len(roots) if strata is None else strata, strict=True):
        inside[root]["" if stratum is None else str(stratum)] += 1
    return inside


def _fill(
    roots: Sequence[str], strata: list[list[tuple[str, int]]], shares: Mapping[str, float], seed: int
) -> list[str]:
    """Gives each set to the side that lacks most, stratum by stratum, small strata first.

    What a stratum leaves over or short is carried into the next, so the sides come out in the asked sizes even where
    every stratum is smaller than one row per side. Within a stratum big sets go first (by powers of two), then in the
    order of their hash. The price of n rows for a side short of d rows with share f is n(n - 2d)/f: the increase of
    the chi-square distance from the asked sizes.
    """
    side: dict[str, str] = {}
    short = dict.fromkeys(shares, 0.0)
    for sets in sorted(strata, key=lambda sets: (sum(size for _, size in sets), min(sets))):
        total = sum(size for _, size in sets)
        for name, share in shares.items():
            short[name] += share * total
        for root, size in sorted(sets, key=lambda item: (-item[1].bit_length(), digest(seed, item[0]))):
            best = min(shares, key=lambda name: (size * (size - 2 * short[name]) / shares[name], name))
            side[root] = best
            short[best] -= size
    return [side[root] for root in roots]


class _Lacking:
    """How many rows each side is short of, in all and per stratum, of the sets seen so far.

    As in :func:`_fill`, but the price is paid for the rows in all and for those of each stratum, and a set stands in
    line with the rarest of its strata.
    """

    def __init__(self, shares: Mapping[str, float]) -> None:
        self.shares = shares
        # Whole numbers: sums of shares would depend on the order in which the sets are seen.
        self.seen: Counter[str] = Counter()
        self.seen_rows = 0
        self.placed: Counter[tuple[str, str]] = Counter()
        self.placed_rows = dict.fromkeys(shares, 0)

    def expect(self, counts: Mapping[str, int]) -> None:
        """Adds the rows of a set to what the sides are to have."""
        for stratum, count in counts.items():
            self.seen[stratum] += count
            self.seen_rows += count

    def place(self, counts: Mapping[str, int]) -> str:
        """The side with the lowest price for a set; it is no longer short of its rows."""
        size = sum(counts.values())
        prices: list[tuple[float, str]] = []
        for name, share in self.shares.items():
            price = size * (size - 2 * (share * self.seen_rows - self.placed_rows[name]))
            for stratum, count in sorted(counts.items()) if len(counts) > 1 else counts.items():
                short = share * self.seen[stratum] - self.placed[name, stratum]
                price += count * (count - 2 * short)
            prices.append((price / share, name))
        best = min(prices)[1]
        self.placed_rows[best] += size
        for stratum, count in counts.items():
            self.placed[best, stratum] += count
        return best


def assign_folds(roots: Sequence[str], strata: Sequence[Any] | None, folds: int, seed: int) -> list[int]:
    """A fold from 0 to ``folds`` - 1 for every row: each set in exactly one, the folds of equal size.

    Every stratum is shared out evenly, also where sets hold rows of several: those with the rarest go first.
    """
    inside = _inside(roots, strata)
    sizes: Counter[str] = Counter()
    for counts in inside.values():
        sizes.update(counts)
    members: dict[str, list[str]] = defaultdict(list)
    for root, counts in inside.items():
        members[min(counts, key=lambda name: (sizes[name], name))].append(root)
    width = len(str(folds - 1))
    lacking = _Lacking({f"{number:0{width}d}": 1 / folds for number in range(folds)})
    side: dict[str, int] = {}
    for sets in sorted(members.values(), key=lambda sets: (sum(inside[root].total() for root in sets), min(sets))):
        for root in sets:
            lacking.expect(inside[root])
        for root in sorted(sets, key=lambda root: (-inside[root].total().bit_length(), digest(seed, root))):
            side[root] = int(lacking.place(inside[root]))
    return [side[root] for root in roots]


def assign_by_time(
    roots: Sequence[str], times: Sequence[Any], shares: Mapping[str, float], where: Sequence[str]
) -> list[str]:
    """Sides one after another in time: the first of ``shares`` gets the oldest sets, the last one the newest.

    A set stands where its oldest row stands, so that nothing on a later side repeats what an earlier side knows.
    Sets of one moment are not separated.

    Args:
        roots: The set of each row.
        times: Number, ISO 8601 date or date-time of each row.
        shares: Side to its share, in the order of time.
        where: Place of each row, for the message.

    Raises:
        StepError: A row has no time, or one that cannot be ordered.
    """
    moments = _moments(times, where)
    oldest: dict[str, float] = {}
    sizes: Counter[str] = Counter(roots)
    for root, moment in zip(roots, moments, strict=True):
        oldest[root] = min(moment, oldest.get(root, moment))
    at: Counter[float] = Counter()
    for root, moment in oldest.items():
        at[moment] += sizes[root]
    side_at: dict[float, str] = {}
    names, total, done = list(shares), len(roots), 0
    ends = [sum(list(shares.values())[: number + 1]) * total for number in range(len(names))]
    side = 0
    for moment in sorted(at):
        # a moment goes where most of its rows would go
        while side < len(names) - 1 and done + at[moment] / 2 > ends[side]:
            side += 1
        side_at[moment] = names[side]
        done += at[moment]
    return [side_at[oldest[root]] for root in roots]


def _moments(times: Sequence[Any], where: Sequence[str]) -> list[float]:
    found: list[float] = []
    kinds: set[str] = set()
    for value, place in zip(times, where, strict=True):
        moment = _moment(value)
        if moment is None:
            raise StepError(
                f"'{value}' is no time",
                where=place,
                hint="A number, or an ISO 8601 date such as 2026-03-01 or 2026-03-01T09:30:00Z",
            )
        kinds.add("number" if isinstance(value, (int, float)) or _is_number(value) else "date")
        if len(kinds) > 1:
            raise StepError(f"'{value}' cannot be ordered among the other times: numbers and dates", where=place)
        found.append(moment)
    return found


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _moment(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if _is_number(value):
        number = float(value)
        return number if number - number == 0 else None  # neither NaN nor infinite
    try:
        moment = datetime.fromisoformat(str(value).strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
