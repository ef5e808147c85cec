from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", params=["plain", "compiled"], autouse=True)
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every test twice: small inputs without the compiled kernels, and all inputs with them."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "compiled":
            patch.setattr("datakit.text.plain.MAX_TEXTS", -1)
        yield request.param
