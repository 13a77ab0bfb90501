"""The project's work done the usual way, in plain PyTorch Geometric: what `bench.py` compares the engine with.

Written as the scripts of Hu et al. 2020 (arXiv 1905.12265) and their followers are: a `Data` object a molecule, a
`DataLoader` that collates them anew in every epoch, `MessagePassing` layers that build every message, and after each
epoch the metric on all three sets. It imports nothing of the project and is tuned as far as that way allows: molecules
are featurized once and stay in memory, no gradient is kept where none is needed, evaluation takes large batches.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from rdkit import Chem, rdBase
from sklearn.metrics import roc_auc_score, root_mean_squared_error
from torch import Tensor, nn
from torch.func import functional_call
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import MessagePassing, global_mean_pool
from torch_geometric.utils import add_self_loops

State = dict[str, Tensor]

BATCH, EVALUATION_BATCH = 32, 256
LEARNING_RATE = 1e-3
ALPHAS = tuple(step / 10 for step in range(11))

ELEMENTS, CHIRALITIES, BOND_TYPES, BOND_DIRECTIONS, SELF_LOOP = 120, 3, 6, 3, 4
CHIRALITY = {Chem.ChiralType.CHI_TETRAHEDRAL_CW: 1, Chem.ChiralType.CHI_TETRAHEDRAL_CCW: 2}
BOND_TYPE = {
    Chem.BondType.SINGLE: 0,
    Chem.BondType.DOUBLE: 1,
    Chem.BondType.TRIPLE: 2,
    Chem.BondType.AROMATIC: 3,
}
DIRECTION = {Chem.BondDir.ENDUPRIGHT: 1, Chem.BondDir.ENDDOWNRIGHT: 2}


def featurize(molecule: Chem.Mol, labels: Iterable[float]) -> Data:
    """Make a graph: atoms are (element, chirality), bonds are both ways (type, direction), labels are 1 x tasks."""
    atoms = [(atom.GetAtomicNum() - 1, CHIRALITY.get(atom.GetChiralTag(), 0)) for atom in molecule.GetAtoms()]
    edges, attributes = [], []
    for bond in molecule.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        attribute = (BOND_TYPE[bond.GetBondType()], DIRECTION.get(bond.GetBondDir(), 0))
        edges += [(i, j), (j, i)]
        attributes += [attribute, attribute]
    return Data(
        x=torch.tensor(atoms, dtype=torch.long),
        edge_index=torch.tensor(edges, dtype=torch.long).reshape(-1, 2).t().contiguous(),
        edge_attr=torch.tensor(attributes, dtype=torch.long).reshape(-1, 2),
        y=torch.tensor([list(labels)], dtype=torch.float32),
    )


def featurize_all(smiles: Iterable[str], labels: Iterable[Iterable[float]]) -> list[Data]:
    """One `Data` object a molecule."""
    with rdBase.BlockLogs():
        return [featurize(Chem.MolFromSmiles(text), row) for text, row in zip(smiles, labels, strict=True)]


class GINConv(MessagePassing):
    """x_i' = MLP(sum_j x_j + e_ij) over the neighbours and the atom itself."""

    def __init__(self, width: int):
        super().__init__(aggr="add")
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.edge_embedding1 = nn.Embedding(BOND_TYPES, width)
        self.edge_embedding2 = nn.Embedding(BOND_DIRECTIONS, width)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """n x d -> n x d."""
        edge_index, _ = add_self_loops(edge_index, num_nodes=len(x))
        loops = edge_attr.new_zeros(len(x), 2)
        loops[:, 0] = SELF_LOOP
        kind, direction = torch.cat([edge_attr, loops]).unbind(1)
        return self.propagate(edge_index, x=x, edge=self.edge_embedding1(kind) + self.edge_embedding2(direction))

    def message(self, x_j: Tensor, edge: Tensor) -> Tensor:
        """Return what a neighbour sends over a bond."""
        return x_j + edge

    def update(self, total: Tensor) -> Tensor:
        """Return the atom's new vector."""
        return self.mlp(total)


