"""Several targets in one bundle: the numbers of their own bundles, computed once, in a file that is read closed."""

from __future__ import annotations

import json
import resource
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import roftmol
from damage import damaged, read_or_refused
from roftmol.cli.main import main
from roftmol.core import tensor_file
from roftmol.core.errors import UserError
from roftmol.deploy import bundle, new_molecules, panel_bundle
from roftmol.deploy.fitted_models import Bundle, PanelBundle
from roftmol.encoders.base import Encoder
from roftmol.encoders.kinds import new_encoder
from roftmol.features import descriptors
from roftmol.tables.predicted_columns import TARGETS
from small_bundles import ARCHITECTURE, of_constant, of_forest, of_head, of_network, of_networks, rewrite
from small_dataset import SMILES

NEW = ["CCO", "c1ccccc1", "C(", "BrCCBr", "", "C", "CCO", "[SiH4]", "CCCCCCCCCC"]
CLASSES = {"task": "classification", "metric": "roc_auc", "classes": ["safe", "toxic"]}
Bundles = dict[str, Bundle]


def encoder(seed: int) -> Encoder:
    torch.manual_seed(seed)
    return new_encoder(ARCHITECTURE).eval()


def networks() -> Bundles:
    """Two targets of a joint fit, whose members share an encoder each; they have other molecules."""
    encoders = [encoder(seed) for seed in range(3)]
    return {
        "values": of_networks(encoders, SMILES[:16], method="joint_ft"),
        "classes": of_networks(encoders, SMILES[4:], method="joint_ft", **CLASSES),
    }


def heads() -> Bundles:
    return {
        "ridge": of_head("ridge", encoder(0), SMILES[:20]),
        "hybrid": of_head("hybrid", encoder(0), SMILES[4:]),
        "described": of_head("descriptors", None),
    }


def references() -> Bundles:
    return {"constant": of_constant(), "forest": of_forest(SMILES[2:])}


KINDS: dict[str, Callable[[], Bundles]] = {
    "networks": networks,
    "heads": heads,
    "references": references,
    "all": lambda: {**references(), **networks(), **heads(), "probed": of_networks([encoder(0)] * 2)},
}


def through(bundles: Bundles, path: Path) -> PanelBundle:
    panel_bundle.write(bundles, path)
    read = bundle.read(path)
    assert isinstance(read, PanelBundle)
    return read


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("all") / "a.roftmol"
    panel_bundle.write(KINDS["all"](), path)
    return path


@pytest.fixture
def path(tmp_path: Path, everything: Path) -> Path:
    (tmp_path / "a.roftmol").write_bytes(everything.read_bytes())
    return tmp_path / "a.roftmol"


@pytest.mark.parametrize("kind", KINDS)
def test_each_target_is_predicted_as_by_its_own_bundle_to_the_bit(tmp_path: Path, kind: str):
    bundles = KINDS[kind]()
    panel = through(bundles, tmp_path / "a.roftmol")
    found = panel.predict(NEW)
    assert found.columns.tolist() == panel.columns
    assert list(panel.bundles) == list(bundles)
    for target, one in bundles.items():
        bundle.write(one, tmp_path / "one.roftmol")
        own = bundle.read(tmp_path / "one.roftmol").predict(NEW)
        assert own.iloc[:, 0].notna().tolist() == [text not in ("C(", "") for text in NEW]
        of_target = found[[f"{target}_{name}" for name in one.columns]].set_axis(one.columns, axis=1)
        pd.testing.assert_frame_equal(of_target, own, check_exact=True)
        if kind != "all":  # some of these are constants
            pd.testing.assert_frame_equal(own, one.predict(NEW), check_exact=True)


def test_a_molecule_can_be_inside_one_domain_and_outside_another():
    """Bromine is among the molecules of one target alone."""
    without = [text for text in SMILES if "Br" not in text]
    panel = PanelBundle({"with": of_networks([encoder(0)] * 2), "without": of_networks([encoder(0)] * 2, without)})
    found = panel.predict(["BrCCBr", "CCO"])
    assert found["with_in_domain"].tolist() == [True, True]
    assert found["without_in_domain"].tolist() == [False, True]
    assert found["with_problem"].tolist() == ["", ""]
    assert found["without_problem"].tolist() == ["outside the domain: elements Br", ""]
    assert found["with_similarity"][0] == 1 > found["without_similarity"][0]


