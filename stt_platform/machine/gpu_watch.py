"""Watching a GPU's memory while something is trained: on WSL2 it spills to the host without a word, and crawls.

Windows' driver does not refuse memory that the card has not: it lends the host's, across the bus, and WSL does not
heed the switch that turns this off (microsoft/WSL issue 11050). Two signs of it are watched: what Windows says it lends, and
that this process holds more than all of the card that is in use.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from stt_platform.machine.gpu_facts import SPILL_BYTES, adapter_text, is_wsl, parse_adapter_memory


@dataclass(frozen=True)
class MemorySample:
    """Memory at one moment.

    Attributes:
        total_bytes: of the card.
        used_bytes: of it, what all programs hold.
        reserved_bytes: what torch's allocator in this process holds.
        shared_bytes: what the card borrows of the host, by Windows; None where it does not say.
    """

    total_bytes: int
    used_bytes: int
    reserved_bytes: int
    shared_bytes: int | None = None


@dataclass(frozen=True)
class SpillReport:
    """What was seen while it was watched.

    Attributes:
        samples: how many moments were looked at.
        peak_used_bytes, peak_reserved_bytes: of the card, by all and by this process.
        spilled_bytes: the most that was on the host instead of the card; what Windows kept there before does not count.
        spilled_share: of the samples, in how many there was more than half a gigabyte.
        first_s: seconds after the start when that began; None where it never did.
        failure: why it could not be watched (to the end); empty where it could.
    """

    samples: int
    peak_used_bytes: int
    peak_reserved_bytes: int
    spilled_bytes: int
    spilled_share: float
    first_s: float | None
    failure: str = ""

    @property
    def spilled(self) -> bool:
        """Whether memory went to the host."""
        return self.first_s is not None

    @property
    def words(self) -> str:
        """For people, with what to do."""
        if not self.samples:
            return f"GPU memory was not watched: {self.failure}" if self.failure else "GPU memory was not watched"
        text = f"at most {self.peak_used_bytes / 1e9:.1f} GB of the card in use, {self.peak_reserved_bytes / 1e9:.1f} GB by this"
        if self.first_s is None:
            return f"{text}; nothing spilled to the host" + (f" ({self.failure})" if self.failure else "")
        return (
            f"{text}; {self.spilled_bytes / 1e9:.1f} GB spilled to the host from {self.first_s:.0f} s on, in "
            f"{self.spilled_share:.0%} of the time: close other programs, take a smaller micro-batch or shorter rows"
        )


class MemoryWatch:
    """Looks at the memory in a thread of its own, as long as the `with` block runs.

    with MemoryWatch(DeviceMemory(), on_spill=lambda report: log.warning(report.words)) as watch:
        train()
    print(watch.report().words)
    """

    def __init__(
        self,
        sample: Callable[[], MemorySample],
        *,
        every_s: float = 10.0,
        on_spill: Callable[[SpillReport], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            sample: reads the memory.
            every_s: between two looks.
            on_spill: called once, from the watching thread, when memory is first seen on the host.
        """
        self._sample = sample
        self._every_s = every_s
        self._on_spill = on_spill
        self._clock = clock
        self._samples: list[tuple[float, MemorySample]] = []
        self._failure = ""
        self._told = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gpu-memory-watch", daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._began_s = self._clock()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def report(self) -> SpillReport:
        """Return what was seen until now."""
        return spill_report(list(self._samples), self._failure)

    def _watch(self) -> None:
        while True:
            try:
                self._samples.append((self._clock() - self._began_s, self._sample()))
                report = self.report()
                if report.spilled and self._on_spill and not self._told:
                    self._told = True
                    self._on_spill(report)
            except Exception as error:
                # A training does not end because nobody could look at it.
                self._failure = f"{type(error).__name__}: {error}"
                return
            if self._stop.wait(self._every_s):
                return


def spill_report(samples: list[tuple[float, MemorySample]], failure: str = "") -> SpillReport:
    """Return what some samples, each with its second, amount to."""
    if not samples:
        return SpillReport(0, 0, 0, 0, 0.0, None, failure)
    told = [sample.shared_bytes for _, sample in samples if sample.shared_bytes is not None]
    before = told[0] if told else 0
    spilled = [(at_s, _spilled(sample, before)) for at_s, sample in samples]
    over = [at_s for at_s, number in spilled if number > SPILL_BYTES]
    return SpillReport(
        samples=len(samples),
        peak_used_bytes=max(sample.used_bytes for _, sample in samples),
        peak_reserved_bytes=max(sample.reserved_bytes for _, sample in samples),
        spilled_bytes=max(number for _, number in spilled),
        spilled_share=len(over) / len(samples),
        first_s=over[0] if over else None,
        failure=failure,
    )


def _spilled(sample: MemorySample, before_bytes: int) -> int:
    # What this process holds and the card does not hold is elsewhere.
    elsewhere = sample.reserved_bytes - sample.used_bytes
    lent = sample.shared_bytes - before_bytes if sample.shared_bytes is not None else 0
    return max(0, elsewhere, lent)


@dataclass
class DeviceMemory:
    """Reads the memory of the CUDA device that torch uses.

    Attributes:
        ask_windows_every_s: starting PowerShell takes a second of one core each time.
    """

    ask_windows_every_s: float = 60.0
    _asked_s: float = field(default=float("-inf"), repr=False)
    _shared_bytes: int | None = field(default=None, repr=False)

    def __call__(self) -> MemorySample:
        import torch

        free, total = torch.cuda.mem_get_info()
        return MemorySample(total, total - free, torch.cuda.memory_reserved(), self._shared())

    def _shared(self) -> int | None:
        if time.monotonic() - self._asked_s >= self.ask_windows_every_s and _inside_windows():
            memory = parse_adapter_memory(adapter_text())
            self._shared_bytes = memory.shared_bytes if memory else None
            self._asked_s = time.monotonic()
        return self._shared_bytes


def _inside_windows() -> bool:
    return is_wsl(Path("/proc/version").read_text(encoding="utf-8"))
