"""Every key of `config.yaml`: its type, its default, what is allowed, and, below it, what it means.

This is the one place. `reading` fills in and checks a configuration by these classes; `reference` makes the schema for
editors and docs/configuration.md of them, with the text below each key as its description. What depends on other keys
or on the registry is checked in `checks`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from roftmol.experiment.value_types import (
    Budget,
    Contamination,
    Duplicates,
    Grids,
    LabelValues,
    Name,
    Named,
    Names,
    Protocol,
    Several,
    Split,
    Task,
    TwoColumns,
    Unique,
)
from roftmol.methods import DEFAULT_METHODS


class Section(BaseModel):
    """Keys and values; any other key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Training(Section):
    """How a network is trained, by Adam."""

    epochs: int = Field(default=100, ge=1)
    """The most passes over the training molecules."""

    steps: int = Field(default=0, ge=0)
    """Where not 0, it counts in place of `epochs`: as many epochs as hold so many batches."""

    batch_size: int = Field(default=32, ge=2)
    """Molecules in a batch."""

    learning_rate: float = Field(default=0.001, gt=0)
    """The learning rate of Adam."""

    patience: int = Field(default=20, ge=1)
    """Epochs without a better validation score before a fit stops."""

    dropout: float = Field(default=0.5, ge=0, lt=1)
    """The share of values that dropout in the encoder's blocks sets to zero."""


class Validation(Section):
    """Where the validation labels of an `honest` budget come from."""

    scheme: Literal["holdout", "crossfit"] = "holdout"
    """`holdout` sets a stratified part of the budget aside; `crossfit` fits `folds` models, each validated on the fold
    that it has not seen."""

    fraction: float = Field(default=0.2, gt=0, lt=1)
    """The share of the budget that `holdout` sets aside."""

    folds: int = Field(default=5, ge=2)
    """The models that `crossfit` fits."""


class Auxiliary(Section):
    """What methods with a second task (`mft`, ...) go on learning, on molecules that are in no dataset."""

    corpus: str = "zinc250k"
    """The pretraining corpus that the molecules are drawn from."""

    objective: Literal["attribute_masking", "graphmae"] = "attribute_masking"
    """How atoms are masked; for models of molecular graphs."""

    molecules: int = Field(default=2000, ge=10)
    """Molecules in which atoms are masked; for models of molecular graphs."""

    forces: Literal["gfn2", "self", "native", None] = "gfn2"
    """Where energies and forces come from, for models of atoms in space: GFN2-xTB (`gfn2`), the frozen model itself
    (`self`), or a file of your own (`native`). `null`: there are none, and forces are not measured either."""

    native: str | None = None
    """The file for `forces: native`: an extended XYZ as ASE writes it, with energy (eV) and forces (eV/Å) of each
    structure, of the model's pretraining for example. A structure whose molecule is in a dataset is not learnt from.
    Molecules are told apart by a key `smiles`, where a structure has one. Otherwise their bonds are determined from the
    positions, which fails for some structures and is a guess where bonds are stretched. Forces are measured on the last
    tenth of the molecules, in the order of the file, so shuffle a sorted one."""

    force_molecules: int = Field(default=500, ge=2)
    """Molecules whose energies and forces are computed."""

    conformers: int = Field(default=4, ge=1)
    """Conformers of each of these molecules."""

    displacement: float = Field(default=0.05, gt=0)
    """How far the atoms of a conformer are displaced, in Å."""

    heavy_atoms: int = Field(default=12, ge=1)
    """The most heavy atoms of such a molecule."""

    elements: Several[str] = ("H", "C", "N", "O", "F")
    """The elements of such a molecule."""