def test_what_cannot_be_read_is_told_in_every_target():
    panel = PanelBundle({**networks(), **references()})
    for texts in (["C(", "CCO", None], ["C(", ""], []):
        found = panel.predict(texts)
        assert found.columns.tolist() == panel.columns
        for target, one in panel.bundles.items():
            own = found[[f"{target}_{name}" for name in one.columns]].set_axis(one.columns, axis=1)
            pd.testing.assert_frame_equal(own, one.predict(texts), check_exact=True)
    assert panel.predict(["C("])["forest_problem"].tolist() == ["invalid_smiles: not SMILES"]
    with pytest.raises(ValueError, match="is one text; give a list of SMILES"):
        panel.predict("CCO")


def test_rows_keep_their_order_and_index():
    panel = PanelBundle(networks())
    series = pd.Series(["CCO", "C(", "C", "CCO"], index=["d", "b", "b", "a"])
    found = panel.predict(series)
    assert found.index.equals(series.index)
    pd.testing.assert_frame_equal(panel.predict(pd.DataFrame({"id": range(4), "smiles": series})), found)
    again = panel.predict(series.tolist()[::-1])
    np.testing.assert_array_equal(again["values_prediction"], found["values_prediction"].to_numpy()[::-1])


def test_processes_change_nothing():
    panel = PanelBundle({**networks(), "described": of_head("descriptors", None)})
    many = ["C" * number + end for number in range(1, 80) for end in ("O", "N", "F")]
    pd.testing.assert_frame_equal(panel.predict(many, processes=2), panel.predict(many), check_exact=True)


def test_what_several_targets_read_is_computed_once(path: Path, monkeypatch: pytest.MonkeyPatch):
    panel = bundle.read(path)
    calls: Counter[Any] = Counter()

    def counted(where: Any, name: str, key: Callable[..., Any]) -> None:
        function = getattr(where, name)

        def noted(*given: Any, **more: Any) -> Any:
            calls[key(*given)] += 1
            return function(*given, **more)

        monkeypatch.setattr(where, name, noted)

    counted(Encoder, "read", lambda encoder, batch: ("read", id(encoder)))
    counted(new_molecules, "vectors", lambda encoder, *_: ("vectors", id(encoder)))
    counted(new_molecules.featurize, "from_smiles", lambda *_: "graphs")
    counted(descriptors, "descriptors", lambda *_: "descriptors")
    counted(new_molecules.fingerprints, "morgan_counts", lambda *_: "counts")
    counted(new_molecules.fingerprints, "fingerprints", lambda *_: "fingerprints")
    counted(new_molecules, "described", lambda molecule: ("described", molecule))
    panel.predict(NEW)
    assert set(calls.values()) == {1}
    # Three members' encoders for two targets; that of the first also serves the two probing members and two heads.
    assert Counter(key[0] if isinstance(key, tuple) else key for key in calls) == {
        "read": 3,
        "vectors": 1,
        "described": 6,
        **dict.fromkeys(("graphs", "descriptors", "counts", "fingerprints"), 1),
    }


def test_equal_tensors_are_stored_once_and_the_same_bundles_give_the_same_bytes(tmp_path: Path):
    bundles, alone = networks(), []
    for number, one in enumerate(bundles.values()):
        bundle.write(one, tmp_path / f"{number}.roftmol")
        alone.append(load_file(tmp_path / f"{number}.roftmol"))
    panel = through(bundles, tmp_path / "a.roftmol")
    stored = load_file(tmp_path / "a.roftmol")
    contents = [(str(one.dtype), one.shape, one.numpy().tobytes()) for one in stored.values()]
    assert len(set(contents)) == len(contents)
    size = [(tmp_path / f"{name}.roftmol").stat().st_size for name in ("0", "1", "a")]
    weights = sum(one.nbytes for name, one in alone[1].items() if ".encoder." in name)
    assert size[2] < sum(size[:2]) - 0.9 * weights
    one, other = panel.bundles.values()
    assert [a.encoder is b.encoder for a, b in zip(one.members, other.members, strict=True)] == [True] * 3
    assert len({id(member.encoder) for member in one.members}) == 3
    panel_bundle.write(networks(), tmp_path / "b.roftmol")
    assert (tmp_path / "a.roftmol").read_bytes() == (tmp_path / "b.roftmol").read_bytes()
    # What was read is written as it was.
    panel_bundle.write(panel.bundles, tmp_path / "b.roftmol")
    assert (tmp_path / "a.roftmol").read_bytes() == (tmp_path / "b.roftmol").read_bytes()


