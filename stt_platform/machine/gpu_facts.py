"""What a GPU, its driver and the system around it are fit for, from what they say about themselves.

Every fact is read from a text: of nvidia-smi, nvcc, ldconfig, /proc, and the environment. `read_machine` collects the
texts, and everything else is a function of them. Nothing here initialises CUDA.
"""

import csv
import importlib.util
import io
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

Verdict = Literal["fine", "look at", "wrong"]

ALLOCATOR_VARIABLES = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
ALLOCATOR_ADVICE = "max_split_size_mb:512"
"""The seed's setting: blocks above 512 MB are not cut up, so memory fragments less."""

SPILL_BYTES = 500_000_000
"""Windows keeps some 100 MB of its own in shared memory; more than this is a training's."""

_QUERY = ("index", "name", "driver_version", "compute_cap", "memory.total", "memory.used")
_OLD_QUERY = tuple(name for name in _QUERY if name != "compute_cap")
_MIB = 1 << 20
_BFLOAT16_FROM = (8, 0)
_BUSY_SHARE = 0.15
_SLOW_FILE_SYSTEMS = ("9p", "drvfs", "cifs", "smb3", "nfs", "nfs4", "fuse.sshfs")
_TIMEOUT_S = 20
# Names of classes are the same in every language of Windows; those of counters are translated.
_ADAPTER_MEMORY = (
    "Get-CimInstance Win32_PerfFormattedData_GPUPerformanceCounters_GPUAdapterMemory | "
    "Select-Object Name,DedicatedUsage,SharedUsage | ConvertTo-Csv -NoTypeInformation"
)
WINDOWS_DRIVE = "/mnt/c"
_POWERSHELL = f"{WINDOWS_DRIVE}/Windows/System32/WindowsPowerShell/v1.0/powershell.exe"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `remedy` is what to do where it is not fine."""

    verdict: Verdict
    what: str
    remedy: str = ""


@dataclass(frozen=True)
class Card:
    """A GPU, as nvidia-smi knows it.

    Attributes:
        index: in the order of the PCI bus.
        name: of the product.
        driver: its version.
        capability: of compute, such as (8, 9); None where the driver is too old to say.
        total_bytes, used_bytes: memory, and what all programs hold of it; None where it is not said.
    """

    index: int
    name: str
    driver: str
    capability: tuple[int, int] | None
    total_bytes: int | None
    used_bytes: int | None

    @property
    def free_bytes(self) -> int | None:
        """What nobody holds."""
        if self.total_bytes is None or self.used_bytes is None:
            return None
        return self.total_bytes - self.used_bytes


@dataclass(frozen=True)
class AdapterMemory:
    """Memory of a graphics adapter as Windows counts it: its own, and what it borrows of the host's."""

    dedicated_bytes: int
    shared_bytes: int


@dataclass(frozen=True)
class Mount:
    """Where a path lies: the mounted folder, and the kind of its file system."""

    folder: str
    kind: str


@dataclass(frozen=True)
class Machine:
    """What the machine says about itself. A text is empty where there is no such program or file.

    Attributes:
        cards: `nvidia-smi --query-gpu` as comma-separated values, with a header.
        header: `nvidia-smi`.
        toolkit: `nvcc --version`.
        kernel: /proc/version.
        mounts: /proc/mounts.
        libraries: `ldconfig -p`.
        adapters: Windows' memory counters, as comma-separated values; WSL only.
        environment: variables.
        torch: torch's version.py.
        flash_attention: whether the package flash_attn is installed.
        bitsandbytes: names of the libraries that the package bitsandbytes brings.
        memory: /proc/meminfo.
        windows_disk: `df` of what is free on the drive C: of Windows; WSL only.
    """

    cards: str = ""
    header: str = ""
    toolkit: str = ""
    kernel: str = ""
    mounts: str = ""
    libraries: str = ""
    adapters: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    torch: str = ""
    flash_attention: bool = False
    bitsandbytes: str = ""
    memory: str = ""
    windows_disk: str = ""


