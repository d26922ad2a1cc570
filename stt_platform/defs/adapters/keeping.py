"""What was trained becomes an adapter on disk, whole and with all that says where it comes from."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stt_platform.defs.adapters.planning import Planned
from stt_platform.defs.adapters.report import CURVES, EXAMPLES
from stt_platform.defs.adapters.training_run import curves_of
from stt_platform.models.registry import Model
from stt_platform.orchestration.work import Work
from stt_platform.settings import PlatformError
from stt_platform.store.adapters import record_made
from stt_platform.store.stages import StageResult
from stt_platform.training.adapter_files import AdapterFiles, Base, Provenance, weights_sha256, write_adapter
from stt_platform.training.loop import STOPPED_EARLY, Trained
from stt_platform.training.pictures import curves_picture


def keep_adapter(
    work: Work,
    *,
    kind: str,
    entry: Model,
    base_folder: Path,
    dataset_sha256: str,
    parameters: Mapping[str, Any],
    trained: Trained,
    summary: str,
    sermons: Sequence[str] = (),
    fill: Callable[[Path], None],
) -> AdapterFiles:
    """Write `STT_HOME/adapters/<id>` and say that this asset (of this partition) made it.

    Raises `PlatformError` where the disk is full; the checkpoints of the training are still there.
    """
    provenance = Provenance(
        kind=kind,
        base=Base(entry.name, entry.pinned_revision, weights_sha256(base_folder)),
        dataset_sha256=dataset_sha256,
        parameters=parameters,
        code_version=version("stt-platform"),
        curves=curves_of(trained),
        summary=summary,
        sermons=tuple(sermons),
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


def adapter_row(adapter: AdapterFiles, trained: Trained) -> dict[str, Any]:
    """The row of `adapters`."""
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


def trained_result(
    adapter: AdapterFiles,
    base: str,
    trained: Trained,
    planned: Planned,
    left_out: Mapping[str, str],
    *,
    device: str,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> StageResult:
    """What every training tells of itself: its data, its row of `adapters`, and what people see of it.

    Args:
        base: identity of the model that was trained on.
        left_out: examples that could not be learned from, with the reason.
        more: what this training shows beside.
    """
    tokens = sum(step.tokens for step in trained.steps)
    data = TrainedData(
        adapter_id=adapter.adapter_id,
        base=base,
        status=trained.status,
        steps=trained.steps[-1].step,
        best_step=trained.best_step,
        left_out=len(left_out),
    )
    shown = {
        "adapter_id": adapter.adapter_id,
        "base": base,
        "status": trained.status,
        "steps": data.steps,
        "best step": data.best_step,
        "training (s)": round(trained.seconds, 1),
        "tokens per second": round(tokens / max(trained.seconds, 1e-9), 1),
        "left out": dict(left_out),
        "memory plan": planned.table,
        "memory": _memory(planned, trained, device),
        **more,
    }
    return StageResult(data=data, tables={"adapters": [adapter_row(adapter, trained)]}, shown=shown)


def _memory(planned: Planned, trained: Trained, device: str) -> str:
    measured = max((step.memory_bytes for step in trained.steps), default=0)
    if device == "cpu" or not measured:
        return f"{planned.words}; the whole process took {measured / 1e9:.1f} GB"
    return f"{planned.words}; {planned.beside(measured)}"


def write_what_it_learned(
    work: Work, trained: Trained, examples: Sequence[Mapping[str, str]], names: Mapping[str, str] | None = None
) -> None:
    """The curves as a picture, and examples before and after, for `report.adapter_metadata`.

    Args:
        names: what people are shown for a measure, where that is not its own name.
    """
    picture = curves_picture(trained.steps, trained.evaluations, best_step=trained.best_step, names=names)
    (work.shown_folder / CURVES).write_bytes(picture)
    (work.shown_folder / EXAMPLES).write_text(json.dumps(examples, ensure_ascii=False, indent=1), encoding="utf-8")
