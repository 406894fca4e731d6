"""The bill of materials of an image: well-formed, and of what Cargo.lock and the crates say.

  sbom.py FILE
"""

import json
import sys
import tomllib

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def main(file):
    with open(file) as bom, open("Cargo.lock", "rb") as lock:
        text, locked = bom.read(), {(p["name"], p["version"]) for p in tomllib.load(lock)["package"]}
    mistake = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert mistake is None, mistake
    bom = json.loads(text)
    crates = {(c["name"], c["version"]) for c in bom["components"] if c["purl"].startswith("pkg:cargo/")}
    assert crates <= locked, crates - locked
    names = {name for name, _ in crates}
    assert {"rdkafka-sys", "librocksdb-sys", "openssl-sys", "axum", "serde_json", "datafusion-expr"} <= names, names
    assert not names & {"expect-test", "proptest", "png", "pyo3", "serde_derive", "tidegate", "cc", "bindgen"}, names
    libraries = {c["name"]: c["version"] for c in bom["components"] if c["purl"].startswith("pkg:generic/")}
    assert {"librdkafka", "rocksdb", "zstd", "lz4", "zlib"} <= libraries.keys(), libraries
    assert all(c.get("hashes") for c in bom["components"] if c["purl"].startswith("pkg:cargo/")), "each has the checksum of its sources"
    references = {c["bom-ref"] for c in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
    used = {ref for d in bom["dependencies"] for ref in d.get("dependsOn", [])}
    assert used <= references and references - used == {bom["metadata"]["component"]["bom-ref"]}, references - used
    without = sorted(c["name"] for c in bom["components"] if c["purl"].startswith("pkg:cargo/") and "licenses" not in c)
    assert not without, f"no licence: {without}"
    print(f"{len(crates)} crates; " + ", ".join(f"{name} {version}" for name, version in sorted(libraries.items())))


main(sys.argv[1])
