"""Try, as another user of this machine, to run code in a Dask scheduler; root alone can do so.

``python stranger.py ADDRESS none|own``: without a certificate, or with one of one's own. Prints ``refused ERROR`` or
``let in PID``.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import distributed

os.setgroups([])
os.setgid(65534)
os.setuid(65534)
certificates: Any = distributed.Security
security = certificates.temporary() if sys.argv[2] == "own" else None
connect: Any = distributed.Client
try:
    client = connect(sys.argv[1], security=security, timeout=3)
except Exception as error:
    print("refused", type(error).__name__)
else:
    print("let in", client.run_on_scheduler(os.getpid))
