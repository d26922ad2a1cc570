"""`stt doctor`: what is wrong on this machine, and what mends it."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from stt_platform.cli.home_findings import home_findings
from stt_platform.errors import SettingsError
from stt_platform.machine.gpu import device_name
from stt_platform.machine.gpu_facts import Finding, device_findings, is_wsl, mount_finding, read_machine
from stt_platform.machine.host_facts import host_findings
from stt_platform.models.presence import present_weights
from stt_platform.models.registry import ModelMissing, hub_token, model
from stt_platform.settings import Settings, load_settings, repository

_MIN_FREE_GB = 10


def check_machine(home: Path, console: Console) -> int:
    """Print every finding; returns 1 when something is wrong."""
    colours = {"fine": "green", "look at": "yellow", "wrong": "red"}
    findings = list(_findings(home))
    for finding in findings:
        console.print(f"{finding.verdict:8}", style=colours[finding.verdict], end="")
        console.print(finding.what, markup=False)
        if finding.remedy:
            console.print(f"        → {finding.remedy}", markup=False)
    return int(any(finding.verdict == "wrong" for finding in findings))


def _findings(home: Path) -> Iterator[Finding]:
    yield _python()
    yield _writable(home)
    yield _space(home)
    machine = read_machine()
    yield mount_finding(home.resolve(), machine)
    if is_wsl(machine.kernel):
        yield mount_finding(repository(), machine, what="the folder of the platform")
    yield from host_findings(machine)
    yield from device_findings(machine)
    try:
        settings = load_settings(home)
    except SettingsError as error:
        yield Finding("wrong", str(error), "correct the setting, then run this again")
        return
    yield Finding("fine", f"settings: profile {settings.profile}")
    checks: tuple[Callable[[Settings], Finding], ...] = (_device, _model, _second_model, _diarization, _web)
    for check in checks:
        yield check(settings)
    yield from _translators(home, settings)
    yield from home_findings(home, settings)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] < (3, 13):
        return Finding("fine", f"Python {version}")
    return Finding("wrong", f"Python {version}", "make the environment with Python 3.11 or 3.12: `make setup`")


def _writable(home: Path) -> Finding:
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return Finding("wrong", f"STT_HOME {home}: {error.strerror}", "set STT_HOME to a folder that you may write to")
    if os.access(home, os.W_OK):
        return Finding("fine", f"STT_HOME {home} can be written to")
    return Finding("wrong", f"STT_HOME {home} cannot be written to", "set STT_HOME to a folder that you may write to")


def _space(home: Path) -> Finding:
    free_gb = shutil.disk_usage(home if home.exists() else home.parent).free / 1e9
    text = f"{free_gb:.0f} GB free for STT_HOME"
    if free_gb >= _MIN_FREE_GB:
        return Finding("fine", text)
    return Finding("look at", text, f"an hour of audio takes about 0.3 GB; keep {_MIN_FREE_GB} GB free")


def _device(settings: Settings) -> Finding:
    name = device_name()
    wanted = settings.transcription.device
    if wanted == "cuda" and name == "cpu":
        return Finding(
            "wrong",
            f"profile {settings.profile} wants CUDA, and this machine shows no CUDA device",
            "check `nvidia-smi`; inside WSL only the Windows driver is needed. Or use the embedded profile",
        )
    return Finding("fine", f"device: {name}; the recogniser runs on {wanted}")


def _model(settings: Settings) -> Finding:
    return _weights("recogniser", settings.transcription.model)


def _second_model(settings: Settings) -> Finding:
    return _weights("second recogniser", settings.agreement.second_model)


def _weights(what: str, name: str) -> Finding:
    try:
        chosen = model(name)
        if chosen.package:
            return Finding("fine", f"{what} {chosen.identity} is in {chosen.folder_on_disk()}")
    except ModelMissing as error:
        return Finding("wrong", str(error))
    return Finding("fine", f"{what} {chosen.identity} is fetched from the model hub on first use")


def _diarization(settings: Settings) -> Finding:
    chosen = settings.diarization
    if chosen.engine == "packaged" or not (chosen.enabled or chosen.titles):
        return Finding("fine", "diarization needs no token")
    token = hub_token()
    if token and not token.startswith("hf_"):
        return Finding(
            "wrong",
            "diarization: what HF_TOKEN holds does not begin with hf_, so pyannote.audio ignores it",
            "set HF_TOKEN to a read token of your account on the model hub",
        )
    if token:
        return Finding("fine", f"diarization: HF_TOKEN is set, for {chosen.pipeline}")
    return Finding(
        "wrong",
        f"diarization wants {chosen.pipeline}, which is gated, and HF_TOKEN is not set",
        "accept its conditions on the model hub and set HF_TOKEN; or set diarization.engine to packaged",
    )


def _translators(home: Path, settings: Settings) -> Iterator[Finding]:
    """Gated models that are not here yet: those are fetched with a token only."""
    named = {settings.back_translation.model, settings.evaluation.model, *settings.translator_training.models.values()}
    for name in sorted(named):
        try:
            gated = "gated" in model(name).licence and present_weights(name, home) is None
        except ModelMissing as error:
            yield Finding("wrong", str(error))
            continue
        if gated and not hub_token():
            yield Finding(
                "look at",
                f"the translator {name} is gated and not on this machine, and HF_TOKEN is not set",
                "accept its conditions on the model hub and set HF_TOKEN; sermons are transcribed without it",
            )


def _web(settings: Settings) -> Finding:
    if shutil.which("deno"):
        return Finding("fine", "deno is here, which `stt channel` needs for YouTube")
    return Finding(
        "look at", "deno is not installed: `stt channel` cannot read YouTube", "install deno; other sites work"
    )
