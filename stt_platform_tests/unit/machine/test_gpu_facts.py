"""Facts of GPUs, from what real machines said about themselves."""

import shutil
import threading
from pathlib import Path, PurePosixPath

import pytest

from stt_platform.machine.gpu_facts import (
    AdapterMemory,
    Card,
    Finding,
    Machine,
    Mount,
    allocator_settings,
    bitsandbytes_cuda,
    device_findings,
    driver_cuda,
    is_wsl,
    is_wsl1,
    linux_drivers,
    mount_finding,
    mount_of,
    parse_adapter_memory,
    parse_cards,
    supports_bfloat16,
    supports_flash_attention,
    toolkit_cuda,
    torch_cuda,
)
from stt_platform.machine.gpu_watch import MemorySample, MemoryWatch, spill_report

WSL2 = "Linux version 5.15.167.4-microsoft-standard-WSL2 (root@f9c826d3017f) (gcc (GCC) 11.2.0) #1 SMP Tue Nov 5 2024"
WSL1 = "Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com) (gcc version 5.4.0 (GCC) ) #1237-Microsoft"
LINUX = "Linux version 6.8.0-45-generic (buildd@lcy02-amd64-115) (x86_64-linux-gnu-gcc-13) #45-Ubuntu SMP"

HEADER = """Sat Jan 20 15:01:19 2024
+---------------------------------------------------------------------------------------+
| NVIDIA-SMI 580.65                 Driver Version: 580.97       CUDA Version: 13.0     |
|-----------------------------------------+----------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id        Disp.A | Volatile Uncorr. ECC |
"""
BROKEN = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA "
    "driver is installed and running.\n"
)
NAMES = "index, name, driver_version, compute_cap, memory.total [MiB], memory.used [MiB]\n"
ADA = NAMES + "0, NVIDIA RTX 2000 Ada Generation, 580.97, 8.9, 16380, 1103\n"
TURING = NAMES + "0, NVIDIA GeForce RTX 2070, 580.97, 7.5, 8192, 176\n"
NO_CAPABILITY = (
    "index, name, driver_version, memory.total [MiB], memory.used [MiB]\n0, Tesla T4, 470.182.03, 15109, [N/A]\n"
)
NVCC = """nvcc: NVIDIA (R) Cuda compiler driver
Copyright (c) 2005-2024 NVIDIA Corporation
Built on Thu_Mar_28_02:18:24_PDT_2024
Cuda compilation tools, release 12.4, V12.4.131
"""
TORCH = "__version__ = '2.11.0+cu130'\ndebug = False\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n"
BITSANDBYTES = (
    "libbitsandbytes_cpu.so\nlibbitsandbytes_cuda128.so\nlibbitsandbytes_cuda130.so\nlibbitsandbytes_rocm714.so"
)
MOUNTS = r"""/dev/sdc / ext4 rw,relatime,discard,errors=remount-ro,data=ordered 0 0
none /mnt/wsl tmpfs rw,relatime 0 0
drivers /usr/lib/wsl/drivers 9p ro,nosuid,nodev,noatime,aname=drivers;fmask=222;dmask=222 0 0
C:\134 /mnt/c 9p rw,noatime,dirsync,aname=drvfs;path=C:\;uid=1000;gid=1000;symlinkroot=/mnt/ 0 0
D:\134My\040Disk /mnt/my\040disk 9p rw,noatime,aname=drvfs;path=D:\;uid=1000 0 0
/dev/sdd /mnt/c/fast ext4 rw,relatime 0 0
"""
WINDOWS_LIBRARIES = """1 libs found in cache `/etc/ld.so.cache'
\tlibcuda.so.1 (libc6,x86-64) => /usr/lib/wsl/lib/libcuda.so.1
\tlibcuda.so (libc6,x86-64) => /usr/lib/wsl/lib/libcuda.so
\tlibcudart.so.12 (libc6,x86-64) => /usr/local/cuda/lib64/libcudart.so.12
"""
LINUX_LIBRARIES = WINDOWS_LIBRARIES + "\tlibcuda.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libcuda.so.1\n"
ADAPTERS = """"Name","DedicatedUsage","SharedUsage"
"luid_0x00000000_0x00017099_phys_0","0","1366872064"
"luid_0x00000000_0x0001532A_phys_0","1156579328","151396352"
"luid_0x00000000_0x00017034_phys_0","0","0"
"""


