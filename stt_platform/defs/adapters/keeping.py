"""Train, and keep what was trained as an adapter on disk, whole and with all that says where it comes from."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from stt_platform.defs.adapters.report import CURVES, EXAMPLES
from stt_platform.defs.adapters.training_run import clear_checkpoints, curves_of, run_training
from stt_platform.errors import PlatformError
from stt_platform.models.registry import Model
from stt_platform.orchestration.work import Work
from stt_platform.store.adapters import record_made
from stt_platform.store.stages import StageResult
from stt_platform.training.adapter_files import AdapterFiles, Base, Provenance, weights_sha256, write_adapter
from stt_platform.training.curves_picture import curves_picture
from stt_platform.training.loop import STOPPED_EARLY, LoopOptions, Task, Trained
from stt_platform.training.memory_plan import MemoryPlan, compare, table

_MAX_EXAMPLES = 12
_NAMES = {"chrf": "chrF++"}


class AdapterTask(Task, Protocol):
    """A task whose weights are kept, with the parameters that decide them."""

    def parameters(self) -> dict[str, Any]:
        """List them for the manifest."""
        ...


@dataclass(frozen=True)
class Training:
    """One training that becomes an adapter.

    Attributes:
        kind: of `Provenance`.
        entry: the base model; its weights lie in `base_folder`.
        dataset_sha256: of the training set.
        summary, sermons: see `Provenance`.
        rejected: the reason for each example that cannot be trained on.
        examples: of the validation set, for people; `write` gives what the model as it is makes of each.
        convert: puts the weights of the first folder into the second, in the format that serves; None where none is needed.
        shown: what this training shows beside.
    """

    kind: str
    entry: Model
    base_folder: Path
    dataset_sha256: str
    device: str
    plan: MemoryPlan
    loop: LoopOptions
    summary: str
    examples: Sequence[Mapping[str, str]]
    write: Callable[[], Sequence[str]]
    rejected: Mapping[str, str]
    sermons: Sequence[str] = ()
    convert: Callable[[Path, Path], object] | None = None
    shown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainedData:
    """What a training made.

    Attributes:
        base: identity of the model that was trained on.
        status: "finished", or how else the training ended.
        best_step: the step whose weights were kept.
        left_out: how many examples could not be learned from.
    """

    adapter_id: str
    base: str
    status: str
    steps: int
    best_step: int
    left_out: int


def train_adapter(work: Work, task: AdapterTask, training: Training) -> StageResult:
    """Train, write `STT_HOME/adapters/<id>`, and show the curves with examples from before and after.

    Raises:
        PlatformError: the disk is full (the checkpoints of the training are still there), or see `run_training`.
    """
    before = training.write()
    trained = run_training(work, task, training.loop, device=training.device)
    after = training.write()
    adapter = _keep(work, task, training, trained)
    clear_checkpoints(work)
    picture = curves_picture(trained.steps, trained.evaluations, best_step=trained.best_step, names=_NAMES)
    (work.shown_folder / CURVES).write_bytes(picture)
    rows = [
        {**known, "before": one, "after": other}
        for known, one, other in zip(training.examples, before, after, strict=True)
    ]
    changed = sorted(rows, key=lambda row: row["before"] == row["after"])[:_MAX_EXAMPLES]
    (work.shown_folder / EXAMPLES).write_text(json.dumps(changed, ensure_ascii=False, indent=1), encoding="utf-8")
    data = TrainedData(
        adapter_id=adapter.adapter_id,
        base=training.entry.identity,
        status=trained.status,
        steps=trained.steps[-1].step,
        best_step=trained.best_step,
        left_out=len(training.rejected),
    )
    shown = {
        **{name: value for name, value in asdict(data).items() if name not in ("best_step", "left_out")},
        "best step": data.best_step,
        "training (s)": round(trained.seconds, 1),
        "tokens per second": round(sum(step.tokens for step in trained.steps) / max(trained.seconds, 1e-9), 1),
        "left out": dict(training.rejected),
        "memory plan": table(training.plan.estimate),
        "memory": _memory(training.plan, trained, training.device),
        **training.shown,
    }
    return StageResult(data=data, tables={"adapters": [_row(adapter, trained)]}, shown=shown)


def _keep(work: Work, task: AdapterTask, training: Training, trained: Trained) -> AdapterFiles:
    def fill(folder: Path) -> None:
        task.save(folder)
        if training.convert is not None:
            work.say("converting the weights to the format that serves")
            training.convert(folder, folder / "serving")

    entry = training.entry
    provenance = Provenance(
        kind=training.kind,
        base=Base(entry.name, entry.pinned_revision, weights_sha256(training.base_folder)),
        dataset_sha256=training.dataset_sha256,
        parameters={**task.parameters(), **training.loop.model_dump()},
        code_version=version("stt-platform"),
        curves=curves_of(trained),
        summary=training.summary,
        sermons=tuple(training.sermons),
    )
    try:
        adapter = write_adapter(work.home / "adapters", provenance, fill)
    except OSError as error:
        raise PlatformError(
            f"the adapter could not be written to {work.home / 'adapters'} ({error}): make room and run it again; the "
            "training is saved and only the writing is repeated"
        ) from error
    record_made(work.home, work.stage, work.part, adapter.adapter_id)
    return adapter


def _row(adapter: AdapterFiles, trained: Trained) -> dict[str, Any]:
    provenance = adapter.provenance
    early = trained.status == STOPPED_EARLY
    return {
        "adapter_id": adapter.adapter_id,
        "kind": provenance.kind,
        "base_model": provenance.base.name,
        "base_revision": provenance.base.revision,
        "dataset_sha256": provenance.dataset_sha256,
        "parameters": json.dumps(provenance.parameters, sort_keys=True, ensure_ascii=False),
        "created_at": adapter.created_at,
        "status": "stopped early" if early else "trained",
        "reason": "nothing that was watched became better any more" if early else None,
    }


def _memory(plan: MemoryPlan, trained: Trained, device: str) -> str:
    measured = max((step.memory_bytes for step in trained.steps), default=0)
    if device == "cpu" or not measured:
        return f"{plan.words}; the whole process took {measured / 1e9:.1f} GB"
    return f"{plan.words}; {compare(plan.estimate, measured)}"
