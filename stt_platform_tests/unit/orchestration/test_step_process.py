"""What the process has already from which the steps of a run are forked."""

import subprocess
import sys
from pathlib import Path

# To open the instance and write a table is what every step does.
_STEP = """
import sys
from pathlib import Path
import stt_platform.definitions
import stt_platform.orchestration.step_process
there = set(sys.modules)
from stt_platform.orchestration.instance import open_instance
from stt_platform.store.metadata import MetadataStore
home = Path(sys.argv[1])
with open_instance(home) as instance:
    instance.get_run_by_id("none")
    MetadataStore(home).write("splits", "all", [])
print(*sorted(set(sys.modules) - there))
"""


def test_a_step_imports_nothing_large_to_open_the_instance_and_write(tmp_path: Path) -> None:
    found = subprocess.run([sys.executable, "-c", _STEP, str(tmp_path)], capture_output=True, text=True, check=True)
    imported = found.stdout.split()
    assert [name for name in imported if name.split(".")[0] in ("alembic", "pandas", "scipy", "sqlalchemy")] == []
    assert len(imported) < 60, imported
