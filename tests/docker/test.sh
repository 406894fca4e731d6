#!/usr/bin/env bash
# The image as users run it: linted, built by buildah, run by podman as nobody, with a read-only root, no capabilities and a memory limit.
# Owns a folder with everything that it makes. What is not run here: the stages that compile (images.sh), and Docker itself.
#
#   test.sh FOLDER TIDEGATE    the folder, and the binary `tidegate`; hadolint, buildah, podman and promtool are in the PATH
set -uo pipefail
here="$(dirname "$(readlink -f "$0")")"
folder="$1" binary="$2" sbom=/usr/local/share/sbom/program.cdx.json port=$((20000 + RANDOM % 12000)) passed=0 failed=0
images() { "$here/images.sh" "$@"; }

# check NAME COMMAND..
check() {
  local name="$1" said
  shift
  if said=$("$@" 2>&1); then passed=$((passed + 1)); echo "ok     $name"; else failed=$((failed + 1)); echo "FAILED $name: $said"; fi
}

container() { images podman "$folder" "$@"; }
status_of() { container inspect demo --format "$1"; }
is() { [ "$1" = "$2" ] || { echo "$1, not $2"; return 1; }; }
field() { sed -n "s/^$1:\t\([^\t]*\).*/\1/p" "/proc/$(status_of '{{.State.Pid}}')/status"; }
answers() { local try; for try in $(seq 120); do curl -sf "http://127.0.0.1:$port/readyz" && return; sleep 0.5; done; container logs demo; return 1; }
follows() {
  local said
  said=$(container run --rm --network host --read-only --cap-drop ALL --memory 512m localhost/tidegate:test config show --application-id a --origin) || { echo "$said"; return 1; }
  grep -E "^--state-memory-bytes +$1 +default, by the memory limit" <<<"$said" || { grep memory <<<"$said"; return 1; }
}
metrics() { curl -sf "http://127.0.0.1:$port/metrics" >"$folder/metrics" && grep -q tidegate_build_info "$folder/metrics" && promtool check metrics <"$folder/metrics"; }
materials() {
  local id
  id=$(container create localhost/tidegate:test) && container cp "$id:$sbom" "$folder/sbom.cdx.json" && container rm "$id" >/dev/null &&
    (cd "$here/../.." && python3 tests/docker/sbom.py "$folder/sbom.cdx.json")
}
# Outside of the container nobody reads the page unless it is told who may.
closed() {
  local said
  said=$(container run --rm --network host --read-only --cap-drop ALL --tmpfs /tmp localhost/tidegate:test demo --seconds 1 --admin-bind "0.0.0.0:$1" 2>&1) &&
    { echo "it started: $said"; return 1; }
  grep -q 'next: set a token' <<<"$said" || { echo "$said"; return 1; }
}
counts() { local try; for try in $(seq 60); do curl -sf "http://127.0.0.1:$port/metrics" | grep -q '^tidegate_records_in_total{.*} [1-9]' && return; sleep 0.5; done; return 1; }

check "hadolint: Dockerfile" hadolint "$here/../../docker/Dockerfile"
check "hadolint: Dockerfile.program" hadolint "$here/../../docker/Dockerfile.program"
check "the image is built" images build "$folder" "$binary" tidegate
check "its label names the bill of materials" is "$(container inspect --type image localhost/tidegate:test --format '{{index .Labels "tidegate.sbom"}}')" "$sbom"
check "which is complete" materials
check "it starts, read-only, without capabilities, in 512 MiB" container run -d --name demo --network host --read-only --cap-drop ALL \
  --security-opt no-new-privileges --memory 512m --tmpfs /tmp localhost/tidegate:test demo --rate 2000 --admin-bind "127.0.0.1:$port"
check "it is ready" answers
check "for others it does not start without a word on who may read" closed "$((port + 1))"
check "it counts" counts
check "its metrics are well-formed" metrics
check "it is user 65532" is "$(field Uid)" 65532
check "it has no capabilities" is "$(field CapEff)" 0000000000000000
check "it gains no privileges" is "$(field NoNewPrivs)" 1
check "its root is read-only" is "$(status_of '{{.HostConfig.ReadonlyRootfs}}')" true
check "its memory is limited" is "$(status_of '{{.HostConfig.Memory}}')" 536870912
check "which decides how much state takes" follows 50331648
check "SIGTERM ends it" container stop -t 30 demo
check "in order" is "$(status_of '{{.State.ExitCode}} {{.State.OOMKilled}}')" "0 false"
container rm -f demo >/dev/null 2>&1
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
