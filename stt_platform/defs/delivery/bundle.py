"""The bundle for the live machine: the asset `adapter_bundle`."""

import errno
import os
import wave
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.defs.shown import table
from stt_platform.delivery.bundle import (
    SCRIPT,
    SOUND,
    UTTERANCE,
    BundlePart,
    HubBase,
    arithmetic,
    bundle_name,
    hub_base,
    marian_part,
    private_files,
    recogniser_part,
    reports_of,
    script_sha256,
    seal_bundle,
    translator_part,
)
from stt_platform.delivery.merging import merge_recogniser, merge_translator
from stt_platform.delivery.verify_bundle import read_manifest
from stt_platform.errors import PlatformError
from stt_platform.machine.files import link_atomically, one_at_a_time
from stt_platform.models.registry import model
from stt_platform.models.translators import translator_folder
from stt_platform.models.whisper_weights import whisper_folder
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.settings import DeliverySettings, load_settings
from stt_platform.speech.voices import Preacher, speak
from stt_platform.store.adapters import Adapter, made_by, read_adapter
from stt_platform.store.bundles import Placed, bundle_bytes, place_bundle
from stt_platform.store.choices import speech_champion
from stt_platform.store.reports import report_cards, report_page
from stt_platform.store.stages import StageOutput, StageResult
from stt_platform.training.adapter_files import (
    AdapterFiles,
    AdapterRefused,
    Base,
    check_adapter,
    package_versions,
    weights_sha256,
)

BUNDLE = "bundle"
"""Where the stage keeps the bundle within its output."""

_TRANSLATORS = (
    ("fine_tuned_gemma_mi_A", "translategemma_adapter", "A"),
    ("fine_tuned_gemma_mi_B", "translategemma_adapter", "B"),
    ("fine_tuned_marian_mi", "marian_model", None),
)
_RECOGNISER = "fine_tuned_whisper_mi"
_CTRANSLATE2, _FULL = "_ct2", "_full"
_SERVING = "serving/"

_SPEAKER = Preacher("the packaged voice", pitch=1.0, pace=1.0, liveliness=0.0, pause_s=0.3, tilt_db=0.0)
_SEED, _PEAK = 1, 0.5

# Names of environment variables whose values may stand in no file.
_SECRET_NAMES = ("TOKEN", "KEY", "PASSWORD", "SECRET")
_SHORTEST_SECRET = 8


@dataclass(frozen=True)
class _Source:
    """An adapter that goes into the bundle, and the folder that it has there."""

    folder: str
    adapter: Adapter


def bundles_folder(home: Path) -> Path:
    """Return where finished bundles lie."""
    return home / "bundles"


def _sources(home: Path) -> list[_Source]:
    """Return what there is to deliver: the champion among the recognisers, and the translators as they were made last."""
    champion = speech_champion(home).adapter_id
    found = [] if champion is None else [_Source(_RECOGNISER, read_adapter(home, champion))]
    made = [(folder, made_by(home, asset, part)) for folder, asset, part in _TRANSLATORS]
    return found + [_Source(folder, adapter) for folder, adapter in made if adapter is not None]


def _reports(home: Path, sources: list[_Source]) -> dict[str, Path]:
    """Return the files of the reports that measured what is delivered, by their name in the bundle."""
    ids = [source.adapter.adapter_id[:12] for source in sources]
    cards = [card for card in report_cards(home) if any(one in card.system for one in ids)]
    pages = [page for card in cards if (page := report_page(home, card.name))]
    return {f"reports/{path.name}": path for page in pages for path in (page, page.with_suffix(".json"))}


def _parameters(context: StageContext) -> Mapping[str, Any]:
    chosen = context.settings.delivery
    return {
        "adapters": {source.folder: source.adapter.adapter_id for source in _sources(context.home)},
        "ctranslate2": chosen.ctranslate2,
        "full_weights": chosen.full_weights,
        "script": script_sha256(),
        "versions": package_versions(),
    }


@dataclass(frozen=True)
class BundleData:
    """What is in the bundle: the folder of each model, and how many reports."""

    models: tuple[str, ...]
    reports: int


