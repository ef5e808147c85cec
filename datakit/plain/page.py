"""The page of ``datakit stats``: one file, no script, no network, for light and dark screens."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from datakit.plain.figures import bars, histogram
from datakit.plain.stats import FileStats, merged

__all__ = ["page", "quantiles"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5c6675; --line: #dfe3ea; --back: #ffffff;
  --card: #f6f7f9; --bar: #3b6fb6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa4b5; --line: #323a47; --back: #14181f;
  --card: #1c222b; --bar: #7ba7e0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 4rem; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0 0 1.25rem; } h2 { font-size: 1.1rem; margin: 2.25rem 0 .75rem; }
h3 { font-size: .95rem; margin: 1.25rem 0 .25rem; font-weight: 600; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .75rem; }
.cards div { background: var(--card); border-radius: .5rem; padding: .75rem 1rem; }
.cards b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; } .cards span { color: var(--soft); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } td + td, th { white-space: nowrap; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 0 1.5rem; }
th { color: var(--soft); font-weight: 500; }
svg { width: 100%; height: auto; display: block; } .bar { fill: var(--bar); } .hit { fill: transparent; }
g:hover .bar { fill: var(--ink); } .grid { stroke: var(--line); } .tick, .unit { fill: var(--soft); font-size: 15px; }
.row { display: grid; grid-template-columns: minmax(6rem, 14rem) 1fr 8.5rem; gap: .75rem; align-items: center; }
.name { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.track { background: var(--card); height: .8rem; border-radius: .2rem; }
.track i { display: block; height: 100%; background: var(--bar); border-radius: .2rem; }
.count { text-align: right; font-variant-numeric: tabular-nums; } small, .rest, .soft { color: var(--soft); }
"""


def quantiles(values: Sequence[int]) -> dict[str, float]:
    """Mean, smallest, quartiles, 95th percentile (nearest rank) and largest."""
    if not values:
        return {}
    ordered = sorted(values)

    def at(share: float) -> int:
        return ordered[min(len(ordered) - 1, max(0, round(share * (len(ordered) - 1))))]

    names = {"min": 0.0, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "max": 1.0}
    return {"mean": round(sum(ordered) / len(ordered), 1), **{name: at(share) for name, share in names.items()}}


def page(parts: Sequence[FileStats], title: str) -> str:
    """The HTML of the facts of one or several files."""
    whole = merged(parts)
    sections = [
        f"<h1>{escape(title)}</h1>",
        _cards(whole, len(parts)),
        _files(parts) if len(parts) > 1 else "",
        _columns(whole),
        _lengths(whole),
        _counted("Labels", whole.labels),
        _counted("Turns per conversation", {str(turns): rows for turns, rows in sorted(whole.turns.items())}),
        _counted("Languages, guessed from the first rows", whole.languages),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{''.join(sections)}</body></html>\n"
    )


def _cards(whole: FileStats, files: int) -> str:
    shown = {
        "rows": whole.rows,
        "files": files,
        "columns": len(whole.columns),
        "exact duplicates": whole.duplicates,
        "without text": whole.empty,
        "unreadable": whole.bad,
    }
    cells = "".join(f"<div><b>{value:,}</b><span>{name}</span></div>" for name, value in shown.items())
    return f'<div class="cards">{cells}</div>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _files(parts: Sequence[FileStats]) -> str:
    rows = [
        [
            part.name,
            f"{part.rows:,}",
            f"{part.duplicates:,}",
            f"{part.empty:,}",
            f"{part.bad:,}",
            f"{len(part.labels):,}",
        ]
        for part in parts
    ]
    head = ["file", "rows", "exact duplicates", "without text", "unreadable", "labels"]
    shares = ""
    labels = sorted({label for part in parts for label in part.labels})
    if 1 < len(labels) <= 40:
        table = [
            [label, *(f"{100 * part.labels[label] / max(part.labels.total(), 1):.1f} %" for part in parts)]
            for label in labels
        ]
        shares = "<h3>Share of each label</h3>" + _table(["label", *(part.name for part in parts)], table)
    return "<h2>Files</h2>" + _table(head, rows) + shares


def _columns(whole: FileStats) -> str:
    ours = {theirs: name for name, theirs in whole.meaning.items()}
    rows = [
        [
            name,
            ours.get(name, ""),
            ", ".join(kind for kind, _ in facts.types.most_common()),
            f"{facts.filled:,}",
            f"{100 * facts.filled / max(whole.rows, 1):.1f} %",
            f"{len(facts.distinct):,}{'+' if facts.many else ''}",
        ]
        for name, facts in whole.columns.items()
    ]
    return "<h2>Columns</h2>" + _table(["column", "taken as", "holds", "filled", "share", "distinct"], rows)


def _lengths(whole: FileStats) -> str:
    parts = []
    for name, lengths in whole.lengths.items():
        for unit, values in (("characters", lengths.characters), ("words", lengths.words)):
            facts = " · ".join(f"{key} {value:,}" for key, value in quantiles(values).items())
            drawn = histogram(values, unit=unit)
            parts.append(f'<div><h3>{escape(name)}, {unit}</h3>{drawn}<p class="soft">{facts}</p></div>')
    return f'<h2>Lengths</h2><div class="pair">{"".join(parts)}</div>' if parts else ""


def _counted(title: str, counts: dict[str, int]) -> str:
    return f"<h2>{escape(title)}</h2>{bars(counts)}" if counts else ""
