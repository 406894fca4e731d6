"""The chart by itself and before the API server: values, schema, documents, and that each file of ci/ is admitted.

Each function is a test. Those in OFFLINE need no cluster.
"""

import glob
import json
import os
import re

import yaml

from client import CHART, PROJECT, call, helm, kubectl, make_namespace, read

SPACE = "admission"
CI = sorted(glob.glob(os.path.join(CHART, "ci", "*-values.yaml")))
KUBERNETES = ["--kube-version", "1.37"]


def lint_and_render():
    """Strict, with each file of ci/; without values it says which one is missing."""
    for file in CI:
        said = helm("lint", "--strict", CHART, "-f", file, *KUBERNETES)
        assert "[WARNING]" not in said and "[ERROR]" not in said, said
        helm("template", "r", CHART, "-f", file, *KUBERNETES)
    return f"{len(CI)} files"


def keys(tree, path=()):
    for key, value in tree.items():
        yield path + (key,)
        if isinstance(value, dict):
            yield from keys(value, path + (key,))


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


HELM_DOCS = ["helm-docs", "--chart-search-root", CHART, "--sort-values-order", "file", "--log-level", "warning"]


def readme_lists_the_values():
    assert call(*HELM_DOCS, "--dry-run").strip() == read(CHART, "README.md").strip(), "README.md is out of date: ./dev kube readme"


def mistakes_are_named():
    """What a person sees who gets a value wrong."""
    unguarded = ["--set", "image.repository=i", "--set", "applicationId=a", "--set", "kafka.bootstrapServers=k:9092"]
    good = unguarded + ["--set", "admin.insecure=true"]
    cases = [
        (unguarded, "nothing says who may read the page"),
        (good + ["--set", "admin.existingSecret=s"], "set one of them"),
        (good + ["--set", "admin.token=t"], "token"),
        (["--set", "image.repository=i", "--set", "applicationId=a"], "kafka.bootstrapServers is not set"),
        (good + ["--set", "replica=2"], "replica"),
        (good + ["--set", "settings.batchIntervalMs=fast"], "batchIntervalMs"),
        (good + ["--set", "settings.guarantee=once"], "guarantee"),
        (good + ["--set", "kafka.bootstrapServers=kafka"], '"kafka" is not host:port'),
        (good + ["--set", "settings.stateMemoryBytes=5"], "stateMemoryBytes"),
        (good + ["--set", "kafka.properties.sasl\\.password=x"], "belongs into a Secret"),
        (good + ["--set", "kafka.secretProperties.sasl\\.password=p"], "kafka.existingSecret is not set"),
        (good + ["--set", "replicas=9", "--set", "settings.statePartitions=8"], "nothing to do"),
        (good + ["--set", "terminationGracePeriodSeconds=20"], "longer than settings.stopTimeoutMs"),
        (good + ["--set", "metrics.podMonitor.enabled=true", "--set", "metrics.serviceMonitor.enabled=true"], "enable one"),
        (good + ["--set", "script.sql=SELECT 1", "--set", "script.existingConfigMap=c"], "script.sql and script.existingConfigMap are several scripts"),
        (good + ["--set", "script.sql=SELECT 1", "--set", "script.python=pass"], "script.sql and script.python are several scripts"),
        (good + ["--set", "script.python=pass", "--set", "output=counts"], "a script names its topics itself"),
        (good + ["--set", "script.sql=SELECT 1", "--set", "input=lines"], "a script names its topics itself"),
        (good + ["--set", "reset.enabled=true", "--set", "reset.to=earliest", "--set", "replicas=0"], "reset.image is not set"),
        (good + ["--set", "reset.enabled=true", "--set", "reset.to=earliest", "--set", "reset.image=t:1"], "for a stopped application"),
        (good + ["--set", "script.sql=SELECT 1", "--set", "script.check=online"], "/script/check"),
        (good + ["--set", "resources.limits.memory=1Gib"], "/resources/limits/memory"),
    ]
    helm("template", "r", CHART, *KUBERNETES, *good)
    for arguments, message in cases:
        code, said = helm("template", "r", CHART, *KUBERNETES, *arguments, ok=False)
        assert code != 0 and message in said, f"{arguments}: {said}"
    return f"{len(cases)} mistakes"


def a_tag_may_look_like_a_number():
    """With --set and in a file; one whose last digit would be lost is refused."""
    good = ["template", "r", CHART, *KUBERNETES, "--set", "image.repository=i", "--set", "applicationId=a", "--set", "kafka.bootstrapServers=k:9092", "--set", "admin.insecure=true"]
    image = lambda *arguments, **options: re.findall('image: "(.*)"', helm(*good, *arguments, **options))
    assert image("--set", "image.tag=1") == ["i:1"]
    assert image("-f", "-", stdin="image: {tag: 20261130}") == ["i:20261130"]
    assert image("-f", "-", stdin='image: {tag: "1.10"}') == ["i:1.10"]
    code, said = helm(*good, "-f", "-", stdin="image: {tag: 1.10}", ok=False)
    assert code != 0 and "/image/tag" in said, said


