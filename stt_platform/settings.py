"""Every setting of the platform, typed, in one place.

A value comes from, in falling order: an environment variable (`STT_CHUNKING__MAX_S=20`), `settings.toml`
in `STT_HOME`, the profile (`models/profiles.toml`), the default below. Defaults are the seed specification's
numbers; `Field(description=…)` names the unit, and where ours differs, why. `docs/parameters.md` is made from here.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as PydanticSettingsError

_PROFILES = Path(__file__).parent / "models" / "profiles.toml"


class PlatformError(RuntimeError):
    """Something that a user can mend: says what is wrong and what to do."""


class SettingsError(ValueError):
    """A setting that cannot be used: names the place, the value and what is allowed."""


def home() -> Path:
    """`STT_HOME`: the folder that the platform writes to; `data/` of the repository by default."""
    configured = os.environ.get("STT_HOME")
    return Path(configured).expanduser().absolute() if configured else repository() / "data"


def repository() -> Path:
    """The checkout that this package runs from: `dagster.yaml` and `workspace.yaml` lie there."""
    return Path(__file__).resolve().parents[1]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VadSettings(_Section):
    """Silero voice activity detection."""

    threshold: float = Field(0.5, gt=0, lt=1, description="speech starts above this probability (Silero's default)")
    neg_threshold: float = Field(
        0.35, gt=0, lt=1, description="speech ends below this probability (Silero: threshold − 0.15)"
    )
    min_speech_ms: int = Field(500, ge=0, description="ms; shorter speech is no region (seed, step 7)")
    min_silence_ms: int = Field(300, ge=0, description="ms; a shorter gap does not end a region (seed, step 7)")


class ChunkingSettings(_Section):
    """How regions of speech become chunks of 1 to 30 seconds."""

    padding_s: float = Field(0.1, ge=0, le=1, description="s kept before and after speech (seed, step 7)")
    min_s: float = Field(1.0, gt=0, description="s; shortest chunk (seed, step 7)")
    max_s: float = Field(30.0, gt=1, le=30, description="s; longest chunk: Whisper's window (seed, step 7)")
    target_s: float = Field(
        15.0, gt=1, le=30, description="s; length that the cutter prefers (ours: measured, docs/benchmarks.md)"
    )
    max_inner_pause_s: float = Field(
        2.0, gt=0, description="s; a longer pause always ends a chunk (ours: buried silence costs accuracy)"
    )

    @model_validator(mode="after")
    def _lengths_make_sense(self) -> "ChunkingSettings":
        if not self.min_s < self.target_s <= self.max_s or 2 * self.min_s > self.max_s:
            raise ValueError(
                f"min_s={self.min_s}, target_s={self.target_s}, max_s={self.max_s}: "
                "want min_s < target_s <= max_s and 2 * min_s <= max_s"
            )
        return self


class TranscriptionSettings(_Section):
    """The recogniser and how it decodes."""

    model: str = Field(
        "distil-large-v3",
        description="name in the model registry (seed, phase 4: distil-large-v3; large-v3 for best quality)",
    )
    device: Literal["cpu", "cuda"] = Field("cuda", description="where it runs (seed: cuda)")
    compute_type: str = Field("float16", description="CTranslate2 arithmetic (seed: float16)")
    cpu_threads: int = Field(2, ge=1, description="threads when device is cpu; fixed, so that results repeat")
    language: str = Field("en", pattern="^[a-z]{2}$", description="language of the sermons")
    beam_size: int = Field(5, ge=1, description="beams (faster-whisper's default)")


class SplitSettings(_Section):
    """Which sermons teach and which examine."""

    train: float = Field(0.65, ge=0, le=1, description="share of sermons for training")
    dev: float = Field(0.10, ge=0, le=1, description="share for early stopping and thresholds")
    test: float = Field(0.15, ge=0, le=1, description="share for the church test")
    final: float = Field(0.10, ge=0, le=1, description="share opened once, at the very end")
    seed: int = Field(42, description="changes who goes where (seed specification: 42)")

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> "SplitSettings":
        total = self.train + self.dev + self.test + self.final
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + dev + test + final = {total:g}: the shares must sum to 1")
        return self


class InboxSettings(_Section):
    """Picking up files from `STT_HOME/inbox`."""

    settle_s: float = Field(10.0, ge=0, description="s a file must have been unchanged before it is taken")
    budget_s: float = Field(30.0, gt=0, description="s one look at the inbox may take; the rest waits for the next")


class UiSettings(_Section):
    """Where the pages are served; always on this machine only."""

    dagster_port: int = Field(3000, ge=1, le=65535, description="port of the Dagster web UI on 127.0.0.1")
    listening_port: int = Field(3001, ge=1, le=65535, description="port of the listening page on 127.0.0.1")


def _profile_values(profile: str) -> dict[str, Any]:
    profiles = tomllib.loads(_PROFILES.read_text(encoding="utf-8"))
    if profile not in profiles:
        raise SettingsError(
            f"profile = {profile!r}: there is no such profile; choose one of {', '.join(sorted(profiles))}"
        )
    return profiles[profile]


class Settings(BaseSettings):
    """All settings; see the module's docstring for where a value comes from."""

    model_config = SettingsConfigDict(env_prefix="STT_", env_nested_delimiter="__", extra="forbid", frozen=True)

    profile: str = Field(
        "embedded", description="embedded (CPU, packaged weights) or workstation (the seed's models on CUDA)"
    )
    sensors: bool = Field(True, description="whether new recordings are worked on by themselves while a daemon runs")
    vad: VadSettings = VadSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    transcription: TranscriptionSettings = TranscriptionSettings()
    split: SplitSettings = SplitSettings()
    inbox: InboxSettings = InboxSettings()
    ui: UiSettings = UiSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        **_: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # What `load_settings` passes in is the file over the profile, so the environment comes first.
        return env_settings, init_settings


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for name, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merge(merged[name], value) if both else value
    return merged


def settings_file(at: Path | None = None) -> Path:
    """The file in which a user sets what differs from the defaults."""
    return (at or home()) / "settings.toml"


def load_settings(at: Path | None = None) -> Settings:
    """Read the settings of the platform at `at` (default: `STT_HOME`).

    Raises `SettingsError` naming the file, the setting and the remedy.
    """
    path = settings_file(at)
    written: dict[str, Any] = {}
    if path.exists():
        try:
            written = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is not readable as TOML: {error}") from error
    profile = os.environ.get("STT_PROFILE") or written.get("profile") or Settings.model_fields["profile"].default
    try:
        return Settings(**_merge(_profile_values(str(profile)), written))
    except PydanticSettingsError as error:
        raise SettingsError(f"an STT_… environment variable cannot be used: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']} (got {problem.get('input')!r})"
            for problem in error.errors()
        )
        raise SettingsError(
            f"settings of {path.parent} cannot be used: {problems}. "
            f"Correct {path} or the STT_… environment variables; docs/parameters.md lists what is allowed."
        ) from error
