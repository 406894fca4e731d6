#!/usr/bin/env bash
# Images without a registry: a base of the same name as the Dockerfile's, made of Debian's packages, and the last stage of
# docker/Dockerfile around a binary that cargo has built already.
# Owns a folder with an image store of its own. Invariant: the Dockerfile is used as it is. Its first stages, which compile, are not run:
# `--build-context` puts an image with the binary in place of the stage `build`.
#
#   images.sh build FOLDER BINARY NAME    builds localhost/NAME:test, and writes it to FOLDER/NAME.tar
#   images.sh pause FOLDER                the process that holds a pod's namespaces, as localhost/pause:test, in FOLDER/pause.tar
#   images.sh layer FOLDER FILES NAME CONFIG  the base with the files of a folder on top, as NAME; CONFIG is JSON: entrypoint, cmd, env
#   images.sh podman FOLDER ARGUMENTS..   podman on that store
#   images.sh compose FOLDER ARGUMENTS..  podman-compose on that store
set -euo pipefail
here="$(dirname "$(readlink -f "$0")")"
project="$here/../.."
DISTROLESS=gcr.io/distroless/cc-debian12:nonroot

# settings FOLDER: what buildah and podman need where there is no systemd, and where limits cannot be raised.
settings() {
  store="$1"
  mkdir -p "$store"
  cat >"$store/containers.conf" <<TEXT
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
network_config_dir = "$store/networks"
TEXT
  cat >"$store/storage.conf" <<TEXT
[storage]
driver = "overlay"
graphroot = "$store/images"
runroot = "$store/run"
TEXT
  export CONTAINERS_CONF="$store/containers.conf" CONTAINERS_STORAGE_CONF="$store/storage.conf" BUILDAH_ISOLATION=chroot
}

# from_folder FOLDER IMAGE: an image with these files.
from_folder() {
  local container
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$1" / >/dev/null
  buildah config --env PATH=/usr/local/bin:/usr/bin:/bin --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "$container"
  buildah commit --quiet "$container" "$2" >/dev/null
  buildah rm "$container" >/dev/null
}

# The packages that Google's image of this name has.
distroless() {
  buildah inspect --type image "$DISTROLESS" >/dev/null 2>&1 && return
  local root="$store/distroless" packages="$store/packages" package
  rm -rf "$root" "$packages" && mkdir -p "$root" "$packages"
  (cd "$packages" && apt-get download -qq base-files netbase tzdata ca-certificates libc6 libssl3 libgcc-s1 libstdc++6 libgomp1 >/dev/null)
  for package in "$packages"/*.deb; do dpkg-deb -x "$package" "$root"; done
  cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
  echo 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' >"$root/etc/passwd"
  echo 'nonroot:x:65532:' >"$root/etc/group"
  mkdir -p "$root/home/nonroot" "$root/tmp" && chmod 1777 "$root/tmp" && chown 65532:65532 "$root/home/nonroot"
  from_folder "$root" "$DISTROLESS"
}

build() {
  local binary="$1" name="$2" out="$store/built"
  distroless
  rm -rf "$out" && mkdir -p "$out/out/state"
  strip -o "$out/out/program" "$binary"
  (cd "$project" && python3 docker/sbom.py >"$out/out/sbom.cdx.json")
  from_folder "$out" localhost/built:test
  buildah bud --quiet --pull=never --network=host --build-context build=docker-image://localhost/built:test \
    -f "$project/docker/Dockerfile" -t "localhost/$name:test" "$project" >/dev/null
  rm -f "$store/$name.tar"
  buildah push --quiet "localhost/$name:test" "docker-archive:$store/$name.tar:localhost/$name:test"
  without_former
}

# What an image of the same name replaced has no name any more, and would stay for ever.
without_former() { buildah rmi --prune >/dev/null 2>&1 || true; }

pause() {
  local out="$store/pause"
  rm -rf "$out" "$store/pause.tar" && mkdir -p "$out"
  cc -Os -static -o "$out/pause" "$here/../kube/pause.c"
  local container
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$out" / >/dev/null
  buildah config --entrypoint '["/pause"]' --user 65535:65535 "$container"
  buildah commit --quiet "$container" localhost/pause:test >/dev/null
  buildah rm "$container" >/dev/null
  buildah push --quiet localhost/pause:test "docker-archive:$store/pause.tar:localhost/pause:test"
  without_former
}

layer() {
  local container config="$3" pair options=()
  distroless
  container=$(buildah from "$DISTROLESS")
  buildah add --quiet "$container" "$1" / >/dev/null
  field() { python3 -c 'import json, sys; v = json.loads(sys.argv[1]).get(sys.argv[2]); print(json.dumps(v) if isinstance(v, list) else "\n".join(f"{k}={v[k]}" for k in v or {}))' "$config" "$1"; }
  while read -r pair; do [ -z "$pair" ] || options+=(--env "$pair"); done < <(field env)
  # An entry point deletes the command, so the command comes after it.
  buildah config "${options[@]}" --entrypoint "$(field entrypoint)" "$container"
  buildah config --cmd "$(field cmd)" "$container"
  buildah commit --quiet "$container" "$2" >/dev/null
  buildah rm "$container" >/dev/null
  without_former
}

command="$1"
settings "$2"
shift 2
case "$command" in
  build) build "$@" ;;
  pause) pause ;;
  layer) layer "$@" ;;
  podman) exec podman "$@" ;;
  compose) exec podman-compose "$@" ;;
esac
