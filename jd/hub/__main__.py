"""`python -m jd.hub`"""

import sys

from jd.hub.cli import entry

sys.exit(entry())
