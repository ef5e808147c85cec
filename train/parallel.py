"""Several processes train one model: FSDP2 shards it, every process takes its share of a step's batches.

A process started by torchrun or accelerate finds its place in the environment (RANK, WORLD_SIZE, LOCAL_RANK). What is
computed is the same as in one process: the batches of a step are cut once, alike in all, and dealt out; the divisor is
the weight of the whole step; gradients are summed. Nothing but the order of additions differs.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from train.errors import TrainError

if TYPE_CHECKING:
    import torch

    from train.config import Arm

__all__ = ["ALONE", "Group", "check_alike", "check_together", "joined"]


@dataclass(frozen=True, slots=True)
class Group:
    """The processes that train together.

    Attributes:
        rank: This one's number; 0 writes.
        size: How many.
    """

    rank: int = 0
    size: int = 1

    @property
    def together(self) -> bool:
        """Whether there is more than one."""
        return self.size > 1

    def rows_at_once(self, batch_size: int, rows: int) -> int:
        """Rows of a batch so that every process gets one where there are rows enough."""
        return max(1, min(batch_size, -(-rows // self.size)))

    def share(self, batches: Sequence[Any]) -> Iterator[tuple[Any, float]]:
        """This process's batches and what their loss counts.

        All processes go through the model equally often, since each pass is work in common; one that has no batch left
        takes the first again and counts it 0. The factor of the others makes up for the mean that FSDP takes of
        gradients.
        """
        for start in range(0, len(batches), self.size):
            place = start + self.rank
            yield (batches[place], float(self.size)) if place < len(batches) else (batches[0], 0.0)

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """The sum over all processes."""
        if self.together:
            import torch.distributed as distributed

            distributed.all_reduce(value)
        return value

    def agree(self, value: Any) -> Any:
        """The first process's value, in all of them."""
        if not self.together:
            return value
        import torch.distributed as distributed

        held = [value]
        distributed.broadcast_object_list(held)
        return held[0]

    def most(self, number: int | None) -> int | None:
        """The largest number that any process has; None where none has one."""
        return max((one for one in self.every(number) if one is not None), default=None)

    def every(self, value: Any) -> list[Any]:
        """Each process's value, in all of them."""
        if not self.together:
            return [value]
        import torch.distributed as distributed

        held: list[Any] = [None] * self.size
        distributed.all_gather_object(held, value)
        return held

    def whole(self, value: Any) -> Any:
        """A tensor that is sharded, put together; another as it is. All have to call it."""
        return value.full_tensor() if hasattr(value, "full_tensor") else value

    def put(self, target: torch.Tensor, value: torch.Tensor | None) -> None:
        """Copies a whole tensor that the first process has into one that may be sharded. All have to call it.

        Args:
            target: In each process; changed.
            value: In the first process; what the others give is not looked at.
        """
        import torch

        if not self.together:
            target.copy_(_given(value))
            return
        import torch.distributed as distributed
        from torch.distributed.tensor import DTensor, distribute_tensor

        there = torch.empty(target.shape, dtype=target.dtype, device=target.device)
        if self.rank == 0:
            there.copy_(_given(value))
        if isinstance(target, DTensor):
            target.copy_(distribute_tensor(there, target.device_mesh, target.placements))
        else:
            distributed.broadcast(there, 0)
            target.copy_(there)

    def shard(self, model: Any) -> None:
        """Shards a model in place: every block of its largest stack by itself, the rest together."""
        if not self.together:
            return
        import torch
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(model.device.type, (self.size,))
        stacks = [part for part in model.modules() if isinstance(part, torch.nn.ModuleList) and len(part)]
        blocks = max(stacks, key=lambda stack: sum(value.numel() for value in stack.parameters()), default=())
        for block in blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)

    def settle(self, model: Any) -> None:
        """Ends what a forward pass leaves behind: weights put together, which are no longer so when they are read."""
        if self.together:
            from torch.distributed.fsdp import FSDPModule

            for part in model.modules():
                if isinstance(part, FSDPModule):
                    part.reshard()

    def draw_otherwise(self) -> None:
        """From now on every process draws other random numbers: dropout of other rows is other dropout."""
        if self.together:
            import torch

            torch.manual_seed(torch.initial_seed() + self.rank)

    def gather(self, model: Any) -> dict[str, torch.Tensor]:
        """What is trained, put together in the first process's memory; empty in the others. All have to call it."""
        self.settle(model)
        found = {}
        for name, value in model.named_parameters():
            if value.requires_grad:
                full = self.whole(value.detach())
                if self.rank == 0:
                    found[name] = full.cpu() if self.together else full
        return found


def _given(value: torch.Tensor | None) -> torch.Tensor:
    if value is None:
        raise TypeError("the first process has to give the tensor")
    return value


ALONE = Group()


@contextlib.contextmanager
def joined() -> Iterator[Group]:
    """The group that the launcher made; alone where there is none. The block ends when it has ended in all."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size < 2:
        yield ALONE
        return
    import torch
    import torch.distributed as distributed

    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if not distributed.is_initialized():
        # Once for all trainings of these processes: made anew between two of them it waits for ever (torch 2.13, gloo).
        distributed.init_process_group("nccl" if gpu else "gloo")
        atexit.register(distributed.destroy_process_group)
    yield Group(distributed.get_rank(), size)
    distributed.barrier()  # the first process has saved


def check_together(arm: Arm, group: Group) -> None:
    """Refuses what several processes do not do.

    Raises:
        TrainError: Says what, and what does.
    """
    if not group.together:
        return
    set_there = {
        "another backend": arm.chosen_backend[0] != "native",
        "adapter osf": arm.adapter == "osf",
        "compile": arm.compile,
    }
    if wrong := [name for name, there in set_there.items() if there]:
        raise TrainError(
            f"{wrong[0]} does not work with {group.size} processes", hint="Take it out, or train in one process"
        )


def check_alike(key: str, group: Group) -> None:
    """Whether all processes train the same.

    Raises:
        TrainError: They see other data or another model, as on machines with disks of their own.
    """
    if len({*group.every(key)}) > 1:
        raise TrainError(
            f"the {group.size} processes do not see the same data and model",
            hint="Give them a folder that all can read, with the same files",
        )
