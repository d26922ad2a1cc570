"""The rule-based peer: Apertium (Forcada et al. 2011), where it is installed.

It runs as a program of its own, so its licence (GPL) does not reach this package.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence

_MODES = {("en", "es"): "eng-spa", ("es", "en"): "spa-eng"}
_PACKAGES = ("apertium", "apertium-eng-spa")
_INSTALL = "install it with `apt-get install apertium-eng-spa`"

_BETWEEN = re.compile(r"\n\s*\n")
# NUL among them, which tells Apertium's programs to flush.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LONGEST_REASON = 300
_VERSION_TIMEOUT_S = 20.0


class ApertiumUnavailable(RuntimeError):
    """Apertium, or its English and Spanish, is not installed or does not work: says what to do."""


def apertium_version() -> str | None:
    """Return the version of the engine and of its English and Spanish, as the system's packages name them.

    "version unknown" where it was not installed as a package: the program does not tell. None where it is not
    installed, does not work, or does not translate from English to Spanish.
    """
    try:
        if shutil.which("apertium") is None or _MODES["en", "es"] not in _modes():
            return None
    except ApertiumUnavailable:
        return None
    versions = [f"{name} {version}" for name in _PACKAGES if (version := _package_version(name))]
    return ", ".join(versions) or "apertium, version unknown"


def translate_apertium(
    texts: Sequence[str],
    source: str = "en",
    target: str = "es",
    *,
    batch: int = 500,
    timeout_s: float = 300.0,
) -> list[str]:
    """Translate texts; the results come in the given order, one line each, an empty one for an empty text.

    A blank line stands between texts, which Apertium takes for the end of a sentence, so that no rule reaches from one
    text into the next. Should the number of texts that come back be another, the batch is halved. Unknown words come
    back as they are (option -u).

    Args:
        source, target: "en" and "es", either way round.
        batch: texts for one start of the program, which takes half a second.
        timeout_s: for one batch.

    Raises:
        ApertiumUnavailable: not installed, or it fails; with the remedy.
        ValueError: for another direction, or a batch below 1.
    """
    if (source, target) not in _MODES:
        known = ", ".join(f"{one}→{two}" for one, two in _MODES)
        raise ValueError(f"from {source!r} to {target!r}: Apertium is used for {known}")
    if batch < 1:
        raise ValueError(f"batch {batch}: want at least 1 text")
    program, mode = shutil.which("apertium"), _MODES[source, target]
    if program is None:
        raise ApertiumUnavailable(f"Apertium is unavailable: there is no program `apertium`; {_INSTALL}")
    if mode not in _modes():
        raise ApertiumUnavailable(f"Apertium is unavailable: it is here without the direction {mode}; {_INSTALL}")
    lines = {k: line for k, text in enumerate(texts) if (line := _one_line(text))}
    order = list(lines)
    done: dict[int, str] = {}
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        done.update(zip(part, _translated([lines[k] for k in part], program, mode, timeout_s), strict=True))
    return [done.get(k, "") for k in range(len(texts))]


def _translated(lines: list[str], program: str, mode: str, timeout_s: float) -> list[str]:
    said = _run([program, "-u", "-f", "txt", mode], "\n\n".join(lines) + "\n", timeout_s)
    if len(lines) == 1:
        return [_one_line(said)]
    made = [_one_line(part) for part in _BETWEEN.split(said.strip("\n"))]
    if len(made) == len(lines):
        return made
    half = len(lines) // 2
    return [line for part in (lines[:half], lines[half:]) for line in _translated(part, program, mode, timeout_s)]


def _one_line(text: str) -> str:
    return " ".join(_CONTROL.sub(" ", text).split())


def _modes() -> set[str]:
    return set(_run(["apertium", "-l"], "", _VERSION_TIMEOUT_S).split())


def _package_version(name: str) -> str:
    if shutil.which("dpkg-query") is None:
        return ""
    command = ["dpkg-query", "--show", "--showformat", "${Version}", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S)
    return done.stdout.strip() if done.returncode == 0 else ""


def _run(command: list[str], given: str, timeout_s: float) -> str:
    try:
        # A group of its own: the program is a script that starts a dozen others, which a timeout has to end too.
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            # The tools read and write in the encoding of the locale.
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        ) as process:
            try:
                said, complained = process.communicate(given, timeout=timeout_s)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
    except subprocess.TimeoutExpired as error:
        raise ApertiumUnavailable(
            f"Apertium did not answer within {timeout_s:g} s: give it more time, or smaller batches"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ApertiumUnavailable(f"Apertium does not work ({error}): {_INSTALL} again") from error
    if process.returncode:
        reason = " ".join((complained or said).split())[-_LONGEST_REASON:]
        raise ApertiumUnavailable(
            f"Apertium does not work: {reason or f'exit status {process.returncode}'}; {_INSTALL} again"
        )
    return said
