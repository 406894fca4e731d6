#!/usr/bin/env bash
# A Kubernetes cluster of one node, and a Kafka beside it, in namespaces of their own: network, mounts, processes.
# Owns these processes and the folder of their data. Knows nothing of charts and tests.
#
#   cluster.sh up HOME BIN KAFKA_LIBS IMAGE...  starts it, and returns when the node is ready; HOME/env names what a client needs
#   cluster.sh in HOME COMMAND...               runs a command inside
#   cluster.sh down HOME                        ends everything and deletes HOME
#
# Invariants: the machine's own network, mounts and firewall are not touched. Whatever happens, the end of the first process
# inside ends all others. What is left of it outside are folders below HOME and empty cgroups, which `down` removes.
set -euo pipefail
here="$(dirname "$(readlink -f "$0")")"
ADDRESS=10.244.7.1 # of the bridge: the node, the API server and Kafka

die() { printf 'cluster: %s\n' "$*" >&2; exit 1; }

# wait_for SECONDS WHAT COMMAND...
wait_for() {
  local seconds="$1" what="$2" end
  shift 2
  end=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || die "$what: not within $seconds s (logs: $home/log)"
    sleep 0.2
  done
}

# ---- inside -----------------------------------------------------------------------------------------------------

certificates() {
  cd "$home/pki"
  openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 30 -subj /CN=cluster 2>/dev/null
  openssl genrsa -out sa.key 2048 2>/dev/null
  printf 'subjectAltName=IP:127.0.0.1,IP:%s,IP:10.0.0.1,DNS:localhost\n' "$ADDRESS" >extensions
  certificate api /CN=kube-apiserver -extfile extensions
  local pair
  for pair in admin=/O=system:masters/CN=admin manager=/CN=system:kube-controller-manager scheduler=/CN=system:kube-scheduler \
    node=/O=system:nodes/CN=system:node:n1; do
    certificate "${pair%%=*}" "${pair#*=}"
    kubeconfig "${pair%%=*}"
  done
  cd "$home"
}

certificate() { # NAME SUBJECT [OPTIONS..]
  openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -out "$1.crt" -days 30 "${@:3}" 2>/dev/null
}

