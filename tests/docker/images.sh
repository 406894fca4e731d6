#!/usr/bin/env bash
# Images without a registry: bases of the same names as the Dockerfiles', made of Debian's packages, and the last stage of
# docker/Dockerfile around a binary that cargo has built already, or of docker/Dockerfile.python around a wheel.
# Owns a folder with an image store of its own. Invariant: the Dockerfiles are used as they are. Their first stages, which compile, are not run:
# `--build-context` puts an image with the binary, or the wheel, in place of the stage `build`.
#
#   images.sh build FOLDER BINARY NAME    builds localhost/NAME:test, and writes it to FOLDER/NAME.tar
#   images.sh python FOLDER WHEEL NAME    the same for a wheel
#   images.sh pause FOLDER                the process that holds a pod's namespaces, as localhost/pause:test, in FOLDER/pause.tar
#   images.sh layer FOLDER FILES NAME CONFIG  the base with the files of a folder on top, as NAME; CONFIG is JSON: entrypoint, cmd, env
#   images.sh podman FOLDER ARGUMENTS..   podman on that store
#   images.sh compose FOLDER ARGUMENTS..  podman-compose on that store
set -euo pipefail
here="$(dirname "$(readlink -f "$0")")"
project="$here/../.."
DISTROLESS=gcr.io/distroless/cc-debian12:nonroot
# That of Debian 12.
PYTHON=3.11
SLIM=docker.io/library/python:$PYTHON-slim-bookworm

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

# unpack FOLDER PACKAGE...: what is in these packages of Debian.
unpack() {
  local root="$1" packages="$store/packages" package
  shift
  rm -rf "$root" "$packages" && mkdir -p "$root" "$packages"
  (cd "$packages" && apt-get download -qq "$@" >/dev/null)
  for package in "$packages"/*.deb; do dpkg-deb -x "$package" "$root"; done
  cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
  mkdir -p "$root/tmp" && chmod 1777 "$root/tmp"
}

# The packages that Google's image of this name has.
distroless() {
  buildah inspect --type image "$DISTROLESS" >/dev/null 2>&1 && return
  local root="$store/distroless"
  unpack "$root" base-files netbase tzdata ca-certificates libc6 libssl3 libgcc-s1 libstdc++6 libgomp1
  echo 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' >"$root/etc/passwd"
  echo 'nonroot:x:65532:' >"$root/etc/group"
  mkdir -p "$root/home/nonroot" && chown 65532:65532 "$root/home/nonroot"
  from_folder "$root" "$DISTROLESS"
}

# A Python with pip and a shell, and what both need; Docker's own image of this name has its Python in another folder, and more of Debian.
slim() {
  buildah inspect --type image "$SLIM" >/dev/null 2>&1 && return
  local root="$store/slim"
  unpack "$root" base-files netbase tzdata ca-certificates media-types dash libc6 libssl3 libgcc-s1 libstdc++6 libexpat1 zlib1g libbz2-1.0 liblzma5 \
    libffi8 libuuid1 libcrypt1 libsqlite3-0 python$PYTHON-minimal libpython$PYTHON-minimal python$PYTHON libpython$PYTHON-stdlib python3-minimal python3 \
    python3-pip python3-setuptools python3-pkg-resources python3-wheel python3-distutils python3-lib2to3
  # Docker's image lets pip install.
  rm -f "$root/usr/lib/python$PYTHON/EXTERNALLY-MANAGED"
  ln -sf dash "$root/bin/sh"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  echo 'root:x:0:' >"$root/etc/group"
  from_folder "$root" "$SLIM"
}

# image DOCKERFILE NAME ARGUMENTS..: the last stage of a Dockerfile; what the stage `build` makes is in the folder `built`.
image() {
  local file="$1" name="$2"
  shift 2
  from_folder "$store/built" localhost/built:test
  buildah bud --quiet --pull=never --network=host --build-context build=docker-image://localhost/built:test "$@" \
    -f "$project/docker/$file" -t "localhost/$name:test" "$project" >/dev/null
  rm -f "$store/$name.tar"
  buildah push --quiet "localhost/$name:test" "docker-archive:$store/$name.tar:localhost/$name:test"
  without_former
}

build() {
  distroless
  rm -rf "$store/built" && mkdir -p "$store/built/out/state"
  strip -o "$store/built/out/program" "$1"
  image Dockerfile "$2"
}

python() {
  slim
  rm -rf "$store/built" && mkdir -p "$store/built/out/state" "$store/built/out/wheels"
  cp "$1" "$store/built/out/wheels/"
  image Dockerfile.python "$2" --build-arg "PYTHON=$PYTHON"
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
  python) python "$@" ;;
  pause) pause ;;
  layer) layer "$@" ;;
  podman) exec podman "$@" ;;
  compose) exec podman-compose "$@" ;;
esac
