"""SQLite waits for a minute before it says "database is locked", in every process that opens the instance.

Its own five seconds are enough on an idle machine. With all cores busy a process that is at its write may not be scheduled
for longer, and then runs, daemon and `stt run` fail for nothing. Dagster offers no setting for its three databases.
Imported by `launcher.py`, and so wherever `dagster.yaml` is read.
"""

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

BUSY_TIMEOUT_MS = 60_000


@event.listens_for(Engine, "connect")
def _be_patient(connection: Any, record: Any) -> None:
    if type(connection).__module__.startswith("sqlite3"):
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}").close()
