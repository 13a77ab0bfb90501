"""The operations that training spends its time in, each done the fastest way that gives the same."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roftmol.encoders import products
from roftmol.features.graphs import Hop


class _Affine(torch.autograd.Function):
    """`x weight^T + bias`, and the ReLU of it where asked for, in one pass over the output."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
        y = products.chosen().product(x, weight, bias, relu)
        ctx.save_for_backward(x, weight, y if relu else None)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight, y = ctx.saved_tensors
        if y is not None:
            grad = torch.ops.aten.threshold_backward(grad, y, 0.0)
        backend = products.chosen()
        need_x, need_weight, need_bias, _ = ctx.needs_input_grad
        return (
            backend.product(grad, weight.t(), None, False) if need_x else None,
            backend.outer(grad, x) if need_weight else None,
            grad.sum(0) if need_bias else None,
            None,
        )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, *, relu: bool = False) -> Tensor:
    """Return `x weight^T + bias`, or its ReLU, for x of n x i, weight of o x i, bias of o."""
    if x.device.type == "cpu" and x.dtype == torch.float32 and len(x):  # oneDNN takes no matrix without rows
        return _Affine.apply(x, weight, bias, relu)
    y = F.linear(x, weight, bias)
    return F.relu(y) if relu else y


class Linear(nn.Linear):
    """`torch.nn.Linear` on the faster product."""

    def forward(self, x: Tensor, *, relu: bool = False) -> Tensor:
        """Return the product: n x i -> n x o; `relu` takes its ReLU."""
        return linear(x, self.weight, self.bias, relu=relu)


class _NeighbourSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, hop: Hop) -> Tensor:
        ctx.hop = hop
        return _sum(x, hop.senders, hop.starts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _sum(grad.contiguous(), *ctx.hop.transposed), None


def neighbour_sum(x: Tensor, hop: Hop) -> Tensor:
    """Return sum_j x_j over the rows that a row sums over, itself among them: rows below x d -> rows above x d.

    A bag of embeddings is the same sum, in a quarter of the time of a sparse matrix product.
    """
    return _NeighbourSum.apply(x, hop)


def _sum(x: Tensor, senders: Tensor, starts: Tensor) -> Tensor:
    return F.embedding_bag(senders, x, starts, mode="sum", include_last_offset=True)


def rows(x: Tensor, index: Tensor) -> Tensor:
    """Return `x[index]`, whose gradient is summed in a third of the time."""
    return x.index_select(0, index)


def all_pairs(sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Return every ordered pair of different atoms of one molecule.

    Molecules of these `sizes` (b) lie one after the other; both members of the pairs are indices of atoms.
    """
    starts = sizes.cumsum(0) - sizes
    n = sizes.repeat_interleave(sizes)  # of each atom, the size of its molecule
    i = torch.arange(len(n), device=n.device).repeat_interleave(n)
    begin = n.cumsum(0) - n
    j = torch.arange(len(i), device=n.device) - begin[i] + starts.repeat_interleave(sizes)[i]
    return i[i != j], j[i != j]


def sum_by(x: Tensor, index: Tensor, rows: int) -> Tensor:
    """Return the sum of the rows of x with the same index: n x d, n -> rows x d."""
    return x.new_zeros(rows, *x.shape[1:]).index_add_(0, index, x)


def max_by(x: Tensor, index: Tensor, rows: int) -> Tensor:
    """Return, entry by entry, the largest of the rows of x with the same index: n x d, n -> rows x d.

    Every index occurs.
    """
    index = index.unsqueeze(1).expand_as(x)
    return x.new_zeros(rows, x.shape[1]).scatter_reduce_(0, index, x, "amax", include_self=False)


def dropout(x: Tensor, p: float) -> Tensor:
    """Set each entry to zero with probability p, to the nearest 1/65536, and scale the rest by 1 / (1 - p).

    On a CPU, torch draws a random number for each entry, which took a sixth of a training step; four entries share one
    64-bit draw here.
    """
    if x.device.type != "cpu":
        return F.dropout(x, p)
    return x * (_kept(x, p) * (1 / (1 - p)))


class _ReLUDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        y = x.relu_().mul_(_kept(x, p) * (1 / (1 - p)))
        ctx.p = p
        ctx.mark_dirty(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(grad, y, 0.0).mul_(1 / (1 - ctx.p)), None


def relu_dropout(x: Tensor, p: float) -> Tensor:
    """Return `dropout(relu(x), p)`, computed in the memory of x; the result alone says where gradients flow."""
    if x.device.type != "cpu":
        return F.dropout(F.relu(x, inplace=True), p)
    return _ReLUDropout.apply(x, p)


def _kept(x: Tensor, p: float) -> Tensor:
    """Return which entries a dropout keeps, a boolean like x."""
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    lanes = draws.view(torch.int16)[: x.numel()].view(x.shape)
    return lanes >= round(p * 2**16) - 2**15