def machine(**texts: object) -> Machine:
    """A WSL 2 machine with nothing wrong."""
    fine = {
        "cards": ADA,
        "header": HEADER,
        "toolkit": NVCC,
        "kernel": WSL2,
        "mounts": MOUNTS,
        "libraries": WINDOWS_LIBRARIES,
        "adapters": ADAPTERS,
        "environment": {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:512"},
        "torch": TORCH,
        "bitsandbytes": BITSANDBYTES,
    }
    return Machine(**{**fine, **texts})


def wrong(found: Machine) -> list[Finding]:
    return [finding for finding in device_findings(found) if finding.verdict != "fine"]


def test_cards_are_read() -> None:
    mib = 1 << 20
    assert parse_cards(ADA) == [
        Card(0, "NVIDIA RTX 2000 Ada Generation", "580.97", (8, 9), 16_380 * mib, 1_103 * mib),
    ]
    (old,) = parse_cards(NO_CAPABILITY)
    assert (old.capability, old.total_bytes, old.used_bytes, old.free_bytes) == (None, 15_109 * mib, None, None)
    assert parse_cards("") == []


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (driver_cuda(HEADER), (13, 0)),
        (driver_cuda(HEADER.replace("13.0 ", "ERR!")), None),
        (toolkit_cuda(NVCC), (12, 4)),
        (toolkit_cuda(""), None),
        (torch_cuda(TORCH), (13, 0)),
        (torch_cuda("cuda: Optional[str] = None\nhip: Optional[str] = '6.4'\n"), None),
        (bitsandbytes_cuda(BITSANDBYTES), [(12, 8), (13, 0)]),
        (bitsandbytes_cuda("libbitsandbytes_cpu.so"), []),
        (is_wsl(WSL2), True),
        (is_wsl(LINUX), False),
        (is_wsl1(WSL1), True),
        (is_wsl1(WSL2), False),
        (linux_drivers(WINDOWS_LIBRARIES), []),
        (linux_drivers(LINUX_LIBRARIES), ["/lib/x86_64-linux-gnu/libcuda.so.1"]),
        (parse_adapter_memory(ADAPTERS), AdapterMemory(1_156_579_328, 151_396_352)),
        (parse_adapter_memory("\ufeff" + ADAPTERS.replace("\n", "\r\n")), AdapterMemory(1_156_579_328, 151_396_352)),
        (parse_adapter_memory("Get-CimInstance : Invalid class"), None),
        (parse_adapter_memory(""), None),
    ],
)
def test_texts_are_read(found: object, expected: object) -> None:
    assert found == expected


@pytest.mark.parametrize(
    ("capability", "bfloat16", "flash"),
    [((7, 5), False, False), ((8, 0), True, True), ((8, 9), True, True), ((9, 0), True, True), ((12, 0), True, False)],
)
def test_what_a_capability_can_do(capability: tuple[int, int], bfloat16: bool, flash: bool) -> None:
    assert (supports_bfloat16(capability), supports_flash_attention(capability)) == (bfloat16, flash)


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/home/ann/stt", Mount("/", "ext4")),
        ("/mnt/c/Users/Ann/stt", Mount("/mnt/c", "9p")),
        ("/mnt/my disk/stt", Mount("/mnt/my disk", "9p")),
        ("/mnt/c/fast/stt", Mount("/mnt/c/fast", "ext4")),
        ("/mnt/cold", Mount("/", "ext4")),
    ],
)
def test_a_path_lies_on_the_nearest_mount(path: str, mount: Mount) -> None:
    assert mount_of(PurePosixPath(path), MOUNTS) == mount


def test_a_later_mount_hides_an_earlier_one() -> None:
    assert mount_of(PurePosixPath("/data/x"), "a / ext4\nb /data nfs4\nc /data xfs\n") == Mount("/data", "xfs")
    assert mount_of(PurePosixPath("/data"), "") is None