def a_script_is_run_and_checked_by_its_kind():
    """By the name of its file, whether the values have it or a ConfigMap; arguments of a program in Python are its own."""
    good = ["--set", "image.repository=i", "--set", "applicationId=a", "--set", "kafka.bootstrapServers=k:9092", "--set", "admin.insecure=true", "--set", "args={--flag}"]
    for values, key, file in [
        (["script.sql=SELECT 1"], "pipeline.sql", "pipeline.sql"),
        (["script.python=pass"], "pipeline.py", "pipeline.py"),
        (["script.existingConfigMap=c", "script.key=a.sql"], "a.sql", "pipeline.sql"),
        (["script.existingConfigMap=c", "script.key=a.py"], "a.py", "pipeline.py"),
    ]:
        said = helm("template", "r", CHART, *KUBERNETES, *good, *(part for value in values for part in ("--set", value)))
        objects = {item["kind"]: item for item in yaml.safe_load_all(said) if item}
        args = {}
        for kind in ("StatefulSet", "Job"):
            pod = objects[kind]["spec"]["template"]["spec"]
            container = pod["containers"][0]
            mount, = (m for m in container["volumeMounts"] if m["name"] == "script")
            volume, = (v["configMap"] for v in pod["volumes"] if v["name"] == "script")
            assert mount["mountPath"] == f"/etc/tidegate/{file}" and mount["subPath"] == file, mount
            assert volume["items"] == [{"key": key, "path": file}], volume
            args[kind] = container["args"]
        assert args["StatefulSet"] == ["run", f"/etc/tidegate/{file}", "--flag"], args
        assert args["Job"] == ["check", "--script", f"/etc/tidegate/{file}"] + ["--flag"] * file.endswith(".sql"), args


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


def set_up():
    make_namespace(SPACE)
    for file in sorted(glob.glob(os.path.join(os.environ["TIDEGATE_KUBE_BIN"], "crds", "*.yaml"))):
        kubectl("apply", "--server-side", "-f", file)
    kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


def admit(objects):
    """The objects as the API server takes them: no unknown field, no warning. The pods of Jobs and StatefulSets too."""
    items, pod = [], {"apiVersion": "v1", "kind": "Pod"}
    for number, item in enumerate(objects):
        item["metadata"]["namespace"] = SPACE
        metadata = {"name": f"p{number}", "namespace": SPACE}
        if item["kind"] == "Job":
            items.append({**pod, "metadata": metadata, "spec": item["spec"]["template"]["spec"]})
        if item["kind"] == "StatefulSet":
            template = item["spec"]["template"]["spec"]
            claims = [{"name": c["metadata"]["name"], "emptyDir": {}} for c in item["spec"].get("volumeClaimTemplates", [])]
            items.append({**pod, "metadata": metadata, "spec": {**template, "volumes": template["volumes"] + claims, "serviceAccountName": "default"}})
        items.append(item)
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    code, said = kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text, ok=False)
    assert code == 0 and "Warning" not in said, said
    assert said.count("created (server dry run)") == len(items), said
    return [item["kind"] for item in objects]


def rendered(file):
    text = helm("template", "r", CHART, "-n", SPACE, "-f", file, *KUBERNETES)
    return [item for item in yaml.safe_load_all(text) if item]


def every_values_file_is_admitted_under_restricted():
    kinds = set()
    for file in CI:
        try:
            kinds.update(admit(rendered(file)))
        except AssertionError as error:
            raise AssertionError(f"{os.path.basename(file)}: {error}") from error
    expected = {"StatefulSet", "Service", "ConfigMap", "ServiceAccount", "PodDisruptionBudget", "ServiceMonitor", "PodMonitor", "PrometheusRule",
                "ScaledObject", "HorizontalPodAutoscaler", "Ingress", "HTTPRoute", "NetworkPolicy", "Job"}
    assert kinds == expected, kinds ^ expected
    return f"{len(CI)} files, {len(kinds)} kinds"


def the_server_refuses_what_is_wrong():
    """The test before this one can fail: a misspelt field of each custom kind, and a pod that may escalate."""
    spoiled = 0
    for file, kind, spoil in [
        ("05-monitors", "ServiceMonitor", lambda o: o["spec"]["endpoints"][0].update(intervall="5s")),
        ("05-monitors", "PrometheusRule", lambda o: o["spec"]["groups"][0]["rules"][0].update({"for": "five"})),
        ("06-pod-monitor", "PodMonitor", lambda o: o["spec"].update(podMetricEndpoints=[])),
        ("07-keda", "ScaledObject", lambda o: o["spec"].update(trigers=[])),
        ("10-http-route", "HTTPRoute", lambda o: o["spec"]["rules"][0]["backendRefs"][0].update(port=70000)),
        ("01-default", "StatefulSet", lambda o: o["spec"]["template"]["spec"]["containers"][0]["securityContext"].update(allowPrivilegeEscalation=True)),
    ]:
        objects = rendered(os.path.join(CHART, "ci", f"{file}-values.yaml"))
        chosen = [o for o in objects if o["kind"] == kind]
        spoil(chosen[0])
        try:
            admit(chosen)
        except AssertionError:
            spoiled += 1
        else:
            raise AssertionError(f"{kind} was admitted")
    return f"{spoiled} of {spoiled}"


