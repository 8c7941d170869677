"""What a node of Kubernetes consists of, and the words with which each of its programs is started in a network of its own."""

from __future__ import annotations

from collections.abc import Sequence

FOLDER = "/run/kubernetes"  # of the nested machine
KUBECONFIG = f"{FOLDER}/kubeconfig"
KUBELET = f"{FOLDER}/kubelet"
NODE = "node1"
ADDRESS = "10.78.0.1"
SERVICES = "10.96.0.0/24"
#: Where pods look for the API. There is no kube-proxy, so the machine has this address itself
API = "10.96.0.1"
PORT = 443  # of API, and so of ADDRESS
PODS = "10.79.0.0/24"
PAUSE_IMAGE = "nested/pause:1"
RUNC = f"{FOLDER}/runc"
NETWORKS = f"{FOLDER}/networks"
ETCD = "http://127.0.0.1:2379"
KEY, TOKENS, CERTIFICATES = f"{FOLDER}/accounts.key", f"{FOLDER}/tokens", f"{FOLDER}/certificates"
CERTIFICATE = f"{CERTIFICATES}/apiserver.crt"
#: The kubelet writes these, which are the outer machine's, unless it finds them like this
SYSCTLS = {
	"vm/overcommit_memory": "1",
	"vm/panic_on_oom": "0",
	"kernel/panic": "10",
	"kernel/panic_on_oops": "1",
	"kernel/keys/root_maxkeys": "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}
NETWORK = {
	"cniVersion": "0.3.1",
	"name": "pods",
	"type": "bridge",
	"bridge": "pods",
	"isGateway": True,
	"ipam": {"type": "host-local", "subnet": PODS, "routes": [{"dst": "0.0.0.0/0"}]},
}
#: As whoever has the file may do everything
CONFIGURATION = {
	"apiVersion": "v1",
	"kind": "Config",
	"clusters": [
		{
			"name": NODE,
			"cluster": {"server": f"https://{ADDRESS}:{PORT}", "certificate-authority": CERTIFICATE},
		}
	],
	"contexts": [{"name": NODE, "context": {"cluster": NODE, "user": "admin"}}],
	"current-context": NODE,
}
#: runc for a machine without CAP_SYS_RESOURCE, where nobody may become less likely to be killed for memory
RUNC_SCRIPT = """\
#!/bin/sh
for word; do
	if [ "$option" = --bundle ]; then
		sed -i 's/"oomScoreAdj":-[0-9]*/"oomScoreAdj":0/' "$word/config.json"
	fi
	option=$word
done
exec /usr/sbin/runc "$@"
"""
DOCKERD = (f"--add-runtime=nested={RUNC}", "--default-runtime=nested")


def etcd() -> Sequence[str]:
	urls = [f"--listen-client-urls={ETCD}", f"--advertise-client-urls={ETCD}"]
	return ["etcd", f"--data-dir={FOLDER}/etcd", *urls, "--listen-peer-urls=http://127.0.0.1:2380"]


def apiserver() -> Sequence[str]:
	return [
		"kube-apiserver",
		f"--etcd-servers={ETCD}",
		f"--advertise-address={ADDRESS}",
		"--bind-address=0.0.0.0",
		f"--secure-port={PORT}",
		f"--service-cluster-ip-range={SERVICES}",
		f"--cert-dir={CERTIFICATES}",
		"--authorization-mode=RBAC",
		f"--token-auth-file={TOKENS}",
		"--service-account-issuer=https://kubernetes.default.svc",
		f"--service-account-signing-key-file={KEY}",
		f"--service-account-key-file={KEY}",
		"--allow-privileged=true",
		"--kubelet-preferred-address-types=InternalIP",
	]


def controller_manager() -> Sequence[str]:
	return [
		"kube-controller-manager",
		*_client(),
		f"--service-account-private-key-file={KEY}",
		f"--root-ca-file={CERTIFICATE}",
		"--use-service-account-credentials=true",
		"--horizontal-pod-autoscaler-sync-period=2s",
		"--pvclaimbinder-sync-period=1s",  # a claim that comes together with its volume is not bound at once
	]


def scheduler() -> Sequence[str]:
	return ["kube-scheduler", *_client()]


def _client() -> Sequence[str]:
	return [f"--kubeconfig={KUBECONFIG}", "--leader-elect=false", "--bind-address=127.0.0.1", "--port=0"]


def kubelet() -> Sequence[str]:
	"""It is nobody else's network, so whoever is in it may ask it everything. It measures no disk, and has no cgroups to limit."""
	return [
		"kubelet",
		f"--kubeconfig={KUBECONFIG}",
		f"--root-dir={KUBELET}",
		f"--cert-dir={FOLDER}/kubelet-certificates",
		f"--hostname-override={NODE}",
		f"--node-ip={ADDRESS}",
		f"--pod-infra-container-image={PAUSE_IMAGE}",
		"--network-plugin=cni",
		"--cni-bin-dir=/usr/lib/cni",
		f"--cni-conf-dir={NETWORKS}",
		"--cgroups-per-qos=false",
		"--enforce-node-allocatable=",
		"--cgroup-driver=cgroupfs",
		"--fail-swap-on=false",
		"--oom-score-adj=0",
		"--eviction-hard=",
		"--image-gc-high-threshold=100",
		"--anonymous-auth=true",
		"--authorization-mode=AlwaysAllow",
		"--read-only-port=0",
	]
