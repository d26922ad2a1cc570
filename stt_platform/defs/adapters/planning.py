"""Before anything loads: does the training fit the device, and with how many examples at once."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from stt_platform.errors import PlatformError
from stt_platform.orchestration.work import Work
from stt_platform.settings import MarianTrainingSettings, SpeechTrainingSettings, TranslatorTrainingSettings
from stt_platform.training.architectures import model_config, model_shape
from stt_platform.training.loop import LoopOptions
from stt_platform.training.memory_plan import DoesNotFit, MemoryPlan, plan
from stt_platform.training.training_shape import TrainingShape

T = TypeVar("T", bound=BaseModel)


def options_of(kind: type[T], chosen: BaseModel, **own: Any) -> T:
    """Make the options of a task or of the loop from the settings of the same names, and from those given here."""
    same = kind.model_fields.keys() & type(chosen).model_fields.keys() - own.keys()
    return kind(**{name: getattr(chosen, name) for name in same}, **own)


def loop_of(
    chosen: SpeechTrainingSettings | TranslatorTrainingSettings | MarianTrainingSettings, **own: Any
) -> LoopOptions:
    """Make the options of the loop from the settings of a training, and from those given here."""
    steps = {"checkpoint_every_steps": chosen.save_steps, "evaluate_every_steps": chosen.eval_steps}
    return options_of(LoopOptions, chosen, **steps, **own)


def lora_shape(chosen: SpeechTrainingSettings | TranslatorTrainingSettings, **own: Any) -> TrainingShape:
    """Describe a training of LoRA for its memory plan; what the settings do not say is given here."""
    return TrainingShape(
        rank=chosen.rank,
        optimizer=chosen.optimizer,
        checkpointing=chosen.checkpointing,
        lora_dropout=chosen.dropout,
        dtype="float32" if chosen.base == "float32" else "bfloat16",
        autocast=chosen.base != "float32",
        quantisation=chosen.base if chosen.base in ("nf4", "int8") else "none",
        **own,
    )


def plan_training(work: Work, folder: Path, training: TrainingShape, *, device: str, effective: int) -> MemoryPlan:
    """Choose the micro-batch. A CPU is not refused: it swaps, and its memory is shown.

    Args:
        folder: of the weights of the base.
        training: with the rows that are asked for.
        effective: rows of one step of the optimizer; rows that do not divide it are lowered until they do.

    Raises:
        PlatformError: the card cannot hold it; says what takes how much and what to change.
    """
    free = total = None
    if device != "cpu":
        import torch

        free, total = torch.cuda.mem_get_info()
    used = 0 if free is None or total is None else total - free
    try:
        chosen = plan(
            model_shape(model_config(folder)), training, card_bytes=total, effective_batch=effective, used_bytes=used
        )
    except DoesNotFit as error:
        raise PlatformError(str(error)) from error
    work.log(f"memory: {chosen.words}")
    return chosen