def _metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    parts = read_manifest(output.folder / BUNDLE)["parts"]
    shelves = _shelves(platform.home, platform.settings.delivery)
    return {
        **output.shown,
        "what each model answers": table([_answer(part) for part in parts if part["expected"]]),
        "folder": dg.MetadataValue.path(str(shelves[0] / output.shown["name"])),
        "also in": ", ".join(str(shelf) for shelf in shelves[1:]) or "–",
        "on the live machine": f"python3 {SCRIPT}",
    }


def place_everywhere(home: Path, output: StageOutput) -> list[Placed]:
    """Put the bundle of the stage into `STT_HOME/bundles`, and onto the share if one is set; what lies there stays.

    Raises `PlatformError` where that fails; see `place_bundle`.
    """
    chosen = load_settings(home).delivery
    with one_at_a_time(home / "locks" / "bundles"):
        return [place_bundle(output.folder / BUNDLE, shelf, keep=chosen.keep) for shelf in _shelves(home, chosen)]


def _shelves(home: Path, chosen: DeliverySettings) -> list[Path]:
    share = [Path(chosen.folder).expanduser()] if chosen.folder else []
    return [bundles_folder(home), *share]


@stage(
    version="1",
    group="delivery",
    kinds={"folder"},
    after=("speech_decision", "translategemma_adapter", "marian_model", "translation_evaluation"),
    parameters=_parameters,
    files=lambda context: _reports(context.home, _sources(context.home)),
    metadata=_metadata,
    on_request=True,
    hand_out=place_everywhere,
)
def adapter_bundle(work: Work) -> StageResult:
    """Pack what the live machine needs in one folder: `STT_HOME/bundles/latest`, and on a share if one is set.

    The champion among the recognisers and the translators as they were made last, as safetensors with their model cards,
    the reports that measured them, checksums, and `verify_bundle.py`, which needs only transformers and peft there: it
    lets every model answer a known utterance or sentence, and compares the answer with the one given here.
    """
    sources = _sources(work.home)
    if not sources:
        raise PlatformError(
            "there is nothing to deliver yet: no recogniser's adapter has been promoted (speech_decision decides) and no "
            "translator has been trained (stt run --through translategemma_adapter)"
        )
    bundle = work.folder / BUNDLE
    with _disk_told(work):
        parts = _filled(work, bundle, sources)
        manifest = _sealed(work, bundle, parts)
    _refuse_secrets(bundle)
    data = BundleData(tuple(part.folder for part in parts), len(reports_of(bundle)))
    return StageResult(
        data=data,
        shown={
            "name": manifest["name"],
            "models": ", ".join(data.models),
            "size (MB)": round(bundle_bytes(bundle) / 1e6, 1),
            "reports": data.reports,
            "MLX": _mlx(parts),
        },
    )


@contextmanager
def _disk_told(work: Work) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The writer of safetensors has an error class of its own, which carries the system's words only.
        if not isinstance(error, OSError) and os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise PlatformError(
            f"the bundle could not be made in {work.folder.parent} ({error}): make room if the disk is full, and run it "
            "again; the bundles that are there are as they were"
        ) from error


def _filled(work: Work, bundle: Path, sources: list[_Source]) -> list[BundlePart]:
    bundle.mkdir()
    _write_sound(bundle / SOUND)
    with work.device("cpu"):
        parts = [part for source in sources for part in _packed(work, bundle, source, work.settings.delivery)]
    for name, path in _reports(work.home, sources).items():
        link_atomically(path, bundle / name)
    return parts


def _sealed(work: Work, bundle: Path, parts: list[BundlePart]) -> Mapping[str, Any]:
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    return seal_bundle(
        bundle,
        name=bundle_name(made_at, work.key),
        made_at=made_at,
        made_by=f"stt-platform {version('stt-platform')}",
        versions=package_versions(),
        parts=parts,
    )


def _refuse_secrets(bundle: Path) -> None:
    if told := private_files(bundle, _secrets(os.environ)):
        raise PlatformError(
            f"{told[0]} of the bundle holds a token or a password, so it is not delivered: take it out of what it was made "
            "from (the settings, a report), and run it again"
        )


