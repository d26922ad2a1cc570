"""Addresses of the listening page, for links from elsewhere."""

from urllib.parse import quote


def sermon_address(sermon: str, base: str, start_s: float | None = None) -> str:
    """URL of a sermon's page, opened at `start_s` seconds when given. `base` is `UiSettings.listening_address`."""
    at = "" if start_s is None else f"#t={start_s:g}"
    return f"{base}/sermon/{quote(sermon, safe='')}{at}"


def page_address(name: str, base: str) -> str:
    """URL of a page that is not a sermon's, such as `scripture` or `evaluation/speech-cycle-0`."""
    return f"{base}/{quote(name)}"
