"""Exact and near-duplicates: signatures first, then clusters; every dropped text has a verified partner that stays."""

from __future__ import annotations

from datakit.dedup.cluster import cluster
from datakit.dedup.deduplicate import deduplicate
from datakit.dedup.index import DedupIndex
from datakit.dedup.minhash import minhash, shingle_hashes, signatures
from datakit.dedup.result import DedupResult

__all__ = ["DedupIndex", "DedupResult", "cluster", "deduplicate", "minhash", "shingle_hashes", "signatures"]
