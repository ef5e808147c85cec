"""A page on this machine alone, where people say what is right; every word is on the disk before the next row comes."""

from __future__ import annotations

from datakit.labelling.review.app import Desk, review_app
from datakit.labelling.review.serve import serve

__all__ = ["Desk", "review_app", "serve"]
