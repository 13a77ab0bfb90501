"""DPA-3 (Zhang et al., arXiv 2506.01686): messages among atoms, pairs and angles, pretrained on many datasets at once.

Atoms i have vectors n_i, neighbours e_ij, and pairs of near neighbours a_ijk: the vertices of a graph of atoms and of
its line graphs. Each layer updates all three by what is next to them,

    a_ijk += U_a(a_ijk, n_i, e_ij, e_ik),    e_ij += U_e(e_ij, n_i, n_j) + sum_k U_ae(a_ijk, n_i, e_ij, e_ik),
    n_i += U_n(n_i) + sum_j U_en(n_i, n_j, e_ij) + U_s({e_ij, n_j}_j),

and n after the last one are the atoms' vectors. The energy is a sum over atoms of a network's output, which is told the
dataset to answer as, the branch, and of the element's shift in that branch; forces are minus its gradient.

The network is deepmd-kit's, built from the parameters that the published file carries: here are the names of its parts,
and molecules laid out as it reads them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from roftmol.core.errors import UserError
from roftmol.core.records import build
from roftmol.encoders.base import EncoderFile, Spatial, State, slots
from roftmol.encoders.ops import rows, sum_by
from roftmol.features.featurizers.geometry import ELEMENTS
from roftmol.features.graphs import Batch

#: How the names of deepmd-kit's weights begin in the encoder's.
PREFIX = "module."
LAYER = re.compile(rf"{PREFIX}descriptor\.repflows\.layers\.(\d+)\.")
INSTALL = "DP_ENABLE_TENSORFLOW=0 DP_ENABLE_PYTORCH=0 pip install --no-binary deepmd-kit deepmd-kit==3.2.0 e3nn==0.6.0"


@dataclass(frozen=True)
class DpaArchitecture:
    """A model of the file: of which dataset, how many layers of which width, and deepmd-kit's own `parameters`.

    The registry leaves these empty; :func:`described` takes them from the file.
    """

    layers: int
    width: int
    branch: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "dpa"


class Laid(NamedTuple):
    """b molecules of up to N atoms as deepmd-kit reads them; an atom of type -1 is none."""

    positions: Tensor  #: b x N x 3, Angstrom
    types: Tensor  #: b x N, rows of the model's table of elements
    neighbours: Tensor  #: b x N x (as many as there are or the model takes), nearest first, -1 for none
    itself: Tensor  #: b x N, of each atom the one of which it is an image: itself
    slot: Tensor  #: n, which of the b * N is each atom


class Dpa(Spatial):
    """A DPA-3 of deepmd-kit, with one branch's force field beside its parts."""

    #: Pairs and angles flow beside the atoms, so the forward pass starts at the atoms, whatever is frozen.
    resumable = False
    type_of: Tensor

    def __init__(self, architecture: DpaArchitecture):
        super().__init__()
        get_model, self._neighbours = _package()
        self.architecture = architecture
        self.width = architecture.width
        self.module = get_model(_undetermined(architecture.parameters)).atomic_model
        elements = list(architecture.parameters["type_map"])
        if missing := [symbol for symbol in ELEMENTS.values() if symbol not in elements]:
            raise UserError(f"branch {architecture.branch}: its model knows no {', '.join(missing)}; choose another")
        type_of = torch.full((max(ELEMENTS) + 1,), -1)
        for number, symbol in ELEMENTS.items():
            type_of[number] = elements.index(symbol)
        self.register_buffer("type_of", type_of, persistent=False)

    @property
    def parts(self) -> tuple[str, ...]:
        """The embedding of elements, pairs and angles; and the layers."""
        return ("embed", *(f"blocks.{layer}" for layer in range(self.architecture.layers)))

    @property
    def force_field(self) -> nn.Module:  # type: ignore[override]
        """The network from an atom's vector to its energy."""
        return self.module.fitting_net

    def part_of(self, name: str) -> str:
        """Return the part that a parameter or buffer belongs to; `force_field` is none that methods address."""
        if layer := LAYER.match(name):
            return f"blocks.{layer[1]}"
        return "embed" if name.startswith(f"{PREFIX}descriptor.") else "force_field"

    def modules_of(self, part: str) -> tuple[nn.Module, ...]:
        """Return the modules that make up a part."""
        descriptor = self.module.descriptor
        if part == "embed":
            return (descriptor.type_embedding, descriptor.repflows.edge_embd, descriptor.repflows.angle_embd)
        return (descriptor.repflows.layers[int(part.removeprefix("blocks."))],)

    def state(self, batch: Batch, state: State | None = None, start: int = 0, stop: int | None = None) -> State:
        """Return the state after the last layer; no layer can be left out.

        Where `start` is beyond the last layer, that is `state`.
        """
        if start == self.architecture.layers:
            assert state is not None
            return state
        laid = self._laid_out(batch)
        vectors = functional_call(
            self.module.descriptor,
            self._statistics("repflows", laid),
            (laid.positions, laid.types.clamp(min=0), laid.neighbours, laid.itself),
        )[0]
        return State(rows(vectors.flatten(0, 1), laid.slot).to(batch.atoms.dtype))

    def energies(self, batch: Batch) -> Tensor:
        """Return the force field's energies in eV, b, in float64."""
        laid = self._laid_out(batch)
        energies = functional_call(
            self.module,
            self._statistics("descriptor.repflows", laid),
            (laid.positions, laid.types, laid.neighbours, laid.itself),
        )["energy"]
        return sum_by(rows(energies.flatten(), laid.slot), batch.graph, len(batch))

    def fresh(self) -> Dpa:
        """Return the same network with weights drawn anew; statistics of its training data stay."""
        other = Dpa(self.architecture)
        other.load_state_dict(dict(self.named_buffers()), strict=False)
        return other

    def _laid_out(self, batch: Batch) -> Laid:
        """Return the batch's molecules side by side, with gradient to the positions."""
        slot, largest = slots(batch)
        b = len(batch)
        positions = batch.atoms.new_zeros(b * largest, 3, dtype=torch.float64)
        positions = positions.index_copy(0, slot, batch.atoms[:, 1:].double()).view(b, largest, 3)
        types = torch.full((b * largest,), -1, device=slot.device)
        types = types.index_copy(0, slot, self.type_of[batch.atoms[:, 0].long()]).view(b, largest)
        cutoff = self.module.get_rcut()
        most = self.module.get_sel()
        positions, types, itself, neighbours = self._neighbours(positions, types, cutoff, most, mixed_types=True)
        if self.module.descriptor.repflows.use_dynamic_sel:  # which takes a list of any width; else sums depend on it
            neighbours = neighbours[:, :, : max(largest - 1, 1)]
        return Laid(positions, types, neighbours, itself, slot)

    def _statistics(self, prefix: str, laid: Laid) -> dict[str, Tensor]:
        """Return what distances are normalised by, cut to as many neighbours as are listed.

        Models allow for a thousand.
        """
        repflows = self.module.descriptor.repflows
        width = laid.neighbours.shape[2]
        return {f"{prefix}.{name}": getattr(repflows, name)[:, :width] for name in ("mean", "stddev")}


