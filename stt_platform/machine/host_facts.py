"""Whether the machine around the GPU is fit for training: its memory, its swap, and the disk under WSL.

As in `gpu_facts.py`, everything is read from a text that the machine says about itself.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from stt_platform.machine.gpu_facts import WINDOWS_DRIVE, Finding, Machine, is_wsl, mount_of

_MIN_MEMORY_BYTES = 16 << 30
"""Weights are read in files of up to 5 GB each, beside the sound, Dagster and the pages."""

_TOLERANCE = 0.95
"""What the kernel keeps for itself does not count as memory of the machine."""

_MIN_WINDOWS_BYTES = 20_000_000_000

_WSL_CONFIG = (
    "write `[wsl2]`, `memory=…GB` and `swap=…GB` into the file .wslconfig in your Windows user folder, then "
    "`wsl --shutdown` in PowerShell (docs/workstation.md)"
)


def memory_bytes(meminfo: str, field: str) -> int | None:
    """One line of /proc/meminfo, such as `MemTotal`; None where there is none."""
    found = re.search(rf"^{field}:\s*(\d+) kB$", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def free_bytes(df: str) -> int | None:
    """Return what `df --output=avail -B1` says is free; None where it says nothing."""
    lines = df.split()
    return int(lines[-1]) if lines and lines[-1].isdecimal() else None


def host_findings(machine: Machine) -> Iterator[Finding]:
    """Memory and swap; on WSL also the Windows drive on which the disk of Linux grows."""
    total, swap = (memory_bytes(machine.memory, field) for field in ("MemTotal", "SwapTotal"))
    if total is not None and swap is not None:
        yield _memory(total, swap, wsl=is_wsl(machine.kernel))
    drive = mount_of(PurePosixPath(WINDOWS_DRIVE), machine.mounts)
    free = free_bytes(machine.windows_disk)
    # Where Windows' drives are not mounted, `df` tells of Linux's own disk.
    if free is not None and drive and drive.folder == WINDOWS_DRIVE:
        yield _windows_disk(free)


def _memory(total: int, swap: int, *, wsl: bool) -> Finding:
    text = f"{_gib(total)} of memory and {_gib(swap)} of swap"
    if not wsl:
        return Finding("fine", text)
    if total < _TOLERANCE * _MIN_MEMORY_BYTES:
        return Finding("look at", f"WSL has {text}: too little to train the big models", _WSL_CONFIG)
    if not swap:
        return Finding("look at", f"WSL has {text}: a moment of more ends whatever asks for it", _WSL_CONFIG)
    return Finding("fine", f"WSL has {text}")


def _windows_disk(free: int) -> Finding:
    text = f"{free / 1e9:.0f} GB free on the Windows drive C:"
    if free >= _MIN_WINDOWS_BYTES:
        return Finding("fine", text)
    # Linux shows the size that its disk may grow to, and not what is left of the drive it lies on.
    return Finding(
        "look at", text, "the disk of WSL lies there and grows, whatever it says is free: make room on the drive"
    )


def _gib(number: int) -> str:
    return f"{number / (1 << 30):.0f} GB"
