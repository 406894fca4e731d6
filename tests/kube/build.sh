#!/usr/bin/env bash
# Builds the programs of a Kubernetes node from the Go module proxy, once: helm, etcd, and five programs of Kubernetes.
# Owns the folder of binaries. Versions and checksums are pinned by go.mod and go.sum below programs/. Knows nothing of the
# cluster that they make.
#
#   build.sh FOLDER     binaries that are there already are not built again
#
# About 17 minutes of CPU time, 0.8 GB of downloads, 4 GB of build cache (deleted afterwards), 0.55 GB of binaries.
# TIDEGATE_KUBE_JOBS=n (default: all cores) limits how many packages are compiled at once.
set -euo pipefail
here="$(dirname "$(readlink -f "$0")")"
bin="$1"
mkdir -p "$bin"
export GOTOOLCHAIN=auto CGO_ENABLED=0 GOFLAGS="-mod=readonly -trimpath -buildvcs=false"
# A build cache of its own, which can be deleted without touching the user's.
export GOCACHE="$bin/build-cache"
version=$(sed -n 's/^require k8s.io\/kubernetes v//p' "$here/programs/kubernetes/go.mod")
name=k8s.io/component-base/version
stamp="-s -w -X $name.gitVersion=v$version -X $name.gitMajor=${version%%.*} -X $name.gitMinor=$(cut -d. -f2 <<<"$version") -X $name.gitTreeState=clean"

# build MODULE PROGRAM PACKAGE: the binary appears under its name only when it is whole.
build() {
  local started=$SECONDS
  [ -x "$bin/$2" ] && return
  printf 'building %s ...\n' "$2" >&2
  (cd "$here/programs/$1" && go build -p "${TIDEGATE_KUBE_JOBS:-$(nproc)}" -ldflags "$stamp" -o "$bin/$2.new" "$3")
  mv "$bin/$2.new" "$bin/$2"
  printf 'built %s in %d s\n' "$2" $((SECONDS - started)) >&2
}

build helm helm helm.sh/helm/v3/cmd/helm
build etcd etcd go.etcd.io/etcd/server/v3
for program in kube-apiserver kubectl kube-controller-manager kube-scheduler kubelet; do
  build kubernetes "$program" "k8s.io/kubernetes/cmd/$program"
done
rm -rf "$GOCACHE"
touch "$bin/.complete"
