"""What scikit-learn is told of everything here that takes SMILES in place of a table of numbers."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator


class OnSmiles(BaseEstimator):
    """Something that is fitted on one column of texts."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        return tags
