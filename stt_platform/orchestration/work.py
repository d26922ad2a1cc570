"""What every recipe works with: its inputs, a folder for its files, its settings, and the device."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from stt_platform.errors import PlatformError
from stt_platform.machine.files import write_atomically
from stt_platform.machine.gpu import CPU, device_name, hold_device
from stt_platform.settings import Settings
from stt_platform.store.intake import Registration
from stt_platform.store.metadata import MetadataStore, read_fragment
from stt_platform.store.reading import DeclaredStore, UndeclaredRead
from stt_platform.store.stages import SHOWN, StageOutput, current_output, stage_folder

_PROGRESS_EVERY_S = 1.0


def progress_file(home: Path, owner: str, stage: str) -> Path:
    """Return where a stage at work writes down how far it is; gone when it is done."""
    return stage_folder(home, owner, stage) / ".progress"


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """What decides the output of a stage: settings, choices, and the tables and outputs that it declares.

    Attributes:
        part: the partition: a sermon's key, the number of a cycle, a translator; None for what is made once.
        store: the tables, as far as the stage declares them.
        outputs: names of sermon stages whose outputs of any sermon may be asked for.
        registration: of a sermon.
    """

    settings: Settings
    stage: str
    owner: str
    store: DeclaredStore
    part: str | None = None
    outputs: tuple[str, ...] = ()
    registration: Registration | None = None

    @property
    def home(self) -> Path:
        return self.store.home

    @property
    def sermon(self) -> str:
        """The key of the sermon. Raises ValueError for a stage that is not made for each."""
        if self.registration is None:
            raise ValueError(f"{self.stage} is not made for each sermon")
        return self.registration.sermon

    @property
    def cycle(self) -> int:
        """The number of the cycle. Raises ValueError for a stage that is not made for each."""
        if self.part is None:
            raise ValueError(f"{self.stage} is not made for each cycle")
        return int(self.part)

    def output(self, sermon: str, stage: str) -> StageOutput | None:
        """Return the output of a stage of any sermon, or None. Raises `UndeclaredRead` where it is not declared."""
        if stage not in self.outputs:
            raise UndeclaredRead(
                f"{self.stage} reads {stage}, which it does not declare: add it to `outputs` of the stage"
            )
        return current_output(self.home, sermon, stage)


@dataclass(kw_only=True)
class Work:
    """One making of an output.

    Attributes:
        context: what decides the output.
        inputs: the outputs of the stages upstream that there are.
        store: the tables that the stage declares; none where `Stage.read` has read them.
        read: what `Stage.read` returned: the rows that decide the output, as they were digested.
        folder: takes the files of the recipe; those in `shown_folder` are for people, and in no digest.
        observe: shows numbers in the UI while a long stage is at work.
        timings_s: what took how long, shown with the output.
    """

    context: StageContext
    store: MetadataStore
    key: str
    inputs: Mapping[str, StageOutput]
    folder: Path
    log: Callable[[str], None]
    read: Any = None
    observe: Callable[[Mapping[str, Any]], None] = lambda numbers: None
    timings_s: dict[str, float] = field(default_factory=dict)
    _progress_at: float = 0.0

    @property
    def home(self) -> Path:
        return self.context.home

    @property
    def settings(self) -> Settings:
        return self.context.settings

    @property
    def stage(self) -> str:
        return self.context.stage

    @property
    def owner(self) -> str:
        return self.context.owner

    @property
    def part(self) -> str | None:
        return self.context.part

    @property
    def sermon(self) -> str:
        return self.context.sermon

    @property
    def cycle(self) -> int:
        return self.context.cycle

    @property
    def registration(self) -> Registration:
        """How the sermon was taken in."""
        if self.context.registration is None:
            raise ValueError(f"{self.stage} is not made for each sermon")
        return self.context.registration

    @property
    def shown_folder(self) -> Path:
        """Takes pictures, reports and samples for people."""
        return self.folder / SHOWN

    @cached_property
    def original(self) -> Path:
        """The recording as it came. Raises `PlatformError` where somebody took it away."""
        path = self.registration.original_path(self.home)
        if not path.is_file():
            raise PlatformError(
                f"the recording of {self.sermon} is gone: put it into the inbox again (it came from "
                f"{self.registration.source}; it is known by its content), then try again. Missing is {path}"
            )
        return path

    @property
    def path_in_home(self) -> str:
        """Where `folder` will lie once it is whole, relative to `STT_HOME`."""
        return (stage_folder(self.home, self.owner, self.stage) / self.key[:32]).relative_to(self.home).as_posix()

    def table(self, name: str) -> list[dict[str, Any]]:
        """Return the rows that a stage upstream made of a table. Raises `UndeclaredRead` where none of them makes it."""
        for output in self.inputs.values():
            if name in output.tables:
                return read_fragment(name, output.folder / f"{name}.parquet").to_pylist()
        raise UndeclaredRead(
            f"{self.stage} reads {name}, and no stage upstream makes it: add one to `upstream` of the stage"
        )

    def progress(self, done: float, total: float | None, unit: str = "s") -> None:
        """Say how far a long stage has come; `stt run` and the listening page show it."""
        self.say(f"{done:.0f} of {total:.0f} {unit}" if total else f"{done:.0f} {unit}")

    def say(self, now: str) -> None:
        """Say in words what a long stage is at; at most once a second is written down."""
        at = time.monotonic()
        if at - self._progress_at < _PROGRESS_EVERY_S:
            return
        self._progress_at = at
        write_atomically(progress_file(self.home, self.owner, self.stage), now.encode())

    @contextmanager
    def device(self, kind: str) -> Iterator[None]:
        """Hold the device ('cpu' or 'cuda') for as long as the body runs; waiting and holding times are recorded."""
        name = device_name() if kind == "cuda" else CPU
        holder = f"{self.stage} of {self.owner}"
        with hold_device(
            name, holder=holder, on_wait=lambda who: self.log(f"waiting for {name}: held by {who}")
        ) as lease:
            yield
        for name, seconds in (("waited for the device", lease.waited_s), ("held the device", lease.held_s)):
            self.timings_s[name] = self.timings_s.get(name, 0.0) + seconds
