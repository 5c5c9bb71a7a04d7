"""Tensors from a checkpoint file: ``.pth``, laid out as BasicSR has it, or safetensors."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vheatir.weights.file import HEADER

__all__ = ["matching_tensors", "read_checkpoint", "read_tensors"]


def read_tensors(path: Path, key: str) -> dict[str, Tensor]:
    """Read a network's tensors onto the CPU.

    Args:
        path: a safetensors file, or a checkpoint, a dict of state dicts.
        key: which state dict of a checkpoint, ``"params"`` or ``"params_ema"``; ``"params"`` if it is missing.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file cannot be read, or a checkpoint holds neither ``key`` nor ``"params"``.
    """
    checkpoint = read_checkpoint(path)
    for candidate in (key, "params"):
        if candidate in checkpoint:
            return {name.removeprefix("module."): tensor for name, tensor in checkpoint[candidate].items()}
    raise ValueError(f"{path} holds neither {key} nor params: it is no checkpoint of a training.")


def read_checkpoint(path: Path) -> dict[str, dict[str, Tensor]]:
    """Read every state dict of a checkpoint onto the CPU; a safetensors file holds one, ``"params"``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"The weights {path} do not exist: change pretrain_network_g.")
    try:
        if path.suffix == ".safetensors":
            return {"params": {name: tensor.float() for name, tensor in load_file(path).items() if name != HEADER}}
        checkpoint: dict[str, dict[str, Tensor]] = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except (EOFError, OSError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:  # of files cut, OSError
        raise ValueError(f"{path} is damaged, or neither a safetensors file nor a checkpoint.") from error
    return checkpoint


def matching_tensors(
    tensors: Mapping[str, Tensor], reference: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Keep the tensors whose name and shape occur in ``reference``; return them and the other names of reference."""
    kept = {
        name: tensor for name, tensor in tensors.items() if name in reference and reference[name].shape == tensor.shape
    }
    return kept, sorted(set(reference) - set(kept))
