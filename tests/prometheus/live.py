"""Rules, dashboard and metrics against a real Prometheus that scrapes running programs, and an alert that reaches a webhook.

  live.py BOOTSTRAP TIDEGATE FOLDER    a Kafka, the program, an empty folder

Owns two processes of a script that share its state, what feeds them, Prometheus, Alertmanager and the receiver of the webhook; ends them.
What it shows: `promtool check metrics` finds nothing; every expression of the rules and of the dashboard returns rows, comparisons aside,
but those of NOTHING_TO_SHOW; after both processes are killed, TidegateAbsent comes out at the other end. In the copy of the rules that is
used here, `for` is one second, and what is looked at every minute is looked at every second.
"""

import http.server
import json
import os
import re
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
APPLICATION, PROGRAMS = "views", ("one", "two")
# Some of the records are no rows, and some are late.
SCRIPT = """
CREATE TABLE views (page STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH (
  'connector' = 'kafka', 'topic' = 'views', 'format' = 'json', 'on-bad-record' = 'dead-letter', 'scan.watermark.idle-timeout' = '5 s');
CREATE TABLE seconds (opened TIMESTAMP(3), page STRING, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'seconds', 'format' = 'json');
CREATE TABLE totals (page STRING, n BIGINT, PRIMARY KEY (page) NOT ENFORCED)
  WITH ('connector' = 'upsert-kafka', 'topic' = 'totals', 'format' = 'json');
INSERT INTO seconds SELECT window_start, page, count(*)
FROM TABLE(TUMBLE(TABLE views, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY window_start, window_end, page;
INSERT INTO totals SELECT page, count(*) FROM views GROUP BY page;
"""
# A state as small as this one is restored between two scrapes.
NOTHING_TO_SHOW = {"TidegateRestoreStands", "panel Rows still to be restored: {{instance}}"}


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Run:
    def __init__(self, bootstrap, program, folder):
        self.bootstrap, self.program, self.folder = bootstrap, program, folder
        self.processes, self.alerts, self.feeding = {}, [], threading.Event()
        self.http = {n: port() for n in (*PROGRAMS, "prometheus", "alertmanager", "webhook")}

    def start(self, name, command):
        log = open(os.path.join(self.folder, f"{name}.log"), "a")
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, name):
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def run_script(self):
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for made in admin.create_topics([NewTopic(n, 4, 1) for n in ("views", "seconds", "totals")]).values():
            made.result(30)
        self.write("views.sql", SCRIPT)
        for name in PROGRAMS:
            self.start(name, [self.program, "run", os.path.join(self.folder, "views.sql"), "--bootstrap", self.bootstrap, "--instance-id", name,
                              "--application-id", APPLICATION, "--state-dir", os.path.join(self.folder, name), "--state-partitions", "4",
                              "--batch-interval-ms", "200", "--threads", "1", "--admin-bind", f"127.0.0.1:{self.http[name]}"])
        self.feeding.set()
        threading.Thread(target=self.feed, daemon=True).start()

    def feed(self):
        producer, number = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5}), 0
        while self.feeding.is_set():
            view = {"page": f"p{number % 7}", "ts": int(time.time() * 1000) - (60_000 if number % 100 == 99 else 0)}
            producer.produce("views", "no row" if number % 50 == 49 else json.dumps(view))
            producer.poll(0)
            number += 1
            time.sleep(0.005)
        producer.flush(10)

    def read(self, name, path):
        return urllib.request.urlopen(f"http://127.0.0.1:{self.http[name]}{path}", timeout=10).read().decode()

    def rows(self, expression):
        """Rows that the expression gave at any time in the last minutes."""
        query = urllib.parse.quote(f"last_over_time(({expression})[5m:1s])")
        return json.loads(self.read("prometheus", f"/api/v1/query?query={query}"))["data"]["result"]

    def until(self, what, condition, seconds=300):
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
        rules = open(os.path.join(FILES, "alerts.yaml")).read()
        self.write("alerts.yaml", quick(re.sub(r"for: \d+m", "for: 1s", rules)))
        self.write("prometheus.yaml", f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [alerts.yaml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{self.http['alertmanager']}"]}}]}}]}}
scrape_configs: [{{job_name: tidegate, static_configs: [{{targets: {json.dumps([f"127.0.0.1:{self.http[n]}" for n in PROGRAMS])}}}]}}]
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


def quick(rules):
    return rules.replace("m:1m]", "m:1s]")


def expressions():
    """Name and expression of each rule and each panel, comparisons turned into values, variables filled in."""
    for group in yaml.safe_load(quick(open(os.path.join(FILES, "alerts.yaml")).read()))["groups"]:
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
        run.run_script()
        shares = "sum by (instance) (tidegate_assigned_partitions) > 0"
        run.until("both processes have a share", lambda: len(json.loads(run.read("prometheus", "/api/v1/query?query=" + urllib.parse.quote(shares)))["data"]["result"]) == 2)
        run.until("a window closed", lambda: run.rows('rate(tidegate_records_out_total{topic="seconds"}[10s]) > 0'))
        time.sleep(15)
        for name in PROGRAMS:
            said = subprocess.run(["promtool", "check", "metrics"], input=run.read(name, "/metrics"), capture_output=True, text=True)
            if said.returncode == 0 and not said.stderr:
                passed += 1
            else:
                failed += 1
                print(f"FAILED promtool check metrics: {said.stdout}{said.stderr}")
        for name, expression in expressions():
            found = run.rows(expression)
            if found:
                passed += 1
            elif name in NOTHING_TO_SHOW:
                print(f"not shown: {name}")
            else:
                failed += 1
                print(f"FAILED {name}: no rows from {expression}")
        start = time.monotonic()
        run.feeding.clear()
        for name in PROGRAMS:
            run.kill(name)
        run.until("TidegateAbsent at the webhook", lambda: [a for a in run.alerts if a["labels"]["alertname"] == "TidegateAbsent" and a["status"] == "firing"])
        passed += 1
        print(f"TidegateAbsent reached the webhook {time.monotonic() - start:.1f} s after the processes were killed")
    finally:
        for name in list(run.processes):
            run.kill(name)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
