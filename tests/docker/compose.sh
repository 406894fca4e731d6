#!/usr/bin/env bash
# The compose file, by podman-compose: Kafka, the two scripts, Prometheus and the schema registry, in a network of their own.
# Owns a folder with everything that it makes, and its containers. What is not run here: Grafana, for which there is nothing to make an image
# from; and the other images are made here under their names, from the jars of Kafka and of the schema registry with a Java of this machine, and
# from Debian's Prometheus, because no registry of images need be reached.
#
#   compose.sh FOLDER TIDEGATE KAFKA_LIBS TOOLS    the folder, the binary `tidegate`, the folder of the broker's jars, the jar of Kafka's commands;
#                                                  TIDEGATE_REGISTRY_HOME and TIDEGATE_REGISTRY_JAVA are those of the schema registry
set -euo pipefail
here="$(dirname "$(readlink -f "$0")")"
project="$(readlink -f "$here/../..")"
folder="$1" binary="$2" libs="$3" tools="$4"

# ---- images -----------------------------------------------------------------------------------------------------

image_of() { sed -n "s|^    image: \(docker.io/$1:.*\)|\1|p" "$project/docker/compose.yaml" | head -1; }

# with_java ROOT JAVA: the Java of this program, in ROOT.
with_java() {
  local root="$1" java
  java=$(dirname "$(dirname "$(readlink -f "$(command -v "$2")")")")
  mkdir -p "$root/opt" "$root/usr/lib"
  cp -rL "$java" "$root/opt/java" 2>/dev/null || true # links of an installation that is not whole lead nowhere
  rm -rf "$root"/opt/java/{jmods,man,include,lib/src.zip,lib/ct.sym}
  ldd "$java"/lib/{libjava,libzip,libnet}.so | sed -n 's/.*libz\.so\.1 => \([^ ]*\).*/\1/p' | head -1 | xargs -r cp -Lt "$root/usr/lib"
}

# On the base of tidegate's own image, with a shell.
kafka_image() {
  local root="$folder/kafka-image"
  rm -rf "$root" && mkdir -p "$root"/{bin,tmp,etc/kafka/docker,opt/kafka/bin}
  cp "$(command -v busybox)" "$root/bin/busybox"
  local name
  for name in sh env awk cat mkdir; do ln -s busybox "$root/bin/$name"; done
  with_java "$root" java
  mkdir "$root/opt/kafka/libs" && cp "$libs"/*.jar "$tools" "$root/opt/kafka/libs/"
  cat >"$root/etc/kafka/docker/run" <<'TEXT'
#!/bin/sh
# KAFKA_A_B=c is a.b=c, as in the image of this name.
set -e
env | awk -F= '/^KAFKA_/ { key = tolower(substr($1, 7)); gsub(/_/, ".", key); sub(/^[^=]*=/, ""); print key "=" $0 }' >/tmp/server.properties
echo log.dirs=/tmp/logs >>/tmp/server.properties
/opt/java/bin/java -Xmx128m -cp "/opt/kafka/libs/*" kafka.tools.StorageTool format --ignore-formatted -t tidegateTestBrokerAAAA -c /tmp/server.properties
exec /opt/java/bin/java -Xmx512m -XX:+UseSerialGC -cp "/opt/kafka/libs/*" kafka.Kafka /tmp/server.properties
TEXT
  cat >"$root/opt/kafka/bin/kafka-topics.sh" <<'TEXT'
#!/bin/sh
exec /opt/java/bin/java -Xmx128m -XX:+UseSerialGC -cp "/opt/kafka/libs/*" org.apache.kafka.tools.TopicCommand "$@"
TEXT
  chmod +x "$root/etc/kafka/docker/run" "$root/opt/kafka/bin/kafka-topics.sh"
  "$here/images.sh" layer "$folder" "$root" "$(image_of apache/kafka)" '{"cmd": ["/etc/kafka/docker/run"], "env": {"LD_LIBRARY_PATH": "/usr/lib"}}'
}

prometheus_image() {
  local root="$folder/prometheus-image"
  rm -rf "$root" && mkdir -p "$root"/{bin,prometheus,etc/prometheus}
  cp "$(command -v prometheus)" "$root/bin/prometheus"
  "$here/images.sh" layer "$folder" "$root" "$(image_of prom/prometheus)" \
    '{"entrypoint": ["/bin/prometheus"], "cmd": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"], "env": {}}'
}

registry_image() {
  local root="$folder/registry-image" jar
  rm -rf "$root" && mkdir -p "$root"/{tmp,opt}
  with_java "$root" "$TIDEGATE_REGISTRY_JAVA"
  cp -r "$TIDEGATE_REGISTRY_HOME" "$root/opt/registry"
  jar=$(cd "$root/opt/registry" && compgen -G 'quarkus-run.jar' || compgen -G '*-runner.jar')
  "$here/images.sh" layer "$folder" "$root" "$(image_of apicurio/apicurio-registry)" "{
    \"entrypoint\": [\"/opt/java/bin/java\", \"-Xmx384m\", \"-XX:+UseSerialGC\", \"-XX:TieredStopAtLevel=1\", \"-Dquarkus.http.host=0.0.0.0\", \"-jar\", \"/opt/registry/$jar\"],
    \"cmd\": [], \"env\": {\"LD_LIBRARY_PATH\": \"/usr/lib\"}}"
}

# ---- inside its network -----------------------------------------------------------------------------------------

compose() { "$here/images.sh" compose "$folder" -p tidegate-test -f "$project/docker/compose.yaml" "$@"; }

inside() {
  mount -t tmpfs tmpfs /run # podman's notes on networks and containers
  ip link set lo up
  export TIDEGATE_IMAGE=localhost/tidegate:test
  trap 'compose --profile registry down --volumes -t 5 >"$folder/compose-down.log" 2>&1' EXIT
  compose --profile registry up -d --no-build kafka topics generator pipeline prometheus registry >"$folder/compose-up.log" 2>&1 || { tail -20 "$folder/compose-up.log" >&2; return 1; }
  python3 "$here/compose.py" "$here/images.sh" "$folder"
}

if [ "${5:-}" = inside ]; then
  inside
else
  "$here/images.sh" build "$folder" "$binary" tidegate
  kafka_image
  prometheus_image
  registry_image
  exec unshare --net --mount bash "$here/compose.sh" "$folder" "$binary" "$libs" "$tools" inside
fi
