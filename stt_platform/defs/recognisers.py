"""Which recognisers there are: base models, adapters merged into them, and the champion that transcribes."""

from dataclasses import dataclass
from pathlib import Path

from stt_platform.errors import PlatformError
from stt_platform.models.registry import Model, model
from stt_platform.settings import AgreementSettings, Settings, TranscriptionSettings
from stt_platform.speech.recognisers import recogniser_class
from stt_platform.speech.recognisers.base import Recogniser
from stt_platform.store.adapters import Adapter, read_adapter
from stt_platform.store.choices import speech_champion
from stt_platform.training.adapter_files import AdapterRefused, check_adapter

# What runs an adapter in the form that is exported for serving.
_KIND_OF_ADAPTERS = "faster-whisper"


@dataclass(frozen=True)
class SpeechSystem:
    """The weights of a recogniser.

    Attributes:
        identity: names its weights exactly, as the transcripts and the evaluations show it.
        folder: with its weights.
        adapter_id: None for a base model.
        base: identity of the model under an adapter; of a base model its own.
        kind: which recogniser runs it, as in the registry.
    """

    identity: str
    folder: Path
    adapter_id: str | None
    base: str
    kind: str = _KIND_OF_ADAPTERS


def load_recogniser(system: SpeechSystem, chosen: TranscriptionSettings | AgreementSettings) -> Recogniser:
    """Load a system on the device of the settings, ready to transcribe.

    Raises `PlatformError` where no recogniser runs models of its kind.
    """
    try:
        recogniser = recogniser_class(system.kind)
    except ValueError as error:
        raise PlatformError(f"{system.identity}: {error}") from error
    return recogniser.load(system.folder, **chosen.model_dump(include={"device", "compute_type", "cpu_threads"}))


@dataclass(frozen=True)
class Transcriber:
    """The champion or the base model of the settings, which transcribes today, and why that one."""

    identity: str
    why: str
    adapter: Adapter | None
    kind: str = _KIND_OF_ADAPTERS

    def system(self, settings: Settings) -> SpeechSystem:
        """Return it with its folder; fetches weights on first use, and checks those of an adapter byte for byte."""
        base = base_system(settings.transcription.model)
        return base if self.adapter is None else adapter_system(self.adapter, base.identity)


def transcriber(home: Path, settings: Settings) -> Transcriber:
    """Return the champion that was recorded, where it was trained on the model of the settings; else that model.

    Raises `PlatformError` where the champion's folder is gone.
    """
    base = model(settings.transcription.model)
    champion = speech_champion(home)
    if champion.adapter_id is None:
        return Transcriber(base.identity, champion.why, None, base.kind)
    adapter = read_adapter(home, champion.adapter_id)
    if adapter.base_model != base.name:
        why = f"set by hand (setting `transcription.model`); the champion was trained on {adapter.base_model}"
        return Transcriber(base.identity, why, None, base.kind)
    return Transcriber(adapter.identity, champion.why, adapter)


def base_system(name: str) -> SpeechSystem:
    """Return the model of that name in the registry; fetches its weights on first use."""
    found = model(name)
    return SpeechSystem(found.identity, found.folder_on_disk(), None, found.identity, found.kind)


def base_model_of(adapter: Adapter | None, settings: Settings) -> Model:
    """Return the model beside which an adapter is measured: the one it was trained on, in the form that is served.

    Where that is no recogniser of the registry, and where there is no adapter, it is the one that transcribes.
    """
    names = [settings.transcription.model]
    if adapter is not None:
        names.insert(0, adapter.base_model)
    return next((found for name in names if (found := model(name)).kind == _KIND_OF_ADAPTERS), model(names[-1]))


def adapter_system(adapter: Adapter, base: str) -> SpeechSystem:
    """Return an adapter as it was exported for serving, merged into its base of that identity.

    Raises `PlatformError` where a byte of it is not what it was.
    """
    try:
        check_adapter(adapter.folder)
    except AdapterRefused as error:
        raise PlatformError(str(error)) from error
    return SpeechSystem(adapter.identity, adapter.serving, adapter.adapter_id, base)
