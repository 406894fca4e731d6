#!/usr/bin/env bash
# Builds the programs of a Kubernetes node from the Go module proxy, once: helm, helm-docs, etcd, and five programs of Kubernetes.
# Owns the folder of binaries. Versions and checksums are pinned by go.mod and go.sum below programs/. Knows nothing of the
# cluster that they make.
#
#   build.sh FOLDER all|helm    `helm`: that and helm-docs; binaries that are there already are not built again
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
version=$(sed -n 's/^.*k8s.io\/kubernetes v\([0-9.]*\).*/\1/p' "$here/programs/kubernetes/go.mod")
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
build helm-docs helm-docs github.com/norwoodj/helm-docs/cmd/helm-docs
[ "$2" = helm ] && exit
build etcd etcd go.etcd.io/etcd/server/v3
for program in kube-apiserver kubectl kube-controller-manager kube-scheduler kubelet; do
  build kubernetes "$program" "k8s.io/kubernetes/cmd/$program"
done

# The definitions of the kinds of Prometheus' operator, KEDA and the Gateway API, which lie in their modules.
crds() { # MODULE FOLDER NAME..
  local folder name
  folder=$(go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  for name in "${@:3}"; do cp "$folder/$2/$name" "$bin/crds.new/"; done
}
if [ ! -d "$bin/crds" ]; then
  rm -rf "$bin/crds.new" && mkdir "$bin/crds.new"
  crds github.com/prometheus-operator/prometheus-operator@v0.85.0 example/prometheus-operator-crd \
    monitoring.coreos.com_{servicemonitors,podmonitors,prometheusrules}.yaml
  crds github.com/kedacore/keda/v2@v2.21.0 config/crd/bases keda.sh_scaledobjects.yaml
  crds sigs.k8s.io/gateway-api@v1.6.3 config/crd/standard gateway.networking.k8s.io_httproutes.yaml
  chmod -R u+w "$bin/crds.new" && mv "$bin/crds.new" "$bin/crds"
fi
rm -rf "$GOCACHE"
touch "$bin/.complete"
