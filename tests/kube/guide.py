"""The commands of the chart's README and of docs/kubernetes.md, as they are written there, by somebody who follows them from the top.

Each block of commands runs in a folder where `helm/tidegate` is and the scripts `pipeline.sql` and `pipeline.py`; in place of the address of Kafka stands the one
of this cluster, and images of the names that the pages use are there. Each function is a test; they run in this order.
"""

import os
import re
import shlex
import subprocess
import tempfile
import time
import urllib.request

from client import CHART, PROJECT, call, get, kubectl, make_namespace, make_volumes, read, ready, until
from load import Load, create_topics

BOOTSTRAP = "10.244.7.1:9092"
SPACE, NAME = "guide", "word-count-tidegate"
PAGES = {"README": os.path.join(CHART, "README.md"), "page": os.path.join(PROJECT, "docs", "kubernetes.md")}
SCRIPT = """
CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw');
CREATE TABLE counts (word STRING, n BIGINT, PRIMARY KEY (word) NOT ENFORCED)
  WITH ('connector' = 'upsert-kafka', 'topic' = 'script-counts', 'format' = 'json');
INSERT INTO counts SELECT word, count(*)
FROM (SELECT unnest(string_to_array(line, ' ')) AS word FROM lines) GROUP BY word;
"""
PROGRAM = """
from tidegate.pyspark import SparkContext
from tidegate.pyspark.streaming import StreamingContext

ssc = StreamingContext(SparkContext(), 1)
ones = ssc.kafkaStream("lines").flatMap(lambda line: line.split(" ")).map(lambda word: (word, 1))
ones.runningReduceByKey(lambda a, b: a + b).named("counts").toKafka("python-counts")
ssc.start()
ssc.awaitTermination()
"""
folder, load, done = None, None, set()


def blocks(page):
    """The blocks of commands, by the section that they are in: (section, commands)."""
    section, found = "", []
    for heading, block in re.findall(r"^## ([^\n]+)$|^```sh\n(.*?)^```$", read(PAGES[page]), re.M | re.S):
        section = heading or section
        if block:
            found.append((section, block.replace("\\\n", " ").strip().splitlines()))
    return found


def set_up():
    global folder
    make_namespace(SPACE)
    folder = tempfile.mkdtemp(dir=os.environ["TIDEGATE_KUBE_HOME"])
    os.symlink(os.path.join(PROJECT, "helm"), os.path.join(folder, "helm"))
    for name, text in [("pipeline.sql", SCRIPT), ("pipeline.py", PROGRAM)]:
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    with open(os.path.join(folder, "config"), "w") as file:
        file.write(kubectl("config", "view", "--raw"))
    call("kubectl", "config", "set-context", "--current", f"--namespace={SPACE}", "--kubeconfig", os.path.join(folder, "config"))
    for image, name in [("kafka_word_count", "word-count"), ("tidegate", "tidegate"), ("tidegate-python", "tidegate-python")]:
        socket = os.path.join(os.environ["TIDEGATE_KUBE_HOME"], "containerd.sock")
        call("ctr", "-a", socket, "-n", "k8s.io", "images", "tag", "--force", f"localhost/{image}:test", f"registry.example.org/{name}:1")
    make_volumes()
    create_topics(BOOTSTRAP, "lines", "counts", "script-counts", "python-counts")


def environment():
    return {**os.environ, "KUBECONFIG": os.path.join(folder, "config")}


def run(command, seconds=180):
    """A line of commands, as it stands on the page."""
    command = command.replace("kafka-0.example.org:9092", BOOTSTRAP)
    ended = subprocess.run(["bash", "-c", command], cwd=folder, env=environment(), capture_output=True, text=True, timeout=seconds)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def block(page, section, number=0):
    done.add((page, section, number))
    return [lines for name, lines in blocks(page) if name == section][number]


def readme_installs_and_shows_the_page():
    global load
    secret, install, status, show, forward = block("README", "Install")
    run(secret)
    notes = run(install)
    assert "helm uninstall word-count leaves" in notes, notes
    start = time.monotonic()
    run(status)
    taken = time.monotonic() - start
    token = run(show)
    assert len(token) == 64 and token == run(re.search(r"^  (kubectl .* get secret .*)$", notes, re.M)[1]), token
    load = Load(BOOTSTRAP, "lines", "counts", 200, 1000)
    load.start()
    process = subprocess.Popen(shlex.split(forward, comments=True), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        def page():
            try:
                return urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:4040", headers={"Authorization": f"Bearer {token}"}), timeout=5).read().decode()
            except OSError:
                return None
        text, _ = until("the page", page, 30)
        assert "Streaming Statistics" in text, text[:200]
    finally:
        process.kill()
    return f"rolled out {taken:.1f} s after helm install, the page answers, {load.exact()} records exact"


def readme_looks_and_changes():
    """A pod is deleted, the values are changed, and changed back, while lines come."""
    load.start()
    for command in block("README", "Look at it, change it"):
        run(command)
    until("the former values", lambda: "TIDEGATE_BATCH_INTERVAL_MS" not in get(SPACE, "configmap", NAME)["data"] and ready(SPACE, f"{NAME}-0"))
    return f"{load.exact()} records exact"


def readme_installs_a_script():
    run(*block("README", "Install", 1))
    _, taken = until("its pod", lambda: ready(SPACE, "word-counts-tidegate-0"))
    upgrade, = block("page", "A script of SQL")
    run(upgrade)
    run("helm uninstall word-counts --wait")
    return f"ready {taken:.1f} s after helm install, and upgraded by the command of the page"


def page_installs_a_program_in_python():
    run(*block("page", "A program in Python"))
    _, taken = until("its pod", lambda: ready(SPACE, "python-counts-tidegate-0"))
    run("helm uninstall python-counts --wait")
    return f"ready {taken:.1f} s after helm install"


def page_scales():
    three, one = block("page", "Rescale")
    load.start()
    run(three)
    run(f"kubectl rollout status statefulset/{NAME}")
    assert len(get(SPACE, "pods")["items"]) == 3
    run(one)
    until("one pod", lambda: len(get(SPACE, "pods")["items"]) == 1)
    time.sleep(12)  # the session of those that are gone
    return f"{load.exact()} records exact"


def page_scales_in_without_waiting():
    three, _ = block("page", "Rescale")
    run(three)
    run(f"kubectl rollout status statefulset/{NAME}")
    load.start()
    for command in block("page", "Rescale", 1):
        run(command)
        run(f"kubectl rollout status statefulset/{NAME}")
    until("one pod", lambda: len(get(SPACE, "pods")["items"]) == 1)
    return f"{load.exact()} records exact"


def page_resets():
    dry, log, reset, wait, again = block("page", "Reset")
    run(dry)
    until("the dry run", lambda: get(SPACE, "jobs")["items"][0]["status"].get("succeeded"))
    said = run(log)
    assert "nothing is changed" in said, said
    load.expect_all_again()
    run(reset)
    run(wait)
    run(again)
    return f"{load.exact()} records counted once more, exact"


def every_block_was_run():
    there, count = set(), {}
    for page in PAGES:
        for section, _ in blocks(page):
            number = count[page, section] = count.get((page, section), -1) + 1
            there.add((page, section, number))
    assert there == done, there ^ done
    run("helm uninstall word-count --wait")
    return f"{len(done)} blocks"


TESTS = [
    readme_installs_and_shows_the_page, readme_looks_and_changes, readme_installs_a_script, page_installs_a_program_in_python, page_scales, page_scales_in_without_waiting, page_resets, every_block_was_run,
]
