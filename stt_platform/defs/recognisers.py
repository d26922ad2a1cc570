"""Which recognisers there are: base models, adapters merged into them, and the champion that transcribes."""

from dataclasses import dataclass
from pathlib import Path

from stt_platform.models.registry import Model, model
from stt_platform.settings import PlatformError, Settings
from stt_platform.store.adapters import Adapter, read_adapter
from stt_platform.store.choices import speech_champion
from stt_platform.training.adapter_files import AdapterRefused, check_adapter


@dataclass(frozen=True)
class SpeechSystem:
    """A recogniser.

    Attributes:
        identity: names its weights exactly, as the transcripts and the evaluations show it.
        folder: with a model in CTranslate2's format.
        adapter_id: None for a base model.
        base: identity of the model under an adapter; of a base model its own.
    """

    identity: str
    folder: Path
    adapter_id: str | None
    base: str


@dataclass(frozen=True)
class Transcriber:
    """What transcribes today: the champion or the base model of the settings, and why that one."""

    identity: str
    why: str
    adapter: Adapter | None

    def load(self, settings: Settings) -> SpeechSystem:
        """With its folder; fetches weights on first use, and looks whether those of an adapter are what they were."""
        base = base_system(settings.transcription.model)
        return base if self.adapter is None else adapter_system(self.adapter, base.identity)


def transcriber(home: Path, settings: Settings) -> Transcriber:
    """The champion that was recorded, where it was trained on the model of the settings; else that model.

    Raises `PlatformError` where the champion's folder is gone.
    """
    base = model(settings.transcription.model)
    champion = speech_champion(home)
    if champion.adapter_id is None:
        return Transcriber(base.identity, champion.why, None)
    adapter = read_adapter(home, champion.adapter_id)
    if adapter.base_model != base.name:
        why = f"set by hand (setting `transcription.model`); the champion was trained on {adapter.base_model}"
        return Transcriber(base.identity, why, None)
    return Transcriber(adapter.identity, champion.why, adapter)


def base_system(name: str) -> SpeechSystem:
    """The model of that name in the registry; fetches its weights on first use."""
    found = model(name)
    return SpeechSystem(found.identity, found.folder_on_disk(), None, found.identity)


def base_model_of(adapter: Adapter | None, settings: Settings) -> Model:
    """The model beside which an adapter is measured: the one it was trained on, in the form that is served.

    Where that is no recogniser of the registry, and where there is no adapter, it is the one that transcribes.
    """
    names = [settings.transcription.model]
    if adapter is not None:
        names.insert(0, adapter.base_model)
    return next((found for name in names if (found := model(name)).kind == "faster-whisper"), model(names[-1]))


def adapter_system(adapter: Adapter, base: str) -> SpeechSystem:
    """An adapter as it was exported for serving, merged into its base of that identity.

    Raises `PlatformError` where a byte of it is not what it was.
    """
    try:
        check_adapter(adapter.folder)
    except AdapterRefused as error:
        raise PlatformError(str(error)) from error
    return SpeechSystem(adapter.identity, adapter.serving, adapter.adapter_id, base)
