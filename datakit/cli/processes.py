"""A command again in several processes, as torchrun starts them; but their exit code comes through."""

from __future__ import annotations

import logging
import os
import sys
import uuid
from collections.abc import Iterable

from datakit.core.require import require

__all__ = ["exit_code", "launch"]


def launch(processes: int) -> int:
    """Runs this command in so many processes of this machine; torchrun itself answers 1 whatever they answered.

    Args:
        processes: One for each GPU. On a CPU the cores are shared out among them.

    Returns:
        What the first of them that failed by itself answered, 128 and its number after a signal, 0 where none failed.
    """
    require("torch", extra="train")
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch
    from torch.distributed.run import config_from_args, get_args_parser

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes say what went wrong
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))
    given = get_args_parser().parse_args(["--nproc-per-node", str(processes), "-m", "datakit", *sys.argv[1:]])
    given.rdzv_backend, given.rdzv_endpoint, given.rdzv_id = "c10d", "localhost:0", str(uuid.uuid4())
    config, command, arguments = config_from_args(given)
    try:
        elastic_launch(config=config, entrypoint=command)(*arguments)
    except ChildFailedError as error:
        return exit_code(failure.exitcode for _, failure in sorted(error.failures.items()))
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


def exit_code(found: Iterable[int]) -> int:
    """Of several processes: the first answer that is no signal, for the others are ended when one fails.

    Args:
        found: Exit codes; a negative one is that of a signal.
    """
    codes = [code for code in found if code]
    first = next((code for code in codes if code > 0), codes[0] if codes else 1)
    return first if first > 0 else 128 - first
