"""D-MPNN against chemprop's, where that is installed, and against the same written plainly; files such as CheMeleon's.

The published weights are not at hand: all networks here have random weights.
"""

from __future__ import annotations

import csv
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem

import roftmol
from every_method import check_parts
from roftmol import RoftMolRegressor
from roftmol.cli.main import main
from roftmol.core.errors import UserError
from roftmol.core.files import sha256
from roftmol.encoders.checkpoints import convert, load_encoder
from roftmol.encoders.dmpnn import Architecture, Dmpnn, reverse
from roftmol.encoders.kinds import encoder_file, new_encoder
from roftmol.features.featurize import from_smiles
from roftmol.features.featurizers.chemprop import featurize
from roftmol.features.graphs import Graphs
from roftmol.methods import METHODS
from roftmol.registry.catalog import Source, checkpoints
from roftmol.training.fit import Fold
from roftmol.training.forward import Forward
from roftmol.training.vectors import vectors
from small_dataset import SMILES, labels_of_size

SMALL = {"kind": "dmpnn", "depth": 4, "width": 16}
#: Atoms, charges, isotopes, bonds and stereochemistry that the features tell apart, or have no column for.
AWKWARD = [
    "[2H]C([2H])O",
    "[U]",
    "*C",
    "[Na+]",
    "C[N+](C)(C)C",
    "[O-2].[Ca+2]",
    "[C-4]",
    "F[P-](F)(F)(F)(F)F",
    "[SiH4]",
]
AWKWARD += [
    "FS(F)(F)(F)F",
    "[Pt](Cl)(Cl)(N)N",
    "N->[Cu]",
    "C/C=C/C",
    "C/C=C\\C",
    "C1CCCCCCC/C=C/1",
    "OI(=O)(=O)=O",
    "[H][H]",
]


def network(depth: int = 4, width: int = 16) -> Dmpnn:
    torch.manual_seed(0)
    return Dmpnn(Architecture(depth, width))


def collate(smiles: list[str], labels: np.ndarray | None = None) -> Graphs:
    return from_smiles(smiles, np.zeros((len(smiles), 1), np.float32) if labels is None else labels, name="chemprop")


def embed(one: Dmpnn, smiles: list[str]) -> torch.Tensor:
    data = collate(smiles)
    with torch.no_grad():
        return one(data.batch(range(len(data))))


def chemprops_name(name: str) -> str:
    ours = {"embed": "W_i", "blocks.0": "W_h", "blocks.1": "W_o"}
    part, _, rest = name.rpartition(".linear.")
    return f"{ours[part]}.{rest}"


def published(one: Dmpnn, **settings: object) -> dict:
    """What a file such as CheMeleon's holds."""
    said = {
        "activation": "relu",
        "bias": False,
        "d_e": 14,
        "d_h": one.width,
        "d_v": 72,
        "depth": one.architecture.depth,
        "dropout": 0.0,
        "undirected": False,
    }
    state = {chemprops_name(name): tensor for name, tensor in one.state_dict().items()}
    return {"hyper_parameters": said | settings, "state_dict": state}


# -- features --------------------------------------------------------------------------------------------------------


def test_the_features_of_ethanol_by_hand() -> None:
    """C has number 6, so column 5; O has 8, so 7. All have charge 0 (49), no chirality (51), sp3 (66)."""
    atoms, senders, receivers, bonds = featurize(Chem.MolFromSmiles("CCO"))
    ones = [[5, 42, 49, 51, 59, 66], [5, 42, 49, 51, 58, 66], [7, 40, 49, 51, 57, 66]]
    expected = np.zeros((3, 72), np.float32)
    for row, columns in zip(expected, ones, strict=True):
        row[columns] = 1
    expected[:, 71] = 0.12011, 0.12011, 0.15999
    np.testing.assert_array_equal(atoms, expected)
    assert set(zip(senders.tolist(), receivers.tolist(), strict=True)) == {(0, 1), (1, 0), (1, 2), (2, 1)}
    assert [np.flatnonzero(bond).tolist() for bond in bonds] == [[1, 7]] * 4  # single, no stereo


