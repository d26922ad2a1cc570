"""Prints docs/parameters.md: every setting, from the code."""

import types
import typing

from pydantic import BaseModel
from pydantic_settings import BaseSettings

from stt_platform.settings import Settings, _profile_values

HEAD = """# Settings

Made by `make docs` from `stt_platform/settings.py`: do not edit.

Set what differs in `settings.toml` in `STT_HOME` (`[chunking]`, then `max_s = 25`), or for one command in the
environment (`STT_CHUNKING__MAX_S=25`). A page that runs (`make ui`) reads `settings.toml` anew for every step, but has
the environment that it was started with.

Defaults are those of the specification that the platform grew from ("seed"), where it has one, on the profile
`workstation`; the description says where ours differs and why.
"""


def rows(model: type[BaseModel], prefix: str = "") -> typing.Iterator[tuple[str, str, str, str, str]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and not issubclass(kind, BaseSettings):
            yield from rows(kind, f"{prefix}{name}.")
            continue
        values = [
            _value(_profile_values(profile), f"{prefix}{name}".split("."), field.default)
            for profile in ("embedded", "workstation")
        ]
        shown = kind.__name__ if isinstance(kind, type) and not isinstance(kind, types.GenericAlias) else str(kind)
        shown = shown.replace("typing.", "").replace("|", "\\|")
        yield f"{prefix}{name}", shown, *(str(value) for value in values), field.description or ""


def _value(profile: dict, path: list[str], default: object) -> object:
    for part in path:
        if not isinstance(profile, dict) or part not in profile:
            return default
        profile = profile[part]
    return profile


print(HEAD)
print("| setting | type | embedded | workstation | meaning, unit, source |")
print("|---|---|---|---|---|")
for row in rows(Settings):
    print("| " + " | ".join(row) + " |")
