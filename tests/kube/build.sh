#!/usr/bin/env bash
# Builds helm from the Go module proxy, once. Version and checksums are pinned by go.mod and go.sum in programs/helm.
# Owns the folder of the binary.
#
#   build.sh FOLDER
#
# About two minutes of CPU time; the build cache is deleted afterwards.
set -euo pipefail
here="$(dirname "$(readlink -f "$0")")"
bin="$1"
mkdir -p "$bin"
# A build cache of its own, which can be deleted without touching the user's.
export GOTOOLCHAIN=auto CGO_ENABLED=0 GOFLAGS="-mod=readonly -trimpath -buildvcs=false" GOCACHE="$bin/build-cache"
printf 'building helm ...\n' >&2
(cd "$here/programs/helm" && go build -ldflags "-s -w" -o "$bin/helm.new" helm.sh/helm/v3/cmd/helm)
mv "$bin/helm.new" "$bin/helm"
rm -rf "$GOCACHE"
