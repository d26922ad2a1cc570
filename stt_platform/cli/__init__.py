"""The command `stt`: the same assets on the same instance as the web UI."""

from stt_platform.cli.main import main

__all__ = ["main"]
