"""Muon for the matrices and convolution kernels, AdamW for the rest, as one optimiser.

Muon orthogonalises the momentum of each weight matrix by five Newton-Schulz steps (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon/). ``torch.optim.Muon`` takes two-dimensional parameters only; here a kernel
is seen as the matrix (out, everything else), which is what lets the small autoencoder learn in few steps. The update
is scaled by ``0.2 sqrt(larger side)`` so that its size matches AdamW's.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

__all__ = ["Muon", "base_rates", "make_optimisers", "scale_rates"]

_QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised per weight; for parameters of two or more dimensions."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group["lr"], group["momentum"])

    def _update(self, weight: nn.Parameter, lr: float, momentum: float) -> None:
        assert weight.grad is not None
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].lerp_(weight.grad, 1 - momentum)
        nesterov = weight.grad.lerp(state["momentum"], momentum)
        matrix = orthogonalise(nesterov.flatten(1))
        weight.add_(matrix.view_as(weight), alpha=-lr * 0.2 * max(matrix.shape) ** 0.5)


def orthogonalise(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Push all singular values of a matrix towards 1 by a quintic Newton-Schulz iteration."""
    a, b, c = _QUINTIC
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.mT if tall else x
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: torch.Tensor = x.mT if tall else x
    return result


def make_optimisers(module: nn.Module, muon_lr: float, adam_lr: float, inside: str = "") -> list[torch.optim.Optimizer]:
    """Muon for the weights whose name contains ``inside`` and that have two or more dimensions, AdamW for the rest."""
    matrices, rest = [], []
    for name, parameter in module.named_parameters():
        matrices.append(parameter) if inside in name and _is_matrix(parameter) else rest.append(parameter)
    return [Muon(matrices, muon_lr), torch.optim.AdamW(rest, adam_lr, betas=(0.9, 0.99), weight_decay=0.0)]


def base_rates(optimisers: Iterable[torch.optim.Optimizer]) -> list[list[float]]:
    """The learning rates that the optimisers were made with, to be scaled by ``scale_rates`` at every step."""
    return [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]


def scale_rates(optimisers: Iterable[torch.optim.Optimizer], base: list[list[float]], factor: float) -> None:
    """Set every learning rate to ``factor`` times its base."""
    for optimiser, rates in zip(optimisers, base, strict=True):
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * factor


def _is_matrix(parameter: nn.Parameter) -> bool:
    return parameter.ndim >= 2 and parameter.shape[0] > 1 and parameter[0].numel() > 1
