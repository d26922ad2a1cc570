"""What trainings are told, by the user and otherwise; the settings of the platform take their fields from here."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Optimizer = Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"]
Schedule = Literal["linear", "cosine", "constant"]
Targets = Literal["q_proj,v_proj", "attention", "all-linear"]


class Options(BaseModel):
    """Values that are checked when they are given (`ValueError`), and do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LoraOptions(Options):
    """What every training of LoRA is told (Hu et al. 2022); `alpha` / `rank` is the scaling factor."""

    rank: int = Field(default=16, ge=1, description="rank of LoRA (seed, phase 5)")
    alpha: int = Field(default=16, ge=1, description="scale of LoRA (seed, phase 5)")
    dropout: float = Field(default=0.05, ge=0, lt=1, description="of LoRA (seed, phase 5)")
    checkpointing: bool = Field(
        default=True, description="activations are computed again to save memory (seed, phase 5)"
    )
    seed: int = Field(default=42, description="of every draw (seed: 42)")


class WhisperTrainingOptions(LoraOptions):
    """What a training of the recogniser's adapter is told by the user."""

    rank: int = Field(default=32, ge=1, description="rank of LoRA (seed, phase 5)")
    alpha: int = Field(default=64, ge=1, description="scale of LoRA (seed, phase 5)")
    targets: Targets = Field(
        default="q_proj,v_proj",
        description="matrices of encoder and decoder that are adapted (seed: q_proj and v_proj, at least)",
    )
    micro_batch: int = Field(
        default=4, ge=1, description="examples at once; the memory planner may lower it (seed, phase 5)"
    )
    easy_first: bool = Field(
        default=False,
        description="whether the first pass goes from easy to hard, by the model's own confidence (seed, phase 6: yes)",
    )


class SpeechMixOptions(Options):
    """What goes into the set that the recogniser is trained on."""

    replay_ratio: float = Field(
        default=0.7,
        ge=0,
        lt=1,
        description="share of general English in the set, as far as there is some (seed, phase 6)",
    )
    no_speech_share: float = Field(
        default=0.03,
        ge=0,
        lt=0.5,
        description="share of stretches where nobody speaks, with empty text (ours, after Calm-Whisper)",
    )
    timestamp_share: float = Field(
        default=0.2, ge=0, lt=0.5, description="share of the examples that carry times (ours, after distil-whisper)"
    )
    min_avg_logprob: float = Field(
        default=-0.5,
        description="average log probability below which the policy `confidence_filter` uses no automatic label (ours)",
    )
    drop_worst: float = Field(
        default=0.2, ge=0, lt=1, description="share of automatic labels that the policy `drop_worst` leaves out (ours)"
    )
    seed: int = Field(default=42, description="of every draw (seed: 42)")
