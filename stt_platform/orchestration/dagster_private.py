"""Everything of Dagster's that is not public API, imported in this one file, each with why.

An upgrade of Dagster breaks here first; where an upstream issue would free us of a name, it is named.
"""

# Requests a backfill as the UI does; `stt run` waits for it. dagster-io/dagster pull request 26731 (closed) proposed a
# public way to launch one.
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset as AssetGraphSubset

# Dagster writes the data version of a materialisation by itself, except of one that is reported from outside a run.
from dagster._core.definitions.data_version import DATA_VERSION_TAG as DATA_VERSION_TAG

# Types of what the executor hands through.
from dagster._core.events import EngineEventData as EngineEventData
from dagster._core.execution.backfill import BulkActionsFilter as BulkActionsFilter
from dagster._core.execution.backfill import BulkActionStatus as BulkActionStatus
from dagster._core.execution.backfill import PartitionBackfill as PartitionBackfill
from dagster._core.execution.context.system import PlanOrchestrationContext as PlanOrchestrationContext

# Replaced by one that sleeps between two looks at a full pool; no upstream issue is known.
from dagster._core.execution.plan.active import ActiveExecution as ActiveExecution
from dagster._core.execution.plan.plan import ExecutionPlan as ExecutionPlan
from dagster._core.execution.plan.step import ExecutionStep as ExecutionStep
from dagster._core.executor import multiprocess as multiprocess

# Tells a step that was killed from one that raised; retries of Dagster's own are per step (issue 16168), and a run that
# lost a step for want of memory is to start again as a whole.
from dagster._core.executor.child_process_executor import ChildProcessCrashException as ChildProcessCrashException

# The default launcher has no health check of its run workers (issue 4319).
from dagster._core.launcher.base import CheckRunHealthResult as CheckRunHealthResult
from dagster._core.launcher.base import WorkerStatus as WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher as DefaultRunLauncher

# Which partitions failed has no public answer (issues 14988 and 26039).
from dagster._core.storage.partition_status_cache import (
    get_and_update_asset_status_cache_value as get_and_update_asset_status_cache_value,
)

# Names of tags that are documented as texts only.
from dagster._core.storage.tags import BACKFILL_ID_TAG as BACKFILL_ID_TAG
from dagster._core.storage.tags import PARTITION_NAME_TAG as PARTITION_NAME_TAG
from dagster._core.storage.tags import RETRY_ON_ASSET_OR_OP_FAILURE_TAG as RETRY_ON_ASSET_OR_OP_FAILURE_TAG
from dagster._core.utils import make_new_backfill_id as make_new_backfill_id

# Lets a training save before it ends as cancelled; no upstream issue is known.
from dagster._utils.interrupts import capture_interrupts as capture_interrupts
from dagster._utils.interrupts import check_captured_interrupt as check_captured_interrupt


def load_sqlite_storage() -> None:
    """Import what a step's process imports when it opens the instance, so that it is there before the fork."""
    import dagster._core.storage.sqlite_storage  # noqa: F401
