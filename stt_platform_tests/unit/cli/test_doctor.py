"""`stt doctor` as a whole, on faked facts of the machine; what each part finds is tested beside that part."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from stt_platform.cli import doctor
from stt_platform.machine.gpu_facts import Machine

MOUNTS = "/dev/sdc / ext4 rw 0 0\nC:\\134 /mnt/c 9p rw,aname=drvfs;path=C:\\ 0 0\n"
WSL2 = "Linux version 5.15.167.4-microsoft-standard-WSL2 (root@f9c826d3017f) (gcc (GCC) 11.2.0) #1 SMP Tue Nov 5 2024"


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the doctor on a machine, with variables; returns its code and what it printed."""

    def run(machine: Machine, **variables: str) -> tuple[int, str]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(doctor, "read_machine", lambda: machine)
        monkeypatch.setattr(doctor, "device_name", lambda: "cuda-0" if machine.cards else "cpu")
        console = Console(file=io.StringIO(), width=400)
        return doctor.check_machine(tmp_path / "home", console), console.file.getvalue()

    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return run


def test_a_plain_machine_is_fine(says) -> None:
    code, said = says(Machine(mounts=MOUNTS))
    assert code == 0
    assert "no NVIDIA GPU: training runs on the CPU" in said
    assert "translategemma" not in said


@pytest.mark.parametrize(
    ("token", "verdict", "words"),
    [
        ("", "wrong", "diarization wants speaker-diarization-3.1, which is gated, and HF_TOKEN is not set"),
        ("secret-without-its-mark", "wrong", "does not begin with hf_, so pyannote.audio ignores it"),
        ("hf_secret", "fine", "diarization: HF_TOKEN is set, for speaker-diarization-3.1"),
    ],
)
def test_the_token_is_looked_at_and_never_shown(says, token: str, verdict: str, words: str) -> None:
    _, said = says(Machine(mounts=MOUNTS), STT_PROFILE="workstation", HF_TOKEN=token)
    (line,) = (line for line in said.splitlines() if words in line)
    assert line.startswith(verdict)
    assert "secret" not in said
    assert ("translategemma-4b is gated" in said) == (token == "")


def test_a_platform_on_a_windows_drive_is_said_inside_wsl(says, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "repository", lambda: Path("/mnt/c/Users/Ann/stt_platform"))
    _, said = says(Machine(kernel=WSL2, mounts=MOUNTS))
    assert "the folder of the platform lies on a 9p drive (/mnt/c)" in said
    assert "move the folder of the platform to a folder on Linux's own disk" in said
