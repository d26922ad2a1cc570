"""A code location for the test of the device: a job of six steps that each hold it and write down when."""

import json
import os
import time
from pathlib import Path

import dagster as dg

from stt_platform.machine.gpu import hold_device
from stt_platform.orchestration.executor import gpu_serialized_executor

STEPS = 6
HOLD_S = 0.25


@dg.op(pool="gpu")
def hold(context: dg.OpExecutionContext) -> None:
    with hold_device("test-device", holder=context.run_id):
        start = time.monotonic()
        log = Path(os.environ["STT_HOME"]) / "held" / f"{context.run_id}-{context.op_handle}.json"
        log.with_suffix(".begun").write_text(str(os.getpid()))
        time.sleep(HOLD_S)
        log.write_text(json.dumps([start, time.monotonic()]))


@dg.job(executor_def=gpu_serialized_executor)
def six_steps() -> None:
    """Six steps that want the device at the same time."""
    for number in range(STEPS):
        hold.alias(f"hold_{number}")()


defs = dg.Definitions(jobs=[six_steps])
