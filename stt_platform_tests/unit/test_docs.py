"""Pages that are made from the code say what the code says."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_page_of_settings_is_up_to_date() -> None:
    command = [sys.executable, str(REPOSITORY / "tools" / "parameters.py")]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert made == (REPOSITORY / "docs" / "parameters.md").read_text(encoding="utf-8"), "run `make docs`"


def test_the_lock_holds_no_address_and_every_requirement_has_a_hash() -> None:
    for path in sorted(REPOSITORY.glob("requirements*.lock")):
        lock = path.read_text(encoding="utf-8")
        assert "://" not in lock
        requirements = [line for line in lock.splitlines() if line and not line.startswith((" ", "#"))]
        assert requirements
        assert all(line.endswith("\\") for line in requirements)
