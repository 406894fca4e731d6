"""What happens to an application in a cluster, under load, and that its counts are exact each time.

Each function is a test; they run in this order, on one release, since state from before is what they are about. `./dev kube test` runs
them. Each prints how long results stood still: the longest time without a new result at the reader.
"""

import glob
import re
import subprocess
import time
import urllib.error
import urllib.request

from client import CHART, call, get, helm, kubectl, make_namespace, make_volumes, read, ready, until
from load import Load, assigned, client_ids, create_topics, topics

BOOTSTRAP = "10.244.7.1:9092"
SPACE, RELEASE, APPLICATION = "streams", "r", "words"
LINES, COUNTS = "words-in", "words-out"
NAME = f"{RELEASE}-tidegate"
VALUES = {
    "image.repository": "localhost/kafka_word_count", "image.tag": "test", "image.pullPolicy": "Never",
    "applicationId": APPLICATION, "input": LINES, "output": COUNTS, "kafka.bootstrapServers": BOOTSTRAP,
    "persistence.storageClassName": "local", "persistence.size": "1Gi", "settings.batchIntervalMs": 200, "settings.threads": 1,
    "admin.existingSecret": "page", "settings.sessionTimeoutMs": 6000, "settings.statePartitions": 6, "resources.requests.cpu": "50m", "resources.requests.memory": "64Mi",
}
TOKEN = "a-token-of-the-tests-0123456789"
load = None


def values(**changes):
    """`a__b=1` is `--set a.b=1`."""
    merged = {**VALUES, **{k.replace("__", "."): v for k, v in changes.items()}}
    return [part for key, value in merged.items() for part in ("--set", f"{key}={str(value).lower() if isinstance(value, bool) else value}".replace("10.244.7.1:9092,", "10.244.7.1:9092\\,"))]


def upgrade(**changes):
    helm("upgrade", "--install", RELEASE, CHART, "-n", SPACE, "--wait", "--timeout", "180s", *values(**changes))


def set_up():
    """A namespace that enforces Pod Security restricted, the token of the page, volumes, topics."""
    make_namespace(SPACE)
    kubectl("-n", SPACE, "create", "secret", "generic", "page", f"--from-literal=token={TOKEN}", ok=False)
    make_volumes()
    create_topics(BOOTSTRAP, LINES, COUNTS)


def under_load(happening):
    return load.goes_on_while(happening)


def install_is_ready_and_counts():
    global load
    start = time.monotonic()
    upgrade()
    taken = time.monotonic() - start
    pod = get(SPACE, "pod", f"{NAME}-0")
    assert pod["spec"]["securityContext"]["runAsNonRoot"], pod["spec"]
    load = Load(BOOTSTRAP, LINES, COUNTS, 200, 1000)
    return f"helm install --wait {taken:.1f} s, " + under_load(lambda: None)


