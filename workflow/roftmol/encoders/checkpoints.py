"""Published and shipped weights -> one safetensors file under our names.

Weights are read by `torch.load(weights_only=True)`, by safetensors or as narrowly, so a file cannot run code; every
name and shape is checked, and an error says which differ.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from roftmol.core import tensor_file
from roftmol.core.errors import UserError
from roftmol.core.files import sha256
from roftmol.core.seeds import seed_of
from roftmol.core.tensor_file import TensorFile
from roftmol.encoders.base import Encoder
from roftmol.encoders.kinds import encoder_file, new_encoder
from roftmol.features.vocabulary import MASKED_ELEMENT, SELF_LOOP
from roftmol.registry.encoder_kinds import encoder_kind

FORMAT = "roftmol-encoder-1"
#: The kind of a user's own module, whose file is code.
OWN = "own"
#: How names begin in weights that were saved out of torch's DataParallel.
WRAPPER = "module."

#: What helps where a file of weights cannot be read.
ANEW = (
    "The file is truncated, damaged, no state dict, or holds more than tensors; it was not run. Fetch it again or ask "
    "for a state dict or safetensors."
)
#: The most of each that an architecture may say. The largest registered encoder is a tenth as deep and a third as wide.
MOST = {"layers": 64, "depth": 64, "width": 8192}

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
    `drop` are no part of the encoder. Names from within DataParallel lose its `module.`. Raises `UserError` if the file
    cannot be read as weights or a name or shape differs.
    """
    published = read_state(raw, architecture)
    file = encoder_file(architecture["kind"])
    if file.described:
        architecture = file.described(raw, architecture)
    encoder = file.new(architecture, 0.0)
    encoder.check_draw()
    expected = encoder.state_dict()
    if _is_wrapped(published, {file.our_name(key) for key in published} & expected.keys()):
        published = {key.removeprefix(WRAPPER): tensor for key, tensor in published.items()}
    state = {file.our_name(key): tensor for key, tensor in published.items() if not key.startswith(drop)}
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
    # Cloned, for weights under two names may share their memory, and the format does not know that.
    tensor_file.save(out, {key: state[key].contiguous().clone() for key in expected}, metadata)


def _is_wrapped(published: Mapping[str, Tensor], fitting: set[str]) -> bool:
    """Return whether weights were saved out of torch's DataParallel, whose one submodule is the network."""
    return bool(published) and not fitting and all(key.startswith(WRAPPER) for key in published)


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
    tensor_file.save(out, new_encoder(architecture).state_dict())


def read_state(path: Path, architecture: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file or of a state dict saved by torch; what a pickle may hold is never run.

    A file that is neither is read as the encoder of this architecture says, if that says anything. Raises `UserError`
    if it cannot be read.
    """
    try:
        if path.suffix == ".safetensors" or _is_safetensors(path):
            with tensor_file.opened(path, "cannot be read as weights", ANEW, "pt") as file:
                return file.tensors()
        if architecture and (reader := encoder_file(architecture["kind"]).read_published):
            state = reader(path, architecture)
        else:
            _check_records(path)
            state = torch.load(path, weights_only=True, map_location="cpu")
    except UserError:
        raise
    except Exception as error:  # damaged pickles raise whatever their bytes happen to ask for
        raise UserError(f"{path}: cannot be read as weights ({_reason(error)}). {ANEW}") from error
    for key in ("state_dict", "model_state_dict", "model"):  # what training scripts save beside the optimizer's
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: expected a dictionary of tensors (a state dict), found {type(state).__name__}")
    return dict(state)


def load_encoder(path: Path, dropout: float, own_code: str = "") -> Encoder:
    """Return the encoder that :func:`convert` wrote.

    `own_code` is the file of the user's own module. No other code is run, whatever the file of weights names. Raises
    `UserError` if the file is of another kind, damaged, of an own module that `own_code` does not name, or if that
    module's code was edited since.
    """
    with _opened(path) as file:
        file.expect(FORMAT)
        architecture = _architecture(file)
        state = file.tensors()
    if architecture["kind"] == OWN:
        architecture = _with_named_code(path, architecture, file.metadata.get("code_sha256", ""), own_code)
    check_size(path, architecture, state)
    return fill(path, new_encoder(architecture, dropout), state)


def _with_named_code(path: Path, architecture: dict[str, Any], expected: str, own_code: str) -> dict[str, Any]:
    """Return an own module's architecture with the code that the user named.

    Raises `UserError` if the user named none, or if it is not what the weights were made with.
    """
    if not own_code:
        raise UserError(
            f"{path}: it names {architecture.get('code')!r} as its code, which nobody asked to run. Take weights of a "
            "registered kind, or name the file under `own_models` in the configuration."
        )
    if not Path(own_code).is_file():
        raise UserError(f"there is no file {own_code!r} (from {Path.cwd()})")
    if sha256(own_code) != expected:
        raise UserError(f"{own_code}: it was edited after {path} was made from it. Run the workflow again.")
    return {**architecture, "code": own_code}


def check_size(path: Path | str, architecture: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Raise `UserError` if tensors are too few for an encoder of this architecture, before it takes memory.

    Every kind has at least a matrix of width x width in each layer. Nothing is checked of a user's own module.
    """
    check_bounds(path, architecture)
    if architecture["kind"] == OWN:
        return
    layers, width = architecture.get("layers", 1), architecture.get("width", 1)
    numbers = sum(tensor.numel() for tensor in state.values())
    if numbers < layers * width**2:
        raise UserError(
            f"{path}: it holds {numbers:,} numbers, and an encoder of its architecture {dict(architecture)} has at "
            f"least {layers * width**2:,}. Make it again, or ask for another copy."
        )


def fill(path: Path, encoder: Encoder, state: Mapping[str, Tensor]) -> Encoder:
    """Give an encoder its tensors and return it; raise `UserError` if they are not its own."""
    try:
        encoder.load_state_dict(dict(state))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{path}: its tensors are not those of its architecture ({reason}). Make it again, or ask for another copy."
        ) from error
    return encoder


