"""What a user can mend: each says in one line what is wrong and what to do, and the commands print it without a traceback."""


class PlatformError(RuntimeError):
    """Something that a user can mend: says what is wrong and what to do."""


class SettingsError(PlatformError):
    """A setting that cannot be used: names the place, the value and what is allowed."""
