"""What the containers of the compose file do: counts are exact, the page answers, Prometheus sees both scripts and has the rules, the
schema registry takes a schema.

  compose.py IMAGES FOLDER    images.sh and its folder

Runs beside the containers, which `compose.sh` starts and ends. Knows only what a user of the compose file sees: published ports and topics.
"""

import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter

from confluent_kafka import Consumer, TopicPartition

KAFKA = "127.0.0.1:9094"


def until(what, condition, seconds=120):
    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            if (last := condition()):
                return last
        except (OSError, ValueError, KeyError) as error:
            last = error
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s: {what} ({last})")


def read(port, path):
    return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).read().decode()


def rows(expression):
    return json.loads(read(9090, f"/api/v1/query?query={expression}"))["data"]["result"]


def records(topic):
    """All committed records of a topic up to its end."""
    reader = Consumer({"bootstrap.servers": KAFKA, "group.id": "reader", "isolation.level": "read_committed", "enable.auto.commit": False,
                       "enable.partition.eof": True})
    parts = reader.list_topics(topic, timeout=30).topics[topic].partitions
    reader.assign([TopicPartition(topic, p, 0) for p in parts])
    found, ended = [], set()
    while len(ended) < len(parts):
        for message in reader.consume(1000, 5):
            if message.error():
                ended.add(message.partition())
            else:
                found.append(json.loads(message.value()))
    reader.close()
    return found


def counts_are_exact(stop):
    until("records are read", lambda: any(l.startswith("tidegate_records_in_total") and not l.endswith(" 0") for l in read(4040, "/metrics").splitlines()))
    time.sleep(5)
    stop("generator")
    clicks = records("clicks")
    wanted = Counter(c["page"] for c in clicks)

    def counted():
        last = {c["page"]: c["n"] for c in records("clicks-by-page")}
        return last == wanted and last
    until("the counts of all clicks", counted, 60)
    numbers = [c["n"] for c in clicks]
    assert sorted(numbers) == list(range(1, len(numbers) + 1)), "made-up numbers are missing or there twice"
    return f"{len(clicks)} clicks"


def registry_answers(_):
    """And takes a schema, as the first start of a script that writes Avro gives it one."""
    base = "/apis/ccompat/v7"
    until("the registry", lambda: "AVRO" in read(8080, f"{base}/schemas/types"))
    schema = json.dumps({"schema": json.dumps({"type": "record", "name": "click", "fields": [{"name": "page", "type": "string"}]})}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:8080{base}/subjects/clicks-value/versions", schema, {"Content-Type": "application/json"})
    number = json.load(urllib.request.urlopen(request, timeout=30))["id"]
    assert "click" in read(8080, f"{base}/schemas/ids/{number}")


def page_answers(_):
    assert "<html" in read(4040, "/")


def prometheus_sees_both(_):
    until("two targets", lambda: len(rows('tidegate_build_info')) == 2)
    groups = json.loads(read(9090, "/api/v1/rules"))["data"]["groups"]
    assert groups and all(r["health"] in ("ok", "unknown") for g in groups for r in g["rules"]), groups


def main(images, folder):
    def stop(service):
        name = f"tidegate-test_{service}_1"
        subprocess.run([images, "podman", folder, "stop", "-t", "30", name], check=True, capture_output=True)
        state = subprocess.run([images, "podman", folder, "inspect", name, "--format", "{{.State.ExitCode}}"], check=True, capture_output=True, text=True)
        assert state.stdout.strip() == "0", state.stdout

    passed = failed = 0
    until("the pipeline is ready", lambda: read(4040, "/readyz"))
    for check in (page_answers, prometheus_sees_both, counts_are_exact, registry_answers):
        try:
            said = check(stop)
        except Exception as error:  # a failure of any kind is a failed check
            failed += 1
            print(f"FAILED compose: {check.__name__}: {error}")
        else:
            passed += 1
            print(f"ok     compose: {check.__name__}{': ' + said if said else ''}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
