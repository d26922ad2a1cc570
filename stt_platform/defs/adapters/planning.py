"""Before anything loads: does the training fit the device, and with how many examples at once."""

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from pydantic import BaseModel

from stt_platform.orchestration.work import Work
from stt_platform.settings import PlatformError
from stt_platform.training.architectures import ModelShape
from stt_platform.training.memory import MemoryEstimate, estimate
from stt_platform.training.memory_plan import DoesNotFit, MemoryPlan, compare, plan, table
from stt_platform.training.training_shape import TrainingShape

T = TypeVar("T")


def options_of(kind: type[T], chosen: BaseModel, **own: Any) -> T:
    """Make the options of a task or of the loop from the settings of the same names, and from those given here."""
    same = {field.name for field in fields(kind)} & set(type(chosen).model_fields) - set(own)
    return kind(**{name: getattr(chosen, name) for name in same}, **own)


@dataclass(frozen=True)
class Planned:
    """What was planned.

    Attributes:
        rows: examples, or packed rows, of a micro-batch; `accumulation` of them make a step.
        table: what takes how much, for people.
        words: the plan in a sentence.
        found: the plan, or on a CPU the estimate.
    """

    rows: int
    accumulation: int
    table: list[dict[str, Any]]
    words: str
    found: MemoryPlan | MemoryEstimate

    def beside(self, measured_bytes: int) -> str:
        """Predicted against measured, in words."""
        return compare(self.found, measured_bytes).words


def plan_training(work: Work, model: ModelShape, training: TrainingShape, *, device: str, effective: int) -> Planned:
    """Choose the micro-batch. A CPU is not refused: it swaps, and its memory is shown.

    Args:
        training: with the rows that are asked for.
        effective: rows of one step of the optimizer; rows that do not divide it are lowered until they do.

    Raises:
        PlatformError: the card cannot hold it; says what takes how much and what to change.
    """
    rows = next(rows for rows in range(min(training.rows, effective), 0, -1) if effective % rows == 0)
    if device == "cpu":
        found = estimate(model, replace(training, rows=rows))
        words = f"{rows} × {effective // rows} rows a step, on a CPU: about {found.total_bytes / 1e9:.1f} GB"
        return Planned(rows, effective // rows, table(found), words, found)
    import torch

    free, total = torch.cuda.mem_get_info()
    try:
        chosen = plan(model, training, card_bytes=total, effective_batch=effective, used_bytes=total - free)
    except DoesNotFit as error:
        raise PlatformError(str(error)) from error
    work.log(f"memory: {chosen.words}")
    return Planned(chosen.rows, chosen.accumulation, table(chosen), chosen.words, chosen)