def test_a_home_on_a_windows_drive_is_said() -> None:
    slow = mount_finding(Path("/mnt/c/Users/Ann/stt"), machine())
    assert (slow.verdict, slow.what) == ("look at", "STT_HOME lies on a 9p drive (/mnt/c)")
    assert "Linux's own disk" in slow.remedy
    assert mount_finding(Path("/home/ann"), machine()).verdict == "fine"
    code = mount_finding(Path("/mnt/c/stt"), machine(), what="the folder of the platform")
    assert code.what.startswith("the folder of the platform lies on a 9p drive")
    assert "move the folder of the platform to" in code.remedy
    shared = MOUNTS.replace("/mnt/c 9p", "/mnt/c virtiofs")
    assert mount_finding(Path("/mnt/c/x"), machine(mounts=shared)).verdict == "look at"
    assert mount_finding(Path("/mnt/c/x"), machine(mounts=shared, kernel=LINUX)).verdict == "fine"


@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        ({}, {}),
        ({"PYTORCH_CUDA_ALLOC_CONF": " "}, {}),
        ({"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:512"}, {"max_split_size_mb": "512"}),
        (
            {"PYTORCH_ALLOC_CONF": "expandable_segments:True,roundup_power2_divisions:[256:1,512:2]"},
            {"expandable_segments": "True", "roundup_power2_divisions": "[256:1,512:2]"},
        ),
    ],
)
def test_allocator_settings(environment: dict[str, str], settings: dict[str, str]) -> None:
    assert allocator_settings(environment) == settings


def test_a_machine_with_nothing_wrong() -> None:
    findings = list(device_findings(machine()))
    assert [finding for finding in findings if finding.verdict != "fine"] == []
    said = "\n".join(finding.what for finding in findings)
    for words in (
        "the driver is that of Windows",
        "NVIDIA RTX 2000 Ada Generation, 17.2 GB, of which 16.0 GB are free",
        "compute capability 8.9: bfloat16; FlashAttention-2 would run but is not installed",
        "driver 580.97, which serves CUDA 13.0; torch uses 13.0",
        "bitsandbytes serves CUDA 13.0",
        "CUDA toolkit 12.4",
        "max_split_size_mb:512",
        "Windows keeps 0.2 GB of GPU memory on the host",
    ):
        assert words in said


