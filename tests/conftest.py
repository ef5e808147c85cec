"""What tests of several rooms share: where real data lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The first example pays for imports, and machines are busy: time is measured elsewhere.
settings.register_profile("datakit", deadline=None)
settings.load_profile("datakit")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data: DATAKIT_REAL_DATA, else ../shared/data."""
    folder = Path(os.environ.get("DATAKIT_REAL_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data: set DATAKIT_REAL_DATA, or put it at '{folder}'")
    return folder
