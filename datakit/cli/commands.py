"""The table of commands: heading, module and the line in ``datakit --help``. A command is listed when it works."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COMMANDS", "GROUPS", "CommandEntry"]

GROUPS = ("Start", "Whole loop", "Data", "Model")


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """Where a command stands on the help page and which module of ``datakit.cli`` has it, as ``command``."""

    group: str
    module: str
    help: str


COMMANDS: dict[str, CommandEntry] = {
    "demo": CommandEntry("Start", "demo", "See the whole loop on a small model, offline, in minutes."),
    "init": CommandEntry("Start", "init", "Read a data file and write a recipe for it."),
    "check": CommandEntry("Start", "check", "Say what a recipe will do, before anything runs."),
    "doctor": CommandEntry("Start", "doctor", "Look at this machine: packages, GPU, hub, disk."),
    "fetch": CommandEntry("Start", "fetch", "Collect what a recipe needs, for a machine without network."),
    "run": CommandEntry("Whole loop", "run", "Build, train, evaluate and report; goes on where it stopped."),
    "ask": CommandEntry("Whole loop", "ask", "Put a prompt to the base and every arm, side by side."),
    "report": CommandEntry("Whole loop", "report", "Write the report again from a run's logs."),
    "gate": CommandEntry("Whole loop", "gate", "Exit 0 if nothing regressed, 3 if it did, 4 if unsure."),
    "why": CommandEntry("Whole loop", "why", "Tell the whole story of one example."),
    "diff": CommandEntry("Whole loop", "diff", "Say what differs between two runs, rows and results."),
    "build": CommandEntry("Data", "build", "Run only the data part of a recipe."),
    "label": CommandEntry("Data", "label", "Label rows by asking a model, and measure it against people."),
    "review": CommandEntry("Data", "review", "Let people check labels, in a browser or a spreadsheet."),
    "templates": CommandEntry("Data", "templates", "List, show and render prompt templates."),
    "dedup": CommandEntry("Data", "dedup", "Take exact and near-duplicates out of plain files."),
    "pii": CommandEntry("Data", "pii", "Replace personal data in plain files."),
    "filter": CommandEntry("Data", "filter", "Take rows that fail a check out of plain files."),
    "decontaminate": CommandEntry("Data", "decontaminate", "Take rows that hold benchmark items out of plain files."),
    "split": CommandEntry("Data", "split", "Put a file's rows into train, validation and test."),
    "mix": CommandEntry("Data", "mix", "Mix plain files in proportion."),
    "convert": CommandEntry("Data", "convert", "Write a file or a run's data in another format."),
    "stats": CommandEntry("Data", "stats", "Look at a file or a run's data: rows, lengths, labels, plots."),
    "train": CommandEntry("Model", "train", "Train one arm on a built dataset."),
    "eval": CommandEntry("Model", "eval", "Evaluate a model on a suite and keep the log."),
    "compare": CommandEntry("Model", "compare", "Compare a tuned model with its base, item by item."),
    "curve": CommandEntry("Model", "curve", "Gain and forgetting over checkpoints or number of examples."),
    "interpolate": CommandEntry("Model", "interpolate", "Weights between the base and an arm, under a budget."),
    "recover": CommandEntry("Model", "recover", "Say whether a lost skill is gone or only hidden."),
    "export": CommandEntry("Model", "export", "Write an arm as it is shipped, checked and evaluated again."),
    "suites": CommandEntry("Model", "suites", "List the suites there are, or the tasks of one."),
}
