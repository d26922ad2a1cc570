"""Pages that are made from the code say what the code says, and those that people write name what there is."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from stt_platform.cli.main import main
from stt_platform.settings import Settings
from stt_platform.store.schemas import TABLES, VIEWS

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted([REPOSITORY / "README.md", REPOSITORY / "data" / "README.md", *(REPOSITORY / "docs").glob("*.md")])
GUIDE = [path for path in PAGES if path.name in ("guide.md", "workstation.md", "recovery.md", "label-studio.md")]


def name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def code_of(page: Path) -> Iterator[str]:
    """What is written as code: the lines of blocks, each with an empty one at its end, and what is between backquotes."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for block in blocks:
        yield from [*block.splitlines(), ""]
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def arguments_of(page: Path, program: str) -> Iterator[list[str]]:
    """The words after `program`, wherever it is called in code."""
    for line in code_of(page):
        found = re.match(rf"(?:[A-Z_]+=\S* )*(?:\.venv/bin/)?{program}\b(?!-)(.*)", line.strip())
        if found:
            yield shlex.split(found[1], comments=True)


def settings_of(model: type[BaseModel], before: str = "") -> Iterator[str]:
    for field, about in model.model_fields.items():
        kind = about.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_of(kind, f"{field}.")
        yield f"{before}{field}"


def anchors_of(page: Path) -> set[str]:
    """What GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{name(page)} links to {target}"
        assert not anchor or anchor in anchors_of(path), f"{name(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_is_one(page: Path) -> None:
    for words in arguments_of(page, "stt"):
        command: click.Command = main
        while words and isinstance(command, click.Group):
            assert words[0] in command.commands, f"{name(page)}: stt {' '.join(words)}"
            command = command.commands[words.pop(0)]
        options = {text for parameter in command.params for text in parameter.opts} | {"--help"}
        for word in words:
            assert not word.startswith("--") or word in options, f"{name(page)}: {command.name} {word}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_target_of_make_is_one(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for words in arguments_of(page, "make"):
        # Without a target it is the program that is spoken of.
        assert not words or words[0] in targets, f"{name(page)}: make {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_setting_is_one(page: Path) -> None:
    settings = set(settings_of(Settings))
    sections = {setting.partition(".")[0] for setting in settings if "." in setting}
    section = ""
    for line in code_of(page):
        header = re.fullmatch(r"\[([a-z_]+)\]", line.strip())
        if header or not line:
            section = header[1] if header and header[1] in sections else ""
        elif section and (inside := re.match(r"([a-z_]+) = ", line)):
            assert f"{section}.{inside[1]}" in settings, f"{name(page)}: {line} in [{section}]"
        named = re.fullmatch(r"([a-z_]+)\.([a-z_0-9]+)(?: = .+)?", line)
        # `settings.toml` and the like are files.
        if named and named[1] in sections and named[2] not in ("py", "toml", "md"):
            assert f"{named[1]}.{named[2]}" in settings, f"{name(page)}: {line}"


@pytest.mark.parametrize("page", GUIDE, ids=name)
def test_every_table_that_is_asked_for_is_one(page: Path) -> None:
    for words in arguments_of(page, "stt query"):
        tables = re.findall(r"\b(?:from|join) \"?(\w+)", words[0])
        assert tables and set(tables) <= {*TABLES, *VIEWS}, f"{name(page)}: {words[0]}"


def test_the_page_of_settings_is_up_to_date() -> None:
    command = [sys.executable, str(REPOSITORY / "tools" / "parameters.py")]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert made == (REPOSITORY / "docs" / "parameters.md").read_text(encoding="utf-8"), "run `make docs`"


def test_the_lock_holds_no_address_and_every_requirement_has_a_hash() -> None:
    for path in sorted(REPOSITORY.glob("requirements*.lock")):
        lock = path.read_text(encoding="utf-8")
        assert "://" not in lock
        requirements = [line for line in lock.splitlines() if line and not line.startswith((" ", "#"))]
        assert requirements
        assert all(line.endswith("\\") for line in requirements)
