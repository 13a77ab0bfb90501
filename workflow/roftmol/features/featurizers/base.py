"""What a featurizer makes of one molecule."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Graph(NamedTuple):
    """A molecule of n atoms and m directed bonds; every chemical bond is there in both directions."""

    atoms: npt.NDArray[np.generic]  #: n x a features, integers for rows of embedding tables or floats
    senders: npt.NDArray[np.integer]  #: m
    receivers: npt.NDArray[np.integer]  #: m
    bonds: npt.NDArray[np.generic]  #: m x k features
