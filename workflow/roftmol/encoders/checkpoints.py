"""Published and shipped weights -> one safetensors file under our names.

Weights are read by `torch.load(weights_only=True)`, by safetensors or as narrowly, so a file cannot run code; every
name and shape is checked, and an error says which differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from roftmol.core.errors import UserError
from roftmol.core.files import atomic, sha256
from roftmol.core.seeds import seed_of
from roftmol.encoders.base import Encoder
from roftmol.encoders.kinds import encoder_file, new_encoder
from roftmol.features.vocabulary import MASKED_ELEMENT, SELF_LOOP

FORMAT = "roftmol-encoder-1"

#: By vocabulary: the rows of our tables that a published table's rows are, one by one. MolCLR numbers elements and bond
#: types as Hu et al. do, but its tables lack the unused element and the masked bond; those rows stay zero here.
_ROWS: dict[str, dict[str, tuple[int, ...]]] = {
    "hu": {},
    "molclr": {
        "element.weight": (*range(118), MASKED_ELEMENT),
        "bond_type.weight": tuple(range(SELF_LOOP + 1)),
    },
}


def convert(
    raw: Path,
    architecture: Mapping[str, Any],
    out: Path,
    *,
    name: str,
    vocabulary: str = "hu",
    drop: tuple[str, ...] = (),
) -> None:
    """Check the weights in `raw` against the architecture and write them to `out`, atomically.

    `vocabulary` says how the rows of the embedding tables are numbered; weights whose published name starts with one of
    `drop` are no part of the encoder. Raises `UserError` if the file cannot be read as weights or a name or shape
    differs.
    """
    published = {key: tensor for key, tensor in read_state(raw, architecture).items() if not key.startswith(drop)}
    file = encoder_file(architecture["kind"])
    if file.described:
        architecture = file.described(raw, architecture)
    encoder = file.new(architecture, 0.0)
    encoder.check_draw()
    expected = encoder.state_dict()
    state = {file.our_name(key): tensor for key, tensor in published.items()}
    state = {key: _as_here(key, tensor, expected) for key, tensor in state.items()}
    state = {key: _in_our_rows(key, tensor, expected, vocabulary) for key, tensor in state.items()}
    # Old files lack BatchNorm's batch counters; nothing here reads them.
    for key, tensor in expected.items():
        if key.endswith("num_batches_tracked"):
            state.setdefault(key, tensor)
    problems = [
        *(f"missing {key} {tuple(expected[key].shape)}" for key in expected.keys() - state.keys()),
        *(f"unknown {key} {tuple(state[key].shape)}" for key in state.keys() - expected.keys()),
        *(
            f"{key} has shape {tuple(state[key].shape)}, expected {tuple(expected[key].shape)}"
            for key in expected.keys() & state.keys()
            if state[key].shape != expected[key].shape
        ),
        *(f"{key} is not finite" for key, tensor in state.items() if not torch.isfinite(tensor).all()),
    ]
    if problems:
        shown = "; ".join(sorted(problems)[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        shown = shown.replace(file.prefix, "")
        raise UserError(
            f"checkpoint {name} ({raw}): the weights do not fit the architecture {dict(architecture)}: {shown}. "
            "Correct the registry entry's architecture or its source, or your model's code, weights or `drop`."
        )
    metadata = {
        "format": FORMAT,
        "name": name,
        "source_sha256": sha256(raw),
        "architecture": json.dumps(dict(architecture), sort_keys=True),
        **({"code_sha256": sha256(architecture["code"])} if "code" in architecture else {}),  # a user's own file
    }
    with atomic(out) as temporary:
        # Cloned, for weights under two names may share their memory, and the format does not know that.
        save_file({key: state[key].contiguous().clone() for key in expected}, temporary, metadata=metadata)


def _as_here(key: str, tensor: Tensor, expected: Mapping[str, Tensor]) -> Tensor:
    """Return weights in the encoder's precision, whatever they were published in; counters as they are."""
    precision = expected[key].dtype if key in expected else torch.float32
    return tensor.to(precision) if tensor.is_floating_point() else tensor


def _in_our_rows(key: str, tensor: Tensor, expected: Mapping[str, Tensor], vocabulary: str) -> Tensor:
    """Return an embedding table of another vocabulary with its rows where ours are; any other tensor as it is."""
    for ending, rows in _ROWS[vocabulary].items():
        if key in expected and key.endswith(ending) and len(tensor) == len(rows):
            ours = tensor.new_zeros(len(expected[key]), *tensor.shape[1:])
            ours[list(rows)] = tensor
            return ours
    return tensor


def draw(architecture: Mapping[str, Any], out: Path, seed: int = 0) -> None:
    """Write the weights of an untrained encoder to `out`."""
    torch.manual_seed(seed_of("untrained encoder", seed))
    with atomic(out) as temporary:
        save_file(new_encoder(architecture).state_dict(), temporary)


def read_state(path: Path, architecture: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file or of a state dict saved by torch; what a pickle may hold is never run.

    A file that is neither is read as the encoder of this architecture says, if that says anything. Raises `UserError`
    if it cannot be read.
    """
    try:
        if path.suffix == ".safetensors" or _is_safetensors(path):
            return load_file(path)
        if architecture and (reader := encoder_file(architecture["kind"]).read_published):
            state = reader(path, architecture)
        else:
            state = torch.load(path, weights_only=True, map_location="cpu")
    except UserError:
        raise
    except Exception as error:  # damaged pickles raise whatever their bytes happen to ask for
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(
            f"{path}: cannot be read as weights ({reason}). The file is truncated, is no state "
            "dict, or holds more than tensors; it was not run. Fetch it again or ask for a state dict or safetensors."
        ) from error
    for key in ("state_dict", "model_state_dict", "model"):  # what training scripts save beside the optimizer's
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: expected a dictionary of tensors (a state dict), found {type(state).__name__}")
    return dict(state)


def load_encoder(path: Path, dropout: float) -> Encoder:
    """Return the encoder that :func:`convert` wrote.

    Raises `UserError` if the file is of another kind, or the user's code of its module was edited since.
    """
    metadata = _metadata(path)
    architecture = json.loads(metadata["architecture"])
    code = Path(architecture.get("code", ""))
    if code.is_file() and sha256(code) != metadata["code_sha256"]:
        raise UserError(f"{code}: it was edited after {path} was made from it. Run the workflow again.")
    encoder = new_encoder(architecture, dropout)
    encoder.load_state_dict(load_file(path))
    return encoder


def architecture_of(path: Path) -> dict[str, Any]:
    """Return the architecture of the encoder that :func:`convert` wrote; raise as :func:`load_encoder`."""
    architecture: dict[str, Any] = json.loads(_metadata(path)["architecture"])
    return architecture


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not an encoder's weights ({error}). Delete it and run the workflow again.") from error
    if metadata.get("format") != FORMAT:
        raise UserError(f"{path}: not an encoder written by this workflow. Delete it and run the workflow again.")
    return dict(metadata)


def _is_safetensors(path: Path) -> bool:
    # The format opens with the header's length (8 bytes) and the header, a JSON object.
    with open(path, "rb") as file:
        return file.read(9)[8:] == b"{"