@pytest.mark.parametrize(
    ("smiles", "columns"),
    [
        ("[U]", {37, 38, 49, 56}),  # other element, no neighbours, no charge, no hydrogens
        ("[IH]", {36, 39, 57}),
        ("[NH4+]", {6, 42, 47, 60}),
        ("[O-2]", {7, 46}),
        ("[Al+3]", {12, 50}),  # other charge
        ("[C-4]", {5, 50}),
        ("C", {5, 42, 60, 66}),
        ("N[C@@H](C)O", {6, 41, 58, 51}),
        ("[C@@H](C)(N)O", {5, 53}),
        ("[C@H](C)(N)O", {5, 52}),
        ("FS(F)(F)(F)(F)F", {8, 39}),
        ("S(F)(F)(F)(F)(F)F", {15, 44, 68}),  # other degree
        ("C#N", {5, 40, 57, 63}),
        ("c1ccccc1", {5, 41, 57, 64, 70}),
        ("[H][H]", {0, 39, 62}),
    ],
)
def test_the_first_atoms_features(smiles: str, columns: set[int]) -> None:
    atom = featurize(Chem.MolFromSmiles(smiles)).atoms[0]
    ones = set(np.flatnonzero(atom[:71]).tolist())
    assert columns <= ones
    assert [sum(start <= one < stop for one in ones) for start, stop in [(0, 38), (38, 45), (45, 51), (51, 56)]] == [
        1
    ] * 4
    assert [sum(start <= one < stop for one in ones) for start, stop in [(56, 62), (62, 70)]] == [1, 1]


@pytest.mark.parametrize(
    ("smiles", "columns"),
    [
        ("C=C", [2, 7]),
        ("C#C", [3, 7]),
        ("C/C=C/C", [2, 10]),
        ("C/C=C\\C", [2, 9]),
        ("c1ccccc1", [4, 5, 6, 7]),
        ("C1CC1", [1, 6, 7]),
        ("N->[Cu]", [7]),  # a bond that has no column
    ],
)
def test_features_of_bonds(smiles: str, columns: list[int]) -> None:
    bonds = featurize(Chem.MolFromSmiles(smiles)).bonds
    assert columns in [np.flatnonzero(bond).tolist() for bond in bonds]
    assert not bonds[:, 0].any()


def test_the_mass_is_that_of_the_isotope() -> None:
    heavy, light = (featurize(Chem.MolFromSmiles(text)).atoms[0] for text in ("[13CH4]", "C"))
    assert heavy[71] == np.float32(0.0100 * 13.003354835)
    np.testing.assert_array_equal(heavy[:71], light[:71])


def test_the_order_of_atoms_orders_the_features() -> None:
    draw = np.random.default_rng(0)
    for text in [*SMILES, *AWKWARD]:
        molecule = Chem.MolFromSmiles(text)
        order = draw.permutation(molecule.GetNumAtoms()).tolist()
        one, other = featurize(molecule), featurize(Chem.RenumberAtoms(molecule, order))
        # A chirality's tag says a sense of rotation in the order of neighbours, which moves with the atoms.
        seen = [*range(52), *range(54, 72)]
        np.testing.assert_array_equal(other.atoms[:, seen], one.atoms[order][:, seen])


# -- the forward pass ------------------------------------------------------------------------------------------------


def plainly(one: Dmpnn, smiles: str) -> torch.Tensor:
    """The vector of a molecule, bond by bond."""
    x, senders, receivers, bonds = featurize(Chem.MolFromSmiles(smiles))
    x, bonds = torch.from_numpy(x), torch.from_numpy(bonds.astype(np.float32))
    relu, zero = torch.relu, torch.zeros(one.width)
    g = {
        (v, w): one.embed.linear.weight @ torch.cat([x[v], e])
        for v, w, e in zip(senders.tolist(), receivers.tolist(), bonds, strict=True)
    }
    h = {ends: relu(vector) for ends, vector in g.items()}
    W_h = one.blocks[0].linear.weight
    for _ in range(1, one.architecture.depth):
        h = {
            (v, w): relu(g[v, w] + W_h @ sum((h[u, to] for u, to in h if to == v and u != w), start=zero)) for v, w in g
        }
    W_o, b = one.blocks[1].linear.weight, one.blocks[1].linear.bias
    atoms = [
        relu(W_o @ torch.cat([x[v], sum((h[u, to] for u, to in h if to == v), start=zero)]) + b) for v in range(len(x))
    ]
    return torch.stack(atoms).mean(0)


