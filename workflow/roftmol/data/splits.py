"""Which molecule is train, validation or test, under which budget of labels, seed by seed.

Five ways to part the molecules 80/10/10; repeated cross-validation, in which every molecule is tested once a repetition
(`cv`, and `scaffold_cv` with whole scaffolds: seed s tests part s mod 5 of repetition s div 5); the split by rare
labels of BOOM (arXiv 2505.01912), with a second test part; one split of all datasets of a panel (`joint`, `joint_cv`
and `joint_scaffold_cv`, `data/panel_split.py`); and two protocols that say what a budget buys:

- `paper`: the published splits, molecule by molecule and in their order; one split and one subset for every seed. A
  budget of N cuts the training part to N molecules drawn plainly, validation keeps its tenth of the data.
- `honest`: split and subset vary with the seed; the N molecules are drawn, stratified by label, from all that is not
  test, and validation is taken out of them. Budgets are nested: the 50 of a seed are among its 100.

A budget counts molecules with at least one label; those without any have no role.

In `honest` all forms of a substance (`data/parents.py`: salts, charges, stereoisomers, tautomers) are dealt together.
Each counts with the scaffold and the size of the form that stands first in the file. A split column is left as it is.

As published, and in `paper`: the scaffold is that of the canonical SMILES, with chirality. "random" shuffles all
molecules by Python's own generator, seed 42. "scaffold" and "size" list a part group by group as it was filled, and the
molecules of a group by position. The N of a budget are the first N of the training part of "random", and of any other
split the first N after a shuffle of it, seed 42 again. Identical molecules may fall into different parts. In `honest`
the scaffold is that of the SMILES as the file writes it, and rows stand in the file's order.

In `leaderboard` the test part is a public leaderboard's, as the dataset's split column tells it, and seed s divides
all others as TDC's own tools do for its run s: by `scaffolds_of_tdc` with the seed s, seven eighths to train. Both
protocols take that division, and draw a budget from its training part. In `honest` validation is taken out of a budget
here too, so that the official validation part serves a budget of all alone.

In `boom` the molecules whose labels lie where labels are rarest, by a Gaussian kernel density, are the test part: out
of distribution, and the same for every seed. A twentieth of the others is `test_id`, the test within the distribution.
In `honest` the bandwidth goes with the labels' spread, so that their unit does not matter. As published, and in
`paper`, it is n^(-1/5) in whatever unit the labels have; for the gap of QM9 in Ha that is twice the spread, and one in
eight of the test part is another.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from roftmol.core.errors import UserError
from roftmol.core.seeds import generator
from roftmol.data import panel_split, parents
from roftmol.data.molecules import chiral_scaffolds, flat_scaffolds
from roftmol.registry.splits import PARTS, SPLITS
from roftmol.tasks import TASKS

Ints = NDArray[np.integer]
Array = NDArray[np.float64]

ROLES = np.array(["train", "valid", "test", "test_id"], dtype=object)
TRAIN, VALID, TEST, TEST_ID, NOWHERE = 0, 1, 2, 3, 4

PROTOCOLS = ("paper", "honest")
VALIDATIONS = ("holdout", "crossfit")
#: The seed of the released scripts, for whatever protocol "paper" draws.
PAPER_SEED = 42
#: Of "leaderboard": which shares TDC trains on, validates on and tests, when it divides what is not tested.
TDC_FRACTIONS = (0.875, 0.125, 0.0)
#: Of "boom": the most molecules out of distribution, of which there is never more than a tenth.
RARE = 10_000
#: Of "boom": one in so many of the others is drawn to be tested, and of what is left then to be validated.
DRAWN = 20
BLOCK = 1 << 16  # distances held at a time; more leave the processor's cache


@dataclass(frozen=True)
class SplitSettings:
    """The settings of the split stage; `validation`, `fraction` and `folds` are about protocol "honest" alone.

    Of each test part, `max_test` molecules are kept at most.
    """

    protocol: str
    dataset: str
    split: str
    budget: str
    seeds: tuple[int, ...]
    task: str
    validation: str = "holdout"
    fraction: float = 0.2
    folds: int = 5
    max_test: int | None = None
    panel: tuple[str, ...] = ()  #: the datasets that are dealt together with this one, itself among them
    tasks: tuple[str, ...] = ()  #: their kinds of labels, for a split that keeps the labels of all even

    def __post_init__(self) -> None:
        choices = {
            "protocol": PROTOCOLS,
            "split": SPLITS,
            "validation": VALIDATIONS,
            "task": TASKS,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise UserError(f"{name}: {getattr(self, name)!r} is unknown; choose one of {', '.join(allowed)}.")
        if self.budget != "all" and not (self.budget.isdecimal() and int(self.budget) > 0):
            raise UserError(f'budget: {self.budget!r} is neither a positive whole number nor "all".')
        if not 0 < self.fraction < 1:
            raise UserError(f"fraction: {self.fraction} is not between 0 and 1.")
        if self.folds < 2:
            raise UserError(f"folds: {self.folds} is too few; cross-fitting needs at least 2.")
        if self.max_test is not None and self.max_test < 1:
            raise UserError(f"max_test: {self.max_test} is too few; leave it out to test all.")

    @property
    def where(self) -> str:
        """The start of an error message."""
        return f"dataset {self.dataset}, split {self.split}, budget {self.budget}"


class Dealt(NamedTuple):
    """Which molecule is where: one entry a molecule in both."""

    parts: Ints  #: TRAIN, VALID, TEST, TEST_ID or NOWHERE
    order: Ints  #: the positions of the molecules, as they are listed


def assign(
    molecules: pd.DataFrame, settings: SplitSettings, panel: Mapping[str, pd.DataFrame] | None = None
) -> pd.DataFrame:
    """Give every molecule its role for each seed and fold: table `splits` from table `molecules`.

    The rows of a role stand in the order in which the split lists its molecules. `panel` has table "molecules" of each
    dataset that is dealt together with this one, itself among them.

    Raises `UserError` if the budget exceeds what there is, if a split column holds another value than train, valid or
    test, if a part stays empty or, in a panel's or a leaderboard's split, cannot be scored, or if "boom" is asked of
    anything but a regression of one label.
    """
    labels = np.array(molecules["labels"].tolist(), dtype=np.float64)
    split = SPLITS[settings.split]
    if settings.protocol == "honest":
        molecules = _by_substance(molecules)
    elif settings.split == "scaffold":
        molecules = molecules.assign(scaffold=_canonical_scaffolds(molecules))  # those of the published split
    if split.official:
        molecules = molecules.assign(scaffold=flat_scaffolds(molecules["smiles"].tolist()))
    rare = _rare(labels, settings) if split.two_tests else np.zeros(len(labels), np.bool_)
    # A part of a cross-validation need not be scored by itself: its parts are scored together.
    scored = (split.together or split.official) and not split.repeats
    frames = []
    for seed in settings.seeds:
        if split.together and split.repeats:
            folds = _joint_cross_validation(labels, panel or {settings.dataset: molecules}, settings, seed)
        elif split.together:
            folds = [_joint(labels, panel or {settings.dataset: molecules}, settings, seed)]
        else:
            folds = _roles(molecules, labels, rare, settings, seed)
        for fold, dealt in enumerate(folds):
            parts = _cut(dealt.parts, settings)
            if scored:
                _demand_scores(parts, labels, settings, seed)
            listed = dealt.order[parts[dealt.order] != NOWHERE]
            members = {"molecule": molecules["molecule"].to_numpy()[listed], "role": ROLES[parts[listed]]}
            frames.append(pd.DataFrame({"seed": seed, "fold": fold, **members}))
    identity = {"protocol": settings.protocol, "dataset": settings.dataset, "split": settings.split}
    return pd.concat(frames, ignore_index=True).assign(**identity, budget=settings.budget)


def _by_substance(molecules: pd.DataFrame) -> pd.DataFrame:
    """Return the molecules with structure, scaffold and size of their substance's first form: so it stays whole."""
    first = parents.first_forms(molecules)
    alike = ("canonical", "scaffold", "atoms")
    return molecules.assign(**{name: molecules[name].to_numpy()[first] for name in alike})


