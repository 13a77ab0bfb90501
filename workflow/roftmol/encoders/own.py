"""An encoder of the user's own: any module of x, edge_index, edge_attr and batch, cut into parts by submodules' names.

The module returns the atoms' vectors Z (n x d), which are pooled here; or it pools itself (pooling "none", b x d), and
Z is what the last submodule of the last block returns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from roftmol.core import user_code
from roftmol.core.errors import UserError
from roftmol.core.records import build
from roftmol.encoders.base import Encoder, EncoderFile, Norm, State
from roftmol.encoders.ops import max_by, sum_by
from roftmol.features import featurize
from roftmol.features.graphs import Batch

#: Molecules that tell the module's shapes: ordinary ones, which no featurizer should refuse.
PROBE = ("CCO", "Oc1ccccc1", "CC(N)=O")
#: How the names of the user's weights begin in the encoder's.
PREFIX = "module."


@dataclass(frozen=True)
class OwnArchitecture:
    """The user's file, and which submodules or parameters of its `build()` make up each part."""

    code: str
    embed: tuple[str, ...]
    blocks: tuple[tuple[str, ...], ...]
    readout: tuple[str, ...]
    pooling: str
    kind: str = "own"

    def parts(self) -> dict[str, tuple[str, ...]]:
        """Return the names in each part that has any, bottom up."""
        blocks = {f"blocks.{number}": names for number, names in enumerate(self.blocks)}
        parts = {"embed": self.embed, **blocks, "readout": self.readout}
        return {part: names for part, names in parts.items() if names}


