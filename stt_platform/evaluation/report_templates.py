"""Fill the templates of the reports: every text of others is escaped, and a name that is not given is an error."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

DIFFERENCE = "Difference (← worse, better →)"
"""The head of the column of gains; the template sets its two sides apart."""

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_BEFORE_BODY = "<main>\n"
# Controls, marks that turn the direction of writing around, and halves of pairs, which no file can hold.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def fill(template: Path, **values: Any) -> str:
    """Return the page that a template makes of plain values; it may extend or import those of the reports."""
    return environment(template.parent).get_template(template.name).render(**values)


@cache
def environment(folder: Path = _TEMPLATES) -> Any:
    """Return Jinja2 with the templates of `folder` and of the reports, escaping and strict.

    A character that cannot be shown becomes "�".
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader([folder, _TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    made.globals.update(DIFFERENCE=DIFFERENCE, style_source=style_source)
    return made


def style_source(page: str = "") -> str:
    """Return the style of a page as a source of a Content-Security-Policy: its SHA-256 (W3C CSP Level 3, section 2.3.1).

    Args:
        page: a report, perhaps with an earlier style; empty for the style of today.
    """
    style = _STYLE.search(page or (_TEMPLATES / "page.html.j2").read_text(encoding="utf-8"))
    return f"'sha256-{base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()}'" if style else "'none'"


def with_link_back(page: str, address: str, words: str) -> str:
    """Return a page as a server shows it: with a link above its title. The file itself links to nothing."""
    link = f'<nav class="back"><a href="{escape(address)}">← {escape(words)}</a></nav>\n'
    return page.replace(_BEFORE_BODY, _BEFORE_BODY + link, 1)


def _printable(value: Any) -> Any:
    return _UNPRINTABLE.sub("\ufffd", value) if isinstance(value, str) and not isinstance(value, Markup) else value
