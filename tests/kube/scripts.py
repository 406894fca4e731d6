"""A script of SQL and a program in Python as releases of the chart, in a ConfigMap, with tidegate's own images.

Both go through the same steps, in this order: refused with a mistake before anything is installed, exact over the death of a pod, as before
where an upgrade has a mistake, another text; then with a ConfigMap that is not the chart's. A test is one step of one kind, such as
`python_counts_exactly_when_its_pod_is_killed`.
"""

import glob
import os
import tempfile
import time
from dataclasses import dataclass
from typing import Callable

from client import CHART, get, helm, kubectl, make_namespace, make_volumes, read, ready, until
from load import Load, as_json, as_text, create_topics
from scenarios import BOOTSTRAP, TOKEN, VALUES

SPACE = "scripts"
SQL = """
CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'sql-words-in', 'format' = 'raw');
CREATE TABLE counts (word STRING, n BIGINT, PRIMARY KEY (word) NOT ENFORCED)
  WITH ('connector' = 'upsert-kafka', 'topic' = 'sql-words-out', 'format' = 'json');
INSERT INTO counts SELECT word, count(*)
FROM (SELECT unnest(string_to_array(line, ' ')) AS word FROM lines) GROUP BY word;
"""
PYTHON = """
from tidegate.pyspark import SparkContext
from tidegate.pyspark.streaming import StreamingContext

ssc = StreamingContext(SparkContext(), 1)
ones = ssc.kafkaStream("python-words-in").flatMap(lambda line: line.split(" ")).map(lambda word: (word, 1))
ones.runningReduceByKey(lambda a, b: a + b).named("counts").toKafka("python-words-out")
ssc.start()
ssc.awaitTermination()
"""


@dataclass
class Kind:
    name: str  # of the kind, its release and the value `script.NAME`, and what its topics begin with
    file: str
    image: str
    text: str
    mistakes: list[tuple[str, str, list[str]]]  # what stands in place of what, and what Helm shows
    mistake_of_upgrade: tuple[str, str, list[str]]
    another: str  # a text that does the same
    decode: Callable
    load: Load | None = None

    @property
    def key(self):
        """Of a ConfigMap that is not the chart's."""
        return f"words{os.path.splitext(self.file)[1]}"

    @property
    def pod(self):
        return f"{self.name}-tidegate-0"

    def install(self, text, *arguments):
        """Installs or upgrades the release; the exit code and what Helm said."""
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(text)
            file.flush()
            return self.helm("--set-file", f"script.{self.name}={file.name}", *arguments)

    def helm(self, *arguments):
        changes = {"image.repository": f"localhost/{self.image}", "applicationId": f"{self.name}-words", "input": None, "output": None, "script.check": "live"}
        values = [part for key, value in {**VALUES, **changes}.items() if value is not None for part in ("--set", f"{key}={value}")]
        return helm("upgrade", "--install", self.name, CHART, "-n", SPACE, "--wait", "--timeout", "180s", *values, *arguments, ok=False)

    def refused(self, mistake):
        right, wrong, shown = mistake
        assert right in self.text
        code, said = self.install(self.text.replace(right, wrong))
        assert code != 0 and all(text in said for text in shown), said


KINDS = [
    Kind(
        "sql", "pipeline.sql", "tidegate", SQL,
        [("count(*)", "cuont(*)", ["there is no function `cuont`", "pipeline.sql:5:33"])],
        ("'sql-words-in'", "'sql-wrods-in'", ["sql-wrods-in"]),  # which only Kafka knows
        "-- The same, said again.\n" + SQL, as_json,
    ),
    Kind(
        "python", "pipeline.py", "tidegate-python", PYTHON,
        [("tidegate.pyspark.streaming", "tidegate.pyspark.steaming", ["pipeline.py:3:", "tidegate.pyspark.steaming"]),
         ("(word, 1))", "(word, 1)", ['pipeline.py", line 6', "'(' was never closed"])],
        ("import SparkContext", "import SparkContxet", ["pipeline.py:2:", "SparkContxet"]),
        PYTHON.replace("ssc.start()", "print('the same, said again')\nssc.start()"), as_text,
    ),
]


def set_up():
    make_namespace(SPACE)
    kubectl("-n", SPACE, "create", "secret", "generic", "page", f"--from-literal=token={TOKEN}", ok=False)
    make_volumes()
    create_topics(BOOTSTRAP, *(f"{kind.name}-words-{way}" for kind in KINDS for way in ("in", "out")))


def with_a_mistake_is_not_installed(kind):
    """Helm's own output shows the place; no pod of the release is there."""
    for mistake in kind.mistakes:
        start = time.monotonic()
        kind.refused(mistake)
        taken = time.monotonic() - start
        left = get(SPACE, "statefulset,service,configmap,pvc,job", "-l", f"app.kubernetes.io/instance={kind.name}")["items"]
        assert [o["metadata"]["name"] for o in left] == [f"{kind.name}-tidegate-check"] and left[0]["kind"] == "Job", left
        helm("uninstall", kind.name, "-n", SPACE)
    return f"helm install failed after {taken:.1f} s and named the place"


