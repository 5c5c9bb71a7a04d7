"""Muon: momentum whose matrices are made orthogonal before they are applied, with AdamW for everything else.

Sources: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024 (the Newton-Schulz iteration
and its coefficients); Liu et al., "Muon is scalable for LLM training", arXiv 2502.16982, 2025 (the factor that gives
an orthogonal update the root mean square of an AdamW update, so that one learning rate serves both).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

from vheatir.nn.precision import computes_bfloat16
from vheatir.training.distributed import rank_and_size

__all__ = ["Muon", "orthogonalize"]

#: coefficients of the quintic iteration, chosen by its authors for the steepest slope at zero
_QUINTIC: Final = (3.4445, -4.7750, 2.0315)

#: root mean square of a typical AdamW update, in units of the learning rate (arXiv 2502.16982, section 2.2)
_ADAMW_RMS: Final = 0.2

#: a matrix narrower than this (a map to a few output channels) has too few directions to be worth orthogonalizing
_NARROWEST: Final = 32


def orthogonalize(matrices: Tensor, *, iterations: int = 4) -> Tensor:
    """Replace the singular values of matrices by values near 1 (between about 0.7 and 1.2), without decomposing them.

    The iteration needs singular values of at most 1. The Frobenius norm of X X^T bounds the square of the largest one,
    and far more closely than that of X does: that saves one iteration of the five which are usual.

    Args:
        matrices: shape (..., rows, columns), floating; computed in this dtype.
        iterations: steps of the Newton-Schulz iteration ``X <- a X + b (X X^T) X + c (X X^T)^2 X``.

    Returns:
        Shape of ``matrices``. A matrix of zeros stays zero.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).reshape(-1, min(matrices.shape[-2:]), max(matrices.shape[-2:]))
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-12)  # first, so that squares stay within range
    gram = x @ x.mT
    bound = torch.linalg.matrix_norm(gram, keepdim=True).clamp_min(1e-12)
    x, gram = x / bound.sqrt(), gram / bound
    a, b, c = _QUINTIC
    for left in reversed(range(iterations)):
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        if left > 0:
            gram = x @ x.mT
    result: Tensor = x.mT if tall else x
    return result.reshape(matrices.shape)


class Muon(Optimizer):
    """Muon for the weights of linear maps and convolutions, AdamW for depthwise filters, biases, norms and embeddings.

    A convolution's weight (out, in, kh, kw) counts as a matrix (out, in kh kw); one with fewer than 32 rows or columns
    (a map to a few channels) is left to AdamW. With ``m <- momentum m + (1 - momentum) g`` a matrix W moves by
    ``-0.2 lr sqrt(max(rows, columns)) orthogonalize((1 - momentum) g + momentum m)``.

    Args:
        params: parameters.
        lr: learning rate of both rules.
        momentum: of the matrices; Nesterov's form.
        betas: AdamW's decay rates.
        eps: AdamW's.
        weight_decay: decoupled, for all parameters.

    Raises:
        ValueError: if lr, eps or weight_decay is negative, or a decay rate is outside [0, 1).
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if min(lr, eps, weight_decay) < 0:
            raise ValueError(f"lr, eps and weight_decay are 0 or more, not {lr}, {eps} and {weight_decay}.")
        if not all(0 <= rate < 1 for rate in (momentum, *betas)):
            raise ValueError(f"momentum and betas are at least 0 and less than 1, not {momentum} and {betas}.")
        defaults = {"lr": lr, "momentum": momentum, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; ``closure``, if given, computes the loss, which is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            live = [parameter for parameter in group["params"] if parameter.grad is not None]
            torch._foreach_mul_(live, 1 - group["lr"] * group["weight_decay"])
            matrices = [parameter for parameter in live if _is_matrix(parameter)]
            for parameter in live:
                if not _is_matrix(parameter):
                    self._step_adamw(parameter, group)
            self._step_matrices(matrices, group)
        return loss

    def _step_matrices(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        directions = [self._direction(parameter, group["momentum"]) for parameter in parameters]
        updates = _orthogonalize_together(directions)
        for parameter, update in zip(parameters, updates, strict=True):
            factor = _ADAMW_RMS * group["lr"] * math.sqrt(max(update.shape))
            parameter.sub_(update.view(parameter.shape).to(parameter.dtype), alpha=factor)

    def _direction(self, parameter: Tensor, momentum: float) -> Tensor:
        """Nesterov's direction of one matrix, (rows, columns)."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(state["momentum_buffer"], momentum).flatten(1)

    def _step_adamw(self, parameter: Tensor, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        beta1, beta2 = group["betas"]
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        state["exp_avg"].lerp_(parameter.grad, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
        root = (state["exp_avg_sq"] / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
        parameter.addcdiv_(state["exp_avg"], root, value=-group["lr"] / (1 - beta1 ** state["step"]))


def _is_matrix(parameter: Tensor) -> bool:
    """A map between many channels, neither depthwise nor a table of embeddings."""
    if parameter.ndim not in (2, 4) or parameter.shape[1] == 1:
        return False
    return min(parameter.shape[0], parameter[0].numel()) >= _NARROWEST


def _orthogonalize_together(matrices: list[Tensor]) -> list[Tensor]:
    """Orthogonalize matrices, those of one shape in one batch; processes that train together share the work."""
    rank, world = rank_and_size()
    mine = [owner == rank for owner in _owners([_cost(matrix) for matrix in matrices], world)]
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, matrix in enumerate(matrices):
        if mine[index]:
            alike[tuple(matrix.shape)].append(index)
    results = [torch.zeros_like(matrix) if world > 1 else matrix for matrix in matrices]
    for indices in alike.values():
        stacked = torch.stack([matrices[index] for index in indices])
        # bfloat16 is as good for singular values that are only brought near 1, and three times as fast
        orthogonal = orthogonalize(stacked.bfloat16() if computes_bfloat16(stacked.device) else stacked)
        for index, result in zip(indices, orthogonal.to(stacked.dtype), strict=True):
            results[index] = result
    if world == 1 or not results:
        return results
    together = torch.cat([result.flatten() for result in results])
    dist.all_reduce(together)  # what is another's is zero here
    parts = together.split([result.numel() for result in results])
    return [part.view(result.shape) for part, result in zip(parts, results, strict=True)]


def _owners(costs: list[int], world: int) -> list[int]:
    """Which process takes each piece of work: the largest first, each to whoever has least."""
    owners, loads = [0] * len(costs), [0] * world
    for index in sorted(range(len(costs)), key=lambda i: -costs[i]):
        owners[index] = loads.index(min(loads))
        loads[owners[index]] += costs[index]
    return owners


def _cost(matrix: Tensor) -> int:
    """Multiply-adds of a step of the iteration."""
    small, large = sorted(matrix.shape)
    return small**2 * (2 * large + small)