class GNN(nn.Module):
    """The encoder, with parameters under the published names."""

    def __init__(self, layers: int = 5, width: int = 300, dropout: float = 0.5):
        super().__init__()
        self.dropout = dropout
        self.x_embedding1 = nn.Embedding(ELEMENTS, width)
        self.x_embedding2 = nn.Embedding(CHIRALITIES, width)
        self.gnns = nn.ModuleList(GINConv(width) for _ in range(layers))
        self.batch_norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(layers))

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> tuple[Tensor, Tensor]:
        """Return the atoms' vectors after the last layer and before its BatchNorm, n x d each."""
        h = self.x_embedding1(x[:, 0]) + self.x_embedding2(x[:, 1])
        last = len(self.gnns) - 1
        for layer, (convolution, norm) in enumerate(zip(self.gnns, self.batch_norms, strict=True)):
            Z = convolution(h, edge_index, edge_attr)
            h = norm(Z)
            if layer < last:
                h = F.relu(h)
            h = F.dropout(h, self.dropout, training=self.training)
        return h, Z


class Output(NamedTuple):
    """What the model gives for b molecules with n atoms: logits or values b x t, and what penalties look at."""

    prediction: Tensor
    Z: Tensor  #: n x d, before the last BatchNorm
    pooled: Tensor  #: b x d
    draws: Tensor  #: where torch's random numbers stood before


class GraphPredictor(nn.Module):
    """The encoder, the mean over a molecule's atoms, and a linear head."""

    def __init__(self, gnn: GNN, tasks: int):
        super().__init__()
        self.gnn = gnn
        self.head = nn.Linear(gnn.x_embedding1.embedding_dim, tasks)

    def forward(self, batch: Batch) -> Output:
        """Predictions for a batch of molecules."""
        draws = torch.get_rng_state()
        nodes, Z = self.gnn(batch.x, batch.edge_index, batch.edge_attr)
        pooled = global_mean_pool(nodes, batch.batch)
        return Output(self.head(pooled), Z, pooled, draws)


def published_names(state: Mapping[str, Tensor]) -> State:
    """Return the weights of the project's GIN under the names that `GNN` has."""
    patterns = (
        (r"^embed\.element\.", "x_embedding1."),
        (r"^embed\.chirality\.", "x_embedding2."),
        (r"^blocks\.(\d+)\.norm\.", r"batch_norms.\1."),
        (r"^blocks\.(\d+)\.convolution\.bond_type\.", r"gnns.\1.edge_embedding1."),
        (r"^blocks\.(\d+)\.convolution\.bond_direction\.", r"gnns.\1.edge_embedding2."),
        (r"^blocks\.(\d+)\.convolution\.", r"gnns.\1."),
    )
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in patterns:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


def load(state: Mapping[str, Tensor], dropout: float = 0.5) -> GNN:
    """Return the encoder with the weights of the project's GIN, from its state dict."""
    renamed = published_names(state)
    layers = sum(name.startswith("batch_norms.") and name.endswith(".weight") for name in renamed)
    gnn = GNN(layers, renamed["x_embedding1.weight"].shape[1], dropout)
    gnn.load_state_dict(renamed)
    return gnn


#: What is added to the loss: (model, batch, output) -> a scalar.
Penalty = Callable[[GraphPredictor, Batch, Output], Tensor]


@dataclass(frozen=True)
class Method:
    """One way of fine-tuning: by stages, the beginnings of the names of parameters that train."""

    stages: tuple[tuple[str, ...], ...]
    penalty: Penalty | None = None


EVERYTHING, HEAD = ("",), ("head.",)
FULL_FT = Method((EVERYTHING,))
LINEAR_PROBING = Method((HEAD,))
LP_FT = Method((HEAD, EVERYTHING))


def surgical_ft(block: int) -> Method:
    """One block trains with the head."""
    return Method(((*HEAD, f"gnn.gnns.{block}.", f"gnn.batch_norms.{block}."),))


def l2_sp(pretrained: GraphPredictor, lam: float, lam_head: float = 0.01) -> Method:
    """Weight decay of the encoder towards the pretrained weights, of the head towards zero."""
    start = {name: tensor.detach().clone() for name, tensor in pretrained.gnn.named_parameters()}

    def penalty(model: GraphPredictor, batch: Batch, output: Output) -> Tensor:
        total = output.pooled.new_zeros(())
        for name, theta in model.gnn.named_parameters():
            total = total + lam / 2 * (theta - start[name]).pow(2).sum()
        for phi in model.head.parameters():
            total = total + lam_head / 2 * phi.pow(2).sum()
        return total

    return Method((EVERYTHING,), penalty)


