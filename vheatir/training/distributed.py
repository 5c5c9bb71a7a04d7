"""Several processes that train together: how they find each other, and how they end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from typing import Any, Final

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from vheatir.training.options import OptionError

__all__ = ["LAUNCHERS", "is_distributed", "join_group", "leave_group", "rank_and_size"]

#: who starts the processes: nobody, torchrun, or SLURM's srun
LAUNCHERS: Final = ("none", "pytorch", "slurm")

_SLURM_PORT: Final = "29500"  # torch's own default


def join_group(launcher: str, slurm: Mapping[str, Any]) -> None:
    """Join the processes that a launcher started; they talk by NCCL where there are GPUs, by gloo elsewhere.

    Args:
        launcher: one of :data:`LAUNCHERS`.
        slurm: for SLURM alone, ``backend`` and ``port``, as the section ``dist_params`` has them.

    Raises:
        OptionError: if SLURM starts processes without a GPU.
    """
    if launcher == "none":
        return
    has_gpu = torch.cuda.is_available()
    if launcher == "slurm":
        if not has_gpu:
            raise OptionError("Without a GPU only --launcher pytorch (torchrun) is supported, not slurm.")
        _read_slurm(slurm.get("port"))
    if mp.get_start_method(allow_none=True) is None:
        mp.set_start_method("spawn")  # forked workers would share what CUDA has begun
    if has_gpu:
        torch.cuda.set_device(int(os.environ["RANK"]) % torch.cuda.device_count())
    backend = slurm.get("backend", "nccl") if launcher == "slurm" else "nccl" if has_gpu else "gloo"
    dist.init_process_group(backend=backend)


def leave_group() -> None:
    """End distributed training in all processes together: one that exits early aborts another that still listens."""
    if is_distributed():
        dist.barrier()
        dist.destroy_process_group()


def rank_and_size() -> tuple[int, int]:
    """Number of this process, and of all."""
    return (dist.get_rank(), dist.get_world_size()) if is_distributed() else (0, 1)


def is_distributed() -> bool:
    """Whether this process is one of several that train together."""
    return dist.is_available() and dist.is_initialized()


def _read_slurm(port: int | None) -> None:
    """Say in torch's environment variables what SLURM says in its own."""
    nodes = ["scontrol", "show", "hostnames", os.environ["SLURM_NODELIST"]]
    first = subprocess.run(nodes, capture_output=True, text=True, check=True).stdout.split()[0]
    os.environ["MASTER_ADDR"] = first
    os.environ["MASTER_PORT"] = str(port or os.environ.get("MASTER_PORT", _SLURM_PORT))
    os.environ["RANK"], os.environ["WORLD_SIZE"] = os.environ["SLURM_PROCID"], os.environ["SLURM_NTASKS"]
