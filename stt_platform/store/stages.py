"""Outputs of stages, named by what they were made from. A stage belongs to a sermon, to the corpus, or to a cycle.

`sermons/<sermon>/<stage>/<key>/`, `corpus/<stage>/<key>/` or `cycles/<number>/<stage>/<key>/` holds the files of one
output, `stage.json` among them; `current.json` beside it points at the one in use. The key is a hash of the stage's code
version, its parameters and the digests of its inputs: the same key means there is nothing to do. The folder is made under
a temporary name and renamed when it is whole, so a process killed at any moment leaves the old output or the new one.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stt_platform.files import fsync_file, fsync_folder, one_at_a_time, sha256_of, temporary_name, write_atomically
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.schemas import TABLES

CORPUS = "corpus"
"""Owner of what is made once and not for each sermon: scripture, glossary, training sets. No sermon's key is so short."""

_OF_A_KIND = re.compile(r"([a-z]+)-([a-z0-9]{1,20})")

_MANIFEST = "stage.json"


@dataclass(frozen=True)
class StageResult:
    """What a stage found: a verdict, numbers for people, and rows for the tables.

    `gate` is the short name of what refused a rejected sermon; refusals with the same gate are counted together.
    """

    status: str = "accepted"
    reason: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    gate: str | None = None


@dataclass(frozen=True)
class StageOutput:
    """A finished output on disk, of the sermon `owner`, of `CORPUS`, or of a `part_owner`.

    `digest` covers its files and its verdict: what the next stage's key is made of.
    """

    owner: str
    stage: str
    key: str
    digest: str
    folder: Path
    status: str
    reason: str | None
    facts: Mapping[str, Any]
    tables: tuple[str, ...]
    files: tuple[str, ...]
    gate: str | None = None
    reused: bool = False

    @property
    def accepted(self) -> bool:
        return self.status == "accepted"

    def serves(self, key: str) -> bool:
        """Whether it was made from exactly this recipe, and every file it names is there."""
        return self.key == key and all((self.folder / name).exists() for name in self.files)


