"""Where a setting comes from, and what is said when it cannot be used."""

from pathlib import Path

import pytest

from stt_platform.errors import SettingsError
from stt_platform.models.registry import ModelMissing, model, models
from stt_platform.settings import load_settings


def test_defaults_are_the_seeds_numbers(stt_home: Path) -> None:
    settings = load_settings()
    assert (settings.vad.min_speech_ms, settings.vad.min_silence_ms) == (500, 300)
    assert (settings.chunking.padding_s, settings.chunking.min_s, settings.chunking.max_s) == (0.1, 1.0, 30.0)


def test_environment_over_file_over_profile(stt_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (stt_home / "settings.toml").write_text("[transcription]\nbeam_size = 3\n[chunking]\nmax_s = 25\n")
    monkeypatch.setenv("STT_CHUNKING__MAX_S", "24")
    settings = load_settings()
    assert settings.transcription.model == "whisper-tiny.en"
    assert settings.transcription.beam_size == 3
    assert settings.chunking.max_s == 24


def test_the_workstation_profile_has_the_seeds_models(stt_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STT_PROFILE", "workstation")
    chosen = load_settings().transcription
    assert (chosen.model, chosen.device, chosen.compute_type) == ("distil-large-v3", "cuda", "float16")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("[chunking]\nmax_s = 31", ["chunking.max_s", "31"]),
        ("[chunking]\nmaximum = 3", ["chunking.maximum", "settings.toml"]),
        ("[chunking]\nmin_s = 20\ntarget_s = 21", ["min_s=20"]),
        ("[split]\ntrain = 0.9", ["sum to 1"]),
        ('profile = "laptop"', ["laptop", "embedded, workstation"]),
        ("chunking = [", ["settings.toml", "TOML"]),
    ],
)
def test_a_wrong_setting_is_named(stt_home: Path, written: str, words: list[str]) -> None:
    (stt_home / "settings.toml").write_text(written)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_secret_that_was_written_into_the_settings_is_not_repeated(stt_home: Path) -> None:
    (stt_home / "settings.toml").write_text('[label_studio]\ntoken = "0123456789abcdef"\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"label_studio\.token") as refused:
        load_settings()
    assert "0123456789abcdef" not in str(refused.value)


def test_every_model_is_pinned() -> None:
    for entry in models().values():
        assert entry.package or len(entry.revision or "") == 40


def test_an_unknown_model_names_those_there_are() -> None:
    with pytest.raises(ModelMissing, match=r"whisper-tiny\.en"):
        model("whisper-huge")


def test_a_model_that_cannot_be_fetched_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelMissing, match="STT_PROFILE=embedded"):
        model("distil-large-v3").folder_on_disk()


def test_the_packaged_recogniser_is_on_disk() -> None:
    folder = model("whisper-tiny.en").folder_on_disk()
    assert (folder / "model.bin").stat().st_size > 10_000_000
