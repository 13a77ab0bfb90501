"""Where everything lies under a results folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

#: Where table "models" is, in a results folder and in a recommendation's.
MODELS = Path("provenance", "models.parquet")


@dataclass(frozen=True)
class Found:
    """What lies under a results folder, whichever experiments it is of."""

    results: Path

    @property
    def runs(self) -> list[Path]:
        """The folder of each cell's runs."""
        return [file.parent for file in self._files("runs/*/*/*/*/*/fits.parquet")]

    @property
    def panels(self) -> list[Path]:
        """The folder of the joint fits of each panel, split, budget and method."""
        return [file.parent for file in self._files("panels/*/*/*/*/*/fits.parquet")]

    @property
    def landscapes(self) -> list[Path]:
        """The folder of each cell's loss landscape."""
        return [file.parent for file in self._files("landscapes/*/*/*/*/paths.parquet")]

    @property
    def split_files(self) -> list[Path]:
        """The file of each split."""
        return self._files("splits/*/*/*.parquet")

    @property
    def data(self) -> list[Path]:
        """The folder of each dataset."""
        return [file.parent for file in self._files("data/*/tasks.parquet")]

    @property
    def data_files(self) -> list[Path]:
        """Every file of every dataset."""
        return [path for path in self._files("data/*/**/*") if path.is_file()]

    @property
    def cliffs(self) -> list[Path]:
        """The file of each dataset whose activity cliffs are known."""
        return self._files("data/*/cliffs.parquet")

    @property
    def overlaps(self) -> list[Path]:
        """The file of each dataset and corpus that were compared."""
        return self._files("overlaps/*/*.parquet")

    @property
    def exposures(self) -> list[Path]:
        """The file of each split of a panel whose test molecules were looked for in its training parts."""
        return self._files("exposure/*/*/*.parquet")

    @property
    def checkpoints(self) -> list[Path]:
        """The file of each encoder's weights."""
        return self._files("checkpoints/*.safetensors")

    @property
    def arrays(self) -> list[Path]:
        """Every file of arrays that stages make of molecules and weights; finished fits are their runs'."""
        patterns = ("data/**/*.safetensors", "checkpoints/*.safetensors", "vectors/**/*.safetensors")
        return list(chain.from_iterable(map(self._files, patterns)))

    @property
    def recommendations(self) -> list[Path]:
        """The folder of each recommendation."""
        return self._files("recommendation/*")

    @property
    def tables(self) -> list[Path]:
        """Every table of a stage but the corpora; what is aggregated from them stands under `tables`."""
        stages = ("data", "splits", "exposure", "overlaps", "provenance", "panels", "runs", "landscapes")
        return list(chain.from_iterable(self._files(f"{stage}/**/*.parquet") for stage in stages))

    def split_of(self, cell: Mapping[str, str]) -> Path:
        """Return the file of a cell's split."""
        folder = self.results / "splits" / cell["protocol"] / cell["dataset"]
        return folder / f"{cell['split']}-{cell['budget']}.parquet"

    def _files(self, pattern: str) -> list[Path]:
        # Hidden files are those that a job is writing.
        return sorted(path for path in self.results.glob(pattern) if not path.name.startswith("."))