def _package() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return what is used of deepmd-kit: what builds a model, and what finds neighbours.

    Raises `UserError` if it cannot be imported.
    """
    try:
        from deepmd.pt.model.model import get_model
        from deepmd.pt.utils.nlist import extend_input_and_build_neighbor_list
    except (ImportError, RuntimeError) as error:  # the latter where its library is built against another torch
        raise UserError(
            f"DPA needs deepmd-kit, which cannot be imported ({str(error).splitlines()[0]}). Its wheels are built "
            f"against one version of torch; its Python modules do without their library: {INSTALL}"
        ) from error
    return get_model, extend_input_and_build_neighbor_list


def _undetermined(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters without seeds, so that weights are drawn by torch's own generator."""
    plain = deepcopy(dict(parameters))
    for part in ("descriptor", "fitting_net"):
        plain[part] = {key: value for key, value in plain[part].items() if key != "seed"}
    return plain


def described(path: Path, architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Return the architecture with the parameters that a checkpoint of deepmd-kit gives for its branch.

    Raises `UserError` if the file has no such branch, or is no DPA-3 of these layers and this width.
    """
    parameters = _parameters(_contents(path), path, architecture["branch"])
    descriptor = parameters.get("descriptor", {})
    if descriptor.get("type") != "dpa3":
        raise UserError(f"{path}: its descriptor is {descriptor.get('type')!r}; only dpa3 is read here")
    if descriptor.get("add_chg_spin_ebd"):
        raise UserError(f"{path}: its model is told charge and spin, which no model of atoms in space is here")
    sizes = descriptor["repflow"]["nlayers"], descriptor["repflow"]["n_dim"]
    if sizes != (architecture["layers"], architecture["width"]):
        raise UserError(f"{path}: it has {sizes[0]} layers of width {sizes[1]}; write so in the entry's architecture")
    return {**architecture, "parameters": parameters}


def read_published(path: Path, branch: str) -> dict[str, Tensor]:
    """Return the weights of one branch of a checkpoint of deepmd-kit, under our names.

    Raises `UserError` if the file has no such branch, and whatever torch does if it holds more than plain values.
    """
    contents = _contents(path)
    start = f"model.{_branch(contents, path, branch)}.atomic_model."
    return {PREFIX + name.removeprefix(start): tensor for name, tensor in contents.items() if name.startswith(start)}


def _contents(path: Path) -> dict[str, Any]:
    """Return the state dict of a checkpoint, whose `_extra_state` says how the model is built."""
    contents = torch.load(path, weights_only=True, map_location="cpu")
    contents = contents.get("model", contents)
    if "model_params" not in contents.get("_extra_state", {}):
        raise UserError(f"{path}: it has no `_extra_state` with `model_params`; a checkpoint of deepmd-kit is expected")
    return dict(contents)


def _branch(contents: Mapping[str, Any], path: Path, name: str) -> str:
    """Return what the file calls the branch: its name, of which `name` may be an alias, or Default for the only one.

    Raises `UserError` if there is no such branch.
    """
    parameters = contents["_extra_state"]["model_params"]
    if "model_dict" not in parameters:
        return "Default"
    branches = parameters["model_dict"]
    for branch, about in branches.items():
        if name == branch or name in about.get("model_branch_alias", ()):
            return str(branch)
    raise UserError(f"{path}: it has no branch {name!r}; write one of {', '.join(sorted(branches))}")


def _parameters(contents: Mapping[str, Any], path: Path, name: str) -> dict[str, Any]:
    parameters = contents["_extra_state"]["model_params"]
    branch = _branch(contents, path, name)
    return dict(parameters["model_dict"][branch] if "model_dict" in parameters else parameters)


ENCODER = EncoderFile(
    new=lambda architecture, _dropout: Dpa(build(DpaArchitecture, architecture)),
    read_published=lambda path, architecture: read_published(path, architecture["branch"]),
    described=described,
)
