"""Outputs of stages, named by what they were made from. A stage belongs to a sermon, to the corpus, or to a cycle.

`sermons/<sermon>/<stage>/<key>/`, `corpus/<stage>/<key>/` or `cycles/<number>/<stage>/<key>/` holds the files of one
output, `stage.json` among them; `current.json` beside it points at the one in use. The key is a hash of the stage's code
version, its parameters and the digests of its inputs: the same key means there is nothing to do. The folder is made under
a temporary name and renamed when it is whole, so a process killed at any moment leaves the old output or the new one.

The digest of an output covers its data, tables and files, and nothing that is only shown to people: the reason, `shown`,
and the files in the folder `shown/` may differ between two runs on the same input.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from stt_platform.errors import PlatformError
from stt_platform.machine.files import (
    fsync_file,
    fsync_folder,
    one_at_a_time,
    sha256_of,
    temporary_name,
    write_atomically,
)
from stt_platform.store.digests import digest_of, fragment_digest
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.schemas import TABLES

CORPUS = "corpus"
"""Owner of what is made once and not for each sermon: scripture, glossary, training sets. No sermon's key is so short."""

_OF_A_KIND = re.compile(r"([a-z]+)-([a-z0-9]{1,20})")

_MANIFEST = "stage.json"

FORMAT = 2
"""Of the manifest. Outputs of format 1 (commit e6edeb5 and before) are out of date: they have no typed data."""

SHOWN = "shown"
"""The folder within an output for what only people look at: pictures, reports, samples."""

T = TypeVar("T")


@dataclass(frozen=True)
class StageResult:
    """What a stage found: a verdict, typed data, rows for the tables, and what people are shown of it.

    Attributes:
        reason: why a sermon is rejected, or what is notable about an accepted one, in words.
        data: an instance of the stage's frozen dataclass (numbers, ids, enums), or None. Enters the digest.
        gate: short name of what rejected a sermon; rejections with the same gate are counted together.
        shown: what people see of the data, by its label; made from the field names of `data` where it is None.
        inherited: the sermon was rejected by an earlier stage.
    """

    status: str = "accepted"
    reason: str | None = None
    data: Any = None
    tables: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    gate: str | None = None
    shown: Mapping[str, Any] | None = None
    inherited: bool = False


@dataclass(frozen=True)
class StageOutput:
    """A finished output on disk, of the sermon `owner`, of `CORPUS`, or of a `part_owner`.

    Attributes:
        digest: of its verdict, data, tables and files: what the key of the next stage is made of.
        data: the fields of the stage's data; `data_as` gives the typed instance.
        shown: what people see, by label.
        files: SHA-256 of each file by its name in `folder`.
        format: of the manifest; see `FORMAT`.
    """

    owner: str
    stage: str
    key: str
    digest: str
    folder: Path
    status: str
    reason: str | None
    data: Mapping[str, Any]
    shown: Mapping[str, Any]
    tables: tuple[str, ...]
    files: Mapping[str, str]
    gate: str | None = None
    inherited: bool = False
    reused: bool = False
    format: int = FORMAT

    @property
    def accepted(self) -> bool:
        return self.status == "accepted"

    @property
    def shown_folder(self) -> Path:
        """Where the pictures and reports for people lie."""
        return self.folder / SHOWN

    def data_as(self, kind: type[T]) -> T:
        """Return the data as an instance of the stage's dataclass.

        Raises:
            PlatformError: the output was made by an earlier version of the platform, and has no such data.
        """
        try:
            return TypeAdapter(kind).validate_python(dict(self.data))
        except ValidationError as error:
            raise PlatformError(
                f"{self.stage} of {self.owner} was made by another version of the platform: make it again with "
                f"`stt run --through {self.stage}`"
            ) from error

    def serves(self, key: str) -> bool:
        """Return whether it was made from exactly this recipe, and every file it names is there."""
        return self.key == key and all((self.folder / name).exists() for name in self.files)


