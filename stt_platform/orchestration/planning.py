"""What is out of date, without a run: the keys of outputs are compared with what they would be made from now."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stt_platform.errors import PlatformError
from stt_platform.orchestration.scopes import CORPUS_SCOPE, SERMON, Scope
from stt_platform.orchestration.stage import Stage, edges_of, made_by_themselves, needed_for, stages
from stt_platform.settings import Settings
from stt_platform.store.stages import StageOutput

_Made = tuple[str, str | None]


@dataclass(frozen=True)
class Due:
    """A stage that is out of date for a partition (None: it is made once).

    Attributes:
        key: that it would be made with; empty where that is not known before what it needs is made.
    """

    stage: str
    part: str | None
    key: str = ""


def plan(
    home: Path,
    settings: Settings,
    targets: Sequence[str] = (),
    *,
    sermons: Sequence[str] | None = None,
    parts: Mapping[str, str] | None = None,
    scopes: Sequence[Scope] | None = None,
) -> list[Due]:
    """List what is out of date, in order. Empty: there is nothing to do.

    Args:
        targets: the stages to reach, with what they need; all that is made by itself without any.
        sermons: whose stages are looked at (default: all).
        parts: by scope, such as "cycle", the partition that is meant; stages of other scopes are left out.
        scopes: which are looked at (default: all); the others are taken as they are.

    Raises:
        KeyError: there is no such sermon, or no such stage.
    """
    if unknown := set(targets) - set(stages()):
        raise KeyError(f"there is no stage {', '.join(sorted(unknown))}")
    wanted = needed_for(targets) if targets else made_by_themselves(home)
    due: dict[_Made, Due] = {}
    outputs: dict[_Made, StageOutput] = {}
    for name, stage in stages().items():
        if name not in wanted or (scopes is not None and stage.scope not in scopes):
            continue
        for part in _parts(stage, home, sermons, parts or {}):
            found = _look_at(home, settings, stage, part, due, outputs)
            if isinstance(found, Due):
                due[name, part] = found
            else:
                outputs[name, part] = found
    return list(due.values())


def plan_sermon(home: Path, settings: Settings, sermon: str, through: str | None = None) -> list[str]:
    """List the stages of a sermon that are out of date, in order, as far as `through`."""
    targets = [through] if through else []
    return [each.stage for each in plan(home, settings, targets, sermons=[sermon], scopes=[SERMON])]


def _parts(stage: Stage, home: Path, sermons: Sequence[str] | None, parts: Mapping[str, str]) -> Iterator[str | None]:
    if stage.scope is CORPUS_SCOPE:
        yield None
    elif stage.scope is SERMON:
        yield from stage.parts(home) if sermons is None else sermons
    elif stage.scope.name in parts:
        yield parts[stage.scope.name]


def _look_at(
    home: Path,
    settings: Settings,
    stage: Stage,
    part: str | None,
    due: Mapping[_Made, Due],
    outputs: Mapping[_Made, StageOutput],
) -> StageOutput | Due:
    """Return the output that is up to date, or what is to be made."""
    inputs: dict[str, StageOutput] = {}
    for name in edges_of(stage.name):
        before = stages()[name]
        if before.scope is SERMON and stage.scope is not SERMON:
            # Sermons are brought up to date by runs of their own; one that fails holds nothing else up.
            continue
        made = (name, None if before.scope is CORPUS_SCOPE else part)
        if made in due:
            return Due(stage.name, part)
        if name in (*stage.upstream, *stage.optional):
            output = outputs.get(made) or before.output(home, made[1])
            if output is not None:
                inputs[name] = output
            elif name in stage.upstream:
                return Due(stage.name, part)
    try:
        keyed = stage.recipe_of(stage.context(home, settings, part), inputs)
        output = stage.output(home, part)
        return output if output is not None and keyed.serves(output) else Due(stage.name, part, keyed.key)
    except PlatformError:
        # What is wrong with its input is said by the run, where people look for it.
        return Due(stage.name, part)
