# SPDX-License-Identifier: GPL-2.0-or-later
"""Two network namespaces, joined by a bridge in a third, and a program run in them; for the scripts beside."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

LATPROBE = os.path.realpath(os.environ.get("LATPROBE", ".build/release/latprobe"))
FIXTURES = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../Tests/Fixtures"))
SCRIPT = os.path.basename(sys.argv[0]).removesuffix(".py")
REFLECTOR = "198.18.0.2:8620"


def run(*arguments, check=True, **options):
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=120, **options)
    if check and result.returncode != 0:
        sys.exit(f"{SCRIPT}: {arguments}: {result.stderr}")
    return result


class Testbed:
    """Namespaces `a` and `b` with an eth0 each, at 198.18.0.1 and .2, and a folder. All of it goes in the end."""

    def __enter__(self):
        if os.geteuid() != 0:
            sys.exit(f"{SCRIPT}: root makes the namespaces: run it with sudo")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        name = f"{SCRIPT}-{os.getpid()}"
        self.a, self.b, self.bridge = f"{name}-a", f"{name}-b", f"{name}-br"
        self.background = []
        self.folder = tempfile.mkdtemp(prefix=f"{name}-", dir="/var/tmp")
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def build(self):
        for namespace in (self.a, self.b, self.bridge):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "-n", self.bridge, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.bridge, "link", "set", "br0", "up")
        for namespace, number in ((self.a, 1), (self.b, 2)):
            run("ip", "-n", namespace, "link", "add", "eth0", "type", "veth", "peer", "name", f"v{number}", "netns",
                self.bridge)
            run("ip", "-n", self.bridge, "link", "set", f"v{number}", "master", "br0", "up")
            run("ip", "-n", namespace, "addr", "add", f"198.18.0.{number}/24", "dev", "eth0")
            run("ip", "-n", namespace, "link", "set", "eth0", "up")

    def start(self, namespace, *arguments):
        """Until the end."""
        self.background.append(
            subprocess.Popen(
                ["ip", "netns", "exec", namespace, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def traffic(self):
        """A reflector in b, and echoes."""
        self.start(self.b, LATPROBE, "reflect", "--listen", REFLECTOR)
        self.start(self.a, "ping", "-q", "-i", "0.01", "198.18.0.2")
        time.sleep(1)

    def recording(self, name):
        """A small recording of root's."""
        path = f"{self.folder}/{name}"
        shutil.copytree(f"{FIXTURES}/recording-6", path)
        run("chown", "-R", "0:0", path)
        run("chmod", "-R", "u+rwX", path)
        return path

    def capture(self, name):
        """Some echoes."""
        path = f"{self.folder}/{name}"
        run("ip", "netns", "exec", self.b, "tcpdump", "-i", "eth0", "-c", "50", "-w", path, "icmp")
        return path

    def commands(self):
        """Each command as it works for a moment: itself, its namespace, its arguments, its options."""
        recording, copy, capture = self.recording("recording"), self.recording("copy"), self.capture("icmp.pcap")
        run("ip", "-n", self.b, "link", "add", "c0", "type", "veth", "peer", "name", "c1")
        for device in ("c0", "c1"):
            run("ip", "-n", self.b, "link", "set", device, "up")
        out = {"output": "out", "force": None}
        moment = {"duration": "50ms", **out}
        benchmark = {
            "trial": "100ms", "search-trial": "100ms", "repeat": "1", "pause": "0s", "wait": "100ms", "sizes": "64",
            "measure": "throughput", "line-rate": "1M", "resolution": "20", **out}
        return [
            Base("record", self.bridge, [], {"topology": "veth", "netns": self.a, **moment}, waits=True),
            Base("tap", self.b, ["wire-in=eth0"], moment, waits=True),
            Base("tap", self.b, [], {"read": capture, **out}),
            Base("tap", self.b, ["c0", "c1"], {"calibrate": None, "count": "10", **out}, waits=True),
            Base("pair", self.b, [capture], {"proto": "icmp", "json": None}),
            Base("pair", self.b, ["eth0"], {"proto": "icmp", "duration": "50ms"}, waits=True),
            Base("send", self.a, [REFLECTOR], moment, waits=True),
            Base("reflect", self.b, [], {"listen": "198.18.0.2:8621"}, waits=True),
            Base("rfc2544", self.a, [REFLECTOR], benchmark, waits=True),
            Base("timer", self.a, [], {"samples": "2", "interval": "1us", "load": "idle"}, waits=True),
            Base("agent", self.a, ["unix:socket"], {"state": "state"}, waits=True),
            Base("report", self.a, [recording], {"json": None}),
            Base("report", self.a, [recording], {"output": "out"}),
            Base("gate", self.a, [recording], {"require": "* p50 < 1000s"}),
            Base("hooks", self.a, ["veth"], {}),
            Base("doctor", self.a, [], {}),
            Base("repair", self.a, [copy], {}),
        ]

    def __exit__(self, *_):
        for process in self.background:
            process.terminate()
            process.wait()
        for namespace in (self.a, self.b, self.bridge):
            run("ip", "netns", "del", namespace, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class Base:
    """A command that works as it is."""

    def __init__(self, command, namespace, positional, options, waits=False):
        self.command, self.namespace, self.positional, self.options = command, namespace, positional, options
        # Whether it waits for packets, peers or time.
        self.waits = waits

    def __str__(self):
        return " ".join([self.command, *(f"--{name}" for name in ("read", "calibrate") if name in self.options),
                         *(["IF"] if self.command in ("tap", "pair") and self.waits else []),
                         *(["--json"] if self.command == "report" and "json" in self.options else [])])

    def words(self, changes=()):
        """- changes: options and their values (None: a flag) that are added or replaced; "" is what has no name."""
        options, positional = dict(self.options), self.positional
        for name, value in changes:
            if name == "":
                positional = [value]
            else:
                options[name] = value
        words = ["ip", "netns", "exec", self.namespace, LATPROBE, self.command]
        # As one word, since a value may begin with a sign.
        words += [f"--{name}" if value is None else f"--{name}={value}" for name, value in options.items()]
        return words + (["--", *positional] if positional and positional[0].startswith("-") else positional)


class Outcome:
    """What became of a command: exit code (negative: a signal), what it said, KiB, seconds of CPU, and seconds that it
    took to end where it was told to."""

    def __init__(self, code, text, usage, told):
        self.code, self.text = code, text
        self.memory, self.cpu = usage.ru_maxrss, usage.ru_utime + usage.ru_stime
        self.was_told = told is not None
        self.time = time.monotonic() - told if told is not None else self.cpu
        self.hung = False


def watch(words, folder, moment, limit, is_at_work=None, work=0.5, **limits):
    """Runs a command to its end: it is told to end (SIGINT) after `moment` seconds, or `work` seconds after it says that it
    is at work, and killed `limit` seconds later. Resources are limited by `limits`, by name."""
    def prepare():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))

    environment = {**os.environ, "SWIFT_BACKTRACE": "enable=no", "LC_ALL": "C.UTF-8"}
    end = time.monotonic() + moment
    told = None
    killed = False
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            words, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, env=environment,
            preexec_fn=prepare)
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            now = time.monotonic()
            if is_at_work and end - now > work and is_at_work.search(os.pread(errors.fileno(), 1 << 16, 0)):
                end = now + work
            if told is None and now > end:
                told = now
                process.send_signal(signal.SIGINT)
            if told is not None and now - told > limit and not killed:
                killed = True
                process.kill()
            time.sleep(0.005)
        process.returncode = os.waitstatus_to_exitcode(status)
        outcome = Outcome(process.returncode, os.pread(errors.fileno(), 1 << 20, 0).decode(errors="replace"), usage, told)
        outcome.hung = killed
        return outcome