class OwnDataset(Section):
    """A file of your own: a table (CSV, `.xlsx`, `.smi`), or structures (`.xyz`, `.extxyz`, `.sdf`)."""

    path: str
    """The file, relative to the folder where snakemake is started."""

    smiles: str | None = None
    """The column of SMILES. Only structure files can do without."""

    sheet: str | None = None
    """The sheet of an Excel workbook, where several could be read."""

    labels: Several[str]
    """Columns of numbers, empty where nothing was measured; `["*"]` for all other columns."""

    task: Task
    """A classification has the labels 0 and 1."""

    values: LabelValues | None = None
    """What labels mean that are no numbers, or other ones: `{active: 1, inactive: 0, -1: missing}`."""

    split_column: str | None = None
    """A column that says train, valid or test, for the split `column`."""

    duplicates: Duplicates = "keep"
    """What becomes of several records of one molecule: all are kept; all but the first are dropped, contradicting ones
    altogether; or the labels of a regression are averaged."""

    censored: Literal["drop", "limit", "one_sided"] | None = None
    """What becomes of labels that only limit the value, such as `>10000` (a regression's): they are left out, the
    number is taken for the value, or they are learnt as limits (`one_sided`), which makes the task a
    `censored_regression`. `null`: they are left out where they are few (`max_rejected`); more, and a column of
    relations beside the labels, are asked about."""

    relations: str | None = None
    """The column that holds `=`, `>` or `<` of each label, where several look like it."""

    units: dict[str, Annotated[float, Field(strict=False)]] = {}
    """What labels are multiplied by, by the unit that a column beside them names, as `{nM: 1, uM: 1000}`. Without it a
    file with several units is refused."""

    cliff_column: str | None = None
    """A column of 0 and 1 that marks activity cliffs, in place of looking for them."""

    potency: bool = False
    """Whether the label is log10 of a potency (pIC50, pKi, ...), so that activity cliffs are looked for."""

    extensive: bool = False
    """Whether the label grows with the molecule: a head on atoms then sums what it would average."""

    geometry: TwoColumns | None = None
    """The columns of a CSV that say where the atoms are: that of the elements, a list of symbols, and that of the
    positions, a list of [x, y, z] in Å."""


class OwnModel(Section):
    """A PyTorch Geometric model of your own; docs/own-models.md explains each key."""

    code: str
    """The file that defines `build()` and `featurize(molecule)`, relative to the folder where snakemake is started."""

    weights: str
    """The state dict of the module, by `torch.save` or safetensors: a file, or `hf://OWNER/REPOSITORY@COMMIT/FILE`."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """The SHA-256 of `weights`; another file is then refused."""

    embed: Names = ()
    """Submodules below the blocks."""

    blocks: Several[Names]
    """Submodules of each block, bottom up."""

    readout: Names = ()
    """Submodules above the blocks."""

    pooling: Literal["mean", "sum", "max", "none"]
    """What becomes of the vectors of atoms that the module returns. `none`: it pools itself, and returns one vector a
    molecule."""

    drop: Names = ()
    """How the names begin of weights in the file that are no part of the module."""

    pretraining: Literal["self-supervised", "supervised", "both"]
    """Whether it was pretrained with labels."""

    corpora: Names = ()
    """What it was pretrained on, where that is registered."""

    labelled: Names = ()
    """Those of `corpora` whose labels it learnt; all, where it is `supervised` and this is silent."""

    suspected: Names = ()
    """Datasets whose labels may be among those it learnt, though nobody can check."""


class Recommend(Section):
    """How `snakemake recommend` compares and chooses, for the file that `data` names; see docs/recommend.md.

    The references, and the hybrid head on each frozen encoder, always compete. Training is that of the configuration.
    """

    models: Several[str] | None = None
    """The encoders among which it chooses; the first one's hybrid head is what is taken by default.

    `null`: MiniMol where its archive can be had, and gin-distilled, which comes with the package. Methods
    that fine-tune then do it to that alone: MiniMol is better left frozen, and takes long.
    """

    methods: Several[str] = ("full_ft", "lp_ft_closed", "wise_ft")
    """The methods that compete beside the references and heads, but where `thorough` or `methods` above says more. With
    several targets `joint_ft` does too, where these are the defaults."""

    thorough: bool = False
    """Whether all of `methods` above compete too (but `scratch`): hours in place of minutes."""

    split: Literal["random", "scaffold"] = "random"
    """How the labels are dealt into the parts of the cross-validation; `scaffold` asks about molecules unlike those
    given."""

    resamplings: int = Field(default=5, ge=3)
    """Test parts. Five make each molecule a test molecule once; ten tell smaller differences, in twice the time."""

    choose: Literal["default", "best"] = "default"
    """The default, unless another method is better beyond doubt; or the best mean."""

    members: int = Field(default=5, ge=2, le=100)
    """Models in the bundle, and in each ensemble that is scored."""

    level: float = Field(default=0.9, gt=0, lt=1)
    """The level of the bundle's intervals."""

    grids: Grids = {"dwise_ft": {"start": [0.5]}, "wise_ft": {"alpha": [0.2, 0.5, 0.8]}}
    """As `grids` above. A method that trains tries only the middle of its grid if none is given here."""