def bss(lam: float, k: int = 1) -> Method:
    """Return BSS, which penalises the squares of the k smallest singular values of a batch's molecule vectors."""

    def penalty(model: GraphPredictor, batch: Batch, output: Output) -> Tensor:
        return lam * torch.linalg.svd(output.pooled, full_matrices=False).S[-k:].pow(2).sum()

    return Method((EVERYTHING,), penalty)


def feature_map(pretrained: GraphPredictor, lam: float) -> Method:
    """Return feature-map, which penalises the squared distance of Z from a frozen copy's with the same dropout."""
    frozen = copy.deepcopy(pretrained.gnn).train()

    def penalty(model: GraphPredictor, batch: Batch, output: Output) -> Tensor:
        with torch.no_grad(), torch.random.fork_rng():
            torch.set_rng_state(output.draws)
            _, target = frozen(batch.x, batch.edge_index, batch.edge_attr)
        return lam / 2 * (output.Z - target).pow(2).sum()

    return Method((EVERYTHING,), penalty)


@dataclass(frozen=True, eq=False)
class Loaders:
    """Batches of the three sets: small and shuffled to train on, large and in order to evaluate."""

    training: DataLoader
    train: DataLoader
    valid: DataLoader
    test: DataLoader


def evaluation_loader(data: list[Data]) -> DataLoader:
    """Large batches in order."""
    return DataLoader(data, EVALUATION_BATCH)


def loaders(train: list[Data], valid: list[Data], test: list[Data]) -> Loaders:
    """Make the loaders of one fit."""
    return Loaders(DataLoader(train, BATCH, shuffle=True), *(evaluation_loader(data) for data in (train, valid, test)))


def task_loss(prediction: Tensor, labels: Tensor, kind: str, *, root: bool = False) -> Tensor:
    """Mean over the labelled entries of binary cross entropy with logits, or of the squared error, or its `root`."""
    labelled = ~labels.isnan()
    if kind == "classification":
        return F.binary_cross_entropy_with_logits(prediction[labelled], labels[labelled])
    error = F.mse_loss(prediction[labelled], labels[labelled])
    return error.sqrt() if root else error


def adam(model: GraphPredictor, trained: tuple[str, ...]) -> torch.optim.Adam:
    """Freeze all but the parameters whose names begin so, and an optimizer for those."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(trained))
    return torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE)


def train_epoch(
    model: GraphPredictor,
    loader: DataLoader,
    optimizer: torch.optim.Optimizer,
    kind: str,
    penalty: Penalty | None = None,
) -> float:
    """Train on every batch once; returns the mean loss."""
    model.train()
    total = 0.0
    for batch in loader:
        output = model(batch)
        loss = task_loss(output.prediction, batch.y, kind)
        if penalty is not None:
            loss = loss + penalty(model, batch, output)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


@torch.no_grad()
def predict(model: GraphPredictor, loader: DataLoader) -> tuple[np.ndarray, np.ndarray]:
    """Logits or values in eval mode and labels, molecules x tasks each."""
    model.eval()
    predictions, labels = [], []
    for batch in loader:
        predictions.append(model(batch).prediction)
        labels.append(batch.y)
    return torch.cat(predictions).numpy(), torch.cat(labels).numpy()


def score(predictions: np.ndarray, labels: np.ndarray, kind: str) -> float:
    """Return the mean over the tasks of ROC-AUC or RMSE, without the tasks whose labels are of one class."""
    scores = []
    for p, y in zip(predictions.T, labels.T, strict=True):
        labelled = ~np.isnan(y)
        if kind == "regression":
            scores.append(root_mean_squared_error(y[labelled], p[labelled]))
        elif len(np.unique(y[labelled])) == 2:
            scores.append(roc_auc_score(y[labelled], p[labelled]))
    return float(np.mean(scores)) if scores else math.nan


def evaluate(model: GraphPredictor, loader: DataLoader, kind: str) -> float:
    """Return the score of a set."""
    return score(*predict(model, loader), kind)


class Scores(NamedTuple):
    """What an epoch reached on each set."""

    train: float
    valid: float
    test: float


def fit(model: GraphPredictor, method: Method, data: Loaders, kind: str, epochs: int) -> list[Scores]:
    """Train through the method's stages, each of which ends with the weights of its best epoch by validation score."""
    curve = []
    sign = 1 if kind == "classification" else -1
    for trained in method.stages:
        optimizer = adam(model, trained)
        best, best_state = -math.inf, None
        for _ in range(epochs):
            train_epoch(model, data.training, optimizer, kind, method.penalty)
            scores = Scores(*(evaluate(model, loader, kind) for loader in (data.train, data.valid, data.test)))
            curve.append(scores)
            if best_state is None or sign * scores.valid > best:
                best, best_state = sign * scores.valid, copy.deepcopy(model.state_dict())
        if best_state is not None:
            model.load_state_dict(best_state)
    return curve


