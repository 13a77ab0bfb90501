"""Names that stages share, and where the runs and the data sets of an experiment lie under the results folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

#: The references without an encoder, of whatever model and experiment: each is fitted once for all models, and the name
#: beside it stands where a model's would. Another one is another line here and its file in `methods`.
REFERENCE_MODELS = {"fingerprint": "morgan", "constant": "none"}
FINGERPRINT, CONSTANT = "fingerprint", "constant"
#: What the constant predicts, in words.
CONSTANT_TITLES = {"regression": "the mean of the labels", "classification": "the share of class 1"}
#: References of whatever kind: what starts from no pretrained weights.
REFERENCES = ("scratch", *REFERENCE_MODELS)
FINGERPRINT_MODEL = REFERENCE_MODELS[FINGERPRINT]
#: The method whose fine-tuned weights are kept, and the one whose solution spans a plane with them.
FULL_FT, DWISE_FT = "full_ft", "dwise_ft"
#: What every method is compared with: a column `vs_...` of table "summary", and a family of tests.
COMPARED = (FULL_FT, *REFERENCE_MODELS)
#: Splits whose seeds are the parts of a repeated cross-validation, so their training parts overlap; how many parts one
#: has, and the test molecules for each training molecule.
CROSS_VALIDATION, PARTS = ("cv", "scaffold_cv"), 5
TEST_SHARE = 1 / (PARTS - 1)
#: Splits whose test is out of distribution and which have a second one within it, role "test_id".
TWO_TESTS = ("boom",)
#: Where table "models" is, in a results folder and in a recommendation's.
MODELS = Path("provenance", "models.parquet")


def model_of(method: str, model: str) -> str:
    """The model under which a method runs: the given one, or the name that stands for one."""
    return REFERENCE_MODELS.get(method, model)


@dataclass(frozen=True)
class Cells:
    """The cells of an experiment: every combination of these names."""

    protocols: tuple[str, ...]
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    splits: tuple[str, ...]
    budgets: tuple[str, ...]
    methods: tuple[str, ...]

    def runs(self, results: Path) -> list[Path]:
        """The folder of each cell's runs, in the order of the names."""
        folders = [
            results / "runs" / protocol / model_of(method, model) / dataset / f"{split}-{budget}" / method
            for protocol, model, dataset, split, budget, method in product(
                self.protocols, self.models, self.datasets, self.splits, self.budgets, self.methods
            )
        ]
        return list(dict.fromkeys(folders))

    def landscapes(self, results: Path) -> list[Path]:
        """The folder of each cell's loss landscape; none without full FT, whose weights it needs."""
        if FULL_FT not in self.methods:
            return []
        return [
            results / "landscapes" / protocol / model / dataset / f"{split}-{budget}"
            for protocol, model, dataset, split, budget in product(
                self.protocols, self.models, self.datasets, self.splits, self.budgets
            )
        ]

    def split_files(self, results: Path) -> list[Path]:
        """The file of each split."""
        return [
            results / "splits" / protocol / dataset / f"{split}-{budget}.parquet"
            for protocol, dataset, split, budget in product(self.protocols, self.datasets, self.splits, self.budgets)
        ]

    def data(self, results: Path) -> list[Path]:
        """The folder of each data set."""
        return [results / "data" / dataset for dataset in self.datasets]


@dataclass(frozen=True)
class Found:
    """What lies under a results folder, whichever experiments it is of."""

    results: Path

    @property
    def runs(self) -> list[Path]:
        """The folder of each cell's runs."""
        return [file.parent for file in self._files("runs/*/*/*/*/*/fits.parquet")]

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
        """The folder of each data set."""
        return [file.parent for file in self._files("data/*/tasks.parquet")]

    @property
    def data_files(self) -> list[Path]:
        """Every file of every data set."""
        return [path for path in self._files("data/*/**/*") if path.is_file()]

    @property
    def cliffs(self) -> list[Path]:
        """The file of each data set whose activity cliffs are known."""
        return self._files("data/*/cliffs.parquet")

    @property
    def overlaps(self) -> list[Path]:
        """The file of each data set and corpus that were compared."""
        return self._files("overlaps/*/*.parquet")

    @property
    def checkpoints(self) -> list[Path]:
        """The file of each encoder's weights."""
        return self._files("checkpoints/*.safetensors")

    @property
    def recommendations(self) -> list[Path]:
        """The folder of each recommendation."""
        return self._files("recommendation/*")

    @property
    def tables(self) -> list[Path]:
        """Every table of a stage but the corpora; what is aggregated from them stands under `tables`."""
        stages = ("data", "splits", "overlaps", "provenance", "runs", "landscapes")
        return [file for stage in stages for file in self._files(f"{stage}/**/*.parquet")]

    def split_of(self, cell: Mapping[str, str]) -> Path:
        """The file of a cell's split."""
        folder = self.results / "splits" / cell["protocol"] / cell["dataset"]
        return folder / f"{cell['split']}-{cell['budget']}.parquet"

    def _files(self, pattern: str) -> list[Path]:
        # Hidden files are those that a job is writing.
        return sorted(path for path in self.results.glob(pattern) if not path.name.startswith("."))
