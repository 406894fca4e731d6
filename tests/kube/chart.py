"""The chart without a cluster: values, schema, documents, rules.

Each function of TESTS is a test. As a program it writes the table of values into the chart's README.
"""

import glob
import json
import os
import re

import yaml

from client import CHART, PROJECT, call, helm

SPACE = "admission"
CI = sorted(glob.glob(os.path.join(CHART, "ci", "*-values.yaml")))
KUBERNETES = ["--kube-version", "1.37"]


def read(*path):
    with open(os.path.join(*path)) as file:
        return file.read()


def lint_and_render():
    """Strict, with each file of ci/; without values it says which one is missing."""
    for file in CI:
        said = helm("lint", "--strict", CHART, "-f", file, *KUBERNETES)
        assert "[WARNING]" not in said and "[ERROR]" not in said, said
        helm("template", "r", CHART, "-f", file, *KUBERNETES)
    return f"{len(CI)} files"


def values_and_schema_agree():
    """The schema is closed and names no value that values.yaml does not have."""
    values, schema = yaml.safe_load(read(CHART, "values.yaml")), json.loads(read(CHART, "values.schema.json"))
    def walk(node, part, path):
        if node.get("additionalProperties") is not False:
            return
        assert set(node["properties"]) >= set(part), f"{path}: {set(part) - set(node['properties'])} not in the schema"
        for name, below in node["properties"].items():
            if path and path[0] in ("probes", "resources", "ingress") and name not in part:
                continue  # fields of Kubernetes
            assert name in part, f"{path}: {name} is not in values.yaml"
            if isinstance(part[name], dict):
                walk(below, part[name], path + (name,))
    walk(schema, values, ())
    assert schema["additionalProperties"] is False


def settings_are_flags_of_the_program():
    documented = set(re.findall(r"\| `(TIDEGATE_[A-Z_]+)`", read(PROJECT, "docs", "operations.md")))
    settings = yaml.safe_load(read(CHART, "values.yaml"))["settings"]
    names = {"TIDEGATE_" + re.sub("([A-Z])", r"_\1", name).upper() for name in settings}
    names |= set(re.findall(r"(TIDEGATE_[A-Z_]+):", read(CHART, "templates", "_helpers.tpl"))) - {"TIDEGATE_"}
    assert names <= documented, names - documented
    return f"{len(names)} of {len(documented)} flags"


def readme_lists_the_values():
    assert table() in read(CHART, "README.md"), "README.md is out of date: python3 tests/kube/chart.py writes its table"


def table():
    """The table of values, from values.yaml and its comments."""
    rows, path, comment, top = [], [], "", yaml.safe_load(read(CHART, "values.yaml"))
    for line in read(CHART, "values.yaml").splitlines():
        if line.strip().startswith("# -- "):
            comment = line.strip()[5:]
        elif match := re.match(r"^( *)([a-zA-Z]+):", line):
            path = path[: len(match[1]) // 2] + [match[2]]
            value = top
            for name in path:
                value = value[name]
            if not isinstance(value, dict) or not value or comment:
                shown = "(object)" if isinstance(value, dict) and value else json.dumps(value)
                rows.append(f"| `{'.'.join(path)}` | `{shown}` | {comment.replace('|', '&#124;')} |")
            comment = ""
        elif not line.strip():
            comment = ""
    return "\n".join(["| value | default | meaning |", "|---|---|---|"] + rows)


def mistakes_are_named():
    """What a person sees who gets a value wrong."""
    good = ["--set", "image.repository=i", "--set", "applicationId=a", "--set", "kafka.bootstrapServers=k:9092"]
    cases = [
        (["--set", "image.repository=i", "--set", "applicationId=a"], "kafka.bootstrapServers is not set"),
        (good + ["--set", "replica=2"], "replica"),
        (good + ["--set", "settings.batchIntervalMs=fast"], "batchIntervalMs"),
        (good + ["--set", "settings.guarantee=once"], "guarantee"),
        (good + ["--set", "kafka.bootstrapServers=kafka"], "bootstrapServers"),
        (good + ["--set", "kafka.properties.sasl\\.password=x"], "belongs into a Secret"),
        (good + ["--set", "kafka.secretProperties.sasl\\.password=p"], "kafka.existingSecret is not set"),
        (good + ["--set", "replicas=9", "--set", "settings.statePartitions=8"], "nothing to do"),
        (good + ["--set", "terminationGracePeriodSeconds=20"], "longer than settings.stopTimeoutMs"),
        (good + ["--set", "metrics.podMonitor.enabled=true", "--set", "metrics.serviceMonitor.enabled=true"], "enable one"),
    ]
    helm("template", "r", CHART, *KUBERNETES, *good)
    for arguments, message in cases:
        code, said = helm("template", "r", CHART, *KUBERNETES, *arguments, ok=False)
        assert code != 0 and message in said, f"{arguments}: {said}"
    return f"{len(cases)} mistakes"


def rules_and_runbooks():
    """promtool accepts the rules, each has a test and a section, and each metric that rules and dashboard name exists."""
    rules = os.path.join(CHART, "files", "alerts.yaml")
    call("promtool", "check", "rules", rules)
    call("promtool", "test", "rules", os.path.join(PROJECT, "tests", "prometheus", "alerts_test.yaml"))
    names = re.findall(r"alert: (\w+)", read(rules))
    books, tests = read(PROJECT, "docs", "runbooks.md"), read(PROJECT, "tests", "prometheus", "alerts_test.yaml")
    for name in names:
        assert f"\n## {name}\n" in books, f"{name} has no runbook"
        assert f"alertname: {name}\n" in tests, f"{name} has no test"
        assert f"runbooks.md#{name.lower()}\n" in read(rules), f"{name} does not name its runbook"
    documented = set(re.findall(r"`((?:tidegate|process)_[a-z_]+)`", read(PROJECT, "docs", "operations.md")))
    named = set(re.findall(r"\b((?:tidegate|process)_[a-z_]+)\b", read(rules) + read(CHART, "files", "dashboard.json")))
    unknown = {n for n in named if re.sub("_(bucket|sum|count)$", "", n) not in documented}
    assert not unknown, unknown
    return f"{len(names)} alerts, {len(named)} metrics"


TESTS = [lint_and_render, values_and_schema_agree, settings_are_flags_of_the_program, readme_lists_the_values, mistakes_are_named, rules_and_runbooks]

if __name__ == "__main__":
    head, _, rest = read(CHART, "README.md").partition("| value | default | meaning |")
    end = rest.find("\n\n")
    with open(os.path.join(CHART, "README.md"), "w") as out:
        out.write(head + table() + (rest[end:] if end >= 0 else "\n"))