def test_equal_weights_are_one_encoder_only_in_the_same_architecture(tmp_path: Path):
    """The steps of D-MPNN share a matrix, so that encoders of two depths have equal weights."""
    kinds = [{"kind": "dmpnn", "depth": depth, "width": 8} for depth in (2, 4)]
    torch.manual_seed(0)
    shallow, deep = map(new_encoder, kinds)
    deep.load_state_dict(shallow.state_dict())
    bundles = {}
    for name, kind, one in zip("ab", kinds, (shallow, deep), strict=True):
        torch.manual_seed(1)
        bundles[name] = of_networks([one] * 2, architecture=kind, featurizer="chemprop")
    found = through(bundles, tmp_path / "a.roftmol").predict(SMILES)
    assert (found["a_prediction"] != found["b_prediction"]).any()
    for name, one in bundles.items():
        np.testing.assert_array_equal(found[f"{name}_prediction"], one.predict(SMILES)["prediction"])


def predicted(place: Path, table: str, *arguments: str) -> pd.DataFrame:
    (place / "new.csv").write_text(table)
    main(["predict", str(place / "a.roftmol"), str(place / "new.csv"), "-o", str(place / "out.csv"), *arguments])
    return pd.read_csv(place / "out.csv", keep_default_na=False, dtype=str)


def test_a_table_gets_the_columns_of_all_targets(tmp_path: Path):
    panel = through({**networks(), "forest": of_forest()}, tmp_path / "a.roftmol")
    rows = "".join(f"{number:03d},{text}\n" for number, text in enumerate(NEW))
    found = predicted(tmp_path, "id,smiles\n" + rows)
    own = ["prediction", "low", "high", "similarity", "in_domain", "problem"]
    assert found.columns.tolist() == [
        *("id", "smiles"),
        *(f"values_{name}" for name in own),
        *(f"classes_{name}" for name in ("probability_toxic", *own[3:])),
        *(f"forest_{name}" for name in own),
    ]
    assert found["id"].tolist() == [f"{number:03d}" for number in range(len(NEW))]
    expected = panel.predict(NEW)
    for column, name in panel.table_names().items():
        values = expected[column]
        if column.endswith(("_problem", "_in_domain")):
            assert found[name].tolist() == values.astype(object).where(values.notna(), "").astype(str).tolist()
        else:
            np.testing.assert_allclose(pd.to_numeric(found[name], errors="coerce"), values, rtol=1e-5)
    pieces = predicted(tmp_path, "id,smiles\n" + rows, "--batch-size", "2", "--processes", "2")
    numbers = [name for name in found if name.endswith(("prediction", "low", "high", "toxic", "similarity"))]
    for name in numbers:
        np.testing.assert_allclose(*(pd.to_numeric(one[name], errors="coerce") for one in (pieces, found)), rtol=1e-4)
    pd.testing.assert_frame_equal(pieces.drop(columns=numbers), found.drop(columns=numbers))
    main(["predict", str(tmp_path / "a.roftmol"), str(tmp_path / "new.csv"), "-o", str(tmp_path / "out.parquet")])
    pd.testing.assert_series_equal(
        pd.read_parquet(tmp_path / "out.parquet")["forest_low"], expected["forest_low"], check_names=False
    )


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("smiles,forest_low\nC,1\n", "there is a column 'forest_low' already. Rename it, or put something before"),
        ("smiles,classes_probability_toxic\nC,1\n", "there is a column 'classes_probability_toxic' already"),
        ("Molecule,Drug\nCHEMBL1,C\nCHEMBL2,CC\n", "column 'Molecule' was taken for the SMILES, but 'CHEMBL1' is"),
    ],
)
def test_a_table_that_cannot_be_used_leaves_nothing(
    path: Path, capsys: pytest.CaptureFixture[str], table: str, told: str
):
    with pytest.raises(SystemExit) as ended:
        predicted(path.parent, table)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err
    assert not list(path.parent.glob("*out*"))


