"""Tables that were damaged on the disk are made again from the outputs of the stages, which hold the same bytes.

A disk that lies, a power loss on a cheap one, a hand that edited a file: a fragment that cannot be read stops every
question about its table. The output that it was made from lies beside it with its SHA-256.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stt_platform.machine.files import sha256_of
from stt_platform.store.intake import register_again, registrations
from stt_platform.store.metadata import DamagedFragmentError, MetadataStore
from stt_platform.store.schemas import TABLES
from stt_platform.store.stages import StageOutput, forget_output, output_owners, publish_again, stage_outputs


@dataclass(frozen=True)
class Mended:
    """What was found, relative to `STT_HOME`, and what became of it.

    `outcome`: "made again" from the output; "to be run": the output itself was damaged, and its stage is out of date now;
    "removed": written by an asset that looks at all sermons, which makes it again when it runs.
    """

    what: str
    outcome: Literal["made again", "to be run", "removed"]


def damaged_fragments(store: MetadataStore) -> list[str]:
    """Return the fragments that cannot be read, relative to `STT_HOME`."""
    return [f"tables/{table}/{part}.parquet" for table, part in _damaged(store)]


def mend_tables(store: MetadataStore) -> list[Mended]:
    """Compare every fragment with the output that it was published from, and put right what differs.

    Safe at any time, also while runs write: an output is published again under the lock of its stage.
    """
    done = []
    for owner in output_owners(store.home):
        for output in stage_outputs(store.home, owner):
            if not set(output.tables) <= set(TABLES):
                # Made by another version of the platform, and out of date.
                continue
            if wrong := _damaged_files(output):
                forget_output(store.home, output)
                done.append(Mended(f"{_place(store.home, output)}/{wrong[0]}", "to be run"))
            else:
                done += [Mended(f"tables/{name}.parquet", "made again") for name in publish_again(store, output)]
    for entry in registrations(store.home).values():
        if register_again(store, entry):
            done.append(Mended(f"tables/registrations/{entry.sermon}.parquet", "made again"))
    for table, part in _damaged(store):
        store.remove(part, table)
        done.append(Mended(f"tables/{table}/{part}.parquet", "removed"))
    return done


def _damaged(store: MetadataStore) -> Iterator[tuple[str, str]]:
    for table in TABLES:
        for part in store.parts(table):
            try:
                store.read(table, part)
            except DamagedFragmentError:
                yield table, part
            except FileNotFoundError:
                continue


def _damaged_files(output: StageOutput) -> list[str]:
    """Return those of its tables that are not what the stage wrote."""
    written = output.files
    names = [f"{table}.parquet" for table in output.tables]
    return [name for name in names if not _is(output.folder / name, written[name])]


def _is(path: Path, sha256: str) -> bool:
    try:
        return sha256_of(path) == sha256
    except FileNotFoundError:
        return False


def _place(home: Path, output: StageOutput) -> str:
    return output.folder.relative_to(home).as_posix()
