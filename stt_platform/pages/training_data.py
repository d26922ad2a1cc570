"""What the page of the trainings shows: the files that a training at work writes, as values that JSON can carry."""

import json
import math
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

STALLED_AFTER_S = 300.0
"""A training writes every few seconds, but for its evaluations and checkpoints; after so long something is wrong."""

_TRAINING, _STALLED, _UNREADABLE = "training", "stalled", "unreadable"
_MOST_POINTS = 400
# Of a few steps: one step with short texts says little.
_RATE_OVER_STEPS = 10


@dataclass(frozen=True)
class _Step:
    """A step as the file has it; what is no number there (a loss that overflowed) is None."""

    step: int
    steps_total: int
    loss: float | None
    tokens_per_s: float | None
    memory_bytes: float | None
    evaluation: Mapping[str, float]


@dataclass(frozen=True)
class _Training:
    asset: str
    part: str | None
    status: str
    steps: tuple[_Step, ...]


def training_overview(home: Path, *, now: Callable[[], float] = time.time) -> dict[str, Any]:
    """Every training that was ever told of, one card for each asset and part: those at work first, then the newest.

    A card has the status in words, the curve of the loss as [step, loss] pairs (thinned out to some hundreds), what was
    measured on held-out examples, and the newest numbers. A file that cannot be read is a card that says so.

    Args:
        now: seconds since 1970.
    """
    cards = list(_cards(home / "training" / "live", now()))
    cards.sort(key=lambda card: (card["status"] != _TRAINING, -card["written_at_s"], card["name"]))
    return {"trainings": cards}


def _cards(folder: Path, now_s: float) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.json")):
        try:
            state = path.stat()
            found = _read(path, state.st_mtime_ns, state.st_size)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            yield _unreadable(path, error)
            continue
        yield _card(path, found, state.st_mtime, now_s)


# Read anew only where it changed: the page asks every other second, and long trainings have long files.
@lru_cache(maxsize=64)
def _read(path: Path, changed_ns: int, size_bytes: int) -> _Training:
    """Raises ValueError, KeyError, TypeError or AttributeError where it is no training."""
    state = json.loads(path.read_text(encoding="utf-8"))
    if state["status"] not in _words()["statuses"]:
        raise ValueError(f"status {state['status']!r}")
    part = state["part"]
    return _Training(
        asset=str(state["asset"]),
        part=None if part is None else str(part),
        status=state["status"],
        steps=tuple(_step(row) for row in state["steps"]),
    )


def _step(row: Mapping[str, Any]) -> _Step:
    evaluation = {str(name): _number(value) for name, value in row["evaluation"].items()}
    return _Step(
        step=int(row["step"]),
        steps_total=int(row["steps_total"]),
        loss=_number(row["loss"]),
        tokens_per_s=_number(row["tokens_per_s"]),
        memory_bytes=_number(row["memory_bytes"]),
        evaluation={name: value for name, value in evaluation.items() if value is not None},
    )


def _number(value: Any) -> float | None:
    """JSON has no word for NaN and infinity, and Python writes them all the same."""
    number = float(value)
    return number if math.isfinite(number) else None


def _card(path: Path, found: _Training, written_at_s: float, now_s: float) -> dict[str, Any]:
    stalled = found.status == _TRAINING and now_s - written_at_s > STALLED_AFTER_S
    newest = found.steps[-1] if found.steps else None
    return {
        "name": path.stem,
        **_named(found),
        **_status(_STALLED if stalled else found.status),
        "problem": None,
        "written_at_s": written_at_s,
        "step": newest.step if newest else 0,
        "steps_total": newest.steps_total if newest else None,
        "tokens_per_s": _mean([step.tokens_per_s for step in found.steps[-_RATE_OVER_STEPS:]]),
        "memory_bytes": newest.memory_bytes if newest else None,
        "curve": _thinned([(step.step, step.loss) for step in found.steps]),
        "measures": [_measure(name, found.steps) for name in _measured(found.steps)],
    }


def _unreadable(path: Path, error: Exception) -> dict[str, Any]:
    words = (
        f"{path} cannot be read ({type(error).__name__}: {error}). The training itself is not harmed: the next one of this "
        "kind writes the file anew, and the asset in Dagster has the finished curves."
    )
    return {
        "name": path.stem,
        "title": path.stem,
        "part": None,
        "what": "",
        **_status(_UNREADABLE),
        "problem": words,
        "written_at_s": path.stat().st_mtime if path.exists() else 0.0,
    }


@cache
def _words() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("training_words.toml").read_text(encoding="utf-8"))


def _named(found: _Training) -> dict[str, Any]:
    words = _words()["assets"].get(found.asset, {})
    part = found.part and words.get("part", "{part}").format(part=found.part)
    return {"title": words.get("label", found.asset), "part": part, "what": words.get("explanation", "")}


def _status(status: str) -> dict[str, Any]:
    words = _words()["statuses"][status]
    return {"status": status, "sign": words["sign"], "verdict": words["label"], "meaning": words["explanation"]}


def _measured(steps: Sequence[_Step]) -> list[str]:
    """Names of what was measured on held-out examples: those that have words here first, the loss before them."""
    seen = {name for step in steps for name in step.evaluation}
    known = list(_words()["measures"])
    return sorted(seen, key=lambda name: (known.index(name) if name in known else len(known), name))


def _measure(name: str, steps: Sequence[_Step]) -> dict[str, Any]:
    words = _words()["measures"].get(name, {"label": name, "explanation": "", "unit": ""})
    points = [[step.step, step.evaluation[name]] for step in steps if name in step.evaluation]
    return {"name": name, "lower_is_better": None, **words, "points": points}


def _thinned(points: Sequence[tuple[int, float | None]]) -> list[list[float | int | None]]:
    """At most some hundred points, each the mean of a run of neighbours, at the last of their steps."""
    run = math.ceil(len(points) / _MOST_POINTS) or 1
    runs = [points[start : start + run] for start in range(0, len(points), run)]
    return [[neighbours[-1][0], _mean([loss for _, loss in neighbours])] for neighbours in runs]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