def stage_key(stage: str, version: str, parameters: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Hash of all that decides a stage's output: its code version, parameters and the digests of its inputs."""
    recipe = {"stage": stage, "version": version, "parameters": parameters, "inputs": inputs}
    return hashlib.sha256(json.dumps(recipe, sort_keys=True, allow_nan=False).encode()).hexdigest()


def stage_folder(home: Path, owner: str, stage: str) -> Path:
    """Where the outputs of one stage of one owner lie."""
    return _owner_folder(home, owner) / stage


def part_owner(kind: str, key: str) -> str:
    """The owner of what is made for one of several of a kind: ("cycle", "3") is "cycle-3", in `cycles/3`."""
    owner = f"{kind}-{key.lower()}"
    if not _OF_A_KIND.fullmatch(owner):
        raise ValueError(f"{kind} {key!r}: want letters a-z and digits, such as {kind} 0")
    return owner


def _owner_folder(home: Path, owner: str) -> Path:
    if owner == CORPUS:
        return home / CORPUS
    if found := _OF_A_KIND.fullmatch(owner):
        return home / f"{found[1]}s" / found[2]
    return home / "sermons" / owner


def current_output(home: Path, owner: str, stage: str) -> StageOutput | None:
    """The output in use, or None when the stage has not run, or what says so is gone or unreadable."""
    folder = stage_folder(home, owner, stage)
    try:
        pointer = json.loads((folder / "current.json").read_text(encoding="utf-8"))
        return _load(folder / pointer["folder"], owner, stage)
    except (FileNotFoundError, ValueError, KeyError):
        return None


def stage_outputs(home: Path, owner: str) -> list[StageOutput]:
    """The outputs in use of one owner, by the name of their stage."""
    stages = sorted(path.parent.name for path in _owner_folder(home, owner).glob("*/current.json"))
    return [output for stage in stages if (output := current_output(home, owner, stage))]


def output_owners(home: Path) -> list[str]:
    """Everything that has outputs: sermons, the corpus, cycles and whatever else there are several of."""
    places = sorted({path.parent.parent for path in home.glob("*/*/*/current.json")})
    found = [
        place.name if place.parent.name == "sermons" else f"{place.parent.name.removesuffix('s')}-{place.name}"
        for place in places
    ]
    corpus = [CORPUS] if any((home / CORPUS).glob("*/current.json")) else []
    return [owner for owner in [*corpus, *found] if owner == CORPUS or _owner_folder(home, owner).is_dir()]


def publish_again(store: MetadataStore, output: StageOutput) -> list[str]:
    """Put the tables' fragments back as the output has them; returns those that were not, as `table/part`."""
    with one_at_a_time(output.folder.parent / ".lock"):
        if current_output(store.home, output.owner, output.stage) != output:
            return []
        return _publish(store, output)


def forget_output(home: Path, output: StageOutput) -> None:
    """Let a stage be out of date: its output is damaged, and what serves no longer counts as made."""
    with one_at_a_time(output.folder.parent / ".lock"):
        shutil.rmtree(output.folder, ignore_errors=True)


def current_stage(home: Path, owner: str, stage: str) -> Path | None:
    """The folder of the output in use, or None."""
    output = current_output(home, owner, stage)
    return output.folder if output else None


def build_stage(
    store: MetadataStore, owner: str, stage: str, key: str, make: Callable[[Path], StageResult]
) -> StageOutput:
    """Return the output for `key`, calling `make(folder)` only when there is none.

    `make` writes its files into the folder it is given. Two processes that want the same output take turns, and the
    second finds it made. The rows of its tables are published when they differ from what the tables hold.
    """
    folder = stage_folder(store.home, owner, stage)
    with one_at_a_time(folder / ".lock"):
        output = _usable(folder / key[:32], owner, stage, key)
        if output is None:
            _remove_leftovers(folder)
            output = _make(store, folder, owner, stage, key, make)
        _publish(store, output)
        _point_at(folder, output)
        _prune(folder, keep=output.folder.name)
    return output


def _make(
    store: MetadataStore, folder: Path, owner: str, stage: str, key: str, make: Callable[[Path], StageResult]
) -> StageOutput:
    final = folder / key[:32]
    work = temporary_name(final)
    work.mkdir()
    try:
        result = make(work)
        for table, rows in result.tables.items():
            store.write_file(table, rows, work / f"{table}.parquet")
        paths = sorted(path for path in work.rglob("*") if path.is_file())
        files = {path.relative_to(work).as_posix(): sha256_of(path) for path in paths}
        manifest = {
            "key": key,
            "status": result.status,
            "reason": result.reason,
            "gate": result.gate,
            "facts": dict(result.facts),
            "tables": sorted(result.tables),
            "files": files,
        }
        # Not the key: a recipe that makes the same of changed parameters leaves all that follows as it is.
        content = {name: value for name, value in manifest.items() if name != "key"}
        manifest["digest"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        (work / _MANIFEST).write_text(json.dumps(manifest, sort_keys=True, indent=1), encoding="utf-8")
        for path in (*paths, work / _MANIFEST):
            fsync_file(path)
        for folder_within in sorted({path.parent for path in paths} | {work}):
            fsync_folder(folder_within)
        shutil.rmtree(final, ignore_errors=True)
        work.rename(final)
        fsync_folder(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return _load(final, owner, stage)


def _load(folder: Path, owner: str, stage: str, reused: bool = False) -> StageOutput:
    manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    return StageOutput(
        owner=owner,
        stage=stage,
        key=manifest["key"],
        digest=manifest["digest"],
        folder=folder,
        status=manifest["status"],
        reason=manifest["reason"],
        facts=manifest["facts"],
        tables=tuple(manifest["tables"]),
        files=tuple(manifest["files"]),
        gate=manifest.get("gate"),
        reused=reused,
    )


def _usable(folder: Path, owner: str, stage: str, key: str) -> StageOutput | None:
    """The output in `folder` if it serves `key`, else None."""
    try:
        output = _load(folder, owner, stage, reused=True)
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return output if output.serves(key) else None


def _publish(store: MetadataStore, output: StageOutput) -> list[str]:
    """Returns what changed, as `table/part`."""
    changed = []
    for table in output.tables:
        part = f"{output.owner}.{output.stage}" if TABLES[table].shared else output.owner
        if store.publish_file(table, part, output.folder / f"{table}.parquet"):
            changed.append(f"{table}/{part}")
    if output.owner == CORPUS or _OF_A_KIND.fullmatch(output.owner):
        return changed
    # One fragment for all stages of a sermon, so that a question about a thousand sermons opens a thousand files.
    folder = _owner_folder(store.home, output.owner)
    with one_at_a_time(folder / ".lock"):
        stages = sorted(path.parent.name for path in folder.glob("*/current.json"))
        outputs = {stage: current_output(store.home, output.owner, stage) for stage in stages}
        outputs[output.stage] = output
        # In an order of its own, whatever was made first: the same outputs give the same bytes.
        verdicts = [_verdict(found) for _, found in sorted(outputs.items()) if found]
        if store.write("stage_results", output.owner, verdicts):
            changed.append(f"stage_results/{output.owner}")
    return changed


def _verdict(output: StageOutput) -> dict[str, Any]:
    return {
        "sermon": output.owner,
        "stage": output.stage,
        "status": output.status,
        "reason": output.reason,
        "gate": output.gate,
        "key": output.key,
        "digest": output.digest,
    }


def _point_at(folder: Path, output: StageOutput) -> None:
    pointer = json.dumps({"folder": output.folder.name, "key": output.key, "digest": output.digest}, indent=1)
    current = folder / "current.json"
    if not current.exists() or current.read_text(encoding="utf-8") != pointer:
        write_atomically(current, pointer.encode())


def _prune(folder: Path, keep: str) -> None:
    for path in folder.iterdir():
        if path.is_dir() and path.name != keep and not path.name.startswith("."):
            shutil.rmtree(path, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    # Whoever made them is dead: a living maker holds the lock that we hold now.
    for path in folder.glob(".*.tmp"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