def test_a_prefix_makes_room(path: Path):
    assert "my_forest_low" in predicted(path.parent, "smiles,forest_low\nC,1\n", "--prefix", "my_")


def test_all_cards_are_shown(path: Path, capsys: pytest.CaptureFixture[str]):
    panel = bundle.read(path)
    main(["show", str(path)])
    parts = capsys.readouterr().out.rstrip("\n").split("\n\n")
    assert [part.split("\n", 1)[0] for part in parts] == [f"target {number} of 8" for number in range(1, 9)]
    for part, (target, one) in zip(parts, panel.bundles.items(), strict=True):
        assert part.split("\n", 1)[1] == one.describe()
        assert f"predicts       {target} (" in part
    assert repr(panel).startswith("<PanelBundle of 8: <Bundle: Constant")
    assert "predicts hybrid from 20 molecules" in repr(panel)


def test_awkward_names_come_back_and_their_columns_with_them(tmp_path: Path):
    names = ["log S, pH 7.4", 'the "best"', "Löslichkeit µM 水", "a\nb\x1b[2J", "a", "A", "a ", "0"]
    panel = through(dict.fromkeys(names, of_constant()), tmp_path / "a.roftmol")
    shown = [name if name != names[3] else r"a\nb\x1b[2J" for name in names]
    assert list(panel.bundles) == shown
    assert [one.card["target"] for one in panel.bundles.values()] == shown
    found = predicted(tmp_path, "smiles\nCCO\n")
    assert [name.removesuffix("_low") for name in found if name.endswith("_low")] == shown
    assert found[[f"{name}_prediction" for name in shown]].astype(float).to_numpy().tolist() == [[3.5] * len(names)]


HIGH_OR_LOW = of_networks([encoder(0)] * 2, **{**CLASSES, "classes": ["high", "low"]})


@pytest.mark.parametrize(
    ("bundles", "told"),
    [
        ({"a": of_constant(), "a_low": of_constant()}, "'a_low' would be the name of two things"),
        ({"a": HIGH_OR_LOW, "a_probability": of_constant()}, "'a_probability_low' would be the name of two things"),
        ({"a\t": of_constant(), r"a\t": of_constant()}, r"'a\\\\t' would be the name of two things"),
        ({"a": of_constant(), " ": of_constant()}, "a target's name is blank"),
        ({}, "1 to 100 targets, and not 0"),
        (dict.fromkeys(map(str, range(TARGETS + 1)), of_constant()), "1 to 100 targets, and not 101"),
    ],
)
def test_targets_that_cannot_be_told_apart_are_not_written(tmp_path: Path, bundles: Bundles, told: str):
    with pytest.raises(UserError, match=f"a.roftmol: .*{told}"):
        panel_bundle.write(bundles, tmp_path / "a.roftmol")
    assert not list(tmp_path.iterdir())


def test_python_reads_either_kind(tmp_path: Path):
    one = of_constant()
    panel_bundle.write({"first": one}, tmp_path / "a.roftmol")
    bundle.write(one, tmp_path / "b.roftmol")
    panel, single = (roftmol.read_bundle(tmp_path / f"{name}.roftmol") for name in "ab")
    assert (type(panel), type(single)) == (roftmol.PanelBundle, roftmol.Bundle)
    assert panel.predict(["C"]).columns[0] == "first_prediction"
    assert single.predict(["C"]).columns[0] == "prediction"
    for name, version in {"a": "6", "b": "5"}.items():
        with tensor_file.opened(tmp_path / f"{name}.roftmol", "", "") as file:
            assert file.metadata["version"] == version


