"""Calls of kubectl and helm, and waiting. Knows no test."""

import json
import os
import subprocess
import time

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHART = os.path.join(PROJECT, "helm", "tidegate")


def read(*path):
    with open(os.path.join(*path)) as file:
        return file.read()


class Failed(Exception):
    """A command failed: the command and what it said."""


def call(*command, stdin=None, ok=True):
    """Standard output; with ok=False, a pair of the exit code and all output."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=400)
    if not ok:
        return done.returncode, done.stdout + done.stderr
    if done.returncode:
        raise Failed(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def kubectl(*arguments, **options):
    return call("kubectl", *arguments, **options)


def helm(*arguments, **options):
    return call("helm", *arguments, **options)


def get(namespace, *what):
    return json.loads(kubectl("-n", namespace, "get", *what, "-o", "json"))


def until(what, condition, seconds=120):
    """Waits; returns what the condition gave and how long it took."""
    start = time.monotonic()
    while True:
        try:
            if (given := condition()):
                return given, time.monotonic() - start
            last = given
        except (Failed, KeyError, IndexError) as error:
            last = error
        if time.monotonic() - start > seconds:
            raise AssertionError(f"not within {seconds} s: {what} ({last})")
        time.sleep(0.2)


def ready(namespace, pod):
    status = get(namespace, "pod", pod)
    return "deletionTimestamp" not in status["metadata"] and status["status"]["containerStatuses"][0]["ready"] and status


def make_namespace(name):
    """A namespace that enforces Pod Security restricted, if it is not there."""
    kubectl("create", "namespace", name, ok=False)
    kubectl("label", "--overwrite", "namespace", name, *(f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")))


def make_volumes():
    """Volumes of the node's disk, and the class of the cluster that hands them out; nothing if they are there."""
    if kubectl("get", "storageclass", "local", ok=False)[0] == 0:
        return
    volumes = ["""
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
"""]
    # Each is used once: what is left in it nobody deletes.
    for number in range(48):
        path = f"{os.environ['TIDEGATE_KUBE_HOME']}/volumes/{number}"
        os.makedirs(path)
        volumes.append(f"""
apiVersion: v1
kind: PersistentVolume
metadata: {{name: local-{number}}}
spec:
  capacity: {{storage: 10Gi}}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: local
  local: {{path: {path}}}
  nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [n1]}}]}}]}}}}
""")
    kubectl("apply", "-f", "-", stdin="---".join(volumes))
