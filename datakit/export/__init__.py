"""What leaves a build: Parquet files and the data card, and the formats of other trainers."""

from __future__ import annotations

from datakit.export.card import CardFacts, CardSource, CardStep, data_card
from datakit.export.export import ExportResult, export, exporter_names
from datakit.export.folder import check_content, write_dataset

__all__ = [
    "CardFacts",
    "CardSource",
    "CardStep",
    "ExportResult",
    "check_content",
    "data_card",
    "export",
    "exporter_names",
    "write_dataset",
]
