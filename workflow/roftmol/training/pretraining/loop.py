"""Pretraining: one loop for every objective; it resumes after a kill and keeps the best by held-out loss."""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from roftmol.core import tensor_file
from roftmol.core.devices import device_of
from roftmol.core.errors import UserError
from roftmol.core.files import atomic, digest, sha256
from roftmol.core.seeds import generator, seed_of
from roftmol.encoders.base import Encoder
from roftmol.encoders.checkpoints import architecture_of, load_encoder
from roftmol.encoders.gnn import GNN, Architecture
from roftmol.features.graphs import Batch, Graphs

Labels = npt.NDArray[np.floating]
Level = Literal["atom", "molecule"]


class Objective(Protocol):
    """What a recipe offers the loop."""

    #: What has a row of targets: each atom or each molecule.
    level: ClassVar[Level]
    #: Whether atoms of one environment may share a row: not where atoms are hidden.
    merges: ClassVar[bool]

    def prepare(self, smiles: list[str], labels: Labels, processes: int, /) -> tuple[Graphs, npt.NDArray[np.generic]]:
        """Return the corpus as graphs, and the targets; `labels` is molecules x tasks."""

    def decoder(self, width: int, tasks: int, /) -> nn.Module:
        """Return what turns the encoder's vectors into predictions; it is dropped after pretraining."""

    def loss(
        self, encoder: Encoder, decoder: nn.Module, batch: Batch, targets: Tensor, rng: np.random.Generator, /
    ) -> Tensor:
        """Return the loss on one batch."""


@dataclass(frozen=True)
class PretrainSettings:
    """How long and how: AdamW with a linear warm-up and a cosine to zero, over `epochs` passes."""

    architecture: Architecture = field(default_factory=Architecture)
    epochs: int = 6
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_steps: int = 500
    held_out: int = 5000
    save_every: int = 250  # steps between two saves of the state
    seed: int = 0


