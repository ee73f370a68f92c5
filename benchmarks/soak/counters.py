# SPDX-License-Identifier: GPL-2.0-or-later
"""What two network namespaces have dropped so far, as JSON: counters.py NAMESPACE NAMESPACE"""
import json
import subprocess
import sys


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def dropped(namespace):
    lines = [line.split() for line in run("ip", "netns", "exec", namespace, "cat", "/proc/net/snmp").splitlines()]
    names, values = (line for line in lines if line[0] == "Udp:")
    udp = dict(zip(names[1:], map(int, values[1:])))
    links = json.loads(run("ip", "-n", namespace, "-s", "-j", "link", "show"))
    devices = sum(link["stats64"][way]["dropped"] for link in links for way in ("rx", "tx"))
    return {"socket": udp["RcvbufErrors"], "device": devices, "checksum": udp["InCsumErrors"]}


# Of all namespaces together: packets for which a CPU's backlog had no room.
backlog = sum(int(line.split()[1], 16) for line in open("/proc/net/softnet_stat"))
print(json.dumps({"sender": dropped(sys.argv[1]), "reflector": dropped(sys.argv[2]), "backlog": backlog}))
