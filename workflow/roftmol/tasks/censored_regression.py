"""Measured values, and limits: a label `>10000` says that the value lies above 10000, wherever that is (Tobin 1958).

    loss = mean of (p_i - y_i)^2, or 0 where y_i is a limit and the prediction p_i lies on the right side of it

A label stays one number of single precision. Its two lowest bits say what the number is: 0 the value, 1 the value lies
below it, 2 above it. So any range of values fits, and code that asks nothing reads a limit as its number. What is left
of a number is exact to one part in 3 million. (Tobin 1958, Estimation of relationships for limited dependent
variables, doi 10.2307/1907382.)

Metrics of errors are of labels that are values: nobody knows how far a prediction is from a value that was not
measured. Whether molecules are in the right order is known of many limits too, and what `concordance` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from roftmol.tasks import regression
from roftmol.tasks.base import Array, Doubles, Ints, Limits, Metric, Strata

if TYPE_CHECKING:
    from torch import Tensor

#: The bits of a label that say what its number is, and what they are by the side where the value lies.
BITS = 3
BELOW, VALUE, ABOVE = 1, 0, 2
#: Numbers nearer to 0 are 0: processors may take what is smaller than normal for 0, bits and all.
LEAST = float(np.finfo(np.float32).tiny)
#: Elements of a matrix that are held at a time.
CHUNK = 1 << 22


def encoded(numbers: Doubles, side: Ints) -> Doubles:
    """Return labels, exact in single precision, from numbers and the side of each where the value lies: -1, 0 or 1.

    A missing label stays missing, whatever its side. Raises `ValueError` for a number beyond single precision.
    """
    if (np.abs(numbers) > np.finfo(np.float32).max / 2).any():
        raise ValueError("a label is beyond what single precision holds")
    single = np.where(np.abs(numbers) < LEAST, LEAST * (side != 0), numbers).astype(np.float32)
    bits = (single.view(np.int32) + 2) & ~BITS | np.array([BELOW, VALUE, ABOVE], np.int32)[np.asarray(side) + 1]
    return np.where(np.isnan(numbers), np.nan, bits.view(np.float32)).astype(np.float64)


def sides(labels: Array) -> Ints:
    """Return the side of each label's number where its value lies: -1 below, 0 the number is the value, 1 above."""
    bits = np.asarray(labels).astype(np.float32).view(np.int32) & BITS
    return np.where(np.isnan(labels), 0, (bits == ABOVE).astype(np.int64) - (bits == BELOW))


def numbers(labels: Array) -> Doubles:
    """Return the number of each label, be it the value or a limit."""
    single = np.asarray(labels).astype(np.float32)
    plain = (single.view(np.int32) & ~BITS).view(np.float32).astype(np.float64)
    return np.where(np.isnan(single), np.nan, np.where(np.abs(plain) <= LEAST, 0.0, plain))


def values(labels: Doubles) -> Doubles:
    """Return the labels that are values, NaN for limits."""
    return np.where(sides(labels) == 0, numbers(labels), np.nan)


def gaps(y: Array, p: Array) -> Doubles:
    """Return p - y; 0 for a prediction on the right side of a limit."""
    side, gap = sides(y), p - numbers(y)
    return np.where((side == 0) | (side * gap < 0), gap, 0.0)


def squared_gap(y: Array, p: Array) -> float:
    """Mean squared gap."""
    return float(np.mean(gaps(y, p) ** 2))


def training_loss(output: Tensor, labels: Tensor, root: bool) -> Tensor:
    """Return the mean squared gap, or its root."""
    import torch

    number, side = _taken_apart(labels)
    gap = output - number
    # Not a product with 0 or 1, whose root has no gradient where all gaps are 0.
    square = torch.where((side == 0) | (side * gap < 0), gap, 0.0).square().mean()
    return square.sqrt() if root else square


def standardised(labels: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return labels whose numbers are standardised, on the sides where they were."""
    import torch

    number, side = _taken_apart(labels)
    single = ((number - shift) / scale).float()
    single = torch.where(single.abs() < LEAST, LEAST * (side != 0), single)
    code = torch.where(side == 0, VALUE, torch.where(side > 0, ABOVE, BELOW)).int()
    bits = (single.view(torch.int32) + 2) & ~BITS | code
    return torch.where(labels.isnan(), torch.nan, bits.view(torch.float32)).to(labels.dtype)


def _taken_apart(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the numbers and sides of labels, as :func:`numbers` and :func:`sides` do."""
    import torch

    bits = labels.float().view(torch.int32)
    plain = (bits & ~BITS).view(torch.float32)
    number = torch.where(labels.isnan(), torch.nan, torch.where(plain.abs() <= LEAST, 0.0, plain)).to(labels.dtype)
    code = bits & BITS
    return number, torch.where(labels.isnan(), 0, (code == ABOVE).int() - (code == BELOW).int())


def of_values(score: Callable[[Array, Array], float]) -> Callable[[Array, Array], float]:
    """Return a score of the labels that are values; it is undefined without any."""

    def score_of_values(y: Array, p: Array) -> float:
        known = sides(y) == 0
        return score(numbers(y[known]), p[known]) if known.any() else np.nan

    return score_of_values


def weighted_rmse(y: Array, p: Array, weights: Array) -> Array:
    """Return the root of the weighted mean squared error of values, one for each row of weights; limits have none."""
    known = sides(y) == 0
    return regression.weighted_rmse(numbers(y[known]), p[known], weights[:, known])


def concordance(y: Array, p: Array) -> float:
    """Share of pairs in the right order, of those whose order is sure (Harrell et al. 1982, JAMA 247, 2543).

        C = sum_(i, j: b_i < a_j) ([p_i < p_j] + [p_i = p_j] / 2) / number of such pairs

    Value i lies in [a_i, b_i]: both are the number of a value, one is infinite for a limit. Undefined without a pair.
    """
    number, side = numbers(y), sides(y)
    a, b = np.where(side < 0, -np.inf, number), np.where(side > 0, np.inf, number)
    pairs = right = 0.0
    step = max(1, CHUNK // max(1, len(number)))
    for start in range(0, len(number), step):
        rows = slice(start, start + step)
        sure = b[rows, None] < a
        pairs += sure.sum()
        right += (sure & (p[rows, None] < p)).sum() + (sure & (p[rows, None] == p)).sum() / 2
    return float(right / pairs) if pairs else np.nan


def strata(labels: Doubles) -> Strata:
    """Return a tenth of the numbers, as for values: equal limits are dealt evenly too."""
    return regression.strata(numbers(labels))


def _of_values(metric: Metric) -> Metric:
    title = f"{metric.title} of values"
    return replace(metric, name=f"{metric.name}_of_values", title=title, score=of_values(metric.score))


R2 = _of_values(regression.R2)
CONCORDANCE = Metric(name="concordance", title="concordance", better="higher", score=concordance, constant=0.5)

TASK = replace(
    regression.TASK,
    name="censored_regression",
    primary=replace(
        regression.RMSE,
        name="rmse_of_values",
        title="RMSE of values",
        score=of_values(regression.rmse),
        weighted=weighted_rmse,
        counted=lambda labels: regression.counted(values(labels)),
    ),
    further=(_of_values(regression.MAE), R2, _of_values(regression.SPEARMAN), CONCORDANCE),
    explained=R2,
    loss=squared_gap,
    training_loss=training_loss,
    scaling=lambda labels: regression.scaling(numbers(labels)),
    standardised=standardised,
    strata=strata,
    values=values,
    limits=Limits(encoded, sides, numbers),
    with_limits="",
    constant_title="the mean of the values",
)
