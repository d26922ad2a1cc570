"""A task of a few hundred numbers for the training loop, and a program that trains it and can be killed.

`python -m stt_platform_tests.helpers.tiny_task FOLDER [STEP]` trains with checkpoints in FOLDER and writes the weights to
FOLDER/trained; with STEP it waits for ever once that step is made.
"""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from stt_platform.training.checkpoints import Checkpoints
from stt_platform.training.loop import LoopOptions, Step, train

WORDS = 11
OPTIONS = LoopOptions(
    epochs=3,
    accumulation=3,
    learning_rate=0.02,
    evaluate_every_steps=4,
    stop_on=(("loss", "min"),),
    checkpoint_every_steps=3,
    weight_decay=0.01,
)


class TinyTask:
    """Predicts the next of 11 words from one word; the rule can be learned, and some words are wrong."""

    def __init__(self, *, examples: int = 40, batch_size: int = 2, dropout: float = 0.2) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(7)
        self.model = torch.nn.Sequential(
            torch.nn.Embedding(WORDS, 8), torch.nn.Dropout(dropout), torch.nn.LayerNorm(8), torch.nn.Linear(8, WORDS)
        )
        rng = np.random.default_rng(3)
        self.rows = [rng.integers(WORDS, size=rng.integers(2, 9)) for _ in range(examples)]
        self.batch_size = batch_size
        self.evaluations: list[dict[str, float]] = []
        self.draws: list[int] = []

    def trainable(self) -> Iterable[tuple[str, torch.nn.Parameter]]:
        return sorted(self.model.named_parameters())

    def epoch(self, number: int) -> Sequence[Sequence[int]]:
        order = np.random.default_rng(number).permutation(len(self.rows))
        return [order[k : k + self.batch_size].tolist() for k in range(0, len(order), self.batch_size)]

    def loss(self, indices: Sequence[int], draw: int) -> tuple[torch.Tensor, int]:
        self.draws.append(draw)
        total, tokens = torch.zeros(()), 0
        for index in indices:
            words = torch.as_tensor(self.rows[index])
            # SpecAugment and the like: random, and not from torch.
            noise = torch.as_tensor(np.random.default_rng([draw, index]).normal(size=WORDS), dtype=torch.float32)
            total = total + torch.nn.functional.cross_entropy(
                self.model(words) + 0.1 * noise * self.model.training, (words * 3 + 1) % WORDS, reduction="sum"
            )
            tokens += len(words)
        return total, tokens

    def train_mode(self) -> None:
        self.model.train()

    def eval_mode(self) -> None:
        self.model.eval()

    def save(self, folder: Path) -> None:
        save_file(self.model.state_dict(), folder / "weights.safetensors")

    def load(self, folder: Path) -> None:
        self.model.load_state_dict(load_file(folder / "weights.safetensors"))

    def evaluate(self) -> Mapping[str, float]:
        if self.evaluations:
            return self.evaluations.pop(0)
        total, tokens = self.loss(range(8), 0)
        return {"loss": float(total) / tokens}


def main(folder: Path, stop_at: int | None) -> None:
    def progress(step: Step) -> None:
        print(step.step, flush=True)
        if step.step == stop_at:
            time.sleep(600)

    task = TinyTask()
    train(task, OPTIONS, Checkpoints(folder, "tiny"), progress=progress)
    (folder / "trained").mkdir()
    task.save(folder / "trained")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
