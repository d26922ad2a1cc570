"""`python -m stt_platform.pages HOME PORT`: the listening page as a process of its own."""

import sys
from pathlib import Path

from stt_platform.pages.app import serve

serve(Path(sys.argv[1]), port=int(sys.argv[2]))
