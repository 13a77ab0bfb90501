"""Labels that are limits, for heads in closed form: what the values behind them are expected to be.

Given everything else, the value y_i behind a limit L_i is normal, with the mean m_i and the deviation s_i that the head
predicts for the molecule without its label, noise included. That it lies above the limit truncates this distribution:

    a_i = (L_i - m_i) / s_i      r_i = phi(a_i) / (1 - Phi(a_i))
    E[y_i | y_i > L_i] = m_i + s_i r_i      Var[y_i | y_i > L_i] = s_i^2 (1 + a_i r_i - r_i^2)

and mirrored below a limit (Tobin 1958, doi 10.2307/1907382; Johnson, Kotz and Balakrishnan 1994, section 13.10.1). m_i
depends on the other values, so the expectations are taken in turn until they stand still. They are then the means of
the independent distributions that are nearest to the values' joint one, as in Girolami and Rogers 2006 (Variational
Bayesian multinomial probit regression with Gaussian process priors, doi 10.1162/neco.2006.18.8.1790). Taken in turn
they come nearer to it with each step; all at once they need not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx

from roftmol.heads.standardiser import Array
from roftmol.tasks import TaskType

#: Rounds over all limits, and how far the last one moves an expectation, in deviations of the labels.
SWEEPS, STILL = 200, 1e-4
#: Times that a head is fitted, each to what the one before expects; fewer, where that moves nothing by more.
ROUNDS, MOVED = 10, 1e-2
#: A limit so many deviations beyond the mean is far.
FAR = 100.0


@dataclass(frozen=True, eq=False)
class Limits:
    """The labels of n molecules: numbers, and the side of each where its value lies (-1, 1; 0: it is the value)."""

    numbers: Array
    sides: NDArray[np.integer]

    @classmethod
    def of(cls, labels: Array, task: TaskType) -> Limits | None:
        """Take labels apart; None where all are values."""
        if task.limits is None or not (sides := task.limits.sides(labels)).any():
            return None
        return cls(task.limits.numbers(labels), sides)

    def settle(
        self,
        values: Array,
        variances: Array,
        conditional: Callable[[int], tuple[float, float]],
        moved: Callable[[int, float], None],
    ) -> None:
        """Put into `values` and `variances` what is expected behind each limit, in turn, until they stand still.

        `conditional` gives the mean and variance of a label given the others' values; `moved` is told by how much a
        value moves.
        """
        rows = np.flatnonzero(self.sides).tolist()
        still = STILL * float(self.numbers.std())
        for _ in range(SWEEPS):
            largest = 0.0
            for row in rows:
                mean, variance = conditional(row)
                side = float(self.sides[row])
                value, variances[row] = beyond(side * mean, math.sqrt(variance), side * float(self.numbers[row]))
                step = side * value - float(values[row])
                values[row] += step
                moved(row, step)
                largest = max(largest, abs(step))
            if largest <= still:
                break


def beyond(mean: float, deviation: float, limit: float) -> tuple[float, float]:
    """Return the mean and the variance of a normal distribution above a limit."""
    a = (limit - mean) / deviation
    # erfcx is exp(x^2) (1 - erf(x)): nothing overflows.
    ratio = math.sqrt(2 / math.pi) / float(erfcx(a / math.sqrt(2)))
    # Far from it, 1 + a r - r^2 is a difference of large numbers: about 1 / a^2 is left.
    variance = 1 / a**2 if a > FAR else 1 + a * ratio - ratio**2
    return mean + deviation * ratio, deviation**2 * variance
