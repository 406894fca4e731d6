"""The JSON interface against its own description, and what is stored in Kafka against the shapes in schemas/.

  test.py BOOTSTRAP PROGRAMS FOLDER    a Kafka; a folder with `tidegate` and `structured_kafka_word_count`; an empty folder

Owns two processes of a script that share its state, a program that runs a query, and what feeds them; ends them.
What it shows: every resource of the document answers as it says, with real ids and with those of nobody; schemathesis, which makes up requests
from the document, finds no fault; dead letters, recovery records, reports of batches and progress are as schemas/ says. For these comparisons a
field that is not described counts as a mistake.
"""

import base64
import copy
import glob
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from jsonschema import Draft202012Validator

PROJECT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
APPLICATION, TOKEN, WHY = "views", "a-token-of-the-test-0123456789", "__tidegate.errors."
# Some of the records are no rows; some of the results do not fit into their topic.
SCRIPT = """
CREATE TABLE views (page STRING, n BIGINT) WITH (
  'connector' = 'kafka', 'topic' = 'views', 'format' = 'json', 'on-bad-record' = 'dead-letter');
CREATE TABLE totals (page STRING, n BIGINT, PRIMARY KEY (page) NOT ENFORCED)
  WITH ('connector' = 'upsert-kafka', 'topic' = 'totals', 'format' = 'json');
CREATE TABLE small (line STRING) WITH ('connector' = 'kafka', 'topic' = 'small', 'format' = 'json');
INSERT INTO totals SELECT page, count(*) FROM views GROUP BY page;
INSERT INTO small SELECT repeat(page, 2000) FROM views WHERE page = 'p3';
"""


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def until(what, condition, seconds=120):
    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            if (last := condition()):
                return last
        except (OSError, KeyError, IndexError) as error:
            last = error
        time.sleep(0.3)
    raise AssertionError(f"not within {seconds} s: {what} ({last})")


class Run:
    def __init__(self, bootstrap, programs, folder):
        self.bootstrap, self.programs, self.folder = bootstrap, programs, folder
        self.processes, self.ports, self.feeding = {}, {name: port() for name in ("one", "two")}, threading.Event()

    def start(self, name, program, *arguments, **variables):
        log = open(os.path.join(self.folder, f"{name}.log"), "w")
        command = [os.path.join(self.programs, program), *arguments]
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **variables}, cwd=self.folder)

    def end(self):
        self.feeding.clear()
        for process in self.processes.values():
            process.kill()
            process.wait()

    def set_up(self):
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        topics = [NewTopic(n, 4, 1) for n in ("views", "totals", "counts")] + [NewTopic("small", 1, 1, config={"max.message.bytes": "1000"})]
        for made in admin.create_topics(topics).values():
            made.result(30)
        with open(os.path.join(self.folder, "views.sql"), "w") as file:
            file.write(SCRIPT)
        for name in self.ports:
            self.start(name, "tidegate", "run", "views.sql", "--bootstrap", self.bootstrap, "--instance-id", name, "--application-id", APPLICATION,
                       "--state-dir", name, "--state-partitions", "4", "--batch-interval-ms", "200", "--threads", "1", "--on-refused-record", "dead-letter",
                       "--admin-bind", f"127.0.0.1:{self.ports[name]}", TIDEGATE_ADMIN_TOKEN=TOKEN)
        self.start("query", "structured_kafka_word_count", "--bootstrap", self.bootstrap, "--input", "views", "--output", "counts", "--checkpoint", "query-state")
        self.feeding.set()
        threading.Thread(target=self.feed, daemon=True).start()

    def feed(self):
        producer, number = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5}), 0
        while self.feeding.is_set():
            producer.produce("views", "no row" if number % 50 == 49 else json.dumps({"page": f"p{number % 7}", "n": number}), headers={"trace": b"\xff1"})
            producer.poll(0)
            number += 1
            time.sleep(0.005)
        producer.flush(10)

    def page_of_query(self):
        def told():
            with open(os.path.join(self.folder, "query.log")) as log:
                return re.search(r"page of queries, metrics and health: http://127.0.0.1:(\d+)/", log.read())
        return until("the page of the query", told)[1]


