#!/usr/bin/env python3
"""The bill of materials of tidegate's program, in CycloneDX 1.6: each crate that is linked into it, and the C libraries that crates bring.

  sbom.py > sbom.cdx.json    in the project's folder; SBOM_TARGET: another target triple than this machine's

Asks cargo which crates are linked, so what only tests and builds use is not there. Needs nothing but Python and cargo. The same sources give the
same text. What the image's base has (glibc, OpenSSL, certificates) is listed by the base's own packages, in /var/lib/dpkg/status.d.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
import uuid

PACKAGE = "tidegate"
# C libraries that are compiled from sources inside of a crate, by crate. The crate's version says which one, after its `+`.
BUNDLED = {"rdkafka-sys": "librdkafka", "librocksdb-sys": "rocksdb", "zstd-sys": "zstd", "lz4-sys": "lz4", "bzip2-sys": "bzip2", "libz-sys": "zlib"}
# Where the crate's version does not say it: a file of the crate, and what stands before the version there.
VERSION_IN = {"libz-sys": ("src/zlib/zlib.h", r'#define ZLIB_VERSION "([0-9.]+)"')}


def cargo(*arguments):
    done = subprocess.run(["cargo", *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"cargo {' '.join(arguments)}\n{done.stderr}")
    return done.stdout


def target():
    """Other platforms have other crates, which are not even fetched."""
    said = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    return os.environ.get("SBOM_TARGET") or re.search(r"^host: (.*)$", said, re.M)[1]


def linked(platform):
    """(name, version) of each crate that is linked."""
    lines = cargo("tree", "--locked", "--package", PACKAGE, "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}", "--target", platform)
    return sorted({(name, version.removeprefix("v")) for name, version, *_ in (line.split() for line in lines.splitlines() if line.strip())})


def reference(name, version):
    return f"pkg:cargo/{name}@{version.replace('+', '%2B')}"


def bundled(name, version, manifest):
    """The C library in a crate, if it brings one."""
    if name not in BUNDLED:
        return None
    if name in VERSION_IN:
        file, pattern = VERSION_IN[name]
        with open(os.path.join(os.path.dirname(manifest), file)) as text:
            found = re.search(pattern, text.read())[1]
    else:
        found = re.search(r"([0-9]+(\.[0-9]+)+)$", version.split("+", 1)[1])[1]
    purl = f"pkg:generic/{BUNDLED[name]}@{found}"
    return {"type": "library", "bom-ref": purl, "name": BUNDLED[name], "version": found, "purl": purl,
            "description": f"C library, compiled from the sources in the crate {name}"}


def main():
    with open("Cargo.lock", "rb") as file:
        locked = {(p["name"], p["version"]): p for p in tomllib.load(file)["package"]}
    platform = target()
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", platform))
    known = {(p["name"], p["version"]): p for p in metadata["packages"]}
    crates = linked(platform)
    components, dependencies = [], []
    for name, version in crates:
        package, lock = known[name, version], locked[name, version]
        component = {"type": "library", "bom-ref": reference(name, version), "name": name, "version": version, "purl": reference(name, version)}
        if package["license"]:
            component["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        if "checksum" in lock:
            component["hashes"] = [{"alg": "SHA-256", "content": lock["checksum"]}]
        # `name`, or `name version` where there are several.
        wanted = [entry.split() for entry in lock.get("dependencies", [])]
        uses = [reference(n, v) for n, v in crates for w in wanted if w[0] == n and (len(w) == 1 or w[1] == v)]
        library = bundled(name, version, package["manifest_path"])
        if library:
            dependencies.append({"ref": library["bom-ref"]})
            uses.append(library["bom-ref"])
        dependencies.append({"ref": reference(name, version), "dependsOn": sorted(set(uses))})
        if name == PACKAGE:
            program = {**component, "type": "application", "description": package["description"]}
            continue
        components += [component, library] if library else [component]
    bom = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": {"component": program}, "components": components, "dependencies": dependencies}
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bom, sort_keys=True))
    json.dump({"bomFormat": bom["bomFormat"], "specVersion": bom["specVersion"], "serialNumber": f"urn:uuid:{serial}", **bom}, sys.stdout, indent=1)
    print()


main()