def _packed(work: Work, bundle: Path, source: _Source, chosen: DeliverySettings) -> Iterator[BundlePart]:
    """Copy one adapter into the bundle, with what else of it is wanted, and let it answer."""
    adapter, folder = source.adapter, source.folder
    work.say(f"{folder}: copying it, and asking it")
    base = _base_folder(work, adapter)
    checked = _checked(adapter, base)
    for name in checked.files:
        if not name.startswith(_SERVING):
            link_atomically(adapter.folder / name, bundle / folder / name)
        elif chosen.ctranslate2:
            link_atomically(adapter.folder / name, bundle / f"{folder}{_CTRANSLATE2}" / name.removeprefix(_SERVING))
    link_atomically(adapter.folder / "adapter.json", bundle / folder / "adapter.json")
    yield from _asked(work, bundle, source, base, full=chosen.full_weights)
    if (bundle / f"{folder}{_CTRANSLATE2}").is_dir():
        loader = "faster-whisper" if adapter.kind == "whisper" else "ctranslate2"
        yield BundlePart(f"{folder}{_CTRANSLATE2}", "ctranslate2", adapter.adapter_id, None, loaded_by=loader)


def _asked(work: Work, bundle: Path, source: _Source, base: Path, *, full: bool) -> Iterator[BundlePart]:
    adapter, folder = source.adapter, source.folder
    if adapter.kind == "marian":
        yield marian_part(bundle, folder, adapter.adapter_id)
        return
    dtype = arithmetic(base)
    ask: Callable[..., BundlePart] = recogniser_part if adapter.kind == "whisper" else translator_part
    yield ask(bundle, folder, adapter.adapter_id, base=base, hub=_hub(adapter), dtype=dtype)
    if not full:
        return
    whole = f"{folder}{_FULL}"
    work.say(f"{folder}: merging it into its base")
    if adapter.kind == "whisper":
        merge_recogniser(base, bundle / folder, bundle / whole)
    else:
        merge_translator(base, bundle / folder, bundle / whole, dtype=dtype)
    yield ask(bundle, whole, adapter.adapter_id, base=bundle / whole, hub=None, dtype=dtype)


def _base_folder(work: Work, adapter: Adapter) -> Path:
    find = whisper_folder if adapter.kind == "whisper" else translator_folder
    return find(adapter.base_model, work.home, work.say)


def _checked(adapter: Adapter, base: Path) -> AdapterFiles:
    entry = model(adapter.base_model)
    here = Base(entry.name, entry.pinned_revision, weights_sha256(base))
    try:
        return check_adapter(adapter.folder, base=here)
    except AdapterRefused as error:
        raise PlatformError(str(error)) from error


def _hub(adapter: Adapter) -> HubBase:
    entry = model(adapter.base_model)
    return hub_base(entry.name, entry.repo, entry.revision)


def _write_sound(path: Path) -> None:
    """The known utterance in the packaged voice, as a wav that Python reads by itself."""
    path.parent.mkdir()
    (spoken,) = speak([UTTERANCE], _SPEAKER, seed=_SEED, rate_hz=SAMPLE_RATE_HZ)
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLE_RATE_HZ)
        sound.writeframes(np.round(_PEAK * 32767 * spoken).astype("<i2").tobytes())


def _secrets(environment: Mapping[str, str]) -> list[str]:
    """Values of variables that are called a token, a key or a password."""
    return [
        value
        for name, value in environment.items()
        if name.upper().endswith(_SECRET_NAMES) and len(value) >= _SHORTEST_SECRET
    ]


def _mlx(parts: list[BundlePart]) -> str:
    if not any(part.kind == "translategemma" for part in parts):
        return "no translator that MLX runs"
    whole = any(part.kind == "translategemma" and part.base is None for part in parts)
    then = "" if whole else "set delivery.full_weights, and "
    return f"not converted here: its tools run on a Mac; {then}run {SCRIPT} --mlx FOLDER there"


def _answer(part: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": part["folder"],
        "base": part["base"]["name"] if part["base"] else "whole",
        "asked": part.get("spoken") or part["sentence"],
        "answered": part["expected"]["text"],
        "nats per token": part["expected"]["nats_per_token"],
    }
