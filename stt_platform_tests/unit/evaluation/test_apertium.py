"""The rule-based peer: with a program made here that behaves as Apertium's, and with the real one where it is."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pytest

from stt_platform.evaluation.apertium import ApertiumUnavailable, apertium_version, translate_apertium

# Shouts; keeps white space as Apertium's formatters do. Notes what it was called with.
_FAKE = """#!{python}
import sys, time
arguments = sys.argv[1:]
if arguments == ["-l"]:
    print("  eng-spa\\n  spa-eng")
    raise SystemExit
text = sys.stdin.read()
with open({log!r}, "a", encoding="utf-8") as log:
    log.write(" ".join(arguments) + f" {{len(text.split(chr(10) * 2))}}\\n")
{body}
sys.stdout.write(text.upper())
"""
_DPKG = """#!/bin/sh
case "$4" in apertium) printf 3.8.3;; apertium-eng-spa) printf 0.8.1;; *) exit 1;; esac
"""


def program(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def fake(folder: Path, body: str = "") -> None:
    program(folder / "apertium", _FAKE.format(python=sys.executable, log=str(folder / "log"), body=body))


def calls(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


def test_texts_come_back_in_order_one_line_each(here: Path) -> None:
    fake(here)
    texts = ["Grace.", "", "two\nlines\r\nand\ttabs", "  ", "peace\x00\x85 to you", "señor"]
    assert translate_apertium(texts) == ["GRACE.", "", "TWO LINES AND TABS", "", "PEACE TO YOU", "SEÑOR"]
    assert calls(here) == ["-u -f txt eng-spa 4"]
    assert translate_apertium([]) == []


def test_batches_and_direction(here: Path) -> None:
    fake(here)
    assert translate_apertium(list("abcde"), "es", "en", batch=2) == list("ABCDE")
    assert calls(here) == ["-u -f txt spa-eng 2", "-u -f txt spa-eng 2", "-u -f txt spa-eng 1"]


@pytest.mark.parametrize(
    "body",
    [
        'text = text.replace("c\\n\\n", "c ")',  # two texts run together
        'text = text.replace("c", "c\\n\\nc")',  # one is torn apart
    ],
)
def test_texts_that_come_back_in_another_number_are_sent_by_halves(here: Path, body: str) -> None:
    fake(here, body)
    done = translate_apertium(list("abcde"))
    assert done[:2] + done[3:] == list("ABDE")
    assert done[2] in ("C", "C C")
    assert calls(here)[0].endswith(" 5")
    assert len(calls(here)) > 2


def test_the_version_comes_from_the_packages(here: Path) -> None:
    fake(here)
    assert apertium_version() == "apertium, version unknown"
    program(here / "dpkg-query", _DPKG)
    assert apertium_version() == "apertium 3.8.3, apertium-eng-spa 0.8.1"


def test_without_the_program_the_remedy_is_named(here: Path) -> None:
    assert apertium_version() is None
    with pytest.raises(ApertiumUnavailable, match=r"unavailable.*apt-get install apertium-eng-spa"):
        translate_apertium(["Grace."])


def test_without_the_direction_the_remedy_is_named(here: Path) -> None:
    program(here / "apertium", "#!/bin/sh\necho '  cat-spa'\n")
    assert apertium_version() is None
    with pytest.raises(ApertiumUnavailable, match=r"without the direction eng-spa.*apt-get install apertium-eng-spa"):
        translate_apertium(["Grace."])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('sys.exit("lt-proc: cannot open file")', "lt-proc: cannot open file"),
        ("sys.exit(3)", "exit status 3"),
        ('sys.stdout.buffer.write(b"\\xff"); sys.stdout.flush()', "does not work"),
    ],
)
def test_a_program_that_fails_is_named(here: Path, body: str, message: str) -> None:
    fake(here, body)
    with pytest.raises(ApertiumUnavailable, match=message):
        translate_apertium(["Grace."])


def test_a_program_that_hangs_is_ended_with_its_children(here: Path, tmp_path: Path) -> None:
    left = tmp_path / "left"
    child = f"import time; time.sleep(2); open({str(left)!r}, 'w')"
    fake(here, f"import subprocess; subprocess.run([sys.executable, '-c', {child!r}])")
    began = time.monotonic()
    with pytest.raises(ApertiumUnavailable, match=r"within 0\.7 s"):
        translate_apertium(["Grace."], timeout_s=0.7)
    assert time.monotonic() - began < 1.9
    time.sleep(2)
    assert not left.exists()


@pytest.mark.parametrize(("target", "batch", "message"), [("fr", 5, "from 'en' to 'fr'"), ("es", 0, "batch 0")])
def test_what_cannot_be_asked_is_named(target: str, batch: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        translate_apertium(["Grace."], "en", target, batch=batch)


def test_as_installed_on_this_machine() -> None:
    texts = ["The house is big", "I see the xyzzyq dog.", "", "[a] ^b$ *c {d} <e> @f / \\ #g", "God is good"]
    if apertium_version() is None:
        with pytest.raises(ApertiumUnavailable, match="apt-get install"):
            translate_apertium(texts)
        return
    assert shutil.which("apertium")
    done = translate_apertium(texts)
    assert done == [translate_apertium([text])[0] for text in texts]
    assert "casa" in done[0].casefold()
    assert "xyzzyq" in done[1]
    assert "*" not in done[1]
    assert done[2] == ""