def check_bounds(path: Path | str, architecture: Mapping[str, Any]) -> None:
    """Raise `UserError` for an architecture of an unknown kind, with other keys than its kind has, or beyond bounds."""
    try:
        kind = encoder_kind(architecture.get("kind"))
    except UserError as error:
        raise UserError(f"{path}: {error}. Use a newer version of the program, or ask for another copy.") from error
    named = {"kind", *kind.keys}
    # A published model of atoms in space can say more of itself (`EncoderFile.described`).
    if named - architecture.keys() or (architecture.keys() - named and not kind.spatial):
        raise UserError(
            f"{path}: its architecture {dict(architecture)} has other keys than {', '.join(kind.keys)}. Make it again."
        )
    for key, most in MOST.items():
        number = architecture.get(key, 1)
        if type(number) is not int or not 1 <= number <= most:
            raise UserError(
                f"{path}: its architecture has {key} {number!r}, and no encoder here has fewer than 1 or more than "
                f"{most}. Make it again, or ask for another copy."
            )


def architecture_of(path: Path) -> dict[str, Any]:
    """Return the architecture of the encoder that :func:`convert` wrote; raise as :func:`load_encoder`."""
    with _opened(path) as file:
        file.expect(FORMAT)
        return _architecture(file)


def _architecture(file: TensorFile) -> dict[str, Any]:
    architecture = file.json("architecture")
    if not isinstance(architecture, dict) or "kind" not in architecture:
        raise ValueError("its architecture is no object with a kind")
    return architecture


def _opened(path: Path) -> AbstractContextManager[TensorFile]:
    return tensor_file.opened(path, "not an encoder's weights", "Delete it and run the workflow again.", "pt")


def _reason(error: Exception) -> str:
    """Return why torch cannot read a file; its advice to read it with code and all is not passed on."""
    if refused := re.search(r"(?:GLOBAL|Unsupported global:|global:) ([\w.]+)", str(error)):
        return f"it asks for {refused[1]}, which is no tensor"
    if "weights only load failed" in str(error).casefold() or "weights_only" in str(error):
        return "it holds something else than tensors"
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _check_records(path: Path) -> None:
    """Raise `ValueError` if a file that torch saved as an archive is not as it was saved.

    Each record has a checksum, at which torch does not look. Files from before PyTorch 1.6 are no archives and have
    none. torch packs no record, so a small one never unpacks to a large one.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if packed := [record.filename for record in archive.infolist() if record.compress_type]:
                raise ValueError(f"its record {packed[0]} is packed, which torch does not do")
            if damaged := archive.testzip():
                raise ValueError(f"its record {damaged} is not what was written")


def _is_safetensors(path: Path) -> bool:
    # The format opens with the header's length (8 bytes) and the header, a JSON object.
    with open(path, "rb") as file:
        return file.read(9)[8:] == b"{"