def put(number: int, *keys: str, value: Any) -> Callable[[list[Any]], None]:
    def change(cards: list[Any]) -> None:
        *above, last = keys
        card = cards[number]
        for key in above:
            card = card[key]
        card[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda cards: {}, "its cards are no list of 1 to 100"),
        (lambda cards: [], "its cards are no list of 1 to 100"),
        (lambda cards: cards * 20, "its cards are no list of 1 to 100"),
        (lambda cards: cards[:-1], "its cards and its tensors do not fit together"),
        (lambda cards: [*cards, cards[-1]], "target 9 of 9: its card and its tensors do not fit together"),
        (lambda cards: [cards[2], cards[1], cards[0], *cards[3:]], "target 1 of 8: it holds 0 numbers, and an encoder"),
        (lambda cards: [*cards[:-2], cards[-1], cards[-2]], "target 7 of 8: .*do not fit together"),
        (lambda cards: [None, *cards[1:]], "target 1 of 8: its card cannot be read: the card is not there"),
        (put(1, "target", value="constant"), "'constant' would be the name of two things"),
        (put(1, "target", value="constant_low"), "'constant_low' would be the name of two things"),
        (put(1, "target", value=5), "target 2 of 8: its card cannot be read: target is not there, or no text"),
        (put(1, "target", value=""), "a target's name is blank"),
        (put(2, "members", value=10**9), "target 3 of 8: its card cannot be read: members is 1000000000"),
        (put(2, "architecture", "kind", value="own"), "target 3 of 8: .*a bundle holds no code"),
        (put(2, "architecture", "width", value=8192), "target 3 of 8: it holds .* numbers, and an encoder of its"),
        (put(2, "featurizer_format", value="x"), "target 3 of 8: it was made for molecules as x"),
    ],
)
def test_what_cards_cannot_say_is_told(path: Path, change: Callable[[Any], object], told: str):
    rewrite(path, change, key=panel_bundle.CARDS)
    with pytest.raises(UserError, match=f"a.roftmol.*{told}"):
        bundle.read(path)


@pytest.mark.parametrize(
    ("change", "tensors"),
    [
        (lambda same: [], {}),
        (lambda same: "x", {}),
        (lambda same: {**same, "0.member.0.x": "9.member.0.x"}, {}),  # is not there
        (lambda same: {**same, "0.member.0.x": ["0.member.0.constant"]}, {}),
        (lambda same: {**same, "0.member.0.constant": "0.member.1.constant"}, {}),  # twice
        (lambda same: {**same, "0.member.0.x": next(iter(same))}, {}),  # one that is under another's name itself
        (lambda same: {**same, "8.training_bits": "0.training_bits"}, {}),  # of no target
        (lambda same: {**same, "-1.training_bits": "0.training_bits"}, {}),
        (lambda same: {**same, "0": "0.training_bits"}, {}),
        (lambda same: {}, {}),
        (lambda same: same, {"9.member.0.x": torch.zeros(1)}),
        (lambda same: same, {"training_bits": torch.zeros(1)}),
        (lambda same: same, {"0.odd": torch.zeros(1)}),
        (lambda same: same, {"0.member.0.constant": torch.tensor([float("inf")])}),
    ],
)
def test_tensors_of_no_target_are_told(path: Path, change: Callable[[Any], object], tensors: dict[str, torch.Tensor]):
    rewrite(path, change, key=panel_bundle.SAME, **tensors)
    with pytest.raises(UserError, match=r"a\.roftmol.*do not fit together"):
        bundle.read(path)


def test_a_file_does_not_become_far_more_than_it_holds(tmp_path: Path):
    """Encoders that are said to be the same tensors but for one each would be as many encoders."""
    path, targets, members = tmp_path / "a.roftmol", 3, 100
    torch.manual_seed(0)
    architecture = {"kind": "gin", "layers": 1, "width": 64}
    bundle.write(of_networks([new_encoder(architecture)] * 2, architecture=architecture), path)
    with tensor_file.opened(path, "", "", "pt") as file:
        said, card, stored = dict(file.metadata), file.json("card"), file.tensors()
    tensors = {f"0.{name.replace('member.0', 'shared')}": one for name, one in stored.items() if "member.1" not in name}
    own = next(name for name in tensors if name.startswith("0.shared.encoder.") and name.endswith("bias"))
    bias = tensors.pop(own)
    same = {f"{target}{name[1:]}": name for target in range(1, targets) for name in tensors}
    for target in range(targets):
        for member in range(members):
            tensors[own.replace("0.shared", f"{target}.member.{member}")] = torch.randn_like(bias)
    cards = [{**card, "target": str(target), "members": members} for target in range(targets)]
    changed = {panel_bundle.CARDS: json.dumps(cards), panel_bundle.SAME: json.dumps(same)}
    tensor_file.save(path, tensors, said | changed)
    with pytest.raises(UserError, match=r"target 3 of 3: .*its encoders are more than 100 times what the file holds"):
        bundle.read(path)


