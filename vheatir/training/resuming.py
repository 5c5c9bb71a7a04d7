"""Going on from a saved training: the newest state that can be read, and options that were changed in between."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vheatir.training.checkpoint import read_checkpoint
from vheatir.training.options import OptionError

__all__ = ["Found", "changes_kept", "newest_state", "read_state"]

logger = logging.getLogger(__name__)

_KEYS: Final = frozenset({"epoch", "iter", "optimizers", "schedulers", "random_state"})
#: of an optimizer's group: what a schedule changes at every step, and the parameters
_NOT_OPTIONS: Final = frozenset({"params", "lr"})


@dataclass(frozen=True)
class Found:
    """A training state, where it is, and what is to be logged about it."""

    path: Path
    state: dict[str, Any]
    warnings: tuple[str, ...] = ()


def newest_state(states: Path, models: Path) -> Found | None:
    """Read the newest training state of a folder that can be read, as can its weights; None if there is none.

    Args:
        states: folder of states, named by their iteration.
        models: folder of the weights that belong to them.

    Raises:
        OptionError: if there are states, and none can be read.
    """
    warnings: list[str] = []
    numbered = [path for path in states.glob("*.state") if path.stem.isdecimal()]
    for path in sorted(numbered, key=lambda path: int(path.stem), reverse=True):
        try:
            state = read_state(path)
            _check_weights(models / f"net_g_{state['iter']}.pth", path)
            return Found(path, state, tuple(f"{warning} The state before it is taken." for warning in warnings))
        except OptionError as error:
            warnings.append(str(error))
    if warnings:
        raise OptionError(f"{warnings[0]} None before it can be read: remove {states} to start anew.")
    return None


def _check_weights(weights: Path, state: Path) -> None:
    try:
        read_checkpoint(weights)
    except FileNotFoundError as error:
        raise OptionError(f"The weights {weights} of the training state {state} are missing.") from error
    except ValueError as error:
        raise OptionError(f"The weights {weights} of the training state {state} are damaged.") from error


def read_state(path: Path) -> dict[str, Any]:
    """Read a training state, without unpickling anything but tensors and numbers.

    Raises:
        OptionError: if it is damaged.
    """
    import torch

    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        missing = _KEYS - set(state)
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # whatever torch raises on damaged files
        raise OptionError(f"The training state {path} is damaged and cannot be read.") from error
    if missing:
        raise OptionError(f"The training state {path} is damaged: it holds no {', '.join(sorted(missing))}.")
    return state


@contextmanager
def changes_kept(model: Any, schedule: Mapping[str, Any]) -> Iterator[None]:
    """Keep the options of a model's optimizer and schedule while a state of earlier ones is loaded; log changes.

    A state holds the options that it was saved with, which would replace, without a word, what has been changed since.

    Args:
        model: whose optimizer and schedule are as the options now ask for.
        schedule: options of the schedule.
    """
    wanted = [
        {key: value for key, value in group.items() if key not in _NOT_OPTIONS}
        for group in model.optimizer_g.param_groups
    ]
    scheduler = model.scheduler
    kept = {key: getattr(scheduler, key) for key in schedule if hasattr(scheduler, key)}
    yield
    groups = model.optimizer_g.param_groups
    changes = {change for group, options in zip(groups, wanted, strict=True) for change in _apply(group, options)}
    if hasattr(scheduler, "base_lrs"):
        scheduler.base_lrs = [group["initial_lr"] for group in groups]
    for key, value in kept.items():
        if getattr(scheduler, key) != value:
            changes.add(f"{key} is {value}, no longer {getattr(scheduler, key)}")
            setattr(scheduler, key, value)
    for change in sorted(changes):
        logger.info(f"Changed since the training state was saved: {change}.")


def _apply(group: dict[str, Any], options: Mapping[str, Any]) -> Iterator[str]:
    """Set the options of an optimizer's group that differ, and tell them; the rate of the moment follows its base."""
    for key, value in options.items():
        old = group.get(key)
        if _plain(old) == _plain(value):
            continue
        if key == "initial_lr" and old:
            group["lr"] *= value / old
        group[key] = value
        yield f"{'lr' if key == 'initial_lr' else key} is {value}, no longer {old}"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