def read_machine() -> Machine:
    """Ask this machine. Takes some 0.1 s, and 1 s more on WSL with a GPU."""
    kernel = _file(Path("/proc/version"))
    cards = _query_cards()
    torch = _package_folder("torch")
    quantiser = _package_folder("bitsandbytes")
    return Machine(
        cards=cards,
        header=_run("nvidia-smi"),
        toolkit=_run("nvcc", "--version"),
        kernel=kernel,
        mounts=_file(Path("/proc/mounts")),
        libraries=_run("ldconfig", "-p") or _run("/sbin/ldconfig", "-p"),
        adapters=adapter_text() if cards and is_wsl(kernel) else "",
        environment=dict(os.environ),
        torch=_file(torch / "version.py") if torch else "",
        flash_attention=importlib.util.find_spec("flash_attn") is not None,
        bitsandbytes="\n".join(sorted(path.name for path in quantiser.glob("lib*"))) if quantiser else "",
        memory=_file(Path("/proc/meminfo")),
        windows_disk=_run("df", "--output=avail", "-B1", WINDOWS_DRIVE) if is_wsl(kernel) else "",
    )


def adapter_text() -> str:
    """Windows' counters of GPU memory, asked from inside WSL; empty where it does not answer."""
    return _run(_POWERSHELL, "-NoProfile", "-NonInteractive", "-Command", _ADAPTER_MEMORY)


def parse_cards(text: str) -> list[Card]:
    """Return the cards in the output of `nvidia-smi --query-gpu=… --format=csv,nounits`."""
    rows = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    return [_card({_plain(name): value.strip() for name, value in row.items() if name and value}) for row in rows]


def driver_cuda(header: str) -> tuple[int, int] | None:
    """Return the newest CUDA that the driver serves, from the head of `nvidia-smi`; None where it does not say."""
    return _version(re.search(r"CUDA Version:\s*(\d+)\.(\d+)", header))


def toolkit_cuda(text: str) -> tuple[int, int] | None:
    """Return the version of the installed toolkit, from `nvcc --version`."""
    return _version(re.search(r"release (\d+)\.(\d+)", text))


def torch_cuda(text: str) -> tuple[int, int] | None:
    """Return the CUDA that torch was built for, from its version.py; None for one without."""
    return _version(re.search(r"""^cuda\b[^=]*=\s*['"](\d+)\.(\d+)""", text, re.MULTILINE))


def bitsandbytes_cuda(libraries: str) -> list[tuple[int, int]]:
    """Return the CUDA versions that bitsandbytes has libraries for, from their names."""
    found = re.findall(r"^libbitsandbytes_cuda(\d+)(\d)\.", libraries, re.MULTILINE)
    return sorted((int(major), int(minor)) for major, minor in found)


def is_wsl(kernel: str) -> bool:
    """Return whether this is Linux inside Windows, of either kind, from /proc/version."""
    return "microsoft" in kernel.lower()


def is_wsl1(kernel: str) -> bool:
    """Return whether it is the first kind, which has no Linux kernel and no GPU."""
    return is_wsl(kernel) and "microsoft-standard" not in kernel.lower() and "wsl2" not in kernel.lower()


def linux_drivers(libraries: str) -> list[str]:
    """CUDA drivers that were installed inside WSL, from `ldconfig -p`; that of Windows lies below /usr/lib/wsl."""
    found = re.findall(r"^\s*libcuda\.so\S*\s.*=>\s*(\S+)", libraries, re.MULTILINE)
    return sorted(path for path in found if not path.startswith("/usr/lib/wsl/"))


def supports_bfloat16(capability: tuple[int, int]) -> bool:
    """Return whether the tensor cores compute in bfloat16: Ampere (8.0) and later."""
    return capability >= _BFLOAT16_FROM


def supports_flash_attention(capability: tuple[int, int]) -> bool:
    """Return whether FlashAttention-2 runs on it: Ampere, Ada and Hopper, by its own documentation."""
    return _BFLOAT16_FROM <= capability < (10, 0)


def mount_of(path: PurePosixPath, mounts: str) -> Mount | None:
    """Return what an absolute path lies on, from /proc/mounts."""
    found: Mount | None = None
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        folder = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[1])
        # What is mounted later hides what was mounted there before.
        if path.is_relative_to(folder) and (found is None or len(folder) >= len(found.folder)):
            found = Mount(folder, fields[2])
    return found


def allocator_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what torch's allocator is told; empty where nothing is.

    Raises:
        ValueError: for what torch would refuse.
    """
    for variable in ALLOCATOR_VARIABLES:
        text = environment.get(variable, "").strip()
        if not text:
            continue
        pairs = [pair.strip() for pair in re.split(r",(?![^\[]*\])", text)]
        for pair in pairs:
            if not re.fullmatch(r"[a-z_0-9]+:\S+", pair):
                raise ValueError(f"{variable}={text}: {pair!r} is not of the form name:value")
        return dict(pair.split(":", 1) for pair in pairs)
    return {}


def parse_adapter_memory(text: str) -> AdapterMemory | None:
    """Return the adapter that has most memory of its own in use, from Windows' counters; None where there is none."""
    rows = list(csv.DictReader(io.StringIO(text.lstrip("\ufeff").strip())))
    found = []
    for row in rows:
        try:
            found.append(AdapterMemory(int(row["DedicatedUsage"]), int(row["SharedUsage"])))
        except (KeyError, TypeError, ValueError):
            continue
    return max(found, key=lambda memory: memory.dedicated_bytes, default=None)


