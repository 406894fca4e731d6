"""Rules, dashboard and metrics against a real Prometheus that scrapes a running program, and an alert that reaches a webhook.

  live.py TIDEGATE FOLDER    the binary with the demo, an empty folder

Owns the demo, Prometheus, Alertmanager and the receiver of the webhook; ends them. What it shows: `promtool check metrics` finds nothing;
every expression of the rules and of the dashboard returns rows, comparisons aside, but those of NOTHING_TO_SHOW; after the program is
killed, TidegateAbsent comes out at the other end. In the copy of the rules that is used here, `for` is one second.
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

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = os.path.join(HERE, "..", "..", "helm", "tidegate", "files")
# What the demo, one process on a log in a directory, cannot show. Another test checks that these metrics are documented.
NOTHING_TO_SHOW = {
    "TidegateRecordsFail": "no record fails",
    "panel Dead letters and left out: {{reason}}": "no record fails",
    "TidegateRestoreStands": "nothing is restored",
    "panel Rows still to be restored: {{instance}}": "nothing is restored",
    "TidegateHeldBack": "one process",
    "panel Rows on their way between processes: ": "one process",
}


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Run:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.processes, self.alerts = {}, []
        self.http = {n: port() for n in ("demo", "prometheus", "alertmanager", "cluster", "webhook")}

    def start(self, name, command):
        log = open(os.path.join(self.folder, f"{name}.log"), "a")
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, name):
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def demo(self):
        self.start("demo", [self.program, "demo", "--dir", os.path.join(self.folder, "demo"), "--rate", "500", "--admin-bind",
                            f"127.0.0.1:{self.http['demo']}"])

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
        self.write("alerts.yaml", re.sub(r"for: \d+m", "for: 1s", rules))
        self.write("prometheus.yaml", f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [alerts.yaml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{self.http['alertmanager']}"]}}]}}]}}
scrape_configs: [{{job_name: tidegate, static_configs: [{{targets: ["127.0.0.1:{self.http['demo']}"]}}]}}]
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


def expressions(application):
    """Name and expression of each rule and each panel, comparisons turned into values, variables filled in."""
    for group in yaml.safe_load(open(os.path.join(FILES, "alerts.yaml")))["groups"]:
        for rule in group["rules"]:
            if " unless " not in rule["expr"]:  # TidegateAbsent has rows when it fires, below
                yield rule["alert"], re.sub(r" (>|<|==) ", r" \1 bool ", rule["expr"])
    for panel in json.load(open(os.path.join(FILES, "dashboard.json")))["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$application", application).replace("$__rate_interval", "10s")
            yield f"panel {panel['title']}: {target['legendFormat']}", re.sub(r" > 0", " >= 0", expression)


def main(program, folder):
    run, passed, failed = Run(program, folder), 0, 0
    try:
        run.set_up()
        run.demo()
        text = run.until("records are counted", lambda: (t := run.read("demo", "/metrics")) and re.search(r"tidegate_records_in_total\{.*\} [1-9]", t) and t)
        application = re.search(r'application_id="([^"]*)"', text)[1]
        run.until("Prometheus scrapes it", lambda: run.rows("tidegate_build_info"))
        time.sleep(15)
        said = subprocess.run(["promtool", "check", "metrics"], input=run.read("demo", "/metrics"), capture_output=True, text=True)
        if said.returncode == 0 and not said.stderr:
            passed += 1
        else:
            failed += 1
            print(f"FAILED promtool check metrics: {said.stdout}{said.stderr}")
        for name, expression in expressions(application):
            found = run.rows(expression)
            if name in NOTHING_TO_SHOW and not found:
                print(f"not shown: {name}: {NOTHING_TO_SHOW[name]}")
            elif found and name not in NOTHING_TO_SHOW:
                passed += 1
            else:
                failed += 1
                print(f"FAILED {name}: {len(found)} rows from {expression}")
        start = time.monotonic()
        run.kill("demo")
        run.until("TidegateAbsent at the webhook", lambda: [a for a in run.alerts if a["labels"]["alertname"] == "TidegateAbsent" and a["status"] == "firing"])
        passed += 1
        print(f"TidegateAbsent reached the webhook {time.monotonic() - start:.1f} s after the program was killed")
    finally:
        for name in list(run.processes):
            run.kill(name)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
