"""The ``pii`` step of a recipe: no original value that was found remains in any column of its row.

Ledger: one ``changed`` row per example, reason ``personal_data``. Evidence: ``found``, a list of ``kind``, ``column``,
``start``, ``end`` (in the original) and, where the recipe names a key or the mode needs one, ``hash`` (keyed).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import ConfigDict, Field, field_validator, model_validator

from datakit.core.example import SCHEMA
from datakit.core.hashing import digest
from datakit.core.registry import suggest
from datakit.core.require import require
from datakit.core.step import Params, StepContext, StepOutput, entry, ledger_table
from datakit.pii.audit import AuditResult, audit_finder
from datakit.pii.engine import check_engine, engine_fingerprint, engine_title
from datakit.pii.finder import Finder, Recognizers
from datakit.pii.key import Key, check_reference, load_key
from datakit.pii.recognizers import ENTITIES, LANGUAGE_REGIONS
from datakit.pii.replace import Replace, Replacer
from datakit.pii.row import COLUMNS, Finding, column_name, rewrite_row
from datakit.pii.survey import Survey, find_in_table, survey

__all__ = ["PiiParams", "PiiStep"]


class PiiParams(Params):
    """What a recipe may say under ``pii``.

    Attributes:
        replace: ``tag`` (``<EMAIL_ADDRESS>``), ``mask`` (asterisks), ``hash`` (tag with a keyed token, the same for
            the same value) or ``surrogate`` (a fake value of the same kind, the same for the same value).
        key: ``env:NAME`` or ``file:PATH`` (relative to the recipe). Without it, ``hash`` and ``surrogate`` use a
            random key kept in the run's ``private/``.
        languages: Of the texts; they decide the regions where none are given. ``language: en`` is the same as
            ``languages: [en]``.
        regions: ISO 3166 codes of the countries whose phone numbers and documents are looked for.
        entities: Kinds to look for; by default all that fit the regions but dates and UUIDs.
        min_score: Findings below are left; 0.4, or 0 with Presidio's recognisers.
        recognizers: ``datakit``, or ``presidio`` for its stock set, regions and scores.
        engine: Model for names, places and organisations: ``spacy:``, ``hf:`` or ``gliner:`` and a name or a folder
            (relative to the recipe).
        audit: So many invented values are planted in copies of rows; the card says how many were found.
    """

    # An error message of pydantic would repeat the value, and that may be a secret put in the wrong place.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    replace: Replace = "tag"
    key: str | None = None
    languages: tuple[str, ...] = Field(default=("en",), min_length=1)
    regions: tuple[str, ...] | None = Field(default=None, min_length=1)
    entities: tuple[str, ...] | None = Field(default=None, min_length=1)
    min_score: float | None = Field(default=None, gt=0, le=1)
    recognizers: Recognizers = "datakit"
    engine: str | None = None
    audit: int = Field(default=0, ge=0, le=100_000)

    @model_validator(mode="before")
    @classmethod
    def _one_language_or_several(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "language" not in data:
            return data
        if "languages" in data:
            raise ValueError("give 'language' or 'languages', not both")
        given = data["language"]
        rest = {name: value for name, value in data.items() if name != "language"}
        return {**rest, "languages": [given] if isinstance(given, str) else given}

    @field_validator("key")
    @classmethod
    def _key_is_a_reference(cls, key: str | None) -> str | None:
        return key if key is None else check_reference(key)

    @field_validator("engine")
    @classmethod
    def _engine_is_one(cls, engine: str | None) -> str | None:
        return engine if engine is None else check_engine(engine)

    @model_validator(mode="after")
    def _entities_exist(self) -> PiiParams:
        if self.recognizers == "presidio":
            if self.regions is not None:
                raise ValueError("'regions' do not go with 'recognizers: presidio', which has its own")
            return self  # what Presidio has is known when it is there
        for name in self.entities or ():
            if name not in ENTITIES:
                raise ValueError(f"no entity '{name}'. {suggest(name, list(ENTITIES))}")
        return self

    @model_validator(mode="after")
    def _regions_are_known(self) -> PiiParams:
        for name in self.languages:
            if self.recognizers == "datakit" and self.regions is None and name not in LANGUAGE_REGIONS:
                raise ValueError(f"no regions are known for the language '{name}': name them in regions")
        return self


class PiiStep:
    """Replaces personal data in all columns of a row.

    Args:
        params: From the recipe.
        context: Its ``folder`` is where a key file is looked for, its ``private`` where a random key is kept.
    """

    Params: ClassVar[type[PiiParams]] = PiiParams
    name: ClassVar[str] = "pii"
    version: ClassVar[int] = 2
    kind: ClassVar[Literal["row", "table"]] = "row"

    def __init__(self, params: PiiParams, context: StepContext | None = None) -> None:
        self.params = params
        self.context = context or StepContext()
        self._key: Key | None = None
        self._audit: AuditResult | None = None
        self._survey: Survey | None = None
        self._replacer: Replacer | None = None

    def fingerprint(self) -> str:
        """Versions of the libraries that recognise, and a hash that changes with the key without telling it.

        Raises:
            StepError: The key that the recipe names is not there.
            MissingDependency: Presidio is not installed.
        """
        from importlib.metadata import PackageNotFoundError, version

        parts = []
        for package in ("presidio-analyzer", "phonenumbers", "tldextract"):
            try:
                parts += [package, version(package)]
            except PackageNotFoundError:
                require(package.replace("-", "_"), extra="pii")
        if self.params.engine is not None:
            parts.append(engine_fingerprint(self.params.engine, self.context.folder))
        if self._keyed():
            parts.append(self._secret().digest("fingerprint").hex())
        return digest(*parts)

    def notes(self) -> list[str]:
        """What the data card must say of this step."""
        engine = self.params.engine
        names = "names, places and organisations were"
        said = [f"{names} looked for by {engine_title(engine)}" if engine else f"{names} not looked for (no engine)"]
        return said if self._audit is None else [*said, self._audit.sentence()]

    def learn(self, parts: Callable[[], Iterable[pa.Table]]) -> None:
        """Looks through a set that is then applied in parts: a value found in one is replaced in all.

        Args:
            parts: Gives the tables, each time it is called; their ids are distinct.
        """
        self._survey = survey(parts, self._finder())
        if self._survey is not None:
            self._replacer = Replacer(self.params.replace, self._secret())
            self._replacer.announce(self._survey.originals)

    def audit(self, texts: Sequence[str | None], count: int) -> AuditResult:
        """Plants invented values in copies of texts and counts those that this step would replace."""
        languages = self.params.languages
        return audit_finder(
            self._finder(), texts, languages, count=count, seed=self.context.seed, entities=self.params.entities
        )

    def apply(self, table: pa.Table) -> StepOutput:
        """Replaces personal data.

        Raises:
            StepError: The key that the recipe names is not there, or a region does not exist.
            MissingDependency: Presidio is not installed.
        """
        params = self.params
        find = self._finder()
        found, originals = find_in_table(table, find, self._survey)
        replacer = self._replacer
        if replacer is None:
            replacer = Replacer(params.replace, self._secret())
            replacer.announce(originals)
        rewritten = {number: rewrite_row(*row, replacer) for number, row in found.items()}
        if params.audit:
            self._audit = self.audit(table.column("text").to_pylist(), params.audit)
        ids = table.column("id").to_pylist()
        ledger = [
            entry(self.name, ids[number], "changed", "personal_data", evidence=self._evidence(findings, replacer))
            for number, (_, findings) in found.items()
        ]
        return StepOutput(_with_rows(table, rewritten), ledger_table(ledger))

    def _finder(self) -> Finder:
        params = self.params
        return Finder(
            params.languages,
            regions=params.regions,
            entities=params.entities,
            min_score=params.min_score,
            recognizers=params.recognizers,
            engine=params.engine,
            folder=self.context.folder,
            workers=self.context.workers,
        )

    def _keyed(self) -> bool:
        return self.params.key is not None or self.params.replace in ("hash", "surrogate")

    def _secret(self) -> Key:
        if self._key is None:
            keyed = self._keyed()
            reference, private = (self.params.key, self.context.private) if keyed else (None, None)
            self._key = load_key(reference, folder=self.context.folder, private=private)
        return self._key

    def _evidence(self, findings: list[Finding], replacer: Replacer) -> dict[str, Any]:
        """Kinds and places; no value and no key of ``fields`` that holds one."""
        kinds = {finding.value: finding.span.entity for finding in findings}
        listed = []
        for finding in sorted(findings, key=lambda finding: (str(finding.path), finding.span.start)):
            span = finding.span
            column = column_name(finding.path, kinds)
            one: dict[str, Any] = {"kind": span.entity, "column": column, "start": span.start, "end": span.end}
            if self._keyed():
                # Without a key that lasts, a hash would tell nothing and differ from run to run.
                one["hash"] = replacer.token(finding.value, span.entity)
            listed.append(one)
        return {"found": listed}


def _with_rows(table: pa.Table, rows: Mapping[int, Mapping[str, Any]]) -> pa.Table:
    """The table with the columns of some rows replaced."""
    if not rows:
        return table
    for name in COLUMNS:
        values = table.column(name).to_pylist()
        for number, row in rows.items():
            values[number] = row[name]
        column = pa.array(values, type=SCHEMA.field(name).type)
        table = table.set_column(table.column_names.index(name), name, column)
    return table
