"""`python -m stt_platform.environments [NAME …]`: builds environments (all of them) before they are needed."""

import sys

from stt_platform.environments import environment, environment_names
from stt_platform.errors import PlatformError

try:
    for name in sys.argv[1:] or environment_names():
        print(environment(name).ensure(lambda line: print(line, flush=True)))
except PlatformError as error:
    sys.exit(f"Error: {error}")
