"""A stage: a recipe, what it is made for, and everything that decides whether its output is out of date.

The order of stages is derived from what they declare; nothing else writes it down.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.errors import PlatformError
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import CORPUS_SCOPE, SERMON, Scope
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.settings import Settings
from stt_platform.store.digests import digest_of, file_digest
from stt_platform.store.intake import registration
from stt_platform.store.reading import DeclaredStore, Read
from stt_platform.store.schemas import TABLES
from stt_platform.store.stages import StageOutput, StageResult, current_output, stage_key

Recipe = Callable[[Work], StageResult]
Log = Callable[[str], None]


class NotMade(PlatformError):
    """A stage upstream has not been made yet: says which, and the command that makes it."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A recipe with what decides its output, and how it is shown in the UI.

    Attributes:
        version: raised when the recipe makes something else of the same input.
        upstream: stages whose outputs the recipe needs: of the same partition, or made once.
        optional: the same, used where they have been made.
        tables: that it writes.
        reads: tables of other stages. Digested as they are, and visible as `Work.store`; where there is a `read`, what that
            returns is digested in their place, and handed to the recipe as `Work.read`.
        outputs: sermon stages whose outputs of any sermon `read` or the recipe may ask for.
        after: stages whose choices or adapters are among the parameters, for the lineage.
        parameters: settings, choices and adapters that decide the output.
        files: files that people put there, by the name that enters the key with their content.
        as_made: the parameters with those choices that an output was made with: a plan leaves it as it is where nothing
            else changed.
        prepare: is called before the key is made, for what has to be fetched or frozen.
        published: files of the output, by the name below `STT_HOME` that others know; `{part}` stands for the partition.
        hand_out: makes files there that people may change, after every run; it keeps what they wrote.
        metadata: what people see of the output in the UI.
        check_specs: name, what it means, and whether what follows waits for it; `checks` gives the results.
        on_device: whether it computes on the device with these settings, and queues in the pool `gpu`.
        may_be_missing: whether what follows can do without it where its model is not on this machine.
        on_request: whether it is made only by a click, or where `stt run --through` names it.
        wanted: whether there is anything to make it from in a home; what needs it is not made either.
        waiting_for: what the page of a sermon says that waits for this stage; empty where nobody waits for it.
    """

    name: str
    recipe: Recipe
    version: str
    scope: Scope = CORPUS_SCOPE
    group: str
    kinds: frozenset[str]
    metadata: Callable[[Platform, StageOutput], Mapping[str, Any]]
    upstream: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    reads: tuple[Read, ...] = ()
    outputs: tuple[str, ...] = ()
    read: Callable[[StageContext], Any] | None = None
    after: tuple[str, ...] = ()
    parameters: Callable[[StageContext], Mapping[str, Any]] = lambda context: {}
    files: Callable[[StageContext], Mapping[str, Path]] = lambda context: {}
    as_made: Callable[[StageContext, StageOutput], Mapping[str, Any]] | None = None
    prepare: Callable[[Path, Settings, Log], None] = lambda home, settings, log: None
    published: Mapping[str, str] | Callable[[StageOutput], Mapping[str, str]] = field(default_factory=dict)
    hand_out: Callable[[Path, StageOutput], None] = lambda home, output: None
    check_specs: tuple[tuple[str, str, bool], ...] = ()
    checks: Callable[[Platform, StageOutput | None], Iterator[dg.AssetCheckResult]] | None = None
    on_device: Callable[[Settings], bool] = lambda settings: False
    may_be_missing: bool = False
    on_request: bool = False
    wanted: Callable[[Path], bool] = lambda home: True
    waiting_for: str = ""

    def output(self, home: Path, part: str | None = None) -> StageOutput | None:
        """Return what was made last for a partition, or None."""
        return current_output(home, self.scope.owner(part), self.name)

    def context(self, home: Path, settings: Settings, part: str | None = None) -> StageContext:
        """Return what decides the output of a partition.

        Raises:
            KeyError: there is no such sermon.
        """
        owner = self.scope.owner(part)
        entry = registration(home, owner) if self.scope is SERMON else None
        if self.scope is SERMON and entry is None:
            raise KeyError(f"there is no sermon {part!r}")
        store = DeclaredStore(home, self.name, owner, self.reads, self.tables)
        return StageContext(
            settings=settings,
            stage=self.name,
            owner=owner,
            store=store,
            part=part,
            outputs=self.outputs,
            registration=entry,
        )

    def recipe_of(self, context: StageContext, inputs: Mapping[str, StageOutput]) -> "Keyed":
        """Read and digest everything that decides the output."""
        read = self.read(context) if self.read is not None else None
        digests = {name: output.digest for name, output in inputs.items()}
        if context.registration is not None and not inputs:
            # The input of a sermon's first stage is the recording itself.
            digests["original"] = context.registration.sha256
        if self.read is not None:
            digests["read"] = digest_of(read)
        elif self.reads:
            digests["tables"] = digest_of(context.store.digests())
        files = self.files(context)
        if files:
            digests["files"] = digest_of({name: file_digest(path) for name, path in sorted(files.items())})
        return Keyed(self, context, digests, read)

    def parts(self, home: Path) -> Sequence[str | None]:
        """Return the partitions that a home has of it; what is made once has the partition None."""
        return self.scope.parts(home)


@dataclass(frozen=True)
class Keyed:
    """What was read and digested for an output."""

    stage: Stage
    context: StageContext
    digests: Mapping[str, str]
    read: Any

    @property
    def key(self) -> str:
        """Hash of everything that decides the output."""
        return self._key(self.stage.parameters(self.context))

    def serves(self, output: StageOutput) -> bool:
        """Return whether an output is up to date, or as good as that until somebody asks for it."""
        if output.serves(self.key):
            return True
        as_made = self.stage.as_made
        return as_made is not None and output.serves(self._key(as_made(self.context, output)))

    def _key(self, parameters: Mapping[str, Any]) -> str:
        return stage_key(self.stage.name, self.stage.version, parameters, self.digests)


_REGISTERED: dict[str, Stage] = {}


def stage(*, kinds: set[str], reads: tuple[Read | str, ...] = (), **declared: Any) -> Callable[[Recipe], Stage]:
    """Make a stage of a recipe, under the recipe's name; see `Stage` for what may be declared."""

    def make_stage(recipe: Recipe) -> Stage:
        found = Stage(
            name=recipe.__name__,
            recipe=recipe,
            kinds=frozenset(kinds),
            reads=tuple(Read(each) if isinstance(each, str) else each for each in reads),
            **declared,
        )
        if unknown := set(found.tables) - set(TABLES):
            raise ValueError(f"{found.name} writes {sorted(unknown)}, which store/schemas.py does not define")
        _REGISTERED[found.name] = found
        stages.cache_clear()
        return found

    return make_stage


