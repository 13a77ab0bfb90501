"""A user's own featurizer: a function `featurize(molecule)` that gives a PyTorch Geometric `Data`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem
from torch import Tensor

from roftmol.core import user_code
from roftmol.core.errors import UserError
from roftmol.features.featurizers.base import Graph

PASSED_ON = ("x", "edge_index", "edge_attr")


def featurizer(path: str) -> Callable[[Chem.Mol], Graph]:
    """Return the featurizer that the file defines, which raises `UserError` where the file's code fails.

    Raises `UserError` if the file defines none.
    """
    featurize = user_code.function(path, "featurize")

    def one(molecule: Chem.Mol) -> Graph:
        with user_code.as_user_error(path, "featurize()"):
            data = featurize(molecule)
        return as_graph(data)

    return one


def as_graph(data: Any) -> Graph:
    """Return a `Data` of n nodes and m edges as a graph.

    Without edges or edge features, it needs no particular empty tensors. Raises `UserError` that says what is wrong
    with it.
    """
    from torch_geometric.data import Data  # two seconds of import that nobody else's featurizer needs

    if not isinstance(data, Data):
        raise UserError(f"expected a torch_geometric.data.Data, found {type(data).__name__}")
    tensors = [key for key, value in data.to_dict().items() if isinstance(value, Tensor)]
    others = [key for key in tensors if key not in PASSED_ON]
    if others:
        raise UserError(
            f"the Data has {', '.join(others)}, and only x, edge_index and edge_attr are passed on to the model; "
            "encodings of nodes belong into x"
        )
    x = data.x
    edges = data.edge_index
    features = data.edge_attr
    if not isinstance(x, Tensor) or x.dim() != 2 or not x.numel():
        raise UserError(f"x must be nodes x features, found {_form(x)}")
    if not isinstance(edges, Tensor) or (edges.numel() and (edges.dim() != 2 or len(edges) != 2)):
        raise UserError(f"edge_index must be 2 x edges, found {_form(edges)}")
    # A molecule without bonds may have torch.tensor([]), which is neither 2 x m nor whole.
    edges = edges.long().reshape(2, -1)
    m = edges.shape[1]
    if m and not 0 <= edges.min() <= edges.max() < len(x):
        raise UserError(
            f"edge_index names node {int(edges.max())} or {int(edges.min())}; x has nodes 0 to {len(x) - 1}"
        )
    if features is None or not m:
        width = features.shape[1] if isinstance(features, Tensor) and features.dim() == 2 else 0
        features = torch.zeros(m, width, dtype=torch.int64)
    if not isinstance(features, Tensor) or features.dim() != 2 or len(features) != m:
        raise UserError(f"edge_attr must be edges x features, here {m} rows, found {_form(features)}")
    return Graph(_array(x), edges[0].numpy(), edges[1].numpy(), _array(features))


def _form(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _array(tensor: Tensor) -> npt.NDArray[np.generic]:
    """Return a tensor's numbers as on the disk: float32 or whole."""
    tensor = tensor.detach()
    return np.asarray(tensor.float() if tensor.is_floating_point() else tensor.long())
