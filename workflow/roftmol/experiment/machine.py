"""What this machine lacks for an experiment, found before any job starts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from roftmol.core.errors import UserError
from roftmol.registry.catalog import Checkpoint, Dataset
from roftmol.registry.hub import INSTALL

#: What a driver of GPUs leaves in the file system: NVIDIA's, AMD's, and that of Linux under Windows.
DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")
#: Commands that hand jobs to other machines, which may have what this one lacks.
BATCH_SYSTEMS = ("sbatch", "qsub", "bsub", "condor_submit")


def check(
    datasets: Mapping[str, Dataset],
    checkpoints: Mapping[str, Checkpoint],
    device: str,
    *,
    environments: bool,
    gfn2: bool = False,
) -> None:
    """Raise `UserError` where jobs would end for want of a package or a GPU.

    With `environments`, jobs have packages of their own, made by conda. `gfn2` says that descriptors by GFN2-xTB are
    asked for.
    """
    structures = [name for name, dataset in datasets.items() if dataset.format == "xyz"]
    if structures and not environments and find_spec("ase") is None:
        raise UserError(
            f"datasets: {structures[0]} is an XYZ, which ASE reads, and ASE is not installed. Install it by "
            "`pip install ase`, or all that models of atoms in space need by requirements-atomistic.txt."
        )
    on_hub = [name for name, entry in checkpoints.items() if any(source.kind == "hub" for source in entry.sources)]
    if on_hub and not environments and find_spec("huggingface_hub") is None:
        raise UserError(f"models: the weights of {on_hub[0]} are to come from the hub. {INSTALL}, beside Snakemake.")
    if gfn2 and not environments:
        # Here, for most experiments need none of it.
        from roftmol.features.gfn2 import check_installed

        check_installed()
    if device.startswith("cuda") and not _may_have_gpu():
        raise UserError(f"device: {device}, and this machine has no GPU. Say `device: auto` or `device: cpu`.")


def _may_have_gpu() -> bool:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    elsewhere = any(map(shutil.which, BATCH_SYSTEMS))
    return elsewhere or (not hidden and any(Path(driver).exists() for driver in DRIVERS))
