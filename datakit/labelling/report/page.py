"""The page: what was labelled, how good it is, where to put the threshold, and what people should look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import pyarrow as pa

from datakit.labelling.job import Labelled
from datakit.labelling.labeller import Labeller
from datakit.labelling.measure import TARGET
from datakit.labelling.report.figures import bars, coverage_plot, histogram, reliability_plot

__all__ = ["labels_page"]

_SHOWN = 30
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def labels_page(labelled: Labelled, labeller: Labeller, items: pa.Table, *, settings: Mapping[str, Any]) -> str:
    """The whole page; equal facts give equal bytes.

    Args:
        labelled: What labelling gave.
        labeller: Whose labels.
        items: Columns ``example_id`` and ``origin``, for pointing at rows; no text of theirs is shown.
        settings: ``models``, ``min_confidence``, ``below``.
    """
    facts = labelled.facts
    style = files("datakit.labelling.report").joinpath("page.css").read_text(encoding="utf-8")
    origins = dict(zip(items["example_id"].to_pylist(), items["origin"].to_pylist(), strict=True))
    results = labelled.results.to_pylist()
    body = [
        _header(facts, labeller, settings),
        "<main>",
        _tiles(facts),
        _confidence(facts),
        _thresholds(facts, settings),
        _labels(facts, labeller),
        _models(facts),
        _confusions(facts),
        _suspicious(facts, origins),
        _doubtful(results, origins),
        _about(facts, labeller, settings),
        "</main>",
        "<footer><p>Intervals cover 95 % and are bootstrapped over rows; those of a threshold are Wilson's. "
        "Confidences of gold rows come from a calibration that has not seen them. Texts are not shown here: "
        "<code>datakit review RUN</code> shows them on this machine alone.</p></footer>",
    ]
    text = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>Labels · {escape(labeller.name)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{''.join(body)}\n</body>\n</html>\n"
    )
    return text.encode("utf-8", "replace").decode()


def _percent(figure: Mapping[str, Any] | None) -> str:
    if not figure or figure["value"] is None:
        return "–"
    return f"{100 * figure['value']:.1f}\u00a0%"


def _ends(figure: Mapping[str, Any] | None, *, scale: float = 100, digits: int = 1) -> str:
    if not figure or figure["low"] is None:
        return ""
    return f"{scale * figure['low']:.{digits}f} to {scale * figure['high']:.{digits}f}"


def _number(figure: Mapping[str, Any] | None) -> str:
    return "–" if not figure or figure["value"] is None else f"{figure['value']:.3f}"


def _header(facts: Mapping[str, Any], labeller: Labeller, settings: Mapping[str, Any]) -> str:
    good = facts["status"].get("ok", 0)
    title = f"{good:,} of {facts['rows']:,} rows have a label"
    gold = facts["gold"]
    if gold.get("accuracy", {}).get("value") is not None:
        title += f", and {_percent(gold['accuracy'])} of {gold['labelled']:,} gold rows agree with people"
    by = ", ".join(settings.get("models", ()))
    text = "" if gold["rows"] else (
        '<p class="warning">There is no gold: nobody has said how good these labels are. Label a random sample with '
        "<code>datakit review RUN --sample 200</code>, or name a column with <code>gold</code>.</p>"
    )  # fmt: skip
    return (
        f'<header><p class="crumb">Labels · {escape(labeller.name)} ({labeller.kind}) · {escape(by)}</p>'
        f"<h1>{escape(title)}</h1>{text}</header>"
    )


def _tile(value: str, name: str, detail: str = "") -> str:
    more = f"<span>{escape(detail)}</span>" if detail else ""
    return f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span>{more}</div>'


def _tiles(facts: Mapping[str, Any]) -> str:
    gold, spending, votes = facts["gold"], facts.get("spending", {}), facts["between_votes"]
    tiles = []
    if gold.get("accuracy"):
        tiles.append(_tile(_percent(gold["accuracy"]), "agree with people", _ends(gold["accuracy"])))
        tiles.append(_tile(_number(gold["kappa"]), "Cohen's kappa", _ends(gold["kappa"], scale=1, digits=3)))
        tiles.append(_tile(_number(gold["alpha"]), "Krippendorff's alpha", _ends(gold["alpha"], scale=1, digits=3)))
    if gold.get("f1"):
        tiles.append(_tile(_number(gold["f1"]), "F1 of the parts", _ends(gold["f1"], scale=1, digits=3)))
    if gold.get("distance"):
        ends = _ends(gold["distance"], scale=1, digits=2)
        tiles.append(_tile(_number(gold["distance"]), "mean distance from people", ends))
    if votes["value"] is not None:
        tiles.append(_tile(_number(votes), "alpha between votes", _ends(votes, scale=1, digits=3)))
    if facts.get("ece"):
        error = facts["ece"]
        used = error["raw"] if error["calibrated"] is None else error["calibrated"]
        before = "not calibrated" if error["calibrated"] is None else f"{100 * error['raw']:.1f} before calibration"
        tiles.append(_tile(f"{100 * used:.1f}", "calibration error, points", before))
    if spending:
        money = f"{spending['cost']:,.2f} {spending['currency']}" if spending["cost"] else "nothing"
        detail = f"{spending['tokens_in']:,} tokens in, {spending['tokens_out']:,} out"
        tiles.append(_tile(money, "price of all answers", detail))
        detail = f"{spending['cached']:,} of {spending['questions']:,} answers were there"
        tiles.append(_tile(f"{spending['calls']:,}", "calls in this run", detail))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _confidence(facts: Mapping[str, Any]) -> str:
    blocks = []
    if facts.get("coverage"):
        blocks.append(
            f"<figure><h3>What a threshold keeps</h3>{coverage_plot(facts['coverage'], facts['threshold'])}"
            "<figcaption>Further right more rows are kept and fewer go to people. The band is the 95 % interval."
            "</figcaption></figure>"
        )
        series = {"raw": facts["reliability"]["raw"]}
        key = ""
        if facts["reliability"]["calibrated"]:
            series["calibrated"] = facts["reliability"]["calibrated"]
            key = "<span class='key'><i class='raw'></i>as it came <i></i>calibrated</span>. "
        blocks.append(
            f"<figure><h3>Whether confidence can be believed</h3>{reliability_plot(series)}<figcaption>{key}On the "
            "dashed line a confidence of 80 % is right in 80 of 100 rows. Discs grow with their rows."
            "</figcaption></figure>"
        )
    blocks.append(
        f"<figure><h3>Rows by confidence</h3>{histogram(facts['confidence'])}"
        f"<figcaption>{_calibration(facts)}</figcaption></figure>"
    )
    return f'<section><h2>Confidence</h2><div class="pair">{"".join(blocks)}</div></section>'


_SOURCES = {
    "probabilities": "the model's probabilities",
    "votes": "the share of the votes",
    "both": "probabilities and votes",
    "dawid_skene": "how the voters err (Dawid and Skene)",
}


def _calibration(facts: Mapping[str, Any]) -> str:
    found = facts.get("confidence_from") or {}
    parts = [f"{_SOURCES[name]} ({count:,} rows)" for name, count in sorted(found.items())]
    text = f"Taken from {' and '.join(parts)}. " if parts else ""
    if set(found) == {"votes"} and facts["votes"].get("ok", 0) <= found["votes"]:
        text += (
            "One vote for a row is always sure of itself: ask for several (<code>votes: 5</code>), or several models. "
        )
    if facts.get("calibration"):
        how = {"isotonic": "a rising step function", "platt": "Platt's logistic curve"}[facts["calibration"]]
        return f"{text}Calibrated on the gold sample by {how}."
    if facts["gold"]["labelled"] < 30:
        return f"{text}Not calibrated: that takes at least 30 gold rows, some of them wrong."
    return f"{text}Not calibrated: rows that were left out came out no better by it."


def _thresholds(facts: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    points = facts.get("coverage")
    if not points:
        return ""
    rows = []
    for wanted in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99):
        inside = [one for one in points if one["threshold"] >= wanted]
        if inside:
            one = inside[-1]
            rows.append(
                [
                    *(f"{wanted:.2f}", f"{100 * one['coverage']:.1f} %", f"{100 * one['accuracy']:.1f} %"),
                    *(f"{100 * one['low']:.1f} to {100 * one['high']:.1f}", f"{one['n']:,}"),
                ]
            )
    best = facts["threshold"]
    target = f"{100 * TARGET:.0f} %"
    text = f"No threshold is surely above {target} on this gold sample; more gold narrows the interval."
    if best is not None:
        text = (
            f"<code>min_confidence: {best['threshold']:.2f}</code> keeps {100 * best['coverage']:.1f} % of the rows "
            f"and is surely above {target} ({100 * best['accuracy']:.1f} %, at least {100 * best['low']:.1f})."
        )
    used = settings.get("min_confidence")
    now = "" if used is None else f" This run used {used:g}, and rows below go to: {escape(str(settings['below']))}."
    head = ["threshold", "rows kept", "accuracy", "95 %", "gold rows"]
    return f"<section><h2>Where to put the threshold</h2><p>{text}{now}</p>{_table(head, rows)}</section>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numeric_from: int = 0) -> str:
    top = "".join(f'<th scope="col"{_class(k, numeric_from)}>{escape(name)}</th>' for k, name in enumerate(head))
    body = "".join(
        "<tr>" + "".join(f"<td{_class(k, numeric_from)}>{escape(cell)}</td>" for k, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _class(column: int, numeric_from: int) -> str:
    return ' class="num"' if column >= numeric_from else ""


def _labels(facts: Mapping[str, Any], labeller: Labeller) -> str:
    blocks = []
    if facts["labels"]:
        blocks.append(f"<figure><h3>Labels</h3>{bars(facts['labels'])}</figure>")
    words = {
        "ok": "usable",
        "outside": "none of the options",
        "failed": "refused by the server",
        "too_long": "too long for the model",
        "empty": "nothing to ask",
    }
    status = {words.get(name, name): count for name, count in facts["votes"].items()}
    blocks.append(f"<figure><h3>Votes</h3>{bars(status)}</figure>")
    return f'<section><h2>What was said</h2><div class="pair">{"".join(blocks)}</div></section>'


def _models(facts: Mapping[str, Any]) -> str:
    rows = [
        [
            *(one["name"], f"{one['votes']:,}", f"{100 * one['status'].get('ok', 0) / max(one['votes'], 1):.1f} %"),
            *(_percent(one["accuracy"]), _ends(one["accuracy"]) or "–"),
            *(f"{one['tokens_in']:,}", f"{one['tokens_out']:,}", f"{one['cost']:,.4f}"),
        ]
        for one in facts["models"]
    ]
    head = ["model", "votes", "usable", "agree with people", "95 %", "tokens in", "out", "price"]
    return f"<section><h2>Models</h2>{_table(head, rows, numeric_from=1)}</section>"


def _confusions(facts: Mapping[str, Any]) -> str:
    pairs = facts["gold"].get("confusions")
    if not pairs:
        return ""
    rows = [[gold, said, f"{count:,}"] for gold, said, count in pairs]
    table = _table(["people said", "the label says", "gold rows"], rows, numeric_from=2)
    return f"<section><h2>What is confused</h2>{table}</section>"


def _suspicious(facts: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    if "suspicious" not in facts:
        return ""
    found = facts["suspicious"]
    text = f"{len(found):,} of {facts['checked']:,} labels that were there are in doubt (confident learning)."
    if not found:
        return f"<section><h2>Labels in doubt</h2><p>{text}</p></section>"
    rows = [
        [
            *(origins.get(one["example_id"]) or "", one["example_id"][:12], one["given"], one["suggested"]),
            f"{100 * one['chance']:.1f} %",
        ]
        for one in found[:_SHOWN]
    ]
    head = ["row", "id", "label", "the votes say", "chance of the label"]
    return f"<section><h2>Labels in doubt</h2><p>{text}</p>{_table(head, rows, numeric_from=4)}</section>"


def _doubtful(results: Sequence[Mapping[str, Any]], origins: Mapping[str, str]) -> str:
    known = [row for row in results if row["confidence"] is not None and row["gold"] is None and not row["correction"]]
    known.sort(key=lambda row: (row["confidence"], row["example_id"]))
    rows = [
        [
            *(origins.get(row["example_id"]) or "", row["example_id"][:12], f"{100 * row['confidence']:.1f} %"),
            *(f"{100 * row['agreement']:.0f} %", f"{row['votes']} of {row['asked']}"),
        ]
        for row in known[:_SHOWN]
    ]
    if not rows:
        return ""
    head = ["row", "id", "confidence", "agreement", "votes"]
    return f"<section><h2>Rows most in doubt</h2>{_table(head, rows, numeric_from=2)}</section>"


def _about(facts: Mapping[str, Any], labeller: Labeller, settings: Mapping[str, Any]) -> str:
    rows = [["labeller", f"{labeller.name} ({labeller.kind}, {labeller.language})"]]
    rows += [["hash of the prompt", str(facts.get("prompt"))], ["instruction", labeller.instruction.strip()]]
    rows += [["option", f"{name}"] for name in labeller.names[:100]]
    rows += [[key, str(value)] for key, value in settings.items()]
    faults = facts.get("spending", {}).get("faults", {})
    rows += [["fault, retried", f"{name}: {count:,}"] for name, count in sorted(faults.items())]
    return f"<section><h2>Behind the figures</h2>{_table(['what', 'value'], rows, numeric_from=2)}</section>"
