"""Doctor: where models and data sets come from. Never fatal, never slow."""

from __future__ import annotations

import importlib.util
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path

from datakit.experiment.finding import Finding

__all__ = ["hub", "reach"]

SWITCHES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
PATIENCE = 4.0


def hub(*, offline: bool) -> list[Finding]:
    """The download cache, the switches that forbid the network, and whether the hub answers."""
    section = "Hub"
    if importlib.util.find_spec("huggingface_hub") is None:
        return []
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    count = sum(path.name.startswith(("models--", "datasets--")) for path in cache.iterdir()) if cache.is_dir() else 0
    found = [Finding(section, "downloads", "ok", f"{cache} · {count} kept")]
    set_switches = [f"{name}={os.environ[name]}" for name in SWITCHES if os.environ.get(name)]
    if set_switches:
        found.append(Finding(section, "reach", "ok", "not asked: " + ", ".join(set_switches)))
    elif offline:
        found.append(Finding(section, "reach", "ok", "not asked: --offline"))
    elif problem := reach(constants.ENDPOINT):
        advice = "Folders on this machine work; set network: never in a recipe to keep it from trying."
        found.append(Finding(section, "reach", "warn", f"{constants.ENDPOINT}: {problem}", advice))
    else:
        found.append(Finding(section, "reach", "ok", f"{constants.ENDPOINT} answers"))
    return found


def reach(address: str, *, patience: float = PATIENCE) -> str | None:
    """Why the address cannot be reached within ``patience`` seconds; None where it answers, with whatever status.

    A name server that does not answer ignores socket time-outs, so the question is asked in a thread left behind.
    """
    answer: list[str | None] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=patience):
                answer.append(None)
        except urllib.error.HTTPError:
            answer.append(None)
        except urllib.error.URLError as error:
            answer.append(str(getattr(error.reason, "strerror", None) or error.reason))
        except (OSError, ValueError) as error:
            answer.append(str(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience)
    return answer[0] if answer else f"no answer in {patience:.0f} s"