@pytest.mark.parametrize("depth", [1, 2, 6])
def test_vectors_are_those_of_the_equations(depth: int) -> None:
    one = network(depth)
    texts = [*SMILES, *AWKWARD]
    with torch.no_grad():
        expected = torch.stack([plainly(one, text) for text in texts])
    torch.testing.assert_close(embed(one, texts), expected, atol=1e-6, rtol=1e-5)


def test_every_bonds_reverse_is_found() -> None:
    batch = collate([*SMILES, *AWKWARD]).batch(range(len(SMILES)))
    torch.testing.assert_close(batch.edges[:, reverse(batch)], batch.edges.flip(0))


def test_order_of_atoms_does_not_matter() -> None:
    one, draw = network(), np.random.default_rng(0)
    texts = [text for text in SMILES if "@" not in text]  # tags of chirality depend on the order, as the features say
    shuffled = []
    for text in texts:
        molecule = Chem.MolFromSmiles(text)
        order = draw.permutation(molecule.GetNumAtoms()).tolist()
        shuffled.append(Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False))
    torch.testing.assert_close(embed(one, shuffled), embed(one, texts), atol=1e-6, rtol=1e-5)


def test_other_molecules_of_the_batch_do_not_matter() -> None:
    one, texts = network(), [*SMILES, *AWKWARD]
    alone = torch.cat([embed(one, [text]) for text in texts])  # among them molecules without any bond
    torch.testing.assert_close(embed(one, texts), alone, atol=1e-6, rtol=1e-5)


def test_mirror_images_and_isomers_have_different_vectors() -> None:
    vectors_of = embed(network(), ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "F/C=C/F", "F/C=C\\F"])
    assert len(torch.unique(vectors_of, dim=0)) == 4


# -- what methods rely on --------------------------------------------------------------------------------------------


def test_every_parameter_has_a_part_and_a_gradient() -> None:
    one = network()
    assert one.parts == ("embed", "blocks.0", "blocks.1")
    data = collate(SMILES)
    one(data.batch(range(len(data)))).square().sum().backward()
    for name, parameter in one.named_parameters():
        assert one.part_of(name) in one.parts
        assert parameter.grad.abs().sum() > 0, name


def test_a_pass_in_training_mode_gives_what_one_in_eval_mode_gives() -> None:
    one, batch = network(), collate(SMILES).batch(range(len(SMILES)))
    assert one.steady
    with torch.no_grad():
        assert torch.equal(one.train()(batch), one.eval()(batch))


def test_it_can_be_entered_at_any_block() -> None:
    one, batch = network(), collate(SMILES).batch(range(len(SMILES)))
    with torch.no_grad():
        whole = one.state(batch).atoms
        for start in range(3):
            assert torch.equal(one.state(batch, one.state(batch, stop=start), start=start).atoms, whole)
        Z = one.state_and_map(batch)[1]
    assert torch.equal(Z, whole)


@pytest.mark.parametrize("frozen", range(4))
def test_what_is_frozen_is_computed_once_and_gives_the_same(frozen: int) -> None:
    one, data = network(), collate(SMILES)
    everything = np.arange(len(data))
    forward = Forward(one, data, everything, frozen, torch.device("cpu"))
    assert (forward.below is not None and forward.below.cached is not None) == (frozen == 2)
    with torch.no_grad():
        found = torch.cat([forward.features(batch) for batch in forward.training_batches(everything[::-1], 5)])
    torch.testing.assert_close(found.flip(0), embed(one, SMILES), atol=1e-6, rtol=1e-5)


