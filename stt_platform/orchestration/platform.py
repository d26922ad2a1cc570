"""What every asset is given: the store and the settings of one `STT_HOME`."""

from pathlib import Path

import dagster as dg

from stt_platform.settings import Settings, home, load_settings
from stt_platform.store.metadata import MetadataStore

OWNERS = ["team:stt_platform"]

SENSORS_OFF = "sensors are off (setting `sensors`): nothing is started by itself"
"""What a sensor or schedule says that was switched off."""


class Platform(dg.ConfigurableResource):
    """The place (`STT_HOME`), its store and its settings, read anew in every step."""

    home_folder: str = ""

    @property
    def home(self) -> Path:
        return Path(self.home_folder) if self.home_folder else home()

    @property
    def store(self) -> MetadataStore:
        return MetadataStore(self.home)

    @property
    def settings(self) -> Settings:
        return load_settings(self.home)
