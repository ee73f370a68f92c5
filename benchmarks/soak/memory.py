# SPDX-License-Identifier: GPL-2.0-or-later
"""KiB of memory (RSS) of processes, once a second for so many seconds: memory.py PID PID SECONDS"""
import re
import sys
import time

begin = time.monotonic()
for second in range(1, int(sys.argv[-1])):
    time.sleep(max(0, begin + second - time.monotonic()))
    sizes = [re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read()) for pid in sys.argv[1:-1]]
    if not all(sizes):
        break
    print(second, *(size[1] for size in sizes), flush=True)
