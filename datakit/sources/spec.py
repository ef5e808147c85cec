"""What a recipe says about one source: where it lies, what its columns mean, what happens to bad rows."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from datakit.core.registry import Registry, suggest

__all__ = ["FORMATS", "OUR_NAMES", "Labels", "SourceSpec"]

FORMATS = Registry(
    "datakit.sources",
    {
        "csv": "datakit.sources.csv:read_csv",
        "json": "datakit.sources.jsonl:read_json",
        "jsonl": "datakit.sources.jsonl:read_jsonl",
        "parquet": "datakit.sources.parquet:read_parquet",
        "text": "datakit.sources.text:read_text",
        "tsv": "datakit.sources.csv:read_tsv",
    },
)
"""Readers: ``Callable[[Stream, SourceSpec], Iterator[Row]]``. The formats ``auto`` and ``hf`` stand beside them."""

OUR_NAMES = ("text", "label", "messages", "system", "prompt", "answer", "chosen", "rejected", "choices", "id")


class Labels(BaseModel):
    """The label column and the names of its values.

    Attributes:
        column: The file's name of the column.
        names: Label names; the order gives the integer that templates see. Empty: the distinct values, sorted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    names: tuple[str, ...] = ()

    @field_validator("names")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the label name '{doubled[0]}' stands there twice")
        return names


class SourceSpec(BaseModel):
    """One entry of ``data.sources``.

    Attributes:
        path: File, glob, list of them, folder of a saved dataset, fsspec URL, ``-`` for standard input, or
            ``hf:org/name[:config][@revision]``. ``${NAME:-default}`` is taken from the environment.
        format: How to read it; ``auto`` goes by the file's name, then by its first bytes.
        columns: Our name to the file's name. Without it, columns that have one of our names are taken as such.
        labels: The label column and its names.
        private: Text of this source never enters a report or tracker.
        on_bad_row: ``fail`` stops at the first bad row; ``skip`` keeps it in ``private/`` and counts it.
        use: ``train`` rows go through all steps; ``text`` and ``replay`` rows are neither split nor templated.
        encoding: Of text formats; a byte order mark is dropped.
        header: ``true``: the first line of a csv or tsv names the columns; a list: it has no such line and these are
            the names; ``false``: no such line, the columns are column1, column2, ...
        delimiter: Of a csv; found from the first line where it is not given.
        quoting: ``standard``: cells may be quoted; ``none``: quotes are text. ``auto`` is standard for csv, and for
            tsv what the first megabyte allows.
        rows: What one row of a text file is: a ``line``, a ``paragraph`` (up to a blank line) or the ``file``.
        members: Which files of a .zip are read, as a pattern.
        split: Which split of a Hugging Face dataset is read; ``all`` reads every one and adds a column ``split``.
        limit: Only the first rows, to try a recipe.
        license: Of this source, for the data card.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str | tuple[str, ...]
    format: str = "auto"
    columns: dict[str, str] = Field(default_factory=dict)
    labels: Labels | None = None
    private: bool = False
    on_bad_row: Literal["fail", "skip"] = "fail"
    use: Literal["train", "text", "replay"] = "train"
    encoding: str = "utf-8"
    header: bool | tuple[str, ...] = True
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    quoting: Literal["auto", "standard", "none"] = "auto"
    rows: Literal["line", "paragraph", "file"] = "line"
    members: str = "*"
    split: str | None = None
    limit: int | None = Field(default=None, ge=1)
    license: str | None = None

    @field_validator("path")
    @classmethod
    def _some_path(cls, path: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not path or not all(path):
            raise ValueError("the path is empty")
        return path

    @field_validator("format")
    @classmethod
    def _known_format(cls, format: str) -> str:
        known = ["auto", "hf", *FORMATS.names()]
        if format not in known:
            raise ValueError(f"no format named '{format}'. {suggest(format, known)}")
        return format

    @field_validator("columns")
    @classmethod
    def _known_names(cls, columns: dict[str, str]) -> dict[str, str]:
        for name in columns:
            if name not in OUR_NAMES:
                raise ValueError(
                    f"'{name}' is none of our names (write our name: the file's name). "
                    + suggest(name, list(OUR_NAMES))
                )
        return columns

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        try:
            "".encode(encoding)
        except LookupError:
            raise ValueError(f"no encoding named '{encoding}'; for example utf-8, cp949, latin-1, utf-16") from None
        return encoding

    @model_validator(mode="after")
    def _consistent(self) -> SourceSpec:
        if self.labels is not None and self.labels.column not in (
            "label",
            self.columns.get("label", self.labels.column),
        ):
            raise ValueError(
                f"labels.column is '{self.labels.column}' but columns.label is '{self.columns['label']}'; "
                "both name the file's label column"
            )
        if {"answer", "system"} & set(self.columns) and "prompt" not in self.columns:
            raise ValueError(
                "columns has answer or system but no prompt; a turn of the user must come before the answer"
            )
        if "prompt" in self.columns and not {"answer", "chosen"} & set(self.columns):
            raise ValueError("columns has prompt but no answer (or chosen)")
        if "prompt" in self.columns and "messages" in self.columns:
            raise ValueError("columns has both messages and prompt; messages holds the whole conversation")
        return self

    def mapped(self) -> dict[str, str]:
        """``columns`` with the label column that ``labels`` names."""
        if self.labels is None or "label" in self.columns:
            return dict(self.columns)
        return {**self.columns, "label": self.labels.column}

    def paths(self) -> tuple[str, ...]:
        """``path`` as a tuple, variables not replaced."""
        return (self.path,) if isinstance(self.path, str) else self.path