def test_drawn_anew_it_is_the_same_network_with_other_weights() -> None:
    one = network(5, 8)
    other = one.fresh()
    assert other.architecture == one.architecture
    assert all(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("method", [m for m in METHODS.values() if m.trains_encoder], ids=lambda method: method.name)
def test_every_method_works_on_it_part_by_part(method) -> None:
    encoder, data = network(), collate(SMILES, labels_of_size())
    fold = Fold(np.arange(12), np.arange(12, 18), np.arange(18, 24))
    settings = method.grid(len(encoder.blocks))
    for setting in settings:
        check_parts(encoder, data, fold, method, setting)
    if method.name == "surgical_ft":
        assert [setting.block for setting in settings] == [0, 1]


def test_heads_in_closed_form_read_the_mean_and_the_sum() -> None:
    one, data = network(), collate(SMILES)
    found = vectors(one, data, np.arange(len(data)))
    mean = embed(one, SMILES).numpy()
    assert found == pytest.approx(np.concatenate([mean, mean * np.diff(data.offsets)[:, None]], 1), rel=1e-4, abs=1e-5)


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """An address, and the folder whose files it serves."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}", folder
        httpd.shutdown()
        thread.join()


def fetch(url: str, digest: str, out: Path) -> None:
    """Run the registered entry's stage, but for a smaller network at another address."""
    entry = replace(checkpoints()["chemeleon"], architecture=SMALL, sources=(Source("url", url, sha256=digest),))
    main(
        [
            "fetch-checkpoint",
            "--settings",
            json.dumps(entry.to_dict()),
            "--archives",
            str(out.parent),
            "--out",
            str(out),
        ]
    )


def test_a_file_in_chemeleons_form_is_fetched_and_read(server: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = server
    torch.save(published(network()), folder / "chemeleon_mp.pt")
    out = tmp_path / "encoder.safetensors"
    fetch(f"{address}/chemeleon_mp.pt", sha256(folder / "chemeleon_mp.pt"), out)
    loaded = load_encoder(out, 0.5)
    assert {name: tensor.tolist() for name, tensor in loaded.state_dict().items()} == {
        name: tensor.tolist() for name, tensor in network().state_dict().items()
    }
    assert torch.equal(embed(loaded, SMILES), embed(network(), SMILES))


def test_another_file_at_the_address_is_refused(
    server: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address, folder = server
    torch.save(published(network()), folder / "chemeleon_mp.pt")
    digest = sha256(folder / "chemeleon_mp.pt")
    torch.save(published(network().fresh()), folder / "chemeleon_mp.pt")
    with pytest.raises(SystemExit):
        fetch(f"{address}/chemeleon_mp.pt", digest, tmp_path / "encoder.safetensors")
    assert f"expected {digest}" in capsys.readouterr().err
    assert not (tmp_path / "encoder.safetensors").exists()


def test_the_registered_network_has_as_many_parameters_as_published() -> None:
    """The published file, 34,859,448 bytes, holds so many float32 numbers and 2.5 kB of names and settings."""
    one = new_encoder(checkpoints()["chemeleon"].architecture)
    numbers = sum(parameter.numel() for parameter in one.parameters())
    assert numbers == 8_714_240
    assert 0 < 34_859_448 - 4 * numbers < 4096


@pytest.mark.parametrize("key", ["state_dict", "bare", "ours"])
def test_bare_weights_are_read_too(key: str, tmp_path: Path) -> None:
    state = published(network())["state_dict"]
    contents = {"state_dict": {"state_dict": state}, "bare": state, "ours": network().state_dict()}
    torch.save(contents[key], tmp_path / "w.pt")
    convert(tmp_path / "w.pt", SMALL, tmp_path / "e.safetensors", name="x")
    convert(tmp_path / "e.safetensors", SMALL, tmp_path / "again.safetensors", name="x")  # without settings
    assert torch.equal(embed(load_encoder(tmp_path / "again.safetensors", 0.0), SMILES), embed(network(), SMILES))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (published(network(), depth=3), "its depth is 3, and 4 is read here"),
        (published(network(), d_h=300), "its d_h is 300, and 16 is read here"),
        (published(network(), activation="tanh"), "its activation is 'tanh', and 'relu' is read here"),
        (published(network(), undirected=True), "its undirected is True, and False is read here"),
        (published(network(), dropout=0.2), "its dropout is 0.2, and 0.0 is read here"),
        (published(network()) | {"state_dict": {"W_i.weight": torch.zeros(16, 86)}}, "missing blocks.0.linear.weight"),
        ({"state_dict": {"W_i.weight": "x"}}, "expected a dictionary of tensors"),
        ([1, 2], "expected a dictionary of tensors .*, found list"),
        ({"hyper_parameters": {"cls": Dmpnn}, "state_dict": {}}, "was not run"),  # as chemprop saves a whole model
    ],
)
def test_a_file_of_another_network_is_refused_in_a_sentence(contents: object, message: str, tmp_path: Path) -> None:
    torch.save(contents, tmp_path / "w.pt")
    with pytest.raises(UserError, match=message) as error:
        convert(tmp_path / "w.pt", SMALL, tmp_path / "e.safetensors", name="x")
    assert "w.pt" in str(error.value)
    assert not (tmp_path / "e.safetensors").exists()


def test_published_names_are_ours() -> None:
    names = published(network())["state_dict"]
    assert {encoder_file("dmpnn").our_name(name) for name in names} == set(network().state_dict())


@pytest.mark.parametrize("method", ["linear_probing", "surgical_ft", "full_ft", "dwise_ft", "ridge", "hybrid"])
def test_a_bundle_predicts_as_the_fit_did(method: str, tmp_path: Path) -> None:
    torch.save(published(network()), tmp_path / "w.pt")
    convert(tmp_path / "w.pt", SMALL, tmp_path / "encoder.safetensors", name="x")
    model = RoftMolRegressor(method, str(tmp_path / "encoder.safetensors"), members=2, epochs=2)
    model.fit(SMILES, labels_of_size()[:, 0]).save(tmp_path / "a.roftmol")
    bundle = roftmol.read_bundle(tmp_path / "a.roftmol")
    assert bundle.card["featurizer"] == "chemprop"
    np.testing.assert_allclose(bundle.predict(SMILES)["prediction"], model.predict(SMILES), rtol=1e-6)


# -- chemprop itself -------------------------------------------------------------------------------------------------


def diverse() -> list[str]:
    """The molecules above, 50 of MiniMol's tests, and some hundreds of datasets where these are at hand."""
    golden = json.loads(Path(__file__).with_name("golden_minimol.json").read_text())["entries"]
    texts = [*SMILES, *AWKWARD, *(entry["smiles"] for entry in golden)]
    if mirror := os.environ.get("ROFTMOL_MIRROR"):
        for name in ("tox21", "sider", "clintox", "delaney-processed"):
            path = Path(mirror, "datasets", f"{name}.csv")
            if path.is_file():
                with open(path, newline="") as stream:
                    rows = [row["smiles"] for row in csv.DictReader(stream)]
                texts += rows[:: len(rows) // 150]
    return [text for text in texts if (molecule := Chem.MolFromSmiles(text)) is not None and molecule.GetNumAtoms()]


@pytest.fixture(scope="module")
def chemprop():
    """Its package, an independent implementation that nothing here needs."""
    package = pytest.importorskip("chemprop", reason="not compared: chemprop is not installed")
    pytest.importorskip("chemprop.featurizers")
    return package


def test_features_are_chemprops(chemprop) -> None:
    theirs = chemprop.featurizers.SimpleMoleculeMolGraphFeaturizer()
    for text in diverse():
        molecule = Chem.MolFromSmiles(text)
        ours, graph = featurize(molecule), theirs(molecule)
        order = [*range(0, len(graph.E), 2), *range(1, len(graph.E), 2)]  # ours has one direction after the other
        np.testing.assert_array_equal(ours.atoms, graph.V, text)
        np.testing.assert_array_equal(ours.bonds, graph.E[order], text)
        np.testing.assert_array_equal([ours.senders, ours.receivers], graph.edge_index[:, order], text)


@pytest.mark.parametrize(("depth", "width", "molecules"), [(6, 2048, 20), (6, 64, None), (3, 300, 100)])
def test_vectors_are_chemprops(depth: int, width: int, molecules: int | None, chemprop, tmp_path: Path) -> None:
    """Weights drawn by chemprop, in a file as it would be published, read here."""
    torch.manual_seed(0)
    theirs = chemprop.nn.BondMessagePassing(d_v=72, d_e=14, d_h=width, depth=depth).eval()
    settings = {"d_v": 72, "d_e": 14, "d_h": width, "depth": depth, "activation": "relu"}
    torch.save({"hyper_parameters": settings, "state_dict": theirs.state_dict()}, tmp_path / "w.pt")
    convert(tmp_path / "w.pt", {"kind": "dmpnn", "depth": depth, "width": width}, tmp_path / "e.safetensors", name="x")
    texts = diverse()[:molecules]
    featurizer = chemprop.featurizers.SimpleMoleculeMolGraphFeaturizer()
    batch = chemprop.data.BatchMolGraph([featurizer(Chem.MolFromSmiles(text)) for text in texts])
    with torch.no_grad():
        expected = chemprop.nn.MeanAggregation()(theirs(batch), batch.batch)
    torch.testing.assert_close(
        embed(load_encoder(tmp_path / "e.safetensors", 0.0), texts), expected, atol=1e-6, rtol=1e-5
    )
