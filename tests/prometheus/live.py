"""Rules, dashboard and metrics against a real Prometheus that scrapes running programs, and an alert that reaches a webhook.

  live.py BOOTSTRAP WORD_COUNT FOLDER    the address of a Kafka, the example's binary, an empty folder

Owns two processes of the word count that share their state, Prometheus, Alertmanager and the receiver of the webhook; ends them. What it
shows: `promtool check metrics` finds nothing; every expression of the rules and of the dashboard returns rows, comparisons aside; after
the processes are killed, TidegateAbsent comes out at the other end. In the copy of the rules that is used here, `for` is one second.
"""

import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = os.path.join(HERE, "..", "..", "helm", "tidegate", "files")
APPLICATION = "alerts"
# Nothing in a word count gives rows to these. Their metrics are named in docs/operations.md, which another test checks.
NOTHING_TO_SHOW = {
    "TidegateRecordsFail": "no source of the program has the policy skip",
}


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Run:
    def __init__(self, bootstrap, program, folder):
        self.bootstrap, self.program, self.folder = bootstrap, program, folder
        self.processes, self.alerts = {}, []
        self.http = {n: port() for n in ("one", "two", "prometheus", "alertmanager", "cluster", "webhook")}
        self.feeding = threading.Event()

    def start(self, name, command):
        log = open(os.path.join(self.folder, f"{name}.log"), "a")
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, name):
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def word_count(self, name):
        self.start(name, [
            self.program, "--bootstrap", self.bootstrap, "--application-id", APPLICATION, "--input", "lines", "--output", "counts",
            "--state-dir", os.path.join(self.folder, name), "--instance-id", name, "--admin-bind", f"127.0.0.1:{self.http[name]}",
            "--batch-interval-ms", "200", "--threads", "1", "--state-partitions", "4", "--session-timeout-ms", "6000",
            "--on-refused-record", "dead-letter"])

    def read(self, name, path):
        return urllib.request.urlopen(f"http://127.0.0.1:{self.http[name]}{path}", timeout=10).read().decode()

    def rows(self, expression):
        """Rows that the expression gave at any time in the last minutes."""
        query = urllib.parse.quote(f"last_over_time(({expression})[5m:1s])")
        return json.loads(self.read("prometheus", f"/api/v1/query?query={query}"))["data"]["result"]

    def until(self, what, condition, seconds=120):
        end = time.monotonic() + seconds
        while True:
            try:
                if given := condition():
                    return given
                last = given
            except OSError as error:
                last = error
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} ended with {process.returncode}, see {self.folder}/{name}.log"
            assert time.monotonic() < end, f"not within {seconds} s: {what} ({last})"
            time.sleep(0.5)

    def set_up(self):
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        made = admin.create_topics([NewTopic("lines", 4, 1), NewTopic("counts", 4, 1, config={"max.message.bytes": "2000"})])
        for future in made.values():
            future.result(30)
        rules = open(os.path.join(FILES, "alerts.yaml")).read()
        self.write("alerts.yaml", re.sub(r"for: \d+m", "for: 1s", rules))
        self.write("prometheus.yaml", f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [alerts.yaml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{self.http['alertmanager']}"]}}]}}]}}
scrape_configs: [{{job_name: tidegate, static_configs: [{{targets: ["127.0.0.1:{self.http['one']}", "127.0.0.1:{self.http['two']}"]}}]}}]
""")
        self.write("alertmanager.yaml", f"""
route: {{receiver: webhook, group_wait: 1s, group_interval: 1s}}
receivers: [{{name: webhook, webhook_configs: [{{url: "http://127.0.0.1:{self.http['webhook']}/"}}]}}]
""")
        run = self

        class Webhook(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                run.alerts += json.loads(self.rfile.read(int(self.headers["content-length"])))["alerts"]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.http["webhook"]), Webhook)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.start("alertmanager", ["prometheus-alertmanager", f"--config.file={self.folder}/alertmanager.yaml", f"--storage.path={self.folder}/alertmanager",
                                    f"--web.listen-address=127.0.0.1:{self.http['alertmanager']}", "--cluster.listen-address="])
        self.start("prometheus", ["prometheus", f"--config.file={self.folder}/prometheus.yaml", f"--storage.tsdb.path={self.folder}/prometheus",
                                  f"--web.listen-address=127.0.0.1:{self.http['prometheus']}"])

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(text)

    def feed(self):
        """Many keys first, so that a restore takes a while; then a steady load, with words that the output refuses."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 500000})
        for number in range(300):
            producer.produce("lines", " ".join(f"key{number}-{n}" for n in range(1000)))
        number = 0
        while self.feeding.is_set():
            producer.produce("lines", f"the quick brown fox {'x' * 3000 if number % 50 == 0 else number % 100}")
            producer.poll(0)
            number += 1
            time.sleep(0.01)
        producer.flush(30)


def expressions():
    """Name and expression of each rule and each panel, comparisons turned into values, variables filled in."""
    for group in yaml.safe_load(open(os.path.join(FILES, "alerts.yaml")))["groups"]:
        for rule in group["rules"]:
            if " unless " not in rule["expr"]:  # TidegateAbsent has rows when it fires, below
                yield rule["alert"], re.sub(r" (>|<|==) ", r" \1 bool ", rule["expr"])
    for panel in json.load(open(os.path.join(FILES, "dashboard.json")))["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$application", APPLICATION).replace("$__rate_interval", "10s")
            yield f"panel {panel['title']}: {target['legendFormat']}", re.sub(r" > 0", " >= 0", expression)


def main(bootstrap, program, folder):
    run, passed, failed = Run(bootstrap, program, folder), 0, 0
    try:
        run.set_up()
        run.word_count("one")
        run.feeding.set()
        feeder = threading.Thread(target=run.feed)
        feeder.start()
        run.until("the first process reads", lambda: 'tidegate_records_in_total{topic="lines"' in run.read("one", "/metrics"))
        run.until("300,000 keys", lambda: sum(map(float, re.findall(r"tidegate_state_rows\{.*\} (\S+)", run.read("one", "/metrics")))) > 250_000)
        run.word_count("two")
        run.until("two processes share the state", lambda: re.search(r"tidegate_processes\{.*\} 2", run.read("one", "/metrics")))
        time.sleep(5)
        run.kill("one")
        shutil.rmtree(os.path.join(folder, "one"))
        run.word_count("one")
        run.until("the first process is back", lambda: "tidegate_build_info" in run.read("one", "/metrics"))
        time.sleep(15)
        said = subprocess.run(["promtool", "check", "metrics"], input=run.read("one", "/metrics"), capture_output=True, text=True)
        if said.returncode == 0 and not said.stderr:
            passed += 1
        else:
            failed += 1
            print(f"FAILED promtool check metrics: {said.stdout}{said.stderr}")
        for name, expression in expressions():
            if name in NOTHING_TO_SHOW:
                print(f"not shown: {name}: {NOTHING_TO_SHOW[name]}")
            elif run.rows(expression):
                passed += 1
            else:
                failed += 1
                print(f"FAILED {name}: no rows from {expression}")
        start = time.monotonic()
        run.kill("one")
        run.kill("two")
        run.until("TidegateAbsent at the webhook", lambda: [a for a in run.alerts if a["labels"]["alertname"] == "TidegateAbsent" and a["status"] == "firing"])
        passed += 1
        print(f"TidegateAbsent reached the webhook {time.monotonic() - start:.1f} s after both processes were killed; before that: "
              f"{sorted({a['labels']['alertname'] for a in run.alerts} - {'TidegateAbsent'})}")
    finally:
        run.feeding.clear()
        for name in list(run.processes):
            run.kill(name)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
