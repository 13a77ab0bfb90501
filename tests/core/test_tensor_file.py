"""Files of tensors: what is read is what was written, or the file is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random

import numpy as np
import pytest
from safetensors.numpy import save_file

from damage import damaged, read_or_refused
from roftmol.core import tensor_file
from roftmol.core.errors import UserError
from roftmol.core.files import canonical_json
from roftmol.core.weights_digest import file_digest

TENSORS = {
    "a": np.arange(24, dtype=np.float32).reshape(4, 6),
    "b": np.array(3, np.int64),
    "c": np.zeros((0, 5), np.uint8),
}
SAID = {"format": "x", "row": '{"score": 1.5}'}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tensor_file.save(tmp_path / "a.safetensors", TENSORS, SAID)
    return tmp_path / "a.safetensors"


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with tensor_file.opened(path, "no tensors", "Make them again.") as file:
        return file.tensors(), dict(file.metadata)


def test_a_file_gives_back_what_was_written(path: Path):
    tensors, said = read(path)
    assert said == SAID
    assert {name: (array.dtype, array.tolist()) for name, array in tensors.items()} == {
        name: (array.dtype, array.tolist()) for name, array in TENSORS.items()
    }
    assert tensor_file.fault(path) == ""


def test_the_same_content_is_the_same_bytes(path: Path, tmp_path: Path):
    said = dict(reversed(SAID.items())) | {"odd": 'é\n\x1b"\\'}
    for number in range(8):
        tensor_file.save(tmp_path / f"{number}.safetensors", TENSORS, said)
    assert len({(tmp_path / f"{number}.safetensors").read_bytes() for number in range(8)}) == 1
    assert read(tmp_path / "0.safetensors")[1] == said


def test_numpy_and_torch_have_the_same_digests(path: Path, tmp_path: Path):
    torch = pytest.importorskip("torch")
    of_torch = {name: torch.from_numpy(array) for name, array in TENSORS.items()}
    tensor_file.save(tmp_path / "b.safetensors", of_torch, SAID)
    assert read(tmp_path / "b.safetensors")[1] == SAID
    with tensor_file.opened(path, "no tensors", "", "pt") as file:
        assert {name: tensor.tolist() for name, tensor in file.tensors().items()} == {
            name: array.tolist() for name, array in TENSORS.items()
        }


def test_a_flipped_bit_in_any_byte_is_noticed_or_changes_nothing(path: Path, tmp_path: Path):
    whole, rng = path.read_bytes(), Random(0)
    expected = {name: array.tobytes() for name, array in TENSORS.items()}
    victim = tmp_path / "victim.safetensors"
    refused = 0
    for at in range(len(whole)):
        victim.write_bytes(damaged(whole, rng, 0, at))
        found, told = read_or_refused(lambda: read(victim))
        if found is None:
            assert told.startswith(f"{victim}: no tensors (")
            assert told.endswith("Make them again.")
            refused += 1
        else:
            assert found[1] == SAID
            assert {name: array.tobytes() for name, array in found[0].items()} == expected
    assert refused > 0.9 * len(whole)


def test_what_is_cut_or_filled_is_noticed(path: Path, tmp_path: Path):
    whole, rng = path.read_bytes(), Random(0)
    victim = tmp_path / "victim.safetensors"
    for _ in range(50):
        for content in (whole[: rng.randrange(len(whole))], damaged(whole, rng, 1), damaged(whole, rng, 2)):
            victim.write_bytes(content)
            with pytest.raises(UserError, match="no tensors"):
                read(victim)


@pytest.mark.parametrize("lost", [tensor_file.DIGEST, tensor_file.DIGESTS])
def test_a_file_that_lost_one_of_the_keys_is_damaged(tmp_path: Path, lost: str):
    said = tensor_file.with_digests(TENSORS, SAID)
    del said[lost]
    save_file(TENSORS, tmp_path / "a.safetensors", metadata=said)
    with pytest.raises(UserError, match="not what was written"):
        read(tmp_path / "a.safetensors")


def test_a_tensor_that_is_lost_is_told(path: Path):
    rest = {name: array for name, array in TENSORS.items() if name != "b"}
    save_file(rest, path, metadata=tensor_file.with_digests(TENSORS, SAID))
    with pytest.raises(UserError, match="tensor b is not there"):
        read(path)


def test_digests_that_are_none_are_told(tmp_path: Path):
    said = {**SAID, tensor_file.DIGESTS: "[]"}
    said[tensor_file.DIGEST] = hashlib.sha256(canonical_json(said).encode()).hexdigest()
    save_file(TENSORS, tmp_path / "a.safetensors", metadata=said)
    with pytest.raises(UserError, match="its digests are no object"):
        read(tmp_path / "a.safetensors")


def test_an_older_file_without_digests_is_read_and_has_the_same_identity(path: Path, tmp_path: Path):
    save_file(TENSORS, tmp_path / "old.safetensors", metadata=SAID)
    assert read(tmp_path / "old.safetensors")[1] == SAID
    assert file_digest(tmp_path / "old.safetensors") == file_digest(path)


def test_a_part_is_read_without_the_others(path: Path):
    whole = bytearray(path.read_bytes())
    start = whole.index(TENSORS["a"].tobytes())
    whole[start] ^= 1
    path.write_bytes(whole)
    with tensor_file.opened(path, "no tensors", "") as file:
        assert file.tensor("b") == 3
    assert "tensor a is not what was written" in tensor_file.fault(path)
