"""What leaves a build: Parquet files and the data card."""

from __future__ import annotations

from datakit.export.card import CardFacts, CardSource, CardStep, data_card
from datakit.export.folder import write_dataset

__all__ = ["CardFacts", "CardSource", "CardStep", "data_card", "write_dataset"]