def device_findings(machine: Machine) -> Iterator[Finding]:
    """Yield what to know of the GPU before something is trained on it."""
    yield from _wsl(machine)
    cards = parse_cards(machine.cards)
    if not cards:
        yield _no_card(machine)
        return
    for card in cards:
        yield _memory(card)
        yield _capability(card, machine)
    yield _driver(cards[0], machine)
    yield from _quantiser(machine)
    yield _toolkit(machine)
    yield _allocator(machine)
    yield from _spill(machine)


def mount_finding(folder: Path, machine: Machine, *, what: str = "STT_HOME") -> Finding:
    """Return whether `folder` lies on a disk that is fast and whose locks hold. `what` is its name for people."""
    mount = mount_of(PurePosixPath(folder), machine.mounts)
    kind = mount.kind if mount else "unknown"
    # Windows' drives, by another door.
    shared = kind == "virtiofs" and is_wsl(machine.kernel)
    if kind in _SLOW_FILE_SYSTEMS or shared:
        return Finding(
            "look at",
            f"{what} lies on a {kind} drive ({mount.folder if mount else folder})",
            f"it is 5 to 10 times slower and its locks are weak: move {what} to a folder on Linux's own disk",
        )
    return Finding("fine", f"{what} lies on {kind if mount else 'a file system that cannot be told'}")


def _wsl(machine: Machine) -> Iterator[Finding]:
    if not is_wsl(machine.kernel):
        return
    if is_wsl1(machine.kernel):
        yield Finding("wrong", "this is WSL 1, which has no GPU", "`wsl --set-version <distribution> 2` in PowerShell")
    elif drivers := linux_drivers(machine.libraries):
        yield Finding(
            "wrong",
            f"an NVIDIA driver for Linux is installed inside WSL ({', '.join(drivers)}) and hides that of Windows",
            "remove it: `sudo apt-get purge 'nvidia-driver-*' 'libnvidia-compute-*'`; the toolkit alone may be here",
        )
    else:
        yield Finding("fine", "WSL 2: the driver is that of Windows")


def _no_card(machine: Machine) -> Finding:
    if "NVIDIA-SMI" in machine.header:
        return Finding("wrong", f"nvidia-smi: {_first_line(machine.header)}", _DRIVER_REMEDY[is_wsl(machine.kernel)])
    if is_wsl(machine.kernel) and not is_wsl1(machine.kernel):
        return Finding("look at", "WSL sees no NVIDIA GPU: training runs on the CPU", _DRIVER_REMEDY[True])
    return Finding("fine", "no NVIDIA GPU: training runs on the CPU")


_DRIVER_REMEDY = {
    True: "update the NVIDIA driver in Windows, then `wsl --shutdown`; inside WSL no driver is needed",
    False: "install the NVIDIA driver anew, then restart",
}


def _memory(card: Card) -> Finding:
    if card.total_bytes is None or card.used_bytes is None:
        return Finding("fine", f"GPU {card.index}: {card.name}; its driver does not say how much memory is free")
    text = f"GPU {card.index}: {card.name}, {_gb(card.total_bytes)}, of which {_gb(card.free_bytes or 0)} are free"
    if card.used_bytes > _BUSY_SHARE * card.total_bytes:
        return Finding(
            "look at", text, f"other programs hold {_gb(card.used_bytes)}: close browsers, games and notebooks"
        )
    return Finding("fine", text)


def _capability(card: Card, machine: Machine) -> Finding:
    if card.capability is None:
        return Finding(
            "look at", f"GPU {card.index}: the driver does not say its compute capability", "update the NVIDIA driver"
        )
    text = f"GPU {card.index}: compute capability {_dotted(card.capability)}"
    if not supports_bfloat16(card.capability):
        remedy = "training takes float32 and twice the memory; the 12B model and the seed's settings want 8.0 or above"
        return Finding("look at", f"{text}: no bfloat16, no FlashAttention-2", remedy)
    if not supports_flash_attention(card.capability):
        attention = "FlashAttention-2 does not run on it, so torch's own attention (SDPA) is used"
    elif machine.flash_attention:
        attention = "FlashAttention-2 is installed"
    else:
        attention = "FlashAttention-2 would run but is not installed, so torch's own attention (SDPA) is used"
    return Finding("fine", f"{text}: bfloat16; {attention}")


