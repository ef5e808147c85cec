"""Code of someone else's that takes too long is ended, and the timer is as it was."""

from __future__ import annotations

import contextlib
import signal
import threading
import time

import pytest

from datakit.core.errors import DatakitError
from datakit.core.limits import time_limit


def test_what_takes_too_long_is_ended() -> None:
    before, started = signal.getsignal(signal.SIGALRM), time.monotonic()

    def loop() -> None:
        while True:
            with contextlib.suppress(Exception):  # its own handlers do not keep it going
                time.sleep(0.001)

    with pytest.raises(DatakitError, match="too slow"), time_limit(0.05, "too slow"):
        loop()
    assert time.monotonic() - started < 2
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_is_in_time_and_what_runs_elsewhere_goes_on() -> None:
    with time_limit(5, "too slow"):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    done = []

    def work() -> None:
        with time_limit(0.001, "too slow"):
            time.sleep(0.02)
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
