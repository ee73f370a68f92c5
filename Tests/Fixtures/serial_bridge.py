#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A line between a terminal device (the guest's port) and a UNIX socket (QEMU's chardev): serial_bridge.py LINK SOCKET

Makes LINK a symbolic link to the device, and takes one connection to SOCKET after the other for up to 30 s.
"""

import os
import select
import socket
import sys
import time
import tty

link, path = sys.argv[1:]
ours, theirs = os.openpty()
tty.setraw(theirs)
os.symlink(os.ttyname(theirs), link)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(1)
print("ready", flush=True)

end = time.monotonic() + 30
peer = None
while time.monotonic() < end:
    readable, _, _ = select.select([ours] + ([peer] if peer else [listener]), [], [], 0.2)
    for source in readable:
        if source is listener:
            peer, _ = listener.accept()
        elif source is peer:
            data = peer.recv(4096)
            if not data:
                peer.close()
                peer = None
            while data:
                data = data[os.write(ours, data) :]
        else:
            data = os.read(ours, 4096)
            if peer:
                peer.sendall(data)