def mix(start: State, end: State, alpha: Mapping[str, Tensor | float]) -> State:
    """(1 - alpha) start + alpha end, name by name; counters are those of `end`."""
    return {
        name: (1 - alpha[name]) * start[name] + alpha[name] * tensor if tensor.is_floating_point() else tensor
        for name, tensor in end.items()
    }


def wise_ft(model: GraphPredictor, start: State, data: Loaders, kind: str) -> dict[float, tuple[float, float]]:
    """Return validation and test score for every mixture of the encoder's weights `start` with those of `model`."""
    end = copy.deepcopy(model.gnn.state_dict())
    scores = {}
    for alpha in ALPHAS:
        model.gnn.load_state_dict(mix(start, end, dict.fromkeys(end, alpha)))
        scores[alpha] = (evaluate(model, data.valid, kind), evaluate(model, data.test, kind))
    return scores


class Mixture(NamedTuple):
    """Learned coefficients by block, and the scores of the mixed weights."""

    alpha: dict[str, float]
    valid: float
    test: float


def dwise_ft(
    model: GraphPredictor, start: State, data: Loaders, kind: str, epochs: int = 25, rate: float = 1e-3
) -> Mixture:
    """Mix block by block, with coefficients trained on the validation set; the best epoch by its score is kept.

    BatchNorm's statistics are the model's at first and move as in training.
    """
    end = {name: theta.detach().clone() for name, theta in model.gnn.named_parameters()}
    blocks = list(dict.fromkeys(_block(name) for name in end))
    position = {name: blocks.index(_block(name)) for name in end}
    loader = DataLoader(data.valid.dataset, BATCH, shuffle=True)
    alpha = torch.full((len(blocks),), 0.5, requires_grad=True)
    optimizer = torch.optim.Adam([alpha], lr=rate)
    sign = 1 if kind == "classification" else -1
    best, values, best_state = (-math.inf, -math.inf), alpha.tolist(), copy.deepcopy(model.state_dict())
    for _ in range(epochs):
        model.train()
        for batch in loader:
            mixed = mix(start, end, {name: alpha[p] for name, p in position.items()})
            output = functional_call(model, {f"gnn.{name}": tensor for name, tensor in mixed.items()}, (batch,))
            loss = task_loss(output.prediction, batch.y, kind, root=True)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        fixed = alpha.detach()
        model.gnn.load_state_dict(mix(start, end, {name: fixed[p] for name, p in position.items()}), strict=False)
        predictions, labels = (torch.from_numpy(array) for array in predict(model, data.valid))
        # An undefined score decides nothing, and equal ones leave it to the loss.
        reached = sign * score(predictions.numpy(), labels.numpy(), kind)
        selection_key = (0.0 if math.isnan(reached) else reached, -task_loss(predictions, labels, kind).item())
        if selection_key > best:
            best, values, best_state = selection_key, fixed.tolist(), copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    return Mixture(
        dict(zip(blocks, values, strict=True)), evaluate(model, data.valid, kind), evaluate(model, data.test, kind)
    )


def _block(name: str) -> str:
    """Return the block of a parameter or buffer of `GNN`: the embeddings, or a layer with its BatchNorm."""
    return "embed" if name.startswith("x_embedding") else f"blocks.{name.split('.')[1]}"
