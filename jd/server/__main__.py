"""`python -m jd.server`"""

import sys

from jd.server.cli import entry

sys.exit(entry())