class Own(Encoder):
    """A user's module as an encoder; its forward pass starts at the atoms, whatever is frozen."""

    resumable = False

    def __init__(self, architecture: OwnArchitecture):
        super().__init__()
        self.architecture = architecture
        with self._as_user_error("build()"):
            self.module = user_code.function(architecture.code, "build")()
        if not isinstance(self.module, nn.Module):
            raise self._error(f"build() returned {type(self.module).__name__}, expected a torch.nn.Module")
        self._check_names()
        self.width = self._probe()
        self._swap_norms()
        self.part_of_name = self._assign()

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that the user named, bottom up: `embed` and `readout` may be missing."""
        return tuple(self.architecture.parts())

    def part_of(self, name: str) -> str:
        """Return the part that a parameter or buffer belongs to; one that was added lies where its module does."""
        return self.part_of_name[name] if name in self.part_of_name else self._declared_part(name)

    def modules_of(self, part: str) -> tuple[nn.Module, ...]:
        """Return the submodules that make up a part; parameters that the part names themselves are none."""
        modules = dict(self.module.named_modules(remove_duplicate=False))
        return tuple(modules[name] for name in self.architecture.parts()[part] if name in modules)

    def state(self, batch: Batch, state: State | None = None, start: int = 0, stop: int | None = None) -> State:
        """Return the state after the last block, or after the module if it returns atoms; no block can be left out."""
        if self.architecture.pooling != "none":
            return State(self._output(batch))
        caught: list[Tensor] = []
        handle = self._top().register_forward_hook(lambda _module, _inputs, output: caught.append(output))
        try:
            molecules = self._output(batch)
        finally:
            handle.remove()
        return State(caught[-1] if caught else molecules, molecules=molecules)

    def pool(self, state: State, batch: Batch) -> Tensor:
        """Return the module's own vectors of molecules, or the mean, sum or maximum over a molecule's atoms, b x d."""
        if state.molecules is not None:
            return state.molecules
        if self.architecture.pooling == "max":
            return max_by(state.atoms, batch.graph, len(batch))
        total = sum_by(state.atoms, batch.graph, len(batch))
        return total / batch.sizes.unsqueeze(1) if self.architecture.pooling == "mean" else total

    def fresh(self) -> Own:
        """Return the same network with weights drawn anew, by `build()`."""
        return Own(self.architecture)

    def check_draw(self) -> None:
        """Raise `UserError` if `build()` always gives the same weights, with which no run is from scratch."""
        pairs = list(zip(self.fresh().parameters(), self.parameters(), strict=True))
        if pairs and all(torch.equal(one, other) for one, other in pairs):
            raise self._error(
                "build() gave the same weights twice; let it draw them, without a seed or a file of its own"
            )

    def _output(self, batch: Batch) -> Tensor:
        return self.module(
            x=batch.atoms,
            edge_index=batch.edges,
            edge_attr=batch.bonds if batch.bonds.shape[1] else None,
            batch=batch.graph,
        )

    def _top(self) -> nn.Module:
        """Return the submodule whose output are the atoms' vectors, where the module pools itself."""
        return self.modules_of(f"blocks.{len(self.architecture.blocks) - 1}")[-1]

    def _check_names(self) -> None:
        names = {*dict(self.module.named_modules(remove_duplicate=False)), *self.module.state_dict()}
        if unknown := [name for name in chain.from_iterable(self.architecture.parts().values()) if name not in names]:
            children = ", ".join(name for name, _ in self.module.named_children())
            raise self._error(f"the module has no {', '.join(unknown)}; its submodules are {children}")
        if self.architecture.pooling == "none" and not self.modules_of(f"blocks.{len(self.architecture.blocks) - 1}"):
            raise self._error(
                "with pooling none, the last block needs a submodule, whose output are the atoms' vectors"
            )

    @torch.no_grad()
    def _probe(self) -> int:
        """Return the width of a molecule's vector, by running a few; lazy modules take their shapes here."""
        labels = np.zeros((len(PROBE), 1), np.float32)
        batch = featurize.from_smiles(list(PROBE), labels, name=self.architecture.code).batch(range(len(PROBE)))
        self.eval()
        with self._as_user_error("the module, called with x, edge_index, edge_attr and batch,"):
            atoms, _, molecules = self.state(batch)
        self.train()
        if molecules is None:
            self._check_rows("the module", atoms, len(batch.atoms))
            return atoms.shape[1]
        self._check_rows("the module", molecules, len(batch))
        last = self.architecture.blocks[-1][-1]
        self._check_rows(f"the last submodule of the last block ({last})", atoms, len(batch.atoms))
        return molecules.shape[1]

    def _check_rows(self, what: str, output: object, rows: int) -> None:
        """Raise `UserError` unless the output is rows x d, float32."""
        form = f"{output.dtype} {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        if not isinstance(output, Tensor) or output.dtype != torch.float32 or output.dim() != 2 or len(output) != rows:
            raise self._error(
                f"for {len(PROBE)} molecules, {what} returned {form}, expected torch.float32 ({rows}, width). With "
                "pooling mean, sum or max the module returns one vector an atom; with none it returns one a molecule, "
                "and the last submodule of the last block one an atom"
            )

    def _swap_norms(self) -> None:
        """Let every BatchNorm be ours, weights and all, so that mixed weights can have statistics of their own."""
        for name, child in self.module.named_modules():
            if type(child) is nn.BatchNorm1d:
                child.__class__ = Norm
            elif isinstance(child, nn.modules.batchnorm._BatchNorm) and not isinstance(child, Norm):
                raise self._error(f"{name} is a {type(child).__name__}; of the kind, only torch's BatchNorm1d is known")

    def _assign(self) -> dict[str, str]:
        """Return the part of every parameter and buffer, by name.

        Raises `UserError` for what lies in no part, or in two.
        """
        part_of = {name: self._declared_part(name) for name in self.state_dict()}
        if lost := [name.removeprefix(PREFIX) for name, part in part_of.items() if not part]:
            shown = ", ".join(lost[:8]) + (f" and {len(lost) - 8} more" if len(lost) > 8 else "")
            raise self._error(f"in no part: {shown}. Name their submodules in embed, blocks or readout")
        for one, other in self._shared():
            if part_of[one] != part_of[other]:
                names = " and ".join(name.removeprefix(PREFIX) for name in (one, other))
                raise self._error(f"{names} are the same weights in two parts; name their submodules in one part")
        return part_of

    def _declared_part(self, name: str) -> str:
        """Return the part whose submodules hold what has this name, "" for none."""
        for part, modules in self.architecture.parts().items():
            if any(f"{name}.".startswith(f"{PREFIX}{module}.") for module in modules):
                return part
        return ""

    def _shared(self) -> Iterator[tuple[str, str]]:
        """Yield, of parameters with several names, the first name with each other one."""
        first: dict[Tensor, str] = {}
        for name, parameter in self.named_parameters(remove_duplicate=False):
            first_name = first.setdefault(parameter, name)
            if first_name != name:
                yield first_name, name

    def _as_user_error(self, what: str):  # type: ignore[no-untyped-def]
        return user_code.as_user_error(self.architecture.code, what)

    def _error(self, message: str) -> UserError:
        return UserError(f"{self.architecture.code}: {message}")


ENCODER = EncoderFile(
    new=lambda architecture, _dropout: Own(build(OwnArchitecture, architecture)),  # with the module's own dropout
    prefix=PREFIX,
)