def _driver(card: Card, machine: Machine) -> Finding:
    serves, wanted = driver_cuda(machine.header), torch_cuda(machine.torch)
    text = f"driver {card.driver}" + (f", which serves CUDA {_dotted(serves)}" if serves else "")
    if wanted is None:
        return Finding(
            "wrong" if machine.torch else "look at",
            f"{text}; torch is {'built without CUDA' if machine.torch else 'not installed'}",
            "make the environment again: `make setup`",
        )
    # Within a major version, any driver serves any minor one.
    if serves and serves[0] < wanted[0]:
        return Finding("wrong", f"{text}; torch wants {_dotted(wanted)}", _DRIVER_REMEDY[is_wsl(machine.kernel)])
    return Finding("fine", f"{text}; torch uses {_dotted(wanted)}")


def _quantiser(machine: Machine) -> Iterator[Finding]:
    """bitsandbytes takes the library of torch's CUDA, else another one of the same major version."""
    wanted = torch_cuda(machine.torch)
    if wanted is None:
        return
    served = bitsandbytes_cuda(machine.bitsandbytes)
    if any(version[0] == wanted[0] for version in served):
        yield Finding("fine", f"bitsandbytes serves CUDA {_dotted(wanted)}: 4-bit training is possible")
        return
    has = (
        f"has libraries for CUDA {', '.join(map(_dotted, served))}" if served else "is not installed, or for CPUs only"
    )
    yield Finding(
        "wrong", f"bitsandbytes {has}; torch wants {_dotted(wanted)}", "make the environment again: `make setup`"
    )


def _toolkit(machine: Machine) -> Finding:
    version = toolkit_cuda(machine.toolkit)
    if version is None:
        return Finding("fine", "no CUDA toolkit, which only building flash-attn needs")
    return Finding("fine", f"CUDA toolkit {_dotted(version)}")


def _allocator(machine: Machine) -> Finding:
    variable = ALLOCATOR_VARIABLES[0]
    advice = f"export {variable}={ALLOCATOR_ADVICE}"
    try:
        settings = allocator_settings(machine.environment)
    except ValueError as error:
        return Finding("wrong", str(error), advice)
    if settings:
        return Finding("fine", "torch's allocator: " + ", ".join(f"{name}:{value}" for name, value in settings.items()))
    if is_wsl(machine.kernel):
        return Finding("look at", f"{variable} is not set: memory fragments, and on WSL it spills to the host", advice)
    return Finding("fine", "torch's allocator has its defaults")


def _spill(machine: Machine) -> Iterator[Finding]:
    memory = parse_adapter_memory(machine.adapters)
    if memory is None:
        return
    text = (
        f"Windows keeps {_gb(memory.shared_bytes)} of GPU memory on the host, {_gb(memory.dedicated_bytes)} on the card"
    )
    if memory.shared_bytes > SPILL_BYTES:
        yield Finding(
            "look at", text, "the card is full, and training would crawl: close what uses it, or train smaller"
        )
    else:
        yield Finding("fine", text)


def _query_cards() -> str:
    for fields in (_QUERY, _OLD_QUERY):
        text = _run("nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,nounits")
        # Drivers before 510 do not know `compute_cap`, say so, and answer nothing else.
        if text and "is not a valid field" not in text and "," in _first_line(text):
            return text
    return ""


def _card(row: Mapping[str, str]) -> Card:
    capability = re.fullmatch(r"(\d+)\.(\d+)", row.get("compute_cap", ""))
    return Card(
        index=int(row["index"]),
        name=row["name"],
        driver=row["driver_version"],
        capability=_version(capability),
        total_bytes=_mebibytes(row.get("memory.total", "")),
        used_bytes=_mebibytes(row.get("memory.used", "")),
    )


def _plain(name: str) -> str:
    """Return a column's name without its unit: `memory.total [MiB]`."""
    return name.split("[")[0].strip()


def _mebibytes(text: str) -> int | None:
    return int(text) * _MIB if text.isdecimal() else None


def _version(match: re.Match[str] | None) -> tuple[int, int] | None:
    return (int(match[1]), int(match[2])) if match else None


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _gb(number: int) -> str:
    return f"{number / 1e9:.1f} GB"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _run(*command: str) -> str:
    """Return what a program says, also where it fails: nvidia-smi says what is wrong on its output."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", errors="replace")
