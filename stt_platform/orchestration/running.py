"""Bringing one stage up to date: the one way in which outputs are made."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stt_platform.errors import PlatformError
from stt_platform.machine.files import link_atomically
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import CORPUS_SCOPE, SERMON
from stt_platform.orchestration.stage import NotMade, Stage, stages
from stt_platform.orchestration.work import Work, progress_file
from stt_platform.store.stages import FORMAT, StageOutput, StageResult, build_stage


def run_stage(
    stage: Stage,
    platform: Platform,
    log: Callable[[str], None],
    part: str | None = None,
    *,
    observe: Callable[[Mapping[str, Any]], None] = lambda numbers: None,
) -> tuple[StageOutput, dict[str, float]]:
    """Bring a stage of a partition up to date; returns its output and what took how long.

    Raises:
        PlatformError: what a user can mend; `NotMade` where an earlier stage has not been made.
    """
    store, settings = platform.store, platform.settings
    stage.prepare(store.home, settings, log)
    inputs = _inputs(stage, store.home, part)
    try:
        context = stage.context(store.home, settings, part)
    except KeyError as error:
        raise PlatformError(
            f"there is no sermon {part!r} in {store.home}: it was removed, or never ingested. "
            "Take it in again with `stt ingest`, or delete the partition in the UI."
        ) from error
    keyed = stage.recipe_of(context, inputs)
    key = keyed.key
    timings_s: dict[str, float] = {}

    def make(folder: Path) -> StageResult:
        if refused := next((output for output in inputs.values() if not output.accepted), None):
            tables = {table: [] for table in stage.tables}
            return StageResult("rejected", refused.reason, tables=tables, gate=refused.gate, inherited=True)
        return stage.recipe(
            Work(
                context=context,
                store=replace(context.store, reads=()) if stage.read else context.store,
                key=key,
                inputs=inputs,
                read=keyed.read,
                folder=folder,
                log=log,
                observe=observe,
                timings_s=timings_s,
            )
        )

    started = time.monotonic()
    try:
        output = build_stage(store, context.owner, stage.name, key, make)
    finally:
        progress_file(store.home, context.owner, stage.name).unlink(missing_ok=True)
    took_s = {"this took": time.monotonic() - started, **timings_s}
    published = stage.published(output) if callable(stage.published) else stage.published
    for name, known_as in published.items():
        link_atomically(output.folder / name, store.home / known_as.format(part=part))
    stage.hand_out(store.home, output)
    return output, took_s


def _inputs(stage: Stage, home: Path, part: str | None) -> dict[str, StageOutput]:
    found = {}
    for name in (*stage.upstream, *stage.optional):
        before = stages()[name]
        output = before.output(home, None if before.scope is CORPUS_SCOPE else part)
        if output is not None and (output.format == FORMAT or name in stage.optional):
            # What is optional may have taken hours: made by an earlier version, it is used as it is.
            found[name] = output
        elif name in stage.upstream:
            chosen = f" of {part}" if part is not None else ""
            command = f"stt run --sermon {part}" if stage.scope is SERMON else f"stt run --through {name}"
            why = "was made by an earlier version of the platform" if output else "has not been made"
            raise NotMade(f"{name}{chosen} {why}: materialise it first, or run `{command}`")
    return found
