"""`gpu_serialized_executor`: steps in processes of their own, the device to one of them at a time.

It is Dagster's multiprocess executor with five things added. Steps are forked from a clean server process that has
the imports already and never touches CUDA (a forked CUDA context is broken), so a step starts in a fraction of a
second. The run worker gives a sign of life (`launcher.py`). Steps die with their worker: an orphan would go on to use
the device and report results for a run that is over. And waiting costs nothing (`_PatientExecution`).

Of a step that was killed (out of memory, say) Dagster makes the same failure as of one that raised, which is not tried again.
The executor tells them apart: the run is started again as often as one whose worker died (`run_retries` in `dagster.yaml`).

The device itself is guarded twice: Dagster's pool `gpu` queues and shows the work, and `gpu.hold_device` makes it
exclusive (the pool alone was measured to let two through).
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from stt_platform.orchestration.dagster_private import (
    RETRY_ON_ASSET_OR_OP_FAILURE_TAG,
    ActiveExecution,
    ChildProcessCrashException,
    EngineEventData,
    ExecutionPlan,
    ExecutionStep,
    PlanOrchestrationContext,
    multiprocess,
)
from stt_platform.orchestration.launcher import give_sign_of_life

_ASK_AGAIN_S = 0.1
_STEP_DIED = ChildProcessCrashException.__name__
# The second one freezes what the first one loaded.
_PRELOAD = ["stt_platform.definitions", "stt_platform.orchestration.step_process"]


class _PatientExecution(ActiveExecution):
    """What a run may do next, asked for at a bearable rate.

    While all that is left of a run waits for a pool, Dagster's executor asks again as fast as a core can: 570,000
    times in 25 s were measured, and two waiting runs took both cores from the one that worked. To be dropped when
    Dagster sleeps there itself.
    """

    def get_steps_to_execute(self, limit: int | None = None) -> Sequence[ExecutionStep]:
        steps = super().get_steps_to_execute(limit)
        if not steps and not self._in_flight:
            time.sleep(_ASK_AGAIN_S)
        return steps


class _WatchedExecutor(dg.Executor):
    """An executor that gives the run's sign of life, and leaves the work to the one inside it."""

    def __init__(self, inner: dg.Executor):
        self._inner = inner

    @property
    def retries(self):
        return self._inner.retries

    @property
    def step_dependency_config(self):
        return self._inner.step_dependency_config

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        give_sign_of_life(plan_context.instance, plan_context.run_id)
        for event in self._inner.execute(plan_context, execution_plan):
            if _tells_of_a_dead_step(event):
                tags = {RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "true"}
                plan_context.instance.add_run_tags(plan_context.run_id, tags)
            yield event


def _tells_of_a_dead_step(event: dg.DagsterEvent) -> bool:
    data = event.event_specific_data
    return isinstance(data, EngineEventData) and data.error is not None and data.error.cls_name == _STEP_DIED


# Its attributes are typed for no configuration.
_multiprocess: Any = dg.multiprocess_executor


@dg.executor(
    name="gpu_serialized_executor",
    config_schema=_multiprocess.config_schema,
    requirements=dg.multiple_process_executor_requirements(),
)
def _gpu_serialized_executor(context: dg.InitExecutorContext) -> dg.Executor:
    """Steps in processes of their own; those of the pool `gpu` one at a time on the whole machine."""
    # The executor offers no place to put it; the process is the run's own.
    setattr(multiprocess, "ActiveExecution", _PatientExecution)  # noqa: B010 - not exported, says the type checker
    return _WatchedExecutor(_multiprocess.executor_creation_fn(context))


gpu_serialized_executor = _gpu_serialized_executor.configured(
    {"start_method": {"forkserver": {"preload_modules": _PRELOAD}}}, name="gpu_serialized_executor"
)