def ask(at, path, token=TOKEN):
    """Status and JSON."""
    request = urllib.request.Request(f"http://127.0.0.1:{at}{path}", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def closed(schema):
    """The schema, in which a field that is not described is a mistake."""
    schema = copy.deepcopy(schema)
    def walk(node):
        if isinstance(node, dict):
            if "properties" in node and node.get("type") == "object":
                node.setdefault("additionalProperties", False)
            for below in node.values():
                walk(below)
        elif isinstance(node, list):
            for below in node:
                walk(below)
    walk(schema)
    return schema


def must_fit(what, value, schema):
    Draft202012Validator.check_schema(schema)
    mistakes = sorted(Draft202012Validator(schema).iter_errors(value), key=str)
    assert not mistakes, f"{what}: {mistakes[0].json_path}: {mistakes[0].message}\n{json.dumps(value)[:1000]}"


def published(name):
    with open(os.path.join(PROJECT, "schemas", f"{name}.schema.json")) as file:
        return json.load(file)


def must_answer_as_described(at, document, path, known, expected=200):
    """Asks for a path of the document with these values in the place of its parameters."""
    status, value = ask(at, re.sub(r"\{(\w+)\}", lambda found: str(known[found[1]]), path))
    assert status == expected, f"{path}: {status} {value}"
    answers = document["paths"][path]["get"]["responses"]
    answer = answers[str(status)]
    if "$ref" in answer:
        answer = document["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
    schema = {**answer["content"]["application/json"]["schema"], "components": closed(document["components"])}
    must_fit(path, value, schema)
    return value


def document_of(at):
    status, document = ask(at, "/api/v1/openapi.json")
    assert status == 200 and document["openapi"].startswith("3.1"), document
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", document["info"]["version"]), document["info"]
    return document


def resources_of_a_program_answer_as_described(run):
    at = run.ports["one"]
    document, base = document_of(at), "/api/v1/applications/{app}"
    known = {"app": APPLICATION}
    # Until batches with rows are there and both processes have a share.
    batches = until("batches with records", lambda: [b for b in ask(at, f"/api/v1/applications/{APPLICATION}/streaming/batches?status=completed")[1] if b["inputSize"]][:1])
    until("two processes", lambda: len(ask(at, f"/api/v1/applications/{APPLICATION}/processes")[1]["members"]) == 2)
    receivers = must_answer_as_described(at, document, base + "/streaming/receivers", known)
    assert receivers, "there are receivers"
    known |= {"batch": batches[0]["batchId"], "stream": receivers[0]["streamId"], "operation": 0, "name": "nobody"}
    asked = 0
    for path in document["paths"]:
        missing = path.endswith("/models/{name}")  # only programs keep models
        value = must_answer_as_described(at, document, path, known, 404 if missing else 200)
        assert value or path.endswith(("/models", "/restores")), f"{path}: empty"
        asked += 1
        for parameter in set(re.findall(r"\{(\w+)\}", path)):
            must_answer_as_described(at, document, path, {**known, parameter: "-1"}, 404)
            asked += 1
        status, value = ask(at, re.sub(r"\{(\w+)\}", lambda found: str(known[found[1]]), path), token="another-token-0123456789")
        assert status == 401, f"{path}: {status}"
        must_fit(path, value, closed(document["components"]["schemas"]["Error"]))
    for wanted, status in [("processing", 200), ("queued", 200), ("completed&status=processing", 200), ("other", 400)]:
        status_now, value = ask(at, f"/api/v1/applications/{APPLICATION}/streaming/batches?status={wanted}")
        assert status_now == status, f"{wanted}: {status_now} {value}"
        asked += 1
    return f"{len(document['paths'])} resources, {asked} answers"


def resources_of_queries_answer_as_described(run):
    at = run.page_of_query()
    document = document_of(at)
    runs = until("a run with progress", lambda: [q for q in ask(at, "/api/v1/queries")[1] if q.get("latestBatch")])
    for path in document["paths"]:
        assert must_answer_as_described(at, document, path, {"run": runs[0]["runId"]})
        if "{run}" in path:
            must_answer_as_described(at, document, path, {"run": "nobody"}, 404)
    return f"{len(document['paths'])} resources"


def schemathesis_finds_no_fault(run):
    said = []
    # Ids that exist; of batches and the like it makes up its own.
    with open(os.path.join(run.folder, "schemathesis.toml"), "w") as file:
        run_id = ask(run.page_of_query(), "/api/v1/queries")[1][0]["runId"]
        file.write(f'[parameters]\n"path.app" = "{APPLICATION}"\n"path.run" = "{run_id}"\n')
    for at, token in [(run.ports["one"], TOKEN), (run.page_of_query(), None)]:
        command = ["schemathesis", "run", f"http://127.0.0.1:{at}/api/v1/openapi.json", "--checks", "all", "--max-examples", os.environ.get("TIDEGATE_API_EXAMPLES", "30")]
        command += ["--header", f"Authorization: Bearer {token}"] if token else []
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=run.folder, env={**os.environ, "NO_COLOR": "1"})
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        said += re.findall(r"(\d+) generated", done.stdout)
    return f"{' and '.join(said)} requests" if said else "both documents"


def letters(run):
    reader = Consumer({"bootstrap.servers": run.bootstrap, "group.id": "reader", "isolation.level": "read_committed", "enable.auto.commit": False})
    reader.assign([TopicPartition(f"{APPLICATION}-dlq", 0, 0)])
    found, end = [], time.monotonic() + 60
    while time.monotonic() < end and len({kind(l) for l in found}) < 2:
        found += [m for m in reader.consume(500, 1) if not m.error()]
    reader.close()
    return found


def kind(letter):
    return next((name for name, _ in letter.headers() if name in (WHY + "topic", WHY + "output")), None)


def dead_letters_are_as_published(run):
    schema, found = published("dead-letter"), letters(run)
    assert {kind(l) for l in found} == {WHY + "topic", WHY + "output"}, {kind(l) for l in found}
    text = lambda raw: None if raw is None else base64.b64encode(raw).decode()
    for letter in found:
        own = {name: value.decode("latin-1") for name, value in letter.headers() if not name.startswith(WHY)}
        why = {name: value.decode() for name, value in letter.headers() if name.startswith(WHY)}
        value = {"key": text(letter.key()), "value": text(letter.value()), "headers": {**own, **why}}
        must_fit("a dead letter", value, schema)
        must_fit("a dead letter", {**value, "headers": why}, closed(schema))
    bad = dict(next(l for l in found if kind(l) == WHY + "topic").headers())
    assert bad[WHY + "topic"] == b"views" and bad["trace"] == b"\xff1", bad
    for without in [WHY + "message", WHY + "topic"]:
        value["headers"] = {name: text for name, text in {WHY + "application": "a", WHY + "message": "m", WHY + "topic": "t", WHY + "partition": "0", WHY + "offset": "1"}.items() if name != without}
        assert not Draft202012Validator(schema).is_valid(value), f"the schema takes a letter without {without}"
    return f"{len(found)} letters of both kinds"


def recovery_records_are_as_published(run):
    schema = closed(published("recovery-record"))
    admin = AdminClient({"bootstrap.servers": run.bootstrap})
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(APPLICATION)])
    records = [json.loads(at.metadata) for at in asked[APPLICATION].result(30).topic_partitions if at.metadata]
    assert len(records) >= 5, records  # of input and of state partitions
    for record in records:
        must_fit("a recovery record", record, schema)
        assert not Draft202012Validator(schema).is_valid({**record, "v": 2})
    assert any("cl" in record for record in records) and any("cd" in record for record in records), records
    return f"{len(records)} records"


