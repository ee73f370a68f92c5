# SPDX-License-Identifier: GPL-2.0-or-later
"""measure.py FILE COMMAND…: runs a command, hands SIGINT and SIGTERM on to it, and writes to FILE what it took: seconds of wall
time, seconds of CPU time, and KiB of memory at its peak.
"""
import os
import signal
import sys
import time

begin = time.monotonic()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: os.kill(child, number))
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as result:
    print(round(time.monotonic() - begin, 3), round(usage.ru_utime + usage.ru_stime, 3), usage.ru_maxrss, file=result)
sys.exit(os.waitstatus_to_exitcode(status) & 255)