def the_token_reaches_pods_and_prometheus():
    """As a file for the program, a reference for Prometheus' operator, and in no object as text."""
    good = ["template", "r", CHART, *KUBERNETES, "--set", "image.repository=i", "--set", "applicationId=a", "--set", "kafka.bootstrapServers=k:9092"]
    objects = lambda *arguments: {o["kind"]: o for o in yaml.safe_load_all(helm(*good, *arguments)) if o}
    secret = ["--set", "admin.existingSecret=s", "--set", "admin.key=k", "--set", "metrics.serviceMonitor.enabled=true"]
    made = objects(*secret)
    assert made["ConfigMap"]["data"]["TIDEGATE_ADMIN_TOKEN_FILE"] == "/etc/tidegate/admin/token"
    assert "TIDEGATE_ADMIN_INSECURE" not in made["ConfigMap"]["data"]
    pod = made["StatefulSet"]["spec"]["template"]["spec"]
    assert {"name": "admin", "secret": {"secretName": "s", "items": [{"key": "k", "path": "token"}]}} in pod["volumes"], pod["volumes"]
    assert {"name": "admin", "mountPath": "/etc/tidegate/admin", "readOnly": True} in pod["containers"][0]["volumeMounts"]
    assert made["ServiceMonitor"]["spec"]["endpoints"][0]["authorization"] == {"credentials": {"name": "s", "key": "k"}}
    opened = objects(*secret, "--set", "admin.openMetrics=true")
    assert opened["ConfigMap"]["data"]["TIDEGATE_ADMIN_OPEN_METRICS"] == "true"
    assert "authorization" not in opened["ServiceMonitor"]["spec"]["endpoints"][0]
    insecure = objects("--set", "admin.insecure=true", "--set", "metrics.podMonitor.enabled=true")
    assert insecure["ConfigMap"]["data"]["TIDEGATE_ADMIN_INSECURE"] == "true"
    assert "authorization" not in insecure["PodMonitor"]["spec"]["podMetricsEndpoints"][0]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert pod["containers"][0][probe]["httpGet"]["path"] in ("/livez", "/readyz"), "which need no token"


def credentials_are_files():
    """Of the program, which refuses to start without them; the check of a script says which one is missing, where a pod would wait for it."""
    said = helm("template", "r", CHART, *KUBERNETES, "--set", "image.repository=i", "--set", "applicationId=a", "--set", "kafka.bootstrapServers=k:9092",
                "--set", "admin.existingSecret=s", "--set", "kafka.existingSecret=c", "--set", "kafka.tls.existingSecret=t", "--set", "script.sql=SELECT 1",
                "--set", "kafka.secretProperties.sasl\\.password=password")
    objects = {o["kind"]: o for o in yaml.safe_load_all(said) if o}
    for kind, may_be_missing in (("StatefulSet", {}), ("Job", {"optional": True})):
        pod = objects[kind]["spec"]["template"]["spec"]
        volumes = {v["name"]: v["secret"] for v in pod["volumes"] if "secret" in v}
        assert volumes == {
            "kafka": {"secretName": "c", "items": [{"key": "password", "path": "sasl.password"}], **may_be_missing},
            "tls": {"secretName": "t", **may_be_missing},
            "admin": {"secretName": "s", "items": [{"key": "token", "path": "token"}], **may_be_missing},
        }, volumes
        container, = pod["containers"]
        properties, = (e["value"] for e in container["env"] if e["name"] == "TIDEGATE_PROPERTIES")
        assert properties == "ssl.ca.location=/etc/tidegate/tls/ca.crt,sasl.password.file=/etc/tidegate/kafka/sasl.password", properties
        assert {"kafka", "tls", "admin"} <= {m["name"] for m in container["volumeMounts"]}
        assert "secretKeyRef" not in str(container)


OFFLINE = [lint_and_render, values_and_schema_agree, settings_are_flags_of_the_program, readme_lists_the_values, mistakes_are_named, the_token_reaches_pods_and_prometheus,
           credentials_are_files, a_tag_may_look_like_a_number, a_script_is_run_and_checked_by_its_kind, rules_and_runbooks]
TESTS = [every_values_file_is_admitted_under_restricted, the_server_refuses_what_is_wrong]
