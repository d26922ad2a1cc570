"""The tools that people correct transcripts in.

To add one, write a file here with a subclass of `base.ReviewTool`, and name it in `TOOLS`: `write` makes its files of the
tasks of a cycle, which are put into `STT_HOME/review/cycle-<n>`; `parse` recognises and reads its answers, from files in
`STT_HOME/corrections`. For one with a server, `push` and `pull` come from a subclass in `web/`, as in
`web/label_studio_reviews.py`.
"""

from stt_platform.feedback.tools.base import ReviewTool
from stt_platform.feedback.tools.label_studio import LabelStudio
from stt_platform.feedback.tools.prodigy import Prodigy
from stt_platform.feedback.tools.table import Table

TOOLS: list[ReviewTool] = [LabelStudio(), Prodigy(), Table()]
"""In the order in which they are asked whether an answer is theirs; the table takes any text that is no JSON."""