def page_and_metrics_answer_through_port_forward():
    forward = subprocess.Popen(["kubectl", "-n", SPACE, "port-forward", f"{NAME}-0", "14040:4040"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        def read(path, token=TOKEN):
            request = urllib.request.Request(f"http://127.0.0.1:14040{path}", headers={"Authorization": f"Bearer {token}"})
            return urllib.request.urlopen(request, timeout=5).read().decode()

        def metrics():
            try:
                return read("/metrics")
            except OSError:
                return None

        text, _ = until("the metrics", metrics, 30)
        assert f'tidegate_records_in_total{{topic="{LINES}",application_id="{APPLICATION}"}}' in text, text[:500]
        assert "<html" in read("/"), "the page"
        read("/readyz", "nobody")
        try:
            read("/metrics", "nobody")
        except urllib.error.HTTPError as error:
            assert error.code == 401, error
        else:
            raise AssertionError("metrics without the token")
        code, said = call("promtool", "check", "metrics", stdin=text, ok=False)
        assert code == 0, said
        return f"{len(text.splitlines())} lines of metrics, promtool check metrics finds nothing"
    finally:
        forward.kill()


def pod_killed():
    def happening():
        kubectl("-n", SPACE, "delete", "pod", f"{NAME}-0", "--force", "--grace-period=0")
        _, taken = until("the pod", lambda: ready(SPACE, f"{NAME}-0"))
        return f"ready again after {taken:.1f} s"
    return under_load(happening)


def process_killed():
    """The process, not the pod: the container restarts in place."""
    def happening():
        before = get(SPACE, "pod", f"{NAME}-0")["status"]["containerStatuses"][0]["restartCount"]
        call("pkill", "-9", "-x", "program")
        def restarted():
            pod = ready(SPACE, f"{NAME}-0")
            return pod and pod["status"]["containerStatuses"][0]["restartCount"] > before
        _, taken = until("the restart", restarted)
        return f"ready again after {taken:.1f} s"
    return under_load(happening)


def rolling_upgrade_with_state():
    def happening():
        start = time.monotonic()
        upgrade(podAnnotations__revision="second")
        return f"upgraded in {time.monotonic() - start:.1f} s"
    return under_load(happening)


def share_of_each():
    """Once each of the pods has some of the state partitions: who has how many."""
    wanted = {p["metadata"]["name"] for p in get(SPACE, "pods")["items"]}
    def shared():
        members = assigned(BOOTSTRAP, APPLICATION)
        return set(members) == wanted and all(members.values()) and members
    return until("a share for each", shared, 60)[0]


def scale_out_from_one_to_three():
    def happening():
        start = time.monotonic()
        upgrade(podAnnotations__revision="second", replicas=3)
        taken = time.monotonic() - start
        return f"three pods ready after {taken:.1f} s, partitions {sorted(share_of_each().values())}"
    return under_load(happening)


def rolling_upgrade_of_three():
    """Static membership: each pod is back within its session, and no partition moves."""
    def happening():
        before, start = share_of_each(), time.monotonic()
        upgrade(podAnnotations__revision="third", replicas=3)
        taken = time.monotonic() - start
        after = share_of_each()
        return f"upgraded in {taken:.1f} s, partitions by pod {'as before' if before == after else f'moved: {before} {after}'}"
    return under_load(happening)


def node_drained():
    """Two of three pods stay, because of the budget; the third comes back after uncordon."""
    def happening():
        code, said = kubectl("drain", "n1", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=12s", ok=False)
        assert code != 0 and "disruption budget" in said, said
        left = [p["metadata"]["name"] for p in get(SPACE, "pods")["items"] if p["status"]["phase"] == "Running"]
        assert len(left) == 2, left
        share_of_each_of(left)
        kubectl("uncordon", "n1")
        until("three pods", lambda: all(ready(SPACE, f"{NAME}-{n}") for n in range(3)))
        return f"the budget kept {len(left)} of 3 pods"
    try:
        return under_load(happening)
    finally:
        kubectl("uncordon", "n1")


def share_of_each_of(names):
    until("the others have all partitions", lambda: set(assigned(BOOTSTRAP, APPLICATION)) == set(names), 60)


def scale_in_from_three_to_one():
    """Without --leave the last one waits for the session of the others."""
    def happening():
        upgrade(podAnnotations__revision="third", replicas=1)
        _, taken = until("the group of one", lambda: set(assigned(BOOTSTRAP, APPLICATION)) == {f"{NAME}-0"}, 60)
        return "session 6 s"
    return under_load(happening)


def scale_in_that_leaves():
    """Pods that are to go restart with --leave first (updateStrategy.partition); the others are not touched."""
    upgrade(podAnnotations__revision="third", replicas=3)
    share_of_each()
    first = get(SPACE, "pod", f"{NAME}-0")["metadata"]["uid"]
    def prepare():
        upgrade(podAnnotations__revision="third", replicas=3, settings__leave=True, updateStrategy__partition=1)
        share_of_each()
    def go():
        upgrade(podAnnotations__revision="third", replicas=1, settings__leave=True, updateStrategy__partition=1)
        until("the group of one", lambda: set(assigned(BOOTSTRAP, APPLICATION)) == {f"{NAME}-0"}, 60)
    prepared = under_load(prepare)
    gone = under_load(go)
    upgrade(podAnnotations__revision="third")
    assert get(SPACE, "pod", f"{NAME}-0")["metadata"]["uid"] == first, "the pod that stays was restarted"
    return f"prepared: {prepared}; scaled in: {gone}; pod 0 was never restarted"


def volume_lost():
    """Claim, volume and pod are gone: state is restored from the changelog."""
    def happening():
        volume = get(SPACE, "pvc", f"state-{NAME}-0")["spec"]["volumeName"]
        kubectl("-n", SPACE, "delete", "pvc", f"state-{NAME}-0", "--wait=false")
        kubectl("-n", SPACE, "delete", "pod", f"{NAME}-0", "--force", "--grace-period=0")
        def elsewhere():
            claim = get(SPACE, "pvc", f"state-{NAME}-0")
            return claim["spec"].get("volumeName", volume) != volume and ready(SPACE, f"{NAME}-0")
        try:
            _, taken = until("another volume", elsewhere, 60)
        except AssertionError:
            # The pod came back before its claim was gone; without it the controller makes both anew.
            kubectl("-n", SPACE, "delete", "pod", f"{NAME}-0", "--force", "--grace-period=0")
            _, taken = until("another volume", elsewhere)
            return f"ready on another volume after a second delete, {taken:.1f} s"
        return f"ready on another volume after {taken:.1f} s"
    return under_load(happening)


def a_low_memory_limit_is_kept():
    """The program reads the limit of its container, and keeps to it when very many new words come at once."""
    def happening():
        upgrade(podAnnotations__revision="third", resources__limits__memory="256Mi", resources__requests__memory="256Mi")
        log = kubectl("-n", SPACE, "logs", f"{NAME}-0")
        assert "memory limit 256 MiB: up to 24 MiB for state (--state-memory-bytes), 48 MiB for what a batch holds" in log, log
        load.stop()
        load.burst(100_000, 6)
    said = under_load(happening)
    status = get(SPACE, "pod", f"{NAME}-0")["status"]["containerStatuses"][0]
    assert status["restartCount"] == 0, status
    return f"limit 256 MiB, 600,000 new words at once, at most {most_resident_bytes() >> 20} MiB resident; {said}"


def most_resident_bytes():
    """The greatest resident memory that the one process of the program ever had."""
    texts = []
    for folder in glob.glob("/proc/[0-9]*"):
        try:
            if read(folder, "comm").strip() == "program":
                texts.append(read(folder, "status"))
        except OSError:
            pass
    assert len(texts) == 1, len(texts)
    return int(re.search(r"VmHWM:\s+(\d+) kB", texts[0])[1]) << 10


def out_of_memory():
    """A limit below what the program needs; then the right one. A pod that never becomes ready is deleted by hand."""
    def happening():
        helm("upgrade", RELEASE, CHART, "-n", SPACE, *values(podAnnotations__revision="third", resources__limits__memory="16Mi", resources__requests__memory="16Mi"))
        def killed():
            status = get(SPACE, "pod", f"{NAME}-0")["status"]["containerStatuses"][0]
            return any("OOMKilled" == status[s].get("terminated", {}).get("reason") for s in ("state", "lastState"))
        _, taken = until("OOMKilled", killed)
        helm("upgrade", RELEASE, CHART, "-n", SPACE, *values(podAnnotations__revision="third"))
        return f"OOMKilled after {taken:.1f} s, " + repaired()
    return under_load(happening)


def repaired():
    """After the values were put right: does the controller replace a pod that never became ready?"""
    start = time.monotonic()
    try:
        until("ready by itself", lambda: right_again(), 30)
        return f"ready by itself {time.monotonic() - start:.1f} s after the upgrade back"
    except AssertionError:
        kubectl("-n", SPACE, "delete", "pod", f"{NAME}-0")
        until("ready after its pod was deleted", lambda: right_again())
        return f"ready {time.monotonic() - start:.1f} s after the upgrade back, once the pod was deleted by hand"


def right_again():
    wanted = get(SPACE, "statefulset", NAME)["status"]["updateRevision"]
    pod = ready(SPACE, f"{NAME}-0")
    return pod and pod["metadata"]["labels"]["controller-revision-hash"] == wanted


def wrong_broker_address():
    """A person sees: the pod is not ready, and its log says why. The one that was right goes on afterwards."""
    def happening():
        helm("upgrade", RELEASE, CHART, "-n", SPACE, *values(podAnnotations__revision="third", kafka__bootstrapServers="10.244.7.1:9999", settings__connectTimeoutMs=3000))
        def told():
            code, said = kubectl("-n", SPACE, "logs", f"{NAME}-0", "--previous", ok=False)
            return code == 0 and "10.244.7.1:9999" in said and said
        said, taken = until("its log names the address", told, 60)
        status = get(SPACE, "pod", f"{NAME}-0")["status"]["containerStatuses"][0]
        assert status["lastState"]["terminated"]["exitCode"] == 4, status
        helm("upgrade", RELEASE, CHART, "-n", SPACE, *values(podAnnotations__revision="third"))
        return f"exit code 4 seen after {taken:.1f} s, its last line: {said.strip().splitlines()[-1][:160]!r}, " + repaired()
    return under_load(happening)


def missing_secret():
    """A person sees an event with the name of the Secret; once it exists the pod starts by itself, and the client has what is in it."""
    def happening():
        helm("upgrade", RELEASE, CHART, "-n", SPACE, *values(podAnnotations__revision="third", kafka__existingSecret="credentials", **{"kafka__secretProperties.client\\.id": "id"}))
        def told():
            events = get(SPACE, "events", "--field-selector", f"involvedObject.name={NAME}-0,reason=FailedMount")["items"]
            return next((e["message"] for e in events if "credentials" in e["message"]), None)
        said, _ = until("an event with the name of the Secret", told)
        # The broker shows the client's id of a member's first session, however often the member comes back within it.
        until("the end of the session", lambda: not client_ids(BOOTSTRAP, APPLICATION))
        start = time.monotonic()
        kubectl("-n", SPACE, "create", "secret", "generic", "credentials", "--from-literal=id=word, counter\n")
        until("ready", lambda: right_again())
        taken = time.monotonic() - start
        until("the client's id", lambda: client_ids(BOOTSTRAP, APPLICATION) == {"word, counter"})
        return f"{said!r}, ready {taken:.1f} s after the Secret was made"
    told = under_load(happening)
    log = kubectl("-n", SPACE, "logs", f"{NAME}-0")
    assert "word, counter" not in log, "a value of a Secret is in the log"
    return told


def uninstall_leaves_what_it_says():
    before = topics(BOOTSTRAP)
    helm("uninstall", RELEASE, "-n", SPACE, "--wait")
    until("no pods", lambda: not get(SPACE, "pods")["items"])
    left = kubectl("-n", SPACE, "get", "all,configmap,serviceaccount,pdb,pvc,secret", "-o", "name").split()
    left = [n for n in left if n not in ("configmap/kube-root-ca.crt", "serviceaccount/default", "secret/credentials", "secret/page")]
    assert left and all(n.startswith(f"persistentvolumeclaim/state-{NAME}-") for n in left), left
    assert topics(BOOTSTRAP) == before, "topics"
    kubectl("-n", SPACE, "delete", "pvc", "-l", f"app.kubernetes.io/instance={RELEASE}")
    assert not get(SPACE, "pvc")["items"], "the command of NOTES.txt leaves claims"
    return f"left: {len(left)} claims, {len(before)} topics; the command of NOTES.txt deletes the claims"


def installed_again_it_goes_on():
    start = time.monotonic()
    upgrade(persistence__enabled=False)
    return f"ready after {time.monotonic() - start:.1f} s without a volume, " + under_load(lambda: None)


def reset_reads_everything_again():
    """The Job's dry run changes nothing; the reset empties the state, so each word is counted anew, to the same number."""
    stopped = {"persistence__enabled": False, "replicas": 0, "reset__enabled": True, "reset__to": "earliest", "reset__image": "localhost/tidegate:test"}
    finished = lambda: all(j["status"].get("succeeded") for j in get(SPACE, "jobs")["items"]) and get(SPACE, "jobs")["items"]
    logs = lambda: kubectl("-n", SPACE, "logs", "--selector", "app.kubernetes.io/name=tidegate-reset", "--tail=-1")
    upgrade(**stopped)
    until("the dry run", finished)
    said = logs()
    assert "nothing is changed" in said, said
    load.expect_all_again()
    upgrade(**stopped, reset__dryRun=False)
    _, taken = until("the reset", lambda: len(finished() or []) == 1 and "--dry-run" not in finished()[0]["spec"]["template"]["spec"]["containers"][0]["args"])
    upgrade(persistence__enabled=False)
    return f"reset within {taken:.1f} s, {load.exact()} records counted once more, exact"


TESTS = [
    install_is_ready_and_counts, page_and_metrics_answer_through_port_forward, pod_killed, process_killed, rolling_upgrade_with_state,
    scale_out_from_one_to_three, rolling_upgrade_of_three, node_drained, scale_in_from_three_to_one, scale_in_that_leaves, volume_lost,
    a_low_memory_limit_is_kept, out_of_memory, wrong_broker_address, missing_secret, uninstall_leaves_what_it_says, installed_again_it_goes_on,
    reset_reads_everything_again,
]
