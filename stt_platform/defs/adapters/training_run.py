"""One training as a step of a run: resumed where it was, told how far it is, stopped without loss."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stt_platform.errors import PlatformError
from stt_platform.machine.files import write_atomically
from stt_platform.machine.gpu_facts import device_findings, mount_finding, read_machine
from stt_platform.machine.gpu_watch import DeviceMemory, MemoryWatch
from stt_platform.orchestration.interrupts import cancelled, interrupts_noticed
from stt_platform.orchestration.work import Work
from stt_platform.training.checkpoints import CheckpointNotSaved, Checkpoints
from stt_platform.training.loop import INTERRUPTED, LoopOptions, Step, Task, Trained, TrainingFailed, train

_TELL_EVERY_S = 2.0
_OBSERVE_EVERY_S = 30.0


def live_file(home: Path, stage: str, part: str | None) -> Path:
    """Locate what a training at work has reached, for the page that shows it live; it stays as the last training's curve."""
    return home / "training" / "live" / f"{stage}{'' if part is None else f'-{part.lower()}'}.json"


def run_training(work: Work, task: Task, options: LoopOptions, *, device: str) -> Trained:
    """Train with checkpoints in `STT_HOME/checkpoints`, keyed as the output is: the same inputs and settings go on.

    On a GPU what is wrong with the machine is logged first, and memory that spills to the host while it trains.

    Raises:
        DagsterExecutionInterruptedError: the run was cancelled; what was done is saved.
        PlatformError: for what a user can mend: a full disk, a learning rate that is too high.
    """
    home = work.home
    checkpoints = Checkpoints(home / "checkpoints" / work.stage, work.key[:32])
    teller = _Teller(work, live_file(home, work.stage, work.part))
    try:
        with interrupts_noticed() as told_to_stop, _memory_watched(work, device):
            trained = train(task, options, checkpoints, progress=teller.tell, should_stop=told_to_stop)
    except BaseException as error:
        teller.end("failed")
        if isinstance(error, TrainingFailed | CheckpointNotSaved):
            raise PlatformError(str(error)) from error
        raise
    for note in trained.notes:
        work.log(note)
    teller.finish(trained)
    if trained.status == INTERRUPTED:
        done = trained.steps[-1].step if trained.steps else 0
        work.log(f"cancelled after step {done}: it is saved, and the next run goes on from there")
        raise cancelled()
    return trained


@contextmanager
def _memory_watched(work: Work, device: str) -> Iterator[None]:
    if device == "cpu":
        yield
        return
    machine = read_machine()
    for finding in (*device_findings(machine), mount_finding(work.home, machine)):
        if finding.verdict != "fine":
            work.log(f"{finding.what}. {finding.remedy}".strip())
    with MemoryWatch(DeviceMemory(), on_spill=lambda report: work.log(report.words)) as watch:
        yield
    work.log(watch.report().words)


def clear_checkpoints(work: Work) -> None:
    """Remove the checkpoints of this training, once its result is stored elsewhere."""
    folder = work.home / "checkpoints" / work.stage
    Checkpoints(folder, work.key[:32]).clear()


class _Teller:
    """Reports the steps of a training to the log, the progress file, the UI and the page."""

    def __init__(self, work: Work, live: Path) -> None:
        self._work, self._live = work, live
        self._steps: list[Step] = []
        self._told_at = self._observed_at = 0.0

    def tell(self, step: Step) -> None:
        self._steps.append(step)
        words = f"step {step.step} of {step.steps_total}, loss {step.loss:.3f}, {step.tokens_per_s:.0f} tokens/s"
        self._work.say(words)
        now = time.monotonic()
        if step.evaluation:
            measures = ", ".join(f"{name} {value:.3f}" for name, value in sorted(step.evaluation.items()))
            self._work.log(f"{words}; held out: {measures}")
        if now - self._told_at >= _TELL_EVERY_S or step.evaluation or step.step == step.steps_total:
            self._told_at = now
            self._write("training")
        if now - self._observed_at >= _OBSERVE_EVERY_S or step.step == step.steps_total:
            self._observed_at = now
            self._work.observe(
                {
                    "step": step.step,
                    "loss": round(step.loss, 4),
                    "tokens per second": round(step.tokens_per_s, 1),
                    "memory (GB)": round(step.memory_bytes / 1e9, 2),
                    **{f"held out: {name}": round(value, 4) for name, value in sorted(step.evaluation.items())},
                }
            )

    def finish(self, trained: Trained) -> None:
        self._steps = list(trained.steps)
        self._write(trained.status)

    def end(self, status: str) -> None:
        self._write(status)

    def _write(self, status: str) -> None:
        state = {
            "asset": self._work.stage,
            "part": self._work.part,
            "status": status,
            "steps": [_point(step) for step in self._steps],
        }
        write_atomically(self._live, json.dumps(state).encode())


def _point(step: Step) -> dict[str, Any]:
    row = asdict(step)
    return {name: row[name] for name in ("step", "steps_total", "loss", "tokens_per_s", "memory_bytes", "evaluation")}


def curves_of(trained: Trained) -> Mapping[str, Any]:
    """Convert the curves for JSON, as an adapter keeps them."""
    return {
        "status": trained.status,
        "best_step": trained.best_step,
        "seconds": round(trained.seconds, 1),
        "steps": [asdict(step) for step in trained.steps],
        "evaluations": [asdict(evaluation) for evaluation in trained.evaluations],
    }
