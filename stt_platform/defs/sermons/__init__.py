"""The area of the sermons. Importing any of it registers all stages, in their order."""

from stt_platform.defs.sermons import assets as assets
