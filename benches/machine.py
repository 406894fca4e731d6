"""What the measurements rely on: the broker, the Java tools, and what the operating system says about processes."""
import contextlib
import json
import os
import signal
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DEV = os.path.dirname(HERE) + "/dev"
CACHE = os.environ["TIDEGATE_CACHE"]
JAVA = CACHE + "/bench/java"
PORT = os.environ.get("TIDEGATE_KAFKA_PORT", "9092")
BOOTSTRAP = "127.0.0.1:" + PORT
TICKS = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def broker():
    """The broker of `./dev kafka`: used as it is if it is up, otherwise started for the duration of the measurements."""
    ours = subprocess.run([DEV, "kafka", "status"], stdout=subprocess.DEVNULL).returncode != 0
    if ours:
        subprocess.run([DEV, "kafka", "up"], check=True)
    try:
        yield
    finally:
        end_all()
        if ours:
            subprocess.run([DEV, "kafka", "down"], check=True)


started = []


def start(command, log=subprocess.DEVNULL, environment=None):
    """Starts a program that is ended by `end_all` at the latest."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=os.environ | (environment or {}))
    started.append(process)
    return process


def end_all():
    for process in started:
        if process.poll() is None:
            stop(process, signal.SIGKILL)


def java_command(module, main, *arguments, heap="1g"):
    at = f"{JAVA}/peers-{module}"
    return ["java", "-Xmx" + heap, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{at}/classes:{at}/dep/*", main, *arguments]


def java(module, main, heap="1g", **options):
    """Runs a tool to its end; returns its last line."""
    command = java_command(module, main, "bootstrap=" + BOOTSTRAP, *(f"{k}={v}" for k, v in options.items()), heap=heap)
    lines = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return lines[-1] if lines else ""


def topics(**options):
    return java("tools", "peers.Topics", **options)


class Watch:
    """Samples of a run, one every 100 ms: dictionaries with ms, out, high, in, inner (see Watch.java); without a group the last two are 0."""

    def __init__(self, out, source, group=None):
        of_group = ["group=" + group] if group else []
        command = java_command("tools", "peers.Watch", "bootstrap=" + BOOTSTRAP, "out=" + out, "in=" + source, *of_group, heap="128m")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()  # it has started

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def __iter__(self):
        for line in self.process.stdout:
            sample = json.loads(line)
            if "error" not in sample:
                yield sample


def stop(process, how=signal.SIGTERM):
    """Ends a process and its children; by force after 20 s."""
    pids = tree(process.pid)
    for sign in (how, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
            return


def tree(pid):
    found = [pid]
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as children:
                for child in children.read().split():
                    found += tree(int(child))
    return found


def cpu(pid):
    """User and system seconds, those of ended children included."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:15])) / TICKS
    except OSError:
        return 0.0


def cpu_tree(pid):
    return sum(map(cpu, tree(pid)))


def broker_cpu():
    try:
        with open(f"{CACHE}/broker-{PORT}/pid") as pid:
            return cpu(int(pid.read()))
    except OSError:
        return 0.0


def rss_mb(pid):
    """The peak resident memory, MB."""
    total = 0
    for p in tree(pid):
        with contextlib.suppress(OSError), open(f"/proc/{p}/status") as status:
            total += sum(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return total / 1024


def idle_percent(over_s=1.0):
    """How idle the machine is: numbers taken while other work is running are not comparable."""

    def read():
        with open("/proc/stat") as stat:
            fields = list(map(int, stat.readline().split()[1:9]))
        return fields[3] + fields[4], sum(fields)

    idle, total = read()
    time.sleep(over_s)
    idle2, total2 = read()
    return round(100 * (idle2 - idle) / max(1, total2 - total))