def pretrain(
    objective: Objective,
    settings: PretrainSettings,
    smiles: list[str],
    labels: Labels,
    state: Path,
    out: Path,
    processes: int = 1,
    start: Path | None = None,
) -> list[dict[str, float]]:
    """Pretrain an encoder on `smiles` and write the weights with the lowest held-out loss to `out`.

    `labels` is molecules x tasks, with no column for objectives that need none. The encoder goes on from the weights
    `start`, a checkpoint of the same architecture; without, its weights are drawn at random.

    `state` is kept beside the run. With it, a run that was killed goes on where it was, with the same result. Returns
    the learning curve: one entry an epoch with train and held-out loss and molecules per second.
    """
    device = device_of("auto")
    corpus, targets = objective.prepare(smiles, labels, processes)
    torch.manual_seed(seed_of("pretrain", settings.seed))
    encoder = GNN(settings.architecture, dropout=0.0).to(device)
    if start is not None:
        go_on_from(start, encoder, settings.architecture)
    decoder = objective.decoder(encoder.width, labels.shape[1]).to(device)
    optimizer = torch.optim.AdamW(
        [*encoder.parameters(), *decoder.parameters()], settings.learning_rate, weight_decay=settings.weight_decay
    )
    merged = encoder.merged() if objective.merges else range(0)
    order = generator("pretrain split", settings.seed).permutation(len(corpus))
    held_out = order[: settings.held_out]
    training = order[settings.held_out :]
    steps = math.ceil(len(training) / settings.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings, steps))

    def loss_of(molecules: npt.NDArray[np.int64], *purpose: object) -> tuple[Tensor, int]:
        batch = corpus.batch(molecules, merged).to(device)
        rows = molecules
        if objective.level == "atom":
            rows = np.concatenate([np.arange(corpus.offsets[m], corpus.offsets[m + 1]) for m in molecules])
        rng = generator("pretrain masks", settings.seed, *purpose)
        return objective.loss(encoder, decoder, batch, torch.from_numpy(targets[rows]).to(device), rng), len(molecules)

    identity = digest(
        {
            "settings": asdict(settings),
            "objective": repr(objective),
            "corpus": [*smiles[:1], len(smiles)],
            "labels": hashlib.sha256(labels.tobytes()).hexdigest(),
            **({"start": sha256(start)} if start is not None else {}),
        }
    )
    first_epoch = 0
    first_step = 0
    running = (0.0, 0, 0.0)  # of this epoch so far: the sum of the molecules' losses, the molecules, the seconds
    curve: list[dict[str, float]] = []
    best = math.inf
    best_weights: dict[str, Tensor] = {}
    if state.exists():
        saved = torch.load(state, weights_only=True, map_location=device)
        if saved["identity"] == identity:
            encoder.load_state_dict(saved["encoder"])
            decoder.load_state_dict(saved["decoder"])
            optimizer.load_state_dict(saved["optimizer"])
            schedule.load_state_dict(saved["schedule"])
            first_epoch = saved["epoch"]
            first_step = saved["step"]
            running = saved["running"]
            curve = json.loads(saved["curve"])
            best = saved["best"]
            best_weights = saved["best_weights"]

    def save(epoch: int, step: int) -> None:
        content = {
            "identity": identity,
            "encoder": encoder.state_dict(),
            "decoder": decoder.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "epoch": epoch,
            "step": step,
            "best": best,
            "best_weights": best_weights,
            "running": running,
            "curve": json.dumps(curve),
        }
        with atomic(state) as temporary:
            torch.save(content, temporary)

    for epoch in range(first_epoch, settings.epochs):
        shuffled = generator("pretrain order", settings.seed, epoch).permutation(training)
        batches = np.array_split(shuffled, steps)
        encoder.train()
        bar = tqdm(total=steps, initial=first_step, desc=f"epoch {epoch + 1}/{settings.epochs}", mininterval=10)
        for step in range(first_step, steps):
            started = time.perf_counter()
            loss, count = loss_of(batches[step], epoch, step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total, molecules, seconds = running
            running = (total + loss.item() * count, molecules + count, seconds + time.perf_counter() - started)
            bar.update()
            bar.set_postfix(loss=f"{running[0] / running[1]:.3f}", per_second=f"{running[1] / running[2]:.0f}")
            if (step + 1) % settings.save_every == 0:
                save(epoch, step + 1)
        bar.close()
        encoder.eval()
        with torch.no_grad():
            parts = np.array_split(held_out, math.ceil(len(held_out) / settings.batch_size))
            losses = [loss_of(part, "held out", number) for number, part in enumerate(parts)]
        value = sum(loss.item() * count for loss, count in losses) / len(held_out)
        total, molecules, seconds = running
        curve.append(
            {
                "epoch": epoch + 1,
                "train_loss": total / molecules,
                "held_out_loss": value,
                "molecules_per_second": molecules / seconds,
            }
        )
        tqdm.write(json.dumps(curve[-1]))
        if value < best:
            best = value
            best_weights = {name: tensor.detach().cpu().clone() for name, tensor in encoder.state_dict().items()}
        first_step = 0
        running = (0.0, 0, 0.0)
        save(epoch + 1, 0)
    tensor_file.save(out, best_weights, {"settings": json.dumps(asdict(settings))})
    return curve


def go_on_from(start: Path, encoder: GNN, architecture: Architecture) -> None:
    """Give an encoder the weights of a checkpoint.

    Raises `UserError` if that is of another architecture.
    """
    theirs, ours = architecture_of(start), asdict(architecture)
    if theirs != ours:
        raise UserError(f"{start}: its architecture is {theirs} and the recipe's {ours}; start from another one")
    encoder.load_state_dict(load_encoder(start, 0.0).state_dict())


def _rate(step: int, settings: PretrainSettings, steps_an_epoch: int) -> float:
    """Return the learning rate's factor: it rises linearly, then falls along a cosine to zero."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    total = settings.epochs * steps_an_epoch
    return 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
