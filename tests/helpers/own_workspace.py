"""A workspace of a user who brings an own model: the example of the documentation."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from own_models import EXAMPLE, architecture
from roftmol.encoders.kinds import new_encoder
from workspaces import Workspace, write_molecules


def own_workspace(folder: Path) -> Workspace:
    """Lay the example's code, its weights and molecules into the folder."""
    code = shutil.copy(EXAMPLE, folder)
    torch.save(new_encoder(architecture("gine", Path(code))).module.state_dict(), folder / "my_gine.pt")
    write_molecules(folder / "mine.csv")
    return Workspace(folder)