def stage_key(stage: str, version: str, parameters: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Hash all that decides a stage's output: its code version, parameters and the digests of its inputs."""
    recipe = {"format": FORMAT, "stage": stage, "version": version, "parameters": parameters, "inputs": inputs}
    return digest_of(recipe)


def stage_folder(home: Path, owner: str, stage: str) -> Path:
    """Return where the outputs of one stage of one owner lie."""
    return _owner_folder(home, owner) / stage


def part_owner(kind: str, key: str) -> str:
    """Return the owner of what is made for one of several of a kind: ("cycle", "3") is "cycle-3", in `cycles/3`."""
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
    """Return the output in use, or None when the stage has not run, or what says so is gone or unreadable."""
    folder = stage_folder(home, owner, stage)
    try:
        pointer = json.loads((folder / "current.json").read_text(encoding="utf-8"))
        return _load(folder / pointer["folder"], owner, stage)
    except (FileNotFoundError, ValueError, KeyError):
        return None


def stage_outputs(home: Path, owner: str) -> list[StageOutput]:
    """Return the outputs in use of one owner, by the name of their stage."""
    stages = sorted(path.parent.name for path in _owner_folder(home, owner).glob("*/current.json"))
    return [output for stage in stages if (output := current_output(home, owner, stage))]


def output_owners(home: Path) -> list[str]:
    """Return everything that has outputs: sermons, the corpus, cycles and whatever else there are several of."""
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
    """Return the folder of the output in use, or None."""
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
        (work / SHOWN).mkdir()
        result = make(work)
        for table, rows in result.tables.items():
            store.write_file(table, rows, work / f"{table}.parquet")
        paths = sorted(path for path in work.rglob("*") if path.is_file())
        files = {path.relative_to(work).as_posix(): sha256_of(path) for path in paths}
        content = {
            "status": result.status,
            "gate": result.gate,
            "data": _plain(result.data),
            "tables": {name: fragment_digest(name, work / f"{name}.parquet") for name in sorted(result.tables)},
            "files": {name: sha256 for name, sha256 in files.items() if _is_content(name, result.tables)},
        }
        manifest = content | {
            "format": FORMAT,
            "key": key,
            # Not of the key: a recipe that makes the same of changed parameters leaves all that follows as it is.
            "digest": digest_of(content),
            "reason": result.reason,
            "shown": _shown(result),
            "inherited": result.inherited,
            "tables": sorted(result.tables),
            "files": files,
        }
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


def _is_content(name: str, tables: Mapping[str, Any]) -> bool:
    return not name.startswith(f"{SHOWN}/") and name.removesuffix(".parquet") not in tables


def _plain(data: Any) -> dict[str, Any]:
    return {} if data is None else TypeAdapter(type(data)).dump_python(data, mode="json")


def _shown(result: StageResult) -> dict[str, Any]:
    if result.shown is not None:
        return dict(result.shown)
    return shown_of(result.data)


def shown_of(data: Any) -> dict[str, Any]:
    """Return the data of a stage by the names of its fields, as people read them; empty for None."""
    return {name.replace("_", " "): _in_words(value) for name, value in _plain(data).items()}


def _in_words(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value) or "–"
    return value


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
        data=manifest.get("data", {}),
        # Manifests of format 1 hold what was shown as "facts".
        shown=manifest["shown"] if "shown" in manifest else manifest["facts"],
        tables=tuple(manifest["tables"]),
        files=manifest["files"],
        gate=manifest.get("gate"),
        inherited=manifest.get("inherited", False),
        reused=reused,
        format=manifest.get("format", 1),
    )


def _usable(folder: Path, owner: str, stage: str, key: str) -> StageOutput | None:
    """Return the output in `folder` if it serves `key`, else None."""
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
        if output.owner == CORPUS and not TABLES[table].shared:
            # What is made once has one part; homes of before had several of some tables.
            changed += [
                f"{table}/{other}" for other in store.parts(table) if other != part and store.remove(other, table)
            ]
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
        "inherited": output.inherited,
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
