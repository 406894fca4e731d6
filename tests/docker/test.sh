#!/usr/bin/env bash
# The images as users run them: linted, built by buildah, run by podman as nobody, with a read-only root, no capabilities and a memory limit.
# Owns a folder with everything that it makes. What is not run here: the stages that compile (images.sh), and Docker itself.
#
#   test.sh FOLDER TIDEGATE WHEEL    the folder, the binary `tidegate`, and the wheel of the Python package; hadolint, buildah, podman and promtool are
#                                    in the PATH
set -uo pipefail
here="$(dirname "$(readlink -f "$0")")"
folder="$1" binary="$2" wheel="$3" sbom=/usr/local/share/sbom/program.cdx.json port=$((20000 + RANDOM % 12000)) passed=0 failed=0
images() { "$here/images.sh" "$@"; }

# check NAME COMMAND..
check() {
  local name="$1" said
  shift
  if said=$("$@" 2>&1); then passed=$((passed + 1)); echo "ok     $name"; else failed=$((failed + 1)); echo "FAILED $name: $said"; fi
}

container() { images podman "$folder" "$@"; }
status_of() { container inspect "$running" --format "$1"; }
is() { [ "$1" = "$2" ] || { echo "$1, not $2"; return 1; }; }
field() { sed -n "s/^$1:\t\([^\t]*\).*/\1/p" "/proc/$(status_of '{{.State.Pid}}')/status"; }
answers() { local try; for try in $(seq 120); do curl -sf "http://127.0.0.1:$port/readyz" && return; sleep 0.5; done; container logs "$running"; return 1; }
follows() {
  local said
  said=$(container run --rm --network host --read-only --cap-drop ALL --memory 512m "localhost/$image:test" config show --application-id a --origin) || { echo "$said"; return 1; }
  grep -E "^--state-memory-bytes +$1 +default, by the memory limit" <<<"$said" || { grep memory <<<"$said"; return 1; }
}
metrics() { curl -sf "http://127.0.0.1:$port/metrics" >"$folder/metrics" && grep -q tidegate_build_info "$folder/metrics" && promtool check metrics <"$folder/metrics"; }
materials() {
  local id
  id=$(container create localhost/tidegate:test) && container cp "$id:$sbom" "$folder/sbom.cdx.json" && container rm "$id" >/dev/null &&
    (cd "$here/../.." && python3 tests/docker/sbom.py "$folder/sbom.cdx.json")
}
# closed ARGUMENTS..: outside of the container nobody reads the page unless it is told who may.
closed() {
  local said
  said=$(container run --rm --timeout 60 --network host --read-only --cap-drop ALL --tmpfs /tmp --env "TIDEGATE_ADMIN_BIND=0.0.0.0:$((port + 2))" "$@" 2>&1) &&
    { echo "it started: $said"; return 1; }
  grep -q 'next: set a token' <<<"$said" || { echo "$said"; return 1; }
}
counts() { local try; for try in $(seq 60); do curl -sf "http://127.0.0.1:$port/metrics" | grep -q '^tidegate_records_in_total{.*} [1-9]' && return; sleep 0.5; done; return 1; }

says() { local try; for try in $(seq 60); do container logs "$running" 2>&1 | grep -qF "$1" && return; sleep 0.5; done; container logs "$running"; return 1; }

# starts ARGUMENTS..: runs the image, and waits until its program is ready.
starts() {
  running="$image"
  check "$image starts, read-only, without capabilities, in 512 MiB" container run -d --name "$running" --network host --read-only --cap-drop ALL \
    --security-opt no-new-privileges --memory 512m --tmpfs /tmp "$@"
  check "it is ready" answers
}

# What the kernel makes of it.
is_confined() {
  check "its metrics are well-formed" metrics
  check "it is user 65532" is "$(field Uid)" 65532
  check "it has no capabilities" is "$(field CapEff)" 0000000000000000
  check "it gains no privileges" is "$(field NoNewPrivs)" 1
  check "its root is read-only" is "$(status_of '{{.HostConfig.ReadonlyRootfs}}')" true
  check "its memory is limited" is "$(status_of '{{.HostConfig.Memory}}')" 536870912
  check "which decides how much state takes" follows 50331648
}

ends() {
  check "SIGTERM ends it" container stop -t 30 "$running"
  check "in order" is "$(status_of '{{.State.ExitCode}} {{.State.OOMKilled}}')" "0 false"
}

# program FILE ARGUMENTS..: the command of the image with the Python package, on a program of this folder.
program() {
  local file="$1"
  shift
  container run --rm --network host --read-only --cap-drop ALL --memory 512m --tmpfs /tmp --volume "$file:/etc/tidegate/pipeline.py:ro" \
    localhost/tidegate-python:test "$@"
}

refused() {
  local said
  sed 's/^from tidegate.pyspark.streaming/import numpyy\nfrom tidegate.pyspark.steaming/' "$here/pipeline.py" >"$folder/wrong.py"
  said=$(program "$folder/wrong.py" check --script /etc/tidegate/pipeline.py --application-id a 2>&1) && { echo "it was accepted: $said"; return 1; }
  for text in "pipeline.py:4: \`import numpyy\` fails" "pipeline.py:5:" "pip install"; do grep -qF "$text" <<<"$said" || { echo "no '$text' in: $said"; return 1; }; done
}

for file in Dockerfile Dockerfile.program Dockerfile.python; do check "hadolint: $file" hadolint "$here/../../docker/$file"; done

image=tidegate
check "the image $image is built" images build "$folder" "$binary" $image
check "its label names the bill of materials" is "$(container inspect --type image localhost/tidegate:test --format '{{index .Labels "tidegate.sbom"}}')" "$sbom"
check "which is complete" materials
check "for others it does not start without a word on who may read" closed localhost/tidegate:test demo --seconds 1
starts localhost/tidegate:test demo --rate 2000 --admin-bind "127.0.0.1:$port"
check "it counts" counts
is_confined
ends
container rm -f "$running" >/dev/null 2>&1

image=tidegate-python port=$((port + 1))
check "the image $image is built" images python "$folder" "$wheel" $image
check "a program is checked" program "$here/pipeline.py" check --script /etc/tidegate/pipeline.py --application-id a
check "one with mistakes is refused, with their lines" refused
check "for others it does not start without a word on who may read" closed --volume "$here/pipeline.py:/etc/tidegate/pipeline.py:ro" \
  --env TIDEGATE_APPLICATION_ID=words localhost/tidegate-python:test run /etc/tidegate/pipeline.py
starts --volume "$here/pipeline.py:/etc/tidegate/pipeline.py:ro" --env TIDEGATE_APPLICATION_ID=words --env "TIDEGATE_ADMIN_BIND=127.0.0.1:$port" \
  localhost/tidegate-python:test run /etc/tidegate/pipeline.py
check "it counts" says "('tide', 4)"
is_confined
ends
check "and lets the program end" says "ended in order"
container rm -f "$running" >/dev/null 2>&1
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
