"""COMET of translations: a network's estimate of how people would rate them, or the reason why there is none.

COMET cannot live in the platform's environment, so its scores come from an isolated one, which is handed in. Where the
model or the environment is not to be had, the result says so and holds no number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

SCORED, CUT, NOT_SCORED, UNAVAILABLE = "scored", "cut", "not scored", "unavailable"

Device = Literal["cpu", "cuda"]
Precision = Literal["fp32", "fp16"]


class Environment(Protocol):
    """The isolated environment of COMET, as `stt_platform.environments.environment("comet")` is one."""

    @property
    def identity(self) -> str:
        """Changes when its packages do, or its worker."""
        ...

    def ensure(self, progress: Callable[[str], None] | None = None) -> Path:
        """Build it where it is not there. Raises a RuntimeError with the remedy where that cannot be done."""
        ...

    def call(
        self,
        function: str,
        request: dict[str, Any],
        *,
        progress: Callable[[Any], None] | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """Run a function of its worker."""
        ...


@dataclass(frozen=True)
class CometModel:
    """Where a COMET model lies.

    Attributes:
        name: in the signature.
        folder: with `hparams.yaml` and `checkpoints/model.ckpt`.
        encoder: folder with the configuration and the tokenizer of the network that the model was made from.
    """

    name: str
    folder: Path
    encoder: Path


@dataclass(frozen=True)
class CometRow:
    """A translation, what it was made from, and what it is compared with; None and empty texts are missing."""

    segment_id: str
    source: str | None
    hypothesis: str
    reference: str | None


@dataclass(frozen=True)
class CometSegment:
    """The score of one translation.

    Attributes:
        score: about 0 to 1; None where it was not scored.
        status: "scored"; "cut", scored by the beginning of a text that is longer than COMET reads; "not scored", for
            the lack of a source or reference; "unavailable".
    """

    segment_id: str
    score: float | None
    status: str
    reason: str


@dataclass(frozen=True)
class CometScores:
    """Scores of one system.

    Attributes:
        status: "scored", "not scored" where no row could be, or "unavailable", with the reason.
        system: mean of the scores; None where there are none.
        segments: one for each row, in order.
        signature: how to get the same scores again; "" where there are none. Scores of different signatures are not
            to be compared: precision alone moves them.
    """

    status: str
    reason: str
    system: float | None
    segments: tuple[CometSegment, ...]
    signature: str


def comet_scores(
    rows: Sequence[CometRow],
    model: Callable[[], CometModel],
    environment: Environment,
    *,
    device: Device = "cpu",
    precision: Precision | None = None,
    batch_size: int = 16,
    progress: Callable[[Any], None] | None = None,
    timeout_s: float | None = None,
) -> CometScores:
    """Score translations by COMET (Rei et al., WMT 2022), or why there is none.

    Which rows are scored depends on sources and references alone, so two systems are scored on the same ones. An empty
    translation counts 0 and is not shown to the network, which would rate it (Zouhar et al., WMT 2024, "Pitfalls and
    Outlooks in Using COMET"). On the same machine the same rows give the same scores.

    Args:
        model: finds the model, as `stt_platform.models.comet.comet_model` does; a RuntimeError of it (`ModelMissing`)
            is the reason of "unavailable".
        environment: is built where it is not there; where that fails, the reason is that of its RuntimeError.
        device: "cuda" takes the first GPU: the caller holds its lease.
        precision: fp16 on "cuda" and fp32 on "cpu" for None, as COMET's own command since 2.2.5.
        batch_size: rows at a time; rows of like lengths go together.
        progress: called with lines while the environment is built, then with `{"done", "total"}` in rows.
        timeout_s: for the scoring.

    Raises what goes wrong in the scoring itself: that is no lack of COMET.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be 1 or more")
    unfit = [_unfit(row) for row in rows]
    wanted = [(index, row) for index, row in enumerate(rows) if not unfit[index] and row.hypothesis.strip()]
    try:
        found = model()
        if missing := _missing(found):
            return _unavailable(rows, missing)
        environment.ensure(progress)
    except RuntimeError as error:
        return _unavailable(rows, str(error))
    precision = precision or ("fp16" if device == "cuda" else "fp32")
    answer = environment.call(
        "score",
        {
            "model": str(found.folder),
            "encoder": str(found.encoder),
            "rows": [[row.source, row.hypothesis, row.reference] for _, row in wanted],
            "device": device,
            "precision": precision,
            "batch_size": batch_size,
        },
        progress=progress,
        timeout_s=timeout_s,
    )
    by_index = {
        index: (score, tokens)
        for (index, _), score, tokens in zip(wanted, answer["scores"], answer["tokens"], strict=True)
    }
    segments = tuple(
        _segment(row, unfit[index], by_index.get(index), answer["max_tokens"]) for index, row in enumerate(rows)
    )
    scores = [segment.score for segment in segments if segment.score is not None]
    signature = "|".join(
        (
            f"model:{found.name}",
            f"checkpoint:{answer['checkpoint'][:16]}",
            *(f"{name}:{version}" for name, version in sorted(answer["versions"].items())),
            f"environment:{environment.identity}",
            f"device:{device}",
            f"precision:{precision}",
            f"batch:{batch_size}",
        )
    )
    if not scores:
        return CometScores(NOT_SCORED, f"none of {len(rows)} rows has source and reference", None, segments, signature)
    return CometScores(SCORED, "", sum(scores) / len(scores), segments, signature)


def _unfit(row: CometRow) -> str:
    lacking = [name for name in ("source", "reference") if not (getattr(row, name) or "").strip()]
    return f"there is no {' and no '.join(lacking)}" if lacking else ""


def _unavailable(rows: Sequence[CometRow], why: str) -> CometScores:
    segments = tuple(CometSegment(row.segment_id, None, UNAVAILABLE, why) for row in rows)
    return CometScores(UNAVAILABLE, why, None, segments, "")


def _missing(model: CometModel) -> str:
    wanted = (
        model.folder / "hparams.yaml",
        model.folder / "checkpoints" / "model.ckpt",
        model.encoder / "config.json",
        model.encoder / "tokenizer.json",
    )
    missing = [str(path) for path in wanted if not path.is_file()]
    return f"COMET model {model.name!r} is not whole: put {', '.join(missing)} there" if missing else ""


def _segment(row: CometRow, unfit: str, scored: tuple[float, int] | None, max_tokens: int) -> CometSegment:
    if unfit:
        return CometSegment(row.segment_id, None, NOT_SCORED, unfit)
    if scored is None:
        return CometSegment(row.segment_id, 0.0, SCORED, "the translation is empty, which counts 0")
    score, tokens = scored
    if tokens > max_tokens:
        reason = f"a text has {tokens} tokens, of which COMET reads the first {max_tokens}"
        return CometSegment(row.segment_id, score, CUT, reason)
    return CometSegment(row.segment_id, score, SCORED, "")