class Config(Section):
    """A configuration. Every combination of protocols, models, datasets, splits, budgets and methods is run with every
    seed."""

    protocols: Several[Protocol] = ("honest",)
    """What a budget buys, and what differs between seeds.

    - `honest`: a budget of N counts every label used, validation included, and the seed resamples subset and split.
    - `paper`: as published, to the index. Validation keeps 10% of the data, and all seeds share one subset and split.
    """

    models: Several[str] = ("gin-zinc-masking", "gin-zinc-qm9-supervised")
    """Pretrained encoders: names in workflow/roftmol/registry/yaml/checkpoints.yaml, or of `own_models`.

    Those that begin with gin-zinc come with the repository: one GIN, pretrained without labels (masking) and with
    labels (qm9-supervised). So does gin-distilled, which learnt to predict the vectors of minimol.
    """

    datasets: Several[str] = ("esol", "bbbp", "bace")
    """Molecules with labels: names in workflow/roftmol/registry/yaml/datasets.yaml, of `own_datasets`, or of `panels`,
    each of which stands for its datasets."""

    panels: Named[Several[str]] = {}
    """Datasets that share one encoder in joint methods and in the split `joint`, by the panel's name, which `datasets`
    can then use for them all. A dataset is in one panel at most, and the order of its datasets changes nothing.

    ```yaml
    panels:
      safety: [clintox, sider, tox21]
    datasets: [safety]
    splits: [joint]
    ```
    """

    splits: Several[Split] = ("scaffold",)
    """How molecules are dealt into training, validation and test parts.

    - `random`, `scaffold`, `size`: at random, by whole scaffolds, by the size of the molecule.
    - `size_strict`: as `size`, without its leak.
    - `column`: by the `split_column` of a dataset.
    - `leaderboard`: the official parts of TDC's ADMET sets; seed s is its run s of 1 to 5 (docs/leaderboard.md).
    - `cv`, `scaffold_cv`: repeated cross-validation in five parts, at random or by whole scaffolds. Seed 0 tests the
      first part, seed 4 the last, and seed 5 begins anew.
    - `joint`: one split of a panel's molecules together by whole scaffolds, so that no dataset of the panel learns from
      a molecule that tests or validates another one.
    - `joint_cv`, `joint_scaffold_cv`: the same by cross-validation, at random or by whole scaffolds; with
      `validation.scheme: crossfit`.
    - `boom`: the rarest labels of a regression are the test, with a second test among the others (docs/atomistic.md).
    """

    budgets: Several[Budget] = (50,)
    """How many labelled molecules are used: numbers of 10 or more, or `all`."""

    methods: Several[str] = DEFAULT_METHODS
    """Ways of fine-tuning, and references beside them.

    `hybrid` fits a head in closed form to what the frozen encoder, fingerprints and descriptors know. The references
    are the same network from random weights (`scratch`), kernels on fingerprints and descriptors (`classical`), a
    forest on both (`descriptors`), a `fingerprint` baseline and the mean of the labels (`constant`). Not among the
    defaults are `ridge` and `kernel` (heads on the encoder's vectors alone), `lp_ft_closed` (LP-FT from a head in
    closed form, in small steps), `layerwise_decay` (lower blocks learn more slowly), and `mft`, `mft_same_steps` and
    `mft_wise` (the pretraining task goes on beside the property, see `auxiliary`). For datasets of `panels` there are
    `joint_ft` (one encoder for all of a panel), and what goes on from it with each dataset alone: `joint_then_single`,
    `joint_wise_ft` and `joint_dwise_ft`; see docs/methods.md.

    A method that changes the encoder can have another head in its own one's place, which is fitted in closed form on
    the encoder's vectors: `full_ft+hybrid`, `lp_ft+kernel`, `wise_ft+ridge`; see docs/methods.md. A recommendation
    leaves those among the defaults out.
    """

    seeds: Several[Annotated[int, Field(ge=0)]] = (0, 1, 2)
    """Each cell is fitted once for each seed."""

    training: Training = Training()

    validation: Validation = Validation()

    max_test: int | None = Field(default=None, ge=10)
    """The most molecules of a test part, which is cut to a random sample of them; `null`: it is not cut."""

    auxiliary: Auxiliary = Auxiliary()

    selection: str = "validation"
    """The rule that picks the hyperparameters of a method.

    `oracle` picks by the test score: what a method could reach, not what it will.
    """

    grids: Grids = {}
    """The values of a method's hyperparameters that are tried, in place of its default grid.

    A hyperparameter that is not named keeps its default values. The default grids try the strengths 1, 0.1, ...,
    0.0001 and the starts 0.5 and 0.9. A part of the blocks: `surgical_ft: {block: [0, 4]}`. METHOD+HEAD has METHOD's
    grid, and the head that of HEAD. `hybrid`, `classical` and `descriptors` read RDKit's descriptors, or others:
    `hybrid: {descriptors: [none, rdkit, gfn2, both]}`; those of GFN2-xTB need tblite (`requirements-atomistic.txt`).
    The heads of `joint_ft` read none unless `joint_ft: {descriptors: [none, rdkit, gfn2, both, qw4]}` says so; then
    `joint_then_single` and mixtures, which go on with its heads, are left out.
    """

    own_datasets: Named[OwnDataset] = {}
    """CSV files of your own, or structures, by names that `datasets` can then use.

    ```yaml
    own_datasets:
      solubility:
        path: data/solubility.csv
        smiles: SMILES
        labels: [logS]
        task: regression
    datasets: [solubility, esol]
    ```
    """

    own_models: Named[OwnModel] = {}
    """PyTorch Geometric models of your own, by names that `models` can then use; see docs/own-models.md.

    ```yaml
    own_models:
      my-gine:
        code: my_model.py
        weights: my_gine.pt
        embed: [atoms, bonds]
        blocks: [[convs.0, norms.0], [convs.1, norms.1]]
        readout: [projection]
        pooling: mean
        pretraining: self-supervised
        corpora: [zinc250k]
    models: [my-gine]
    ```
    """

    files: dict[str, str] = {}
    """Files that you have already, by the names of registered datasets, models and pretraining corpora.

    They are tried before any other source. That of a model can be `hf://OWNER/REPOSITORY@COMMIT/FILE`. A corpus is a
    list of SMILES, one a line; test sets are then compared with it.

    ```yaml
    files:
      graphmae: weights/graphmae.pth
      zinc15: zinc15.smi
    ```
    """

    leave_out_contaminated: Unique[Contamination] = ()
    """Cells to leave out of tables, figures and report, by what pretraining has seen of the test molecules.

    - `structures`: some of them, without labels.
    - `labels`: some of them, with labels, or the model is suspected of it.
    - `unknown`: nobody can tell, because the pretraining molecules are not to be had.

    The references have seen nothing and stay. The report lists what was left out; nothing is fitted again.
    """

    data: str | None = None
    """A CSV of your own, for `snakemake recommend --config data=mine.csv`; see docs/recommend.md."""

    smiles: str | None = None
    """The column of SMILES in `data`, where it cannot be guessed."""

    sheet: str | None = None
    """The sheet of `data`, an Excel workbook, where several could be read."""

    target: Names = ()
    """The column of labels in `data`, which is guessed only where no other column can be it.

    A list of columns, as `[hERG, LogD, HLM]`, is learnt each by itself and together. Rows without a label of a column
    are none of its own.

    Of several columns, `values`, `duplicates` and `censored` serve all that have such cells, and `task` those whose
    labels leave open what they are.
    """

    task: Task | None = None
    """What the labels of `data` are, where that is not to be guessed. Labels 0 and 1 alone make a classification; other
    numbers a regression, but a few whole ones are asked about, for they may be codes of classes."""

    values: LabelValues | None = None
    """What the labels of `data` mean, where they are words or codes: numbers, for two classes 0 and 1, or `missing`.

    On the command line `values='{active: 1, inactive: 0, -1: missing}'`. Labels that are not named stay what they are,
    and a name that no label has is refused.
    Large and small letters are the same. Words that YAML takes for truth values (yes, no, true, false, on, off) need
    double quotes in a file. What is named 1 is the class whose probability is predicted.
    """

    name: Name | None = None
    """The name of the recommendation's folder of results; that of the file where this is silent. A folder is of one
    file: another file of the same name needs another one."""

    duplicates: Duplicates | None = None
    """What becomes of several records of one molecule in `data`, which is refused where they contradict each other."""

    censored: Literal["drop", "limit", "one_sided"] | None = None
    """What becomes of labels in `data` that only limit the value, as in `own_datasets`; `null` asks about any.
    `one_sided` learns them as limits; see docs/recommend.md."""

    relations: str | None = None
    """The column of `=`, `>` and `<` in `data`, as in `own_datasets`."""

    units: dict[str, Annotated[float, Field(strict=False)]] = {}
    """What the labels of `data` are multiplied by, by their unit, as in `own_datasets`."""

    recommend: Recommend = Recommend()

    landscape: bool = True
    """Whether the loss is drawn around the solutions: 5 to 10 seconds of one core for each cell.

    It is drawn along the line from the pretrained weights to those of full FT, and over the plane that the solution of
    DWiSE-FT spans with them. How far each method moves the weights is always reported.
    """

    tsne: bool = False
    """Whether the vectors of atoms before and after each method are drawn by t-SNE: 15 seconds of one core a cell."""

    max_rejected: float = Field(default=0.1, ge=0, le=1)
    """The largest share of a dataset's records that may be unreadable or unsupported; more stop the run. Records
    without a label, and further ones of a molecule, do not count."""

    mirror: str | None = None
    """A folder that holds the registered files under their usual names, tried before anything is downloaded.

    `null`: the environment variable ROFTMOL_MIRROR, where it is set.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks run: `auto` takes a GPU where there is one."""
