"""Batches, and processes that find each other."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import pytest
import torch

from vheatir.training import distributed
from vheatir.training.loading import _prepared_ahead
from vheatir.training.options import OptionError


def test_batches_prepared_ahead_are_the_same_in_their_order() -> None:
    made: list[int] = []

    def batches() -> Iterator[dict[str, Any]]:
        for number in count():
            made.append(number)
            yield {"number": number}

    ahead = _prepared_ahead(batches(), 3)
    assert [batch["number"] for batch in islice(ahead, 5)] == [0, 1, 2, 3, 4]
    ahead.close()  # type: ignore[attr-defined]
    assert made == list(range(8))  # three beside the five that were taken


def test_what_fails_ahead_is_raised_where_the_batch_is_wanted() -> None:
    def batches() -> Iterator[dict[str, Any]]:
        yield {}
        raise OSError("the disk is gone")

    ahead = _prepared_ahead(batches(), 1)
    next(ahead)
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)


def test_slurm_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match="Without a GPU only --launcher pytorch"):
        distributed.join_group("slurm", {"backend": "nccl", "port": 29500})


@pytest.mark.parametrize(("section", "port"), [({"backend": "nccl", "port": 29511}, "29511"), ({}, "29500")])
def test_slurms_variables_become_torchs(monkeypatch: pytest.MonkeyPatch, section: dict[str, Any], port: str) -> None:
    """Task 5 of 6 on nodes of 4 GPUs: the second GPU; the first node leads."""
    calls: list[object] = []
    for name in ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in {"SLURM_NODELIST": "gpu[3-4]", "SLURM_PROCID": "5", "SLURM_NTASKS": "6"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", calls.append)
    monkeypatch.setattr(torch.multiprocessing, "set_start_method", calls.append)
    monkeypatch.setattr(torch.multiprocessing, "get_start_method", lambda **_: None)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend: calls.append(backend))

    def scontrol(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command == ["scontrol", "show", "hostnames", "gpu[3-4]"]
        return subprocess.CompletedProcess(command, 0, stdout="gpu3\ngpu4\n")

    monkeypatch.setattr(subprocess, "run", scontrol)
    distributed.join_group("slurm", section)
    assert calls == ["spawn", 1, "nccl"]
    said = [os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")]
    assert said == ["gpu3", port, "5", "6"]