def partition(molecules: pd.DataFrame, split: str, rng: np.random.Generator | None) -> Dealt:
    """Part all molecules into TRAIN, VALID and TEST, whatever the budget; scaffolds are those of column "scaffold".

    With a generator scaffolds are dealt in a random order, and "random" keeps identical molecules together; without one
    the parts and their order are the published ones. The size splits and a user's column never vary.
    """
    return PARTITIONS[split](molecules, rng)


def scott(values: Array) -> float:
    """Return Scott's bandwidth for a density of values (n): s n^(-1/5), with their standard deviation s by n - 1."""
    return float(values.std(ddof=1) * len(values) ** -0.2)


def density(values: Array, h: float) -> Array:
    """Return the Gaussian kernel density of the values (n) at each of them, of bandwidth `h`, exactly.

    Equal values are one kernel, so the time grows with the square of the different ones: 60,000 take a quarter of a
    minute.
    """
    n = len(values)
    levels, level_of, counts = np.unique(values, return_inverse=True, return_counts=True)
    z = levels / h
    weights = counts.astype(np.float64)
    total = np.zeros(len(levels))
    step = max(1, BLOCK // len(z))
    for start in range(0, len(z), step):
        end = min(start + step, len(z))
        # Kernels are symmetric: each block also serves the levels above it.
        kernel = z[start:end, None] - z[start:]
        np.square(kernel, out=kernel)
        kernel *= -0.5
        np.exp(kernel, out=kernel)
        total[start:end] += kernel @ weights[start:]
        total[end:] += weights[start:end] @ kernel[:, end - start :]
    return total[level_of] / (n * h * np.sqrt(2 * np.pi))


def stratified_order(strata: Ints, rng: np.random.Generator, *, every: bool = False) -> Ints:
    """Return a random order of which every beginning holds each stratum nearly in proportion: cutting it stratifies.

    Systematic sampling: member j of a stratum of s stands at (j + u) / s, u uniform on [0, 1) for each stratum.
    With `every`, one member of each stratum stands before all others.
    """
    codes, sizes = np.unique(strata, return_inverse=True, return_counts=True)[1:]
    shuffled = rng.permutation(len(codes))
    grouped = shuffled[np.argsort(codes[shuffled], kind="stable")]
    j = np.empty(len(codes), dtype=np.int64)
    j[grouped] = np.arange(len(codes)) - (sizes.cumsum() - sizes)[codes[grouped]]
    position = (j + rng.random(len(sizes))[codes]) / sizes[codes]
    if every:
        position[j == 0] -= 1
    return np.argsort(position, kind="stable")


def _roles(
    molecules: pd.DataFrame, labels: Array, rare: NDArray[np.bool_], settings: SplitSettings, seed: int
) -> list[Dealt]:
    """Return what is dealt for each fold."""
    honest = settings.protocol == "honest"
    split = SPLITS[settings.split]
    cell = (settings.protocol, settings.dataset, settings.split, seed if honest else "fixed")
    labelled = np.asarray(np.isfinite(labels).any(axis=1))
    in_file = np.arange(len(labels))
    if split.repeats:
        dealt = Dealt(_cross_validation(molecules, labels, labelled, settings, seed), in_file)
    elif split.official:
        dealt = Dealt(_official(molecules, seed), in_file)
    elif split.two_tests:
        groups = molecules["canonical"] if honest else molecules["molecule"]
        rng = generator("partition", *cell) if honest else np.random.default_rng(PAPER_SEED)
        dealt = Dealt(_boom(groups, labelled, rare, rng), in_file)
    else:
        dealt = partition(molecules, settings.split, generator("partition", *cell) if honest else None)
    parts = np.where(labelled, dealt.parts, NOWHERE)
    if split.two_tests:
        _demand(parts, (TRAIN, TEST, TEST_ID), settings, "add molecules")
    _demand(parts, (TRAIN, TEST), settings, "a group of molecules may be too large for 80/10/10: choose another split")
    canonical = pd.factorize(molecules["canonical"])[0]  # identical molecules have one number
    if honest:
        subset = generator("subset", *cell)
        hold_out = generator("hold-out", *cell, settings.budget)
        folds = [Dealt(fold, in_file) for fold in _honest(parts, labels, canonical, settings, subset, hold_out)]
    else:
        # The same validation for every budget.
        hold_out = generator("hold-out", *cell)
        folds = [_paper(Dealt(parts, dealt.order), labels, canonical, settings, hold_out)]
    for fold in folds:
        _demand(fold.parts, (TRAIN, VALID), settings, "raise the budget")
    return folds


def _joint(labels: Array, panel: Mapping[str, pd.DataFrame], settings: SplitSettings, seed: int) -> Dealt:
    """Return what a panel's split deals to this dataset, of which the budget takes a part: see `panel_split`.

    Training and validation labels are each drawn, stratified, from their own part, so that the validation part too has
    no molecule that another dataset of the panel trains on. Where that part is small, more of the budget trains.
    """
    tested, validated = panel_split.deal(
        panel, settings.dataset, generator("partition", settings.split, *sorted(panel), seed)
    )
    labelled = np.isfinite(labels).any(axis=1)
    parts = np.where(labelled, np.where(tested, TEST, np.where(validated, VALID, TRAIN)), NOWHERE)
    mend = f"with seed {seed} its scaffolds are few and large: leave out the seed, or choose another split"
    _demand(parts, (TRAIN, VALID, TEST), settings, mend)
    if settings.budget == "all":
        return Dealt(parts, np.arange(len(parts)))
    pool = (parts == TRAIN) | (parts == VALID)
    count = _budget(settings, int(pool.sum()), "outside the test part")
    valid = min(int((parts == VALID).sum()), max(1, round(settings.fraction * count)))
    budgeted = np.where(pool, NOWHERE, parts)
    for part, size in ((VALID, valid), (TRAIN, count - valid)):
        rows = np.flatnonzero(parts == part)
        if size > len(rows):
            raise UserError(
                f"{settings.where}: its training part has {len(rows)} labelled molecules and its validation part "
                f'{valid}; choose a budget of at most {len(rows) + valid}, or "all".'
            )
        strata = TASKS[settings.task].strata(labels[rows])
        drawn = stratified_order(
            strata.of, generator("subset", settings.dataset, settings.split, seed, ROLES[part]), every=strata.classes
        )
        budgeted[rows[drawn[:size]]] = part
    _demand(budgeted, (TRAIN, VALID), settings, "raise the budget")
    return Dealt(budgeted, np.arange(len(parts)))


def _joint_cross_validation(
    labels: Array, panel: Mapping[str, pd.DataFrame], settings: SplitSettings, seed: int
) -> list[Dealt]:
    """Return each fold of a seed of this dataset, where substances have one part and one fold in all of a panel.

    Seed s tests part s mod 5 of repetition s div 5. What is left is dealt into the folds of cross-fitting, of which a
    budget takes a stratified sample.
    """
    repetition, tested = divmod(seed, PARTS)
    names, tasks = sorted(panel), dict(zip(settings.panel, settings.tasks, strict=True))
    rng = generator("cross-validation", settings.split, *names, repetition)
    labelled = {name: panel_split.has_label(table) for name, table in panel.items()}
    by_scaffold = SPLITS[settings.split].repeats == "scaffold"
    part = panel_split.parts(panel, tasks, PARTS, rng, labelled, whole_scaffolds=by_scaffold)
    learnt = {name: labelled[name] & (part[name] != tested) for name in names}
    rng = generator("hold-out", settings.split, *names, seed)
    fold = panel_split.parts(panel, tasks, settings.folds, rng, learnt)[settings.dataset]
    own = part[settings.dataset]
    _demand(np.where(own == tested, TEST, TRAIN), (TRAIN, TEST), settings, "add molecules")
    pool = np.flatnonzero(learnt[settings.dataset])
    strata = TASKS[settings.task].strata(labels[pool])
    rng = generator("subset", settings.dataset, settings.split, seed)
    chosen = pool[stratified_order(strata.of, rng, every=strata.classes)]
    chosen = chosen[: _budget(settings, len(pool), "outside the test part")]
    folds = []
    for number in range(settings.folds):
        parts = np.where(own == tested, TEST, NOWHERE)
        parts[chosen] = np.where(fold[chosen] == number, VALID, TRAIN)
        _demand(parts, (TRAIN, VALID), settings, "raise the budget or lower folds")
        folds.append(Dealt(parts, np.arange(len(parts))))
    return folds


def _rare(labels: Array, settings: SplitSettings) -> NDArray[np.bool_]:
    """Return which molecules have the labels of least density: a tenth of those with one, at most 10,000.

    Of equal densities, the first molecules are taken. Raises `UserError` for anything but a regression of one label.
    """
    if TASKS[settings.task].classes or labels.shape[1] != 1:
        raise UserError(
            f"{settings.where}: it is for a regression of one label, not a {settings.task} of {labels.shape[1]}; "
            "choose another split."
        )
    labels = TASKS[settings.task].values(labels)
    labelled = np.flatnonzero(np.isfinite(labels[:, 0]))
    values = labels[labelled, 0]
    if len(values) < 2 or np.ptp(values) == 0:
        raise UserError(f"{settings.where}: there are no two different labels, so none is rare; choose another split.")
    rare = np.zeros(len(labels), np.bool_)
    h = scott(values) if settings.protocol == "honest" else len(values) ** -0.2
    order = np.argsort(density(values, h), kind="stable")
    rare[labelled[order[: min(RARE, len(values) // 10)]]] = True
    return rare


def _boom(groups: pd.Series, labelled: NDArray[np.bool_], rare: NDArray[np.bool_], rng: np.random.Generator) -> Ints:
    """Return the parts of "boom": the rare are TEST, of the rest a twentieth is TEST_ID, and of what is left VALID."""
    # What is another form of a rare molecule is not learnt either: it is tested among the others.
    parts = np.where(rare, TEST, np.where(groups.isin(groups[rare]), TEST_ID, TRAIN))
    others = int((labelled & ~rare).sum())
    rest = np.flatnonzero(labelled & (parts == TRAIN))
    codes, values = pd.factorize(groups.iloc[rest])
    tested = others // DRAWN
    validated = (others - tested) // DRAWN
    tested = max(0, tested - (others - len(rest)))
    dealt = _fill(codes, rng.permutation(len(values)), tested, tested + validated)
    parts[rest] = np.array([TEST_ID, VALID, TRAIN])[dealt]
    return parts


def _cut(parts: Ints, settings: SplitSettings) -> Ints:
    """Return the parts with `max_test` molecules of each test part.

    A part that is the same for several seeds or budgets is cut the same.
    """
    parts = parts.copy()
    for part in (TEST, TEST_ID):
        members = np.flatnonzero(parts == part)
        if settings.max_test is not None and len(members) > settings.max_test:
            rng = generator("max-test", settings.dataset, settings.split, ROLES[part])
            parts[rng.permutation(members)[settings.max_test :]] = NOWHERE
    return parts


def _cross_validation(
    molecules: pd.DataFrame, labels: Array, labelled: NDArray[np.bool_], settings: SplitSettings, seed: int
) -> Ints:
    """Return the parts of a seed: one of the cross-validation is TEST, all others are TRAIN."""
    repetition, part = divmod(seed, PARTS)
    rng = generator("cross-validation", settings.dataset, settings.split, repetition)
    part_of = CROSS_VALIDATIONS[settings.split](molecules, labels, labelled, settings, rng)
    parts = np.full(len(molecules), TRAIN)
    parts[np.flatnonzero(labelled)[part_of == part]] = TEST
    return parts


def _even_parts(
    molecules: pd.DataFrame,
    labels: Array,
    labelled: NDArray[np.bool_],
    settings: SplitSettings,
    rng: np.random.Generator,
) -> Ints:
    """Return the part of each labelled molecule: labels are dealt evenly."""
    canonical = pd.factorize(molecules["canonical"])[0]
    return stratified_folds(labels[labelled], canonical[labelled], settings.where, PARTS, settings.task, rng)


def _scaffold_parts(
    molecules: pd.DataFrame,
    _labels: Array,
    labelled: NDArray[np.bool_],
    _settings: SplitSettings,
    rng: np.random.Generator,
) -> Ints:
    """Return the part of each labelled molecule, by whole scaffolds.

    The largest are dealt first, each into the part that holds least, so that the parts come out even.
    """
    groups = pd.factorize(molecules["scaffold"][labelled])[0]
    sizes = np.bincount(groups)
    shuffled = rng.permutation(len(sizes))
    filled = np.zeros(PARTS, np.int64)
    of_group = np.empty(len(sizes), np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        of_group[group] = filled.argmin()
        filled[of_group[group]] += sizes[group]
    return of_group[groups]


def _paper(
    dealt: Dealt, labels: Array, canonical: Ints, settings: SplitSettings, hold_out: np.random.Generator
) -> Dealt:
    """Return the parts with the training part cut to the budget.

    A split without validation first gets a tenth of the data out of train.
    """
    parts = dealt.parts.copy()
    order = dealt.order
    if not (parts == VALID).any():
        train = np.flatnonzero(parts == TRAIN)
        valid = _held_out(labels[train], canonical[train], len(parts) // 10, settings.task, hold_out)
        parts[train[valid]] = VALID
    if settings.budget == "all":
        return Dealt(parts, order)
    train = order[parts[order] == TRAIN]
    count = _budget(settings, len(train), "in the training part")
    drawn = train if SPLITS[settings.split].in_random_order else _shuffled(train)
    order = np.concatenate([drawn, order[parts[order] != TRAIN]])
    parts[drawn[count:]] = NOWHERE
    return Dealt(parts, order)


def _shuffled(values: Ints) -> Ints:
    """Return the values in the order of the released scripts: by Python's own generator, seeded anew."""
    listed = values.tolist()
    random.Random(PAPER_SEED).shuffle(listed)
    return np.array(listed, dtype=np.int64)


def _canonical_scaffolds(molecules: pd.DataFrame) -> list[str]:
    """Return the scaffold of each canonical SMILES; that of the file's SMILES, should RDKit not read what it wrote.

    Both are the same but for the marks at double bonds and centres that the scaffold cuts free: which of them stay
    depends on how the SMILES was written.
    """
    found = chiral_scaffolds(molecules["canonical"].tolist())
    return [old if new is None else new for new, old in zip(found, molecules["scaffold"], strict=True)]


def _honest(
    parts: Ints,
    labels: Array,
    canonical: Ints,
    settings: SplitSettings,
    subset: np.random.Generator,
    hold_out: np.random.Generator,
) -> list[Ints]:
    """Return each fold's parts: the budget is drawn from all but test, and validation out of the budget.

    A leaderboard's budget is drawn from its training part. A budget of all molecules keeps the split's validation.
    """
    of_training = SPLITS[settings.split].official and settings.budget != "all"
    pool = np.flatnonzero((parts == TRAIN) | ((parts == VALID) & ~of_training))
    count = _budget(settings, len(pool), "in the training part" if of_training else "outside the test part")
    strata = TASKS[settings.task].strata(labels[pool])
    order = stratified_order(strata.of, subset, every=strata.classes)
    chosen = np.sort(pool[order[:count]])
    if settings.validation == "crossfit":
        fold = stratified_folds(
            labels[chosen], canonical[chosen], settings.where, settings.folds, settings.task, hold_out
        )
        held_out = [fold == number for number in range(settings.folds)]
    elif settings.budget == "all" and (parts == VALID).any():
        held_out = [parts[chosen] == VALID]
    else:
        size = max(1, round(settings.fraction * count))
        held_out = [_held_out(labels[chosen], canonical[chosen], size, settings.task, hold_out)]
    folds = []
    for valid in held_out:
        fold_parts = np.where((parts == TEST) | (parts == TEST_ID), parts, NOWHERE)
        fold_parts[chosen] = np.where(valid, VALID, TRAIN)
        folds.append(fold_parts)
    return folds


def _demand(parts: Ints, required: tuple[int, ...], settings: SplitSettings, mend: str) -> None:
    for part in required:
        if not (parts == part).any():
            raise UserError(f"{settings.where}: no labelled molecule is left for {ROLES[part]}; {mend}.")


def _demand_scores(parts: Ints, labels: Array, settings: SplitSettings, seed: int) -> None:
    """Raise `UserError` where a part's labels leave the metric undefined in every label column, as one class alone."""
    metric = TASKS[settings.task].primary
    for part in (TRAIN, VALID, TEST):
        of_part = labels[parts == part]
        columns = [column[np.isfinite(column)] for column in of_part.T]
        if all(np.isnan(metric.score(column, column)) for column in columns if len(column)):
            told = sorted({float(value) for column in columns for value in column})
            alike = f" (each is {told[0]:g})" if len(told) == 1 else ""
            raise UserError(
                f"{settings.where}, seed {seed}: the labels of the {len(of_part)} molecules for {ROLES[part]}{alike} "
                f"leave {metric.title} undefined; leave out the seed, or choose another split or budget."
            )


def _in_groups(groups: Ints, order: Ints, pool: int) -> Dealt:
    """Deal whole groups in this order: eight tenths of the molecules to train, and `pool` to train or validate."""
    turn = np.argsort(order)  # when each group is dealt
    return Dealt(_fill(groups, order, 8 * len(groups) // 10, pool), np.argsort(turn[groups], kind="stable"))


def _random(molecules: pd.DataFrame, rng: np.random.Generator | None) -> Dealt:
    n = len(molecules)
    groups = np.arange(n) if rng is None else pd.factorize(molecules["canonical"])[0]
    order = _shuffled(groups) if rng is None else rng.permutation(groups.max() + 1)
    return _in_groups(groups, order, 8 * n // 10 + n // 10)


def _scaffold(molecules: pd.DataFrame, rng: np.random.Generator | None) -> Dealt:
    n = len(molecules)
    groups = pd.factorize(molecules["scaffold"])[0]  # numbered by first index
    counts = np.bincount(groups)
    order = np.lexsort((np.arange(len(counts)), counts))[::-1]
    if rng is not None:
        # A scaffold above half the test set would be most of it: such ones are dealt first, to train if they fit.
        large = counts[order] > n / 20
        order = np.concatenate([rng.permutation(order[large]), rng.permutation(order[~large])])
    return _in_groups(groups, order, 9 * n // 10)


def _size(molecules: pd.DataFrame, _rng: np.random.Generator | None) -> Dealt:
    groups, sizes = pd.factorize(molecules["atoms"], sort=True)
    return _in_groups(groups, np.arange(len(sizes)), 9 * len(molecules) // 10)


def _size_strict(molecules: pd.DataFrame, _rng: np.random.Generator | None) -> Dealt:
    n = len(molecules)
    atoms = molecules["atoms"].to_numpy()
    up_to = np.bincount(atoms).cumsum()[atoms]  # molecules of this size or smaller
    parts = np.where(up_to <= 8 * n // 10, TRAIN, np.where(up_to <= 9 * n // 10, VALID, TEST))
    return Dealt(parts, np.arange(n))


def _fill(groups: Ints, order: Ints, train: int, pool: int) -> Ints:
    """Deal whole groups greedily, as published, and return each molecule's part.

    A group goes to train while that holds at most `train` molecules with it, else to validation while both hold at most
    `pool`, else to test. A later, smaller group can enter where a larger one did not.
    """
    sizes = np.bincount(groups)
    part = np.full(len(sizes), TEST)
    in_train = in_valid = 0
    for group in order:
        size = sizes[group]
        if in_train + size <= train:
            part[group] = TRAIN
            in_train += size
        elif in_train + in_valid + size <= pool:
            part[group] = VALID
            in_valid += size
    return part[groups]


def _column(molecules: pd.DataFrame, _rng: np.random.Generator | None) -> Dealt:
    values = molecules["group"].str.strip().str.lower()
    parts = values.map({ROLES[part]: part for part in (TRAIN, VALID, TEST)})
    unknown = parts.isna()
    if unknown.any():
        first = molecules[unknown.to_numpy()].iloc[0]
        hint = "name the column in the dataset's split_column; " if (values == "").all() else ""
        raise UserError(
            f"dataset {first['dataset']}, record {first['row']}: the split column holds {first['group']!r}; "
            f"{hint}write train, valid or test for every molecule."
        )
    return Dealt(parts.to_numpy(dtype=np.int64), np.arange(len(parts)))


def _official(molecules: pd.DataFrame, seed: int) -> Ints:
    """Return the parts of a leaderboard's run, `seed`: the test part is that of the split column."""
    parts = _column(molecules, None).parts.copy()
    others = np.flatnonzero(parts != TEST)
    groups = pd.factorize(molecules["scaffold"].to_numpy()[others])[0]
    parts[others] = scaffolds_of_tdc(groups, seed, TDC_FRACTIONS)
    return parts


def scaffolds_of_tdc(groups: Ints, seed: int, fractions: tuple[float, float, float]) -> Ints:
    """Return the part of each molecule by the scaffold split of TDC, with TRAIN, VALID and TEST in these fractions.

    `groups` number the scaffolds by their first molecule. The shares of TRAIN and VALID are rounded down. Scaffolds of
    more molecules than half of VALID or of TEST are dealt first, both these and the others in an order that Python's
    own generator shuffles. A scaffold goes to TRAIN while it fits in, else to VALID, else to TEST; where nothing is to
    be tested, all that does not fit is VALID. Method: Huang et al., Therapeutics Data Commons, arXiv 2102.09548.
    """
    n = len(groups)
    train, valid = int(n * fractions[0]), int(n * fractions[1])
    sizes = np.bincount(groups)
    big = sizes > min(valid, n - train - valid) / 2
    shuffle = random.Random(seed).shuffle
    order: list[int] = []
    for of_this_size in (big, ~big):
        dealt = np.flatnonzero(of_this_size).tolist()
        shuffle(dealt)
        order += dealt
    part = np.full(len(sizes), TEST)
    in_train = in_valid = 0
    for group in order:
        size = int(sizes[group])
        if in_train + size <= train:
            part[group] = TRAIN
            in_train += size
        elif fractions[2] == 0 or in_valid + size <= valid:
            part[group] = VALID
            in_valid += size
    return part[groups]


def _budget(settings: SplitSettings, available: int, where: str) -> int:
    """Return the number of molecules that the budget allows; more than there are raises `UserError`."""
    if settings.budget == "all":
        return available
    if int(settings.budget) > available:
        raise UserError(
            f"{settings.where}: only {available} labelled molecules are {where}; "
            f'choose a budget of at most {available}, or "all".'
        )
    return int(settings.budget)


def _held_out(labels: Array, canonical: Ints, count: int, task: str, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a choice of `count` molecules, stratified, identical ones together (then, rarely, a few fewer).

    Molecules with one number in `canonical` are identical. A class of one stays in training; a larger one is on both
    sides, as far as `count` allows.
    """
    first, codes, sizes = np.unique(canonical, return_index=True, return_inverse=True, return_counts=True)[1:]
    of_all = TASKS[task].strata(labels)
    strata = of_all.of[first]
    order = stratified_order(strata, rng, every=of_all.classes)
    if of_all.classes:
        members, counts = np.unique(strata, return_inverse=True, return_counts=True)[1:]
        lone = counts[members][order] == 1
        order = np.concatenate([order[~lone], order[lone]])
    chosen = np.zeros(len(sizes), dtype=bool)
    taken = 0
    for group in order:
        if taken + sizes[group] <= count:
            chosen[group] = True
            taken += sizes[group]
    return chosen[codes]


def stratified_folds(
    labels: Array, canonical: Ints, where: str, folds: int, task: str, rng: np.random.Generator
) -> Ints:
    """Return the fold of each molecule: every stratum is dealt evenly, identical molecules together.

    Molecules with one number in `canonical` are identical. Raises `UserError`, which begins with `where`, if there are
    fewer different molecules than folds.
    """
    first, codes = np.unique(canonical, return_index=True, return_inverse=True)[1:]
    if len(first) < folds:
        raise UserError(
            f"{where}: {len(first)} different molecules cannot make {folds} folds; raise the budget or lower folds."
        )
    strata = TASKS[task].strata(labels).of[first]
    shuffled = rng.permutation(len(first))
    order = shuffled[np.argsort(strata[shuffled], kind="stable")]
    fold = np.empty(len(first), dtype=np.int64)
    fold[order] = np.arange(len(first)) % folds
    return fold[codes]


#: What parts all molecules, and what deals the labelled ones into the parts of a cross-validation, by split.
PARTITIONS: dict[str, Callable[[pd.DataFrame, np.random.Generator | None], Dealt]] = {
    "random": _random,
    "scaffold": _scaffold,
    "size": _size,
    "size_strict": _size_strict,
    "column": _column,
}
CROSS_VALIDATIONS: dict[str, Callable[..., Ints]] = {
    "cv": _even_parts,
    "scaffold_cv": _scaffold_parts,
}
