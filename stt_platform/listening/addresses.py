"""Addresses of the listening page, for links from elsewhere."""

from urllib.parse import quote


def sermon_address(sermon: str, port: int, start_s: float | None = None) -> str:
    """URL of a sermon's page on this machine, opened at `start_s` seconds when given."""
    at = "" if start_s is None else f"#t={start_s:g}"
    return f"http://127.0.0.1:{port}/sermon/{quote(sermon, safe='')}{at}"


def page_address(name: str, port: int) -> str:
    """URL of a page that is not a sermon's, such as `scripture` or `evaluation/speech-cycle-0`."""
    return f"http://127.0.0.1:{port}/{quote(name)}"