kubeconfig() {
  cat >"$1.kubeconfig" <<TEXT
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443", certificate-authority: $PWD/ca.crt}}]
users: [{name: u, user: {client-certificate: $PWD/$1.crt, client-key: $PWD/$1.key}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
TEXT
}

# What containerd, kubelet and their plugins write to fixed places is of this cluster only.
folders() {
  mkdir "$home/var" "$home/var-work"
  mount -t overlay -o "lowerdir=/var,upperdir=$home/var,workdir=$home/var-work" overlay /var
  mount -t tmpfs tmpfs /run
}

network() {
  ip link set lo up
  ip link add tg0 type bridge
  ip addr add "$ADDRESS/24" dev tg0
  ip link set tg0 up
  mkdir -p "$home/cni/conf" "$home/cni/addresses"
  cat >"$home/cni/conf/10-tg.conflist" <<TEXT
{"cniVersion": "1.0.0", "name": "tg", "plugins": [{"type": "bridge", "bridge": "tg0", "isGateway": true, "hairpinMode": true,
 "ipam": {"type": "host-local", "dataDir": "$home/cni/addresses", "ranges": [[{"subnet": "10.244.7.0/24", "gateway": "$ADDRESS"}]],
 "routes": [{"dst": "0.0.0.0/0"}]}}]}
TEXT
}

kafka() {
  cp -r "$libs/formatted" "$home/kafka"
  { cat "$here/../broker/kafka/server.properties"
    echo "listeners=PLAINTEXT://$ADDRESS:9092,CONTROLLER://127.0.0.1:9093"
    echo "controller.quorum.voters=1@127.0.0.1:9093"
    echo "log.dirs=$home/kafka"; } >"$home/kafka.properties"
  java -Xms256m -Xmx512m -XX:+UseSerialGC -cp "$libs/*" kafka.Kafka "$home/kafka.properties" >"$home/log/kafka" 2>&1 &
}

control_plane() {
  local pki="$home/pki"
  "$bin/etcd" --data-dir "$home/etcd" --unsafe-no-fsync --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster default=http://127.0.0.1:2380 >"$home/log/etcd" 2>&1 &
  "$bin/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --secure-port=6443 --advertise-address="$ADDRESS" \
    --service-cluster-ip-range=10.0.0.0/24 --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/api.crt" --tls-private-key-file="$pki/api.key" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --service-account-key-file="$pki/sa.key" \
    --service-account-signing-key-file="$pki/sa.key" --service-account-issuer=https://kubernetes.default.svc --endpoint-reconciler-type=none \
    --kubelet-preferred-address-types=InternalIP --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key" \
    >"$home/log/kube-apiserver" 2>&1 &
  wait_for 120 "the API server" "$bin/kubectl" get --raw /readyz
  "$bin/kube-controller-manager" --kubeconfig="$pki/manager.kubeconfig" --service-account-private-key-file="$pki/sa.key" \
    --root-ca-file="$pki/ca.crt" --use-service-account-credentials=true --leader-elect=false --bind-address=127.0.0.1 \
    --authentication-kubeconfig="$pki/manager.kubeconfig" --authorization-kubeconfig="$pki/manager.kubeconfig" \
    >"$home/log/kube-controller-manager" 2>&1 &
  "$bin/kube-scheduler" --kubeconfig="$pki/scheduler.kubeconfig" --leader-elect=false --bind-address=127.0.0.1 \
    --authentication-kubeconfig="$pki/scheduler.kubeconfig" --authorization-kubeconfig="$pki/scheduler.kubeconfig" \
    >"$home/log/kube-scheduler" 2>&1 &
}

container_runtime() {
  cat >"$home/containerd.toml" <<TEXT
version = 2
root = "$home/containerd/root"
state = "$home/containerd/state"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "$home/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$home/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:test"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "/usr/sbin/runc"
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$home/cni/conf"
TEXT
  containerd --config "$home/containerd.toml" >"$home/log/containerd" 2>&1 &
  wait_for 60 containerd ctr -a "$home/containerd.sock" version
  local image
  for image in "$@"; do
    ctr -a "$home/containerd.sock" -n k8s.io images import "$image" >>"$home/log/images" 2>&1 || die "cannot import $image"
  done
}

node() {
  cat >"$home/kubelet.yaml" <<TEXT
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $ADDRESS
port: 10250
healthzPort: 10248
healthzBindAddress: 127.0.0.1
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: $home/pki/ca.crt}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
enforceNodeAllocatable: []
cgroupsPerQOS: true
oomScoreAdj: 0
containerRuntimeEndpoint: unix://$home/containerd.sock
registerNode: true
volumePluginDir: $home/kubelet/plugins
serverTLSBootstrap: false
syncFrequency: 5s
nodeStatusUpdateFrequency: 5s
maxPods: 50
# The images cannot be fetched again, however full the disk is.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 64Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
TEXT
  "$bin/kubelet" --config="$home/kubelet.yaml" --kubeconfig="$home/pki/node.kubeconfig" --hostname-override=n1 --node-ip="$ADDRESS" \
    --root-dir="$home/kubelet" --cert-dir="$home/kubelet-pki" >"$home/log/kubelet" 2>&1 &
  wait_for 120 "the node" "$bin/kubectl" wait --for=condition=Ready node/n1 --timeout=1s
}

# The first process inside: starts everything, says so, and stays.
inside() {
  home="$1" bin="$2" libs="$3"
  shift 3
  export KUBECONFIG="$home/pki/admin.kubeconfig" PATH="$bin:$PATH:/usr/sbin:/sbin"
  trap 'exit 0' TERM INT
  folders
  certificates
  network
  kafka
  control_plane
  container_runtime "$@"
  node
  wait_for 120 Kafka bash -c "exec 3<>/dev/tcp/$ADDRESS/9092"
  touch "$home/ready"
  while :; do sleep 3600 & wait $!; done
}

# ---- outside ----------------------------------------------------------------------------------------------------

first_process() { local pid; pid=$(cat "$home/pid" 2>/dev/null) && grep -qz "^$home$" "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"; }

up() {
  home="$1"
  first_process >/dev/null && die "it is up already"
  rm -rf "$home" && mkdir -p "$home"/{log,pki}
  local holder waited=0
  # unshare stays outside as the parent; its child is process 1 inside, and dies with it.
  setsid unshare --net --mount --pid --ipc --fork --kill-child=SIGKILL --mount-proc bash "$here/cluster.sh" inside "$@" \
    </dev/null >"$home/log/cluster" 2>&1 &
  holder=$!
  echo "$holder" >"$home/holder"
  until [ -e "$home/ready" ]; do
    kill -0 "$holder" 2>/dev/null || { cat "$home/log/cluster" >&2; die "it did not start (logs: $home/log)"; }
    [ $((waited += 1)) -lt 3000 ] || { down "$home"; die "it did not start within five minutes"; }
    [ -e "$home/pid" ] || pgrep -P "$holder" >"$home/pid" || rm -f "$home/pid"
    sleep 0.1
  done
}

run_inside() {
  home="$1"
  shift
  local pid
  pid=$(first_process) || die "it is not up"
  # Another mount namespace begins in its own root folder.
  exec nsenter --target "$pid" --net --mount --pid --ipc env --chdir="$PWD" "$@"
}

down() {
  home="$1"
  local pid waited=0
  if pid=$(first_process); then
    kill -9 "$pid"
    while kill -0 "$pid" 2>/dev/null; do [ $((waited += 1)) -lt 200 ] || break; sleep 0.1; done
  fi
  # What is mounted below HOME was mounted inside, and went with it.
  local attempt group
  for attempt in 1 2 3 4 5; do
    rm -rf "$home" 2>/dev/null && break
    sleep 1
  done
  for group in /sys/fs/cgroup/*/kubepods /sys/fs/cgroup/kubepods; do
    [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
  [ ! -e "$home" ] || die "cannot delete $home"
}

case "${1:-}" in
  up) shift; up "$@" ;;
  in) shift; run_inside "$@" ;;
  down) shift; down "$@" ;;
  inside) shift; inside "$@" ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
