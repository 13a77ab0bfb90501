"""Bundles that somebody else made: nothing in them runs, and what is wrong with them is one sentence."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from damage import damaged, read_or_refused
from roftmol.cli.main import main
from roftmol.core import tensor_file
from roftmol.core.errors import UserError
from roftmol.core.files import sha256
from roftmol.deploy import bundle
from roftmol.deploy.card import MEMBERS
from roftmol.encoders.checkpoints import MOST, architecture_of, load_encoder
from roftmol.encoders.kinds import new_encoder
from roftmol.registry import catalog
from roftmol.registry.encoder_kinds import ENCODER_KINDS
from small_bundles import of_constant, of_network, rewrite

NEW = ["CCO", "c1ccccc1", "C"]
Card = dict[str, Any]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("network") / "a.roftmol"
    bundle.write(of_network(), path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def constant(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("constant") / "a.roftmol"
    bundle.write(of_constant(), path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, network: bytes) -> Path:
    (tmp_path / "a.roftmol").write_bytes(network)
    return tmp_path / "a.roftmol"


def test_the_bundles_are_read(path: Path, constant: bytes):
    assert bundle.read(path).predict(NEW)["prediction"].notna().all()
    path.write_bytes(constant)
    assert bundle.read(path).predict(NEW)["prediction"].tolist() == [3.5] * 3


@pytest.mark.parametrize(
    "change",
    [
        lambda card, code: card.update(architecture={**OWN, "code": code}, featurizer=code),
        lambda card, code: card.update(architecture={**OWN, "code": code}),
        lambda card, code: card.update(featurizer=code),
        lambda card, code: card["architecture"].update(code=code),
    ],
)
@pytest.mark.parametrize("command", ["show", "predict"])
def test_a_bundle_runs_no_file(
    path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Card, str], object], command: str
):
    code = path.with_name("code.py")
    code.write_text(f"open({str(path.with_name('ran'))!r}, 'w')\ndef build(): ...\ndef featurize(molecule): ...\n")
    rewrite(path, lambda card: (change(card, str(code)), None)[1])
    path.with_name("new.csv").write_text("SMILES\nCCO\n")
    arguments = [str(path.with_name("new.csv")), "-o", str(path.with_name("out.csv"))] if command == "predict" else []
    with pytest.raises(SystemExit) as caught:
        main([command, str(path), *arguments])
    assert caught.value.code == 2
    assert f"error: {path}: its " in capsys.readouterr().err
    assert not path.with_name("ran").exists()
    assert not path.with_name("out.csv").exists()


OWN = {"kind": "own", "embed": ["a"], "blocks": [["b"]], "readout": [], "pooling": "mean"}


def test_a_checkpoint_runs_no_file_that_nobody_named(tmp_path: Path):
    code = tmp_path / "code.py"
    code.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef build(): ...\n")
    architecture = json.dumps({**OWN, "code": str(code)})
    said = {"format": "roftmol-encoder-1", "architecture": architecture, "code_sha256": sha256(code)}
    tensor_file.save(tmp_path / "a.safetensors", {"x": torch.zeros(1)}, said)
    assert architecture_of(tmp_path / "a.safetensors")["kind"] == "own"
    with pytest.raises(UserError, match="which nobody asked to run"):
        load_encoder(tmp_path / "a.safetensors", 0.0)
    other = tmp_path / "other.py"
    other.write_text("def build(): ...\n")
    with pytest.raises(UserError, match="was edited after"):
        load_encoder(tmp_path / "a.safetensors", 0.0, str(other))
    assert not (tmp_path / "ran").exists()


def put(*keys: str, value: Any) -> Callable[[Card], None]:
    def change(card: Card) -> None:
        *above, last = keys
        for key in above:
            card = card[key]
        card[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (put("members", value=10**9), "members is 1000000000 and not a whole number from 1 to 100"),
        (put("members", value=0), "members is 0"),
        (put("members", value=True), "members is True"),
        (put("members", value=MEMBERS), "it holds 68 numbers"),
        (put("architecture", "layers", value=10**9), "layers 1000000000"),
        (put("architecture", "layers", value=MOST["layers"]), "its architecture|do not fit"),
        (put("architecture", "width", value=MOST["width"]), "has at least 134,217,728"),
        (put("architecture", "width", value=-8), "width -8"),
        (put("architecture", "width", value="8"), "width '8'"),
        (put("architecture", "kind", value="so3lr"), "architecture.kind is 'so3lr'"),
        (put("architecture", "kind", value=["gin"]), "architecture.kind is "),
        (put("architecture", value="gin"), "architecture is not there, or no object"),
        (put("method", value="../x"), "method is '../x'"),
        (put("method", value="constant"), "method is 'constant', which has no architecture"),
        (put("method", value="ridge"), "do not fit together"),
        (put("task", value="classification"), "calibration.kind is 'normalised conformal'"),
        (put("metric", value=None), "metric is not there, or no text"),
        (put("target", value=5), "target is not there, or no text"),
        (put("classes", value=None), "classes is no list of two texts"),
        (put("classes", value=["a", 1]), "classes is no list of two texts"),
        (put("classes", value=["a"]), "classes is no list of two texts"),
        (put("target", value="x" * 20_000), "a text has 20,000 characters"),
        (put("labels", "min", value="a"), "min is 'a' and not a finite number"),
        (put("labels", "min", value=10**400), "not a finite number"),
        (put("calibration", "quantile", value=float("nan")), "calibration holds what is no finite number"),
        (put("calibration", "level", value=10**400), "calibration holds what is no finite number"),
        (put("calibration", "difficulty", value=[1]), "calibration is incomplete"),
        (put("calibration", value=None), "calibration is not there"),
        (put("domain", "elements", value=[6, 10**9]), "atomic numbers"),
        (put("domain", "ranges", value={}), "domain.ranges has no two ends of heavy atoms"),
        (put("made", value=[]), "made is not there"),
        (put("evidence", value={"sentences": 5}), "evidence.sentences"),
        (lambda card: [card], "the card is not there, or no object"),
        (lambda card: {}, "target is not there"),
    ],
)
def test_what_a_card_cannot_say_is_told(path: Path, change: Callable[[Card], object], told: str):
    rewrite(path, change)
    with pytest.raises(UserError, match=told):
        bundle.read(path)


@pytest.mark.parametrize(
    "tensors",
    [
        {"training_bits": torch.zeros(3, 255, dtype=torch.uint8)},
        {"training_bits": torch.zeros(0, 256, dtype=torch.uint8)},
        {"training_bits": torch.zeros(3, 256)},
        {"member.9.head.weight": torch.zeros(1, 8)},
        {"odd": torch.zeros(1)},
        {"member.0.head.weight": torch.zeros(1, 9)},
        {"member.0.head.weight": torch.full((1, 8), float("inf"))},
    ],
)
def test_tensors_that_are_not_the_cards_are_told(path: Path, tensors: dict[str, torch.Tensor]):
    rewrite(path, lambda card: None, **tensors)
    with pytest.raises(UserError, match="do not fit together"):
        bundle.read(path)


def test_a_number_that_is_none_is_told_before_a_molecule_feels_it(path: Path):
    """The molecule that is predicted when a bundle is read has no bromine."""
    name, weights = next((name, one) for name, one in load_file(path).items() if name.endswith("element.weight"))
    weights[35] = float("nan")
    rewrite(path, lambda card: None, **{name: weights})
    with pytest.raises(UserError, match=f"{name} is not finite"):
        bundle.read(path)


def test_a_forest_without_an_end_is_told(path: Path, constant: bytes):
    path.write_bytes(constant)
    walk = {name: torch.zeros(2, dtype=torch.int32) for name in ("left", "right", "feature", "roots")}
    numbers = {"threshold": torch.ones(2, dtype=torch.float64), "value": torch.ones(2, dtype=torch.float64)}
    tensors = {f"shared.{name}": tensor for name, tensor in (walk | numbers).items()}
    rewrite(path, put("method", value="fingerprint"), without="constant", **tensors)
    with pytest.raises(UserError, match="a tree's nodes are not in order"):
        bundle.read(path)


def test_escapes_are_printed_as_text(path: Path, capsys: pytest.CaptureFixture[str]):
    rewrite(path, lambda card: card.update(target="logS\x1b[2J\x1b]0;title\x07\r", model="g\u202ein"))
    main(["show", str(path)])
    shown = capsys.readouterr().out
    assert r"logS\x1b[2J\x1b]0;title\x07\r" in shown
    assert r"g\u202ein" in shown
    assert "\x1b" not in shown


def test_every_kind_has_as_many_numbers_as_the_bound_on_memory_takes_for_granted():
    seen = set()
    for checkpoint in catalog.checkpoints().values():
        architecture = checkpoint.architecture
        kind = architecture["kind"]
        if kind in (*seen, "dpa"):  # whose package is hardly ever there
            continue
        seen.add(kind)
        width = architecture["width"] if ENCODER_KINDS[kind].spatial else 64
        small = {**architecture, "width": width}
        numbers = sum(tensor.numel() for tensor in new_encoder(small).state_dict().values())
        assert numbers >= architecture.get("layers", 1) * width**2, kind
        assert all(2 * architecture[key] <= most for key, most in MOST.items() if key in architecture)
    assert seen == ENCODER_KINDS.keys() - {"own", "dpa"}


def test_damaged_bundles_are_refused_or_right(path: Path, network: bytes, constant: bytes):
    """Bits flipped, bytes taken and put in, ends cut off, with one seed: never another number, never a traceback."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng = Random(20)
    refused = 0
    for whole in (network, constant):
        path.write_bytes(whole)
        expected = bundle.read(path).predict(NEW)
        for number in range(60):
            # Half of them in the header, where each byte means something.
            at = rng.randrange(len(whole) if number % 2 else whole.index(b"training_bits"))
            path.write_bytes(damaged(whole, rng, number % 3, at))
            found, told = read_or_refused(lambda: bundle.read(path).predict(NEW))
            if found is None:
                assert str(path) in told
                refused += 1
            else:
                pd.testing.assert_frame_equal(found, expected)
    assert refused >= 110
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
