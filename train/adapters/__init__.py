"""What of a model is trained: every weight, or an adapter beside it. One file per adapter, a registry of names.

Defaults and why:

* ``full``, learning rate 1e-5: Tulu 3 uses 5e-6 and Llama 2's chat models 2e-5 for supervised fine-tuning of 7-8 B
  parameters; higher rates gain little and forget more. Models far smaller want more: give a list and let validation
  loss choose.
* ``lora``, learning rate 2e-4: QLoRA (arXiv 2305.14314) for 7-13 B; LoRA's best rate is about ten times that of full
  fine-tuning. All linear layers, because attention alone falls behind at equal size (the same paper).

``peft:NAME`` is any tuner of PEFT, with ``options`` for what its configuration knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from datakit.core.registry import Registry

if TYPE_CHECKING:
    from train.config import Arm

__all__ = ["ADAPTERS", "PEFT", "Adapter", "Default", "adapter_named", "adapter_options", "is_known"]

ADAPTERS = Registry(
    "train.adapters",
    {
        "direft": "train.adapters.reft:direft",
        "dora": "train.adapters.dora:Dora",
        "full": "train.adapters.full:Full",
        "lora": "train.adapters.lora:Lora",
        "loreft": "train.adapters.reft:loreft",
        "osf": "train.adapters.osf:Osf",
        "qlora": "train.adapters.qlora:Qlora",
        "rslora": "train.adapters.rslora:RsLora",
    },
)
PEFT = "peft:"


@dataclass(frozen=True, slots=True)
class Default:
    """A setting's default and the reason that ``datakit check`` prints beside it."""

    value: Any
    reason: str


class Adapter(Protocol):
    """A kind of adapter.

    It may have more: ``options``, its settings under the arm's ``options`` as ``defaults`` are (None takes any, and
    without it there are none); ``float32`` to have the frozen base in float32 whatever the precision; and
    ``load(folder, dtype)`` where the base is loaded in another way.

    Attributes:
        defaults: Its settings with their defaults; a setting that is not here is refused.
        trains_base: Whether the model's own weights change. They are kept in float32 then, whatever the precision.
    """

    defaults: ClassVar[Mapping[str, Default]]
    trains_base: ClassVar[bool]

    def apply(self, model: Any, arm: Arm) -> Any:
        """The model to train; exactly its trainable parameters have ``requires_grad``."""
        ...

    def save(self, model: Any, folder: Path) -> None:
        """Writes what was trained as safetensors with its config. Raises TrainError where nothing was."""
        ...


def is_known(name: str) -> bool:
    """Whether an adapter may have that name; which tuners PEFT has is looked at when one is made."""
    return name in ADAPTERS.names() or (name.startswith(PEFT) and name != PEFT)


def adapter_named(name: str) -> Adapter:
    """The adapter of that name."""
    if name.startswith(PEFT):
        from train.adapters.tuner import Tuner

        return Tuner(name.removeprefix(PEFT))
    adapter: Adapter = ADAPTERS.load(name)()
    return adapter


def adapter_options(adapter: Adapter) -> Mapping[str, Default] | None:
    """Its options with their defaults; None where any are taken."""
    options: Mapping[str, Default] | None = getattr(adapter, "options", {})
    return options