@cache
def stages() -> Mapping[str, Stage]:
    """Return every stage by name, each after those that it needs.

    Raises:
        RuntimeError: nobody has imported `stt_platform.definitions`, which registers them.
    """
    if not _REGISTERED:
        raise RuntimeError("no stage is registered: import stt_platform.definitions before asking for them")
    edges = {name: sorted(_edges(found)) for name, found in sorted(_REGISTERED.items())}
    return {name: _REGISTERED[name] for name in TopologicalSorter(edges).static_order()}


def stages_of(scope: Scope) -> list[str]:
    """Return the names of the stages of a scope, in order."""
    return [name for name, found in stages().items() if found.scope is scope]


def edges_of(name: str) -> list[str]:
    """Return the stages that a stage comes after, by whatever it declares."""
    return sorted(_edges(_REGISTERED[name]))


def _edges(found: Stage) -> set[str]:
    edges = {*found.upstream, *found.optional, *found.outputs, *found.after}
    for read in found.reads:
        # Earlier cycles are no edge: a later list is made of earlier answers, and the lineage has no circle.
        if read.cycles != "before":
            edges |= {name for name in _writers(read.table) if not read.by or name in read.by}
    return edges - {found.name}


def _writers(table: str) -> list[str]:
    if table == "stage_results":
        # Every stage of a sermon writes it: the last ones stand for all.
        of_sermon = {name: found for name, found in _REGISTERED.items() if found.scope is SERMON}
        needed = {name for found in of_sermon.values() for name in (*found.upstream, *found.optional)}
        return sorted(set(of_sermon) - needed)
    return sorted(name for name, found in _REGISTERED.items() if table in found.tables)


def needed_for(targets: Sequence[str]) -> set[str]:
    """Return the stages that these need, and they; what they only read of tables is not brought up to date for them."""
    needed = set(targets)
    for name in reversed(list(stages())):
        if name in needed:
            needed.update(_REGISTERED[name].upstream, _REGISTERED[name].optional)
    return needed


def made_by_themselves(home: Path) -> set[str]:
    """Return the stages that a plan makes that names none: not what is optional or made on request, nor cycles."""
    optional = {name for found in stages().values() for name in found.optional}
    made: set[str] = set()
    for name, found in stages().items():
        once = found.scope in (SERMON, CORPUS_SCOPE) and not found.on_request and name not in optional
        if once and found.wanted(home) and set(found.upstream) <= made:
            made.add(name)
    return made


def follows_sermons(name: str) -> bool:
    """Return whether a stage that is not of a sermon reads what stages of sermons make, itself or through others."""
    if stages()[name].scope is SERMON:
        return False
    return any(_REGISTERED[each].scope is SERMON or follows_sermons(each) for each in edges_of(name))


def stages_after_sermons() -> list[str]:
    """Return the stages that look at all sermons together and are made by themselves, in order."""
    return [
        name
        for name, found in stages().items()
        if found.scope is CORPUS_SCOPE and not found.on_request and follows_sermons(name)
    ]
