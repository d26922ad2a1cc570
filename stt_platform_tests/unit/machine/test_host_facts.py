"""Memory, swap and the Windows drive, from what real machines said about themselves."""

from pathlib import Path

import pytest

from stt_platform.machine.gpu_facts import Finding, Machine, read_machine
from stt_platform.machine.host_facts import free_bytes, host_findings, memory_bytes

WSL2 = "Linux version 5.15.167.4-microsoft-standard-WSL2 (root@f9c826d3017f) (gcc (GCC) 11.2.0) #1 SMP Tue Nov 5 2024"
LINUX = "Linux version 6.8.0-45-generic (buildd@lcy02-amd64-115) (x86_64-linux-gnu-gcc-13) #45-Ubuntu SMP"
MEMORY = "MemTotal:       32802732 kB\nMemFree:        30128844 kB\nSwapTotal:       8388608 kB\nSwapFree: 8388608 kB\n"
MOUNTS = "/dev/sdc / ext4 rw 0 0\nC:\\134 /mnt/c 9p rw,aname=drvfs;path=C:\\ 0 0\n"
DISK = "        Avail\n412316860416\n"


def machine(**texts: str) -> Machine:
    """A WSL 2 machine with nothing wrong."""
    return Machine(**{"kernel": WSL2, "memory": MEMORY, "mounts": MOUNTS, "windows_disk": DISK, **texts})


def test_a_machine_with_nothing_wrong() -> None:
    assert list(host_findings(machine())) == [
        Finding("fine", "WSL has 31 GB of memory and 8 GB of swap"),
        Finding("fine", "412 GB free on the Windows drive C:"),
    ]


@pytest.mark.parametrize(
    ("texts", "what", "remedy"),
    [
        ({"memory": MEMORY.replace("32802732", "8030000")}, "WSL has 8 GB of memory", ".wslconfig"),
        ({"memory": MEMORY.replace("8388608", "0")}, "0 GB of swap: a moment of more", "wsl --shutdown"),
        ({"windows_disk": "Avail\n5000000000\n"}, "5 GB free on the Windows drive", "make room"),
    ],
)
def test_what_is_wrong_has_a_remedy(texts: dict[str, str], what: str, remedy: str) -> None:
    (finding,) = (finding for finding in host_findings(machine(**texts)) if finding.verdict != "fine")
    assert finding.verdict == "look at"
    assert what in finding.what
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    "texts",
    [
        {"windows_disk": ""},
        {"windows_disk": "df: /mnt/c: No such file or directory"},
        # Drive C: is not mounted, and df told of Linux's own disk.
        {"windows_disk": "Avail\n5\n", "mounts": "/dev/sdc / ext4 rw 0 0\n"},
    ],
)
def test_a_drive_that_cannot_be_asked_is_not_spoken_of(texts: dict[str, str]) -> None:
    assert [finding.what for finding in host_findings(machine(**texts))] == ["WSL has 31 GB of memory and 8 GB of swap"]


def test_little_memory_without_wsl_is_its_owners_business() -> None:
    small = Machine(kernel=LINUX, memory=MEMORY.replace("8388608", "0").replace("32802732", "4096000"))
    assert [finding.verdict for finding in host_findings(small)] == ["fine"]
    assert list(host_findings(Machine())) == []


def test_this_machine_says_how_much_memory_it_has() -> None:
    found = read_machine()
    assert found.memory == "" or (memory_bytes(found.memory, "MemTotal") or 0) > 1 << 28
    assert found.windows_disk == "" or (free_bytes(found.windows_disk) or 0) >= 0
    assert not Path("/proc/meminfo").exists() or memory_bytes(found.memory, "SwapTotal") is not None