def without_its_secrets_is_not_installed(kind):
    """Where a pod would wait for a Secret, the check says at once what is missing."""
    seconds = []
    for arguments, missing in [
        (["admin.existingSecret=elsewhere"], "/etc/tidegate/admin/token"),
        (["kafka.existingSecret=elsewhere", "kafka.secretProperties.client\\.id=id"], "/etc/tidegate/kafka/client.id"),
    ]:
        start = time.monotonic()
        code, said = kind.install(kind.text, *(part for argument in arguments for part in ("--set", argument)))
        assert code != 0 and missing in said and "next: " in said, said
        seconds.append(time.monotonic() - start)
        helm("uninstall", kind.name, "-n", SPACE)
    return f"told after {seconds[0]:.1f} and {seconds[1]:.1f} s"


def counts_exactly_when_its_pod_is_killed(kind):
    start = time.monotonic()
    code, said = kind.install(kind.text)
    assert code == 0, said
    taken = time.monotonic() - start
    kind.load = Load(BOOTSTRAP, f"{kind.name}-words-in", f"{kind.name}-words-out", 200, 1000, kind.decode)

    def happening():
        kubectl("-n", SPACE, "delete", "pod", kind.pod, "--force", "--grace-period=0")
        _, back = until("the pod", lambda: ready(SPACE, kind.pod))
        return f"helm install --wait with its check {taken:.1f} s, ready again after {back:.1f} s"
    return kind.load.goes_on_while(happening)


def goes_on_when_an_upgrade_has_a_mistake(kind):
    before = uid(kind)

    def happening():
        kind.refused(kind.mistake_of_upgrade)
        assert uid(kind) == before, "the pod was replaced"
        return "refused"
    return kind.load.goes_on_while(happening)


def takes_another_text(kind):
    before = uid(kind)

    def happening():
        start = time.monotonic()
        code, said = kind.install(kind.another)
        assert code == 0, said
        taken = time.monotonic() - start
        assert uid(kind) != before and mounted(kind, kind.another), "the pod has the old script"
        return f"upgraded in {taken:.1f} s"
    return kind.load.goes_on_while(happening)


def comes_from_a_config_map_of_somebody_else(kind):
    """Which nobody watches: a restart of the pods takes its new text."""
    make_config_map(kind, kind.text)

    def happening():
        code, said = kind.helm("--set", "script.existingConfigMap=own", "--set", f"script.key={kind.key}")
        assert code == 0 and "rollout restart" in said, said
        assert mounted(kind, kind.text)
        make_config_map(kind, kind.another)
        kubectl("-n", SPACE, "rollout", "restart", f"statefulset/{kind.name}-tidegate")
        kubectl("-n", SPACE, "rollout", "status", f"statefulset/{kind.name}-tidegate", "--timeout=60s")
        assert mounted(kind, kind.another), "the pod has the old script"
    said = kind.load.goes_on_while(happening)
    kind.load.end()
    helm("uninstall", kind.name, "-n", SPACE, "--wait")
    return said


def uid(kind):
    return get(SPACE, "pod", kind.pod)["metadata"]["uid"]


def mounted(kind, text):
    """Whether this is the script that the pod has. Seen from the node: the image of tidegate has no command that shows a file."""
    status, = (c for c in get(SPACE, "pod", kind.pod)["status"]["containerStatuses"] if c["name"] == "program")
    container = status["containerID"].removeprefix("containerd://")
    folder = next(f for f in glob.glob("/proc/[0-9]*") if container in read_if_there(f, "cgroup"))
    return read(folder, "root", "etc", "tidegate", kind.file) == text


def read_if_there(*path):
    try:
        return read(*path)
    except OSError:  # the process has ended
        return ""


def make_config_map(kind, text):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, kind.key)
        with open(path, "w") as file:
            file.write(text)
        made = kubectl("-n", SPACE, "create", "configmap", "own", f"--from-file={path}", "--dry-run=client", "-o", "yaml")
    kubectl("-n", SPACE, "apply", "-f", "-", stdin=made)


STEPS = [
    with_a_mistake_is_not_installed, without_its_secrets_is_not_installed, counts_exactly_when_its_pod_is_killed, goes_on_when_an_upgrade_has_a_mistake, takes_another_text,
    comes_from_a_config_map_of_somebody_else,
]


def test_of(kind, step):
    def test():
        return step(kind)
    test.__name__ = f"{kind.name}_{step.__name__}"
    return test


TESTS = [test_of(kind, step) for kind in KINDS for step in STEPS]