@pytest.mark.parametrize(
    ("texts", "verdict", "what", "remedy"),
    [
        ({"kernel": WSL1, "cards": "", "header": ""}, "wrong", "this is WSL 1", "--set-version"),
        ({"libraries": LINUX_LIBRARIES}, "wrong", "inside WSL (/lib/x86_64-linux-gnu/libcuda.so.1)", "apt-get purge"),
        ({"cards": "", "header": BROKEN}, "wrong", "couldn't communicate", "driver in Windows"),
        ({"cards": "", "header": ""}, "look at", "WSL sees no NVIDIA GPU", "wsl --shutdown"),
        ({"cards": TURING}, "look at", "7.5: no bfloat16", "float32"),
        ({"cards": NO_CAPABILITY}, "look at", "does not say its compute capability", "update"),
        ({"cards": ADA.replace("1103", "6000")}, "look at", "10.9 GB are free", "other programs hold 6.3 GB"),
        ({"header": HEADER.replace("13.0", "12.4")}, "wrong", "serves CUDA 12.4; torch wants 13.0", "in Windows"),
        ({"torch": "cuda: Optional[str] = None\n"}, "wrong", "built without CUDA", "make setup"),
        ({"bitsandbytes": BITSANDBYTES.replace("130", "118")}, "wrong", "for CUDA 11.8, 12.8; torch", "make setup"),
        ({"bitsandbytes": "libbitsandbytes_cpu.so"}, "wrong", "or for CPUs only; torch wants 13.0", "make setup"),
        ({"bitsandbytes": ""}, "wrong", "bitsandbytes is not installed", "make setup"),
        ({"environment": {}}, "look at", "PYTORCH_CUDA_ALLOC_CONF is not set", "max_split_size_mb:512"),
        ({"environment": {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb=512"}}, "wrong", "name:value", "export"),
        ({"adapters": ADAPTERS.replace("151396352", "3151396352")}, "look at", "3.2 GB of GPU memory", "crawl"),
    ],
)
def test_what_is_wrong_has_a_remedy(texts: dict[str, object], verdict: str, what: str, remedy: str) -> None:
    (finding,) = wrong(machine(**texts))
    assert finding.verdict == verdict
    assert what in finding.what
    assert remedy in finding.remedy


def test_a_linux_machine_without_a_gpu_is_fine() -> None:
    plain = Machine(kernel=LINUX, mounts=MOUNTS, torch=TORCH)
    assert [finding.what for finding in device_findings(plain)] == ["no NVIDIA GPU: training runs on the CPU"]
    assert wrong(machine(kernel=LINUX, environment={}, adapters="")) == []


@pytest.mark.parametrize(
    ("cards", "attention"),
    [(ADA, "FlashAttention-2 is installed"), (ADA.replace("8.9", "12.0"), "FlashAttention-2 does not run on it")],
)
def test_flash_attention_is_said(cards: str, attention: str) -> None:
    said = [finding.what for finding in device_findings(machine(cards=cards, flash_attention=True))]
    assert any(attention in what for what in said)


GB = 10**9


def sample(used: float, reserved: float, shared: float | None = None) -> MemorySample:
    return MemorySample(16 * GB, int(used * GB), int(reserved * GB), None if shared is None else int(shared * GB))


@pytest.mark.parametrize(
    ("samples", "spilled_gb", "first_s"),
    [
        ([sample(5, 4), sample(12, 11)], 0, None),
        # The card is full, and this process holds more than there is on it.
        ([sample(5, 4), sample(15.5, 17), sample(15.5, 18)], 2.5, 10),
        # Windows lends memory; what it lent before the start is its own.
        ([sample(5, 4, 0.3), sample(15, 14, 0.4), sample(15, 14, 2.3)], 2.0, 20),
        ([sample(5, 4, 0.3), sample(15, 14, 0.7)], 0.4, None),
    ],
)
def test_what_spilled(samples: list[MemorySample], spilled_gb: float, first_s: float | None) -> None:
    report = spill_report([(10.0 * k, one) for k, one in enumerate(samples)])
    assert report.spilled_bytes == pytest.approx(spilled_gb * GB)
    assert (report.first_s, report.spilled) == (first_s, first_s is not None)
    assert report.peak_used_bytes == max(one.used_bytes for one in samples)
    assert ("nothing spilled" in report.words) == (first_s is None)


def test_a_watch_tells_once_and_reports() -> None:
    seen = [sample(5, 4), sample(15, 16), sample(15, 17)]
    at = iter(range(100))
    done = threading.Event()
    told = []

    def look() -> MemorySample:
        found = seen.pop(0)
        if not seen:
            done.set()
        return found

    with MemoryWatch(look, every_s=0.001, on_spill=told.append, clock=lambda: float(next(at))) as watch:
        assert done.wait(10)
    report = watch.report()
    assert report.samples == 3 and report.spilled_bytes == 2 * GB
    assert [early.spilled_bytes for early in told] == [GB]
    assert report.spilled_share == pytest.approx(2 / 3)
    assert "2.0 GB spilled to the host from 2 s on, in 67% of the time" in report.words


def test_a_watch_that_fails_ends_no_training() -> None:
    failed = threading.Event()

    def look() -> MemorySample:
        failed.set()
        raise RuntimeError("no device")

    with MemoryWatch(look, every_s=0.001) as watch:
        assert failed.wait(10)
    assert watch.report().words == "GPU memory was not watched: RuntimeError: no device"


@pytest.mark.gpu
@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="no CUDA device on this machine")
def test_a_real_card_is_read_and_watched() -> None:
    import torch

    from stt_platform.machine.gpu_facts import read_machine
    from stt_platform.machine.gpu_watch import DeviceMemory

    found = read_machine()
    card = parse_cards(found.cards)[0]
    assert card.capability == torch.cuda.get_device_capability(0)
    assert card.total_bytes == pytest.approx(torch.cuda.get_device_properties(0).total_memory, rel=0.05)
    held = torch.empty(2 * GB, dtype=torch.uint8, device="cuda")
    with MemoryWatch(DeviceMemory(), every_s=0.05) as watch:
        torch.cuda.synchronize()
    report = watch.report()
    assert report.peak_used_bytes >= report.peak_reserved_bytes >= held.nbytes
    assert not report.spilled