def test_versions_are_told(path: Path):
    with tensor_file.opened(path, "", "", "pt") as file:
        said, tensors = dict(file.metadata), file.tensors()
    tensor_file.save(path, tensors, {**said, "version": "7"})
    with pytest.raises(UserError, match=r"version 7, and this program reads 6\. Use a newer version"):
        bundle.read(path)
    del said[panel_bundle.SAME]
    tensor_file.save(path, tensors, said)
    with pytest.raises(UserError, match=r"the file is truncated, damaged or no bundle \(it has no same\)"):
        bundle.read(path)


@pytest.mark.parametrize("command", ["show", "predict"])
def test_a_hostile_file_is_one_sentence(path: Path, capsys: pytest.CaptureFixture[str], command: str):
    rewrite(path, put(2, "target", value="x\x1b[2J" * 3000), key=panel_bundle.CARDS)
    path.with_name("new.csv").write_text("SMILES\nCCO\n")
    arguments = [str(path.with_name("new.csv")), "-o", str(path.with_name("out.csv"))] if command == "predict" else []
    with pytest.raises(SystemExit) as ended:
        main([command, str(path), *arguments])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {path}, target 3 of 8: its card cannot be read: a text has 15,000 characters")
    assert told.count("\n") == 1
    assert not path.with_name("out.csv").exists()


def test_damaged_files_are_refused_or_right(tmp_path: Path):
    """Bits flipped, bytes taken and put in, ends cut off, with one seed: never another number, never a traceback."""
    path = tmp_path / "a.roftmol"
    expected = through({"a": of_network(), "b": of_constant(), "c": of_network()}, path).predict(NEW)
    whole = path.read_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng = Random(21)
    refused = 0
    header = 8 + int.from_bytes(whole[:8], "little")
    for number in range(90):
        # Half of them in the header, where each byte means something.
        at = rng.randrange(len(whole) if number % 2 else header)
        content = damaged(whole, rng, number % 3, at) if number % 9 else whole[:at]
        path.write_bytes(content)
        found, told = read_or_refused(lambda: bundle.read(path).predict(NEW))
        if found is None:
            assert str(path) in told
            refused += 1
        else:
            pd.testing.assert_frame_equal(found, expected)
    assert refused >= 85
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_a_header_that_says_anything_is_refused_or_right(tmp_path: Path):
    """Words of cards and of `same` changed at random, with right digests: refused in a sentence, or read."""
    path = tmp_path / "a.roftmol"
    panel_bundle.write({"a": of_network(), "b": of_constant(), "c": of_network()}, path)
    whole = path.read_bytes()
    rng = Random(22)
    values = [None, True, -1, 0, 1, 10**30, float("inf"), "", "x" * 20_000, "ridge", [], {}, [[]], {"kind": "gin"}]
    refused = 0
    for number in range(120):
        path.write_bytes(whole)
        key = panel_bundle.SAME if number % 4 == 0 else panel_bundle.CARDS
        rewrite(path, lambda said: _anything(said, rng, values), key=key)
        found, told = read_or_refused(lambda: bundle.read(path).predict(NEW))
        refused += found is None
        assert found is not None or told.startswith(str(path))
    assert 60 <= refused < 120


def _anything(said: Any, rng: Random, values: list[Any]) -> None:
    """Put a value somewhere."""
    while True:
        places = list(said) if isinstance(said, dict) else range(len(said))
        place = rng.choice(places)
        inside = said[place]
        if isinstance(inside, dict | list) and inside and rng.random() < 0.8:
            said = inside
            continue
        said[place] = rng.choice(values)
        return