def reports_of_batches_are_as_published(run):
    schema, base = closed(published("batch")), f"/api/v1/applications/{APPLICATION}/streaming/batches"
    _, batches = ask(run.ports["two"], base)
    for batch in batches:
        must_fit("a batch of the list", batch, schema)
    whole = [ask(run.ports["two"], f"{base}/{batch['batchId']}")[1] for batch in batches if batch["status"] == "COMPLETED"][:20]
    for batch in whole:
        must_fit("a batch", batch, schema)
    assert any(batch.get("operators") and batch["streams"] for batch in whole), whole[:1]
    return f"{len(batches)} of the list, {len(whole)} by themselves"


def progress_is_as_published(run):
    schema, at = closed(published("progress")), run.page_of_query()
    run_id = ask(at, "/api/v1/queries")[1][0]["runId"]
    _, all_of_it = ask(at, f"/api/v1/queries/{run_id}/progress")
    for progress in all_of_it:
        must_fit("progress", progress, schema)
    assert all_of_it and all_of_it[0]["sources"] and all_of_it[0]["stateOperators"], all_of_it[:1]
    return f"{len(all_of_it)} batches"


def each_shape_has_a_test(_):
    with open(__file__) as file:
        own = file.read()
    names = [os.path.basename(f).removesuffix(".schema.json") for f in glob.glob(os.path.join(PROJECT, "schemas", "*"))]
    assert names and all(f'published("{name}")' in own for name in names), names
    return f"{len(names)} shapes"


TESTS = [
    resources_of_a_program_answer_as_described, resources_of_queries_answer_as_described, dead_letters_are_as_published,
    recovery_records_are_as_published, reports_of_batches_are_as_published, progress_is_as_published, schemathesis_finds_no_fault, each_shape_has_a_test,
]


def main(bootstrap, programs, folder):
    run, passed, failed = Run(bootstrap, programs, folder), 0, 0
    try:
        run.set_up()
        for test in TESTS:
            try:
                said = test(run)
            except Exception as error:  # a failure of any kind is a failed test
                failed += 1
                print(f"FAILED {test.__name__}: {error}")
            else:
                passed += 1
                print(f"ok     {test.__name__}: {said}")
    finally:
        run.end()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
