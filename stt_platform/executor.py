"""`gpu_serialized_executor`: steps in processes of their own, the device to one of them at a time.

It is Dagster's multiprocess executor with three things added. Steps are forked from a clean server process that has
the imports already and never touches CUDA (a forked CUDA context is broken), so a step starts in a fraction of a
second. The run worker gives a sign of life (`launcher.py`). And steps die with their worker: an orphan would go on to
use the device and report results for a run that is over. The device itself is guarded twice: Dagster's pool `gpu`
queues and shows the work, and `gpu.hold_device` makes it exclusive (the pool alone was measured to let two through).
"""

from collections.abc import Iterator

import dagster as dg
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan

from stt_platform.launcher import give_sign_of_life

_PRELOAD = ["stt_platform.step_process", "stt_platform.definitions"]


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
        yield from self._inner.execute(plan_context, execution_plan)


@dg.executor(
    name="gpu_serialized_executor",
    config_schema=dg.multiprocess_executor.config_schema,
    requirements=dg.multiple_process_executor_requirements(),
)
def _gpu_serialized_executor(context: dg.InitExecutorContext) -> dg.Executor:
    """Steps in processes of their own; those of the pool `gpu` one at a time on the whole machine."""
    return _WatchedExecutor(dg.multiprocess_executor.executor_creation_fn(context))


gpu_serialized_executor = _gpu_serialized_executor.configured(
    {"start_method": {"forkserver": {"preload_modules": _PRELOAD}}}, name="gpu_serialized_executor"
)
