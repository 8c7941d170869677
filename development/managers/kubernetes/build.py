"""
The programs of a Kubernetes node, built from Debian's source package with Debian's compiler in a nested machine. They are kept in
the cache: python3 -m development.managers.kubernetes build builds those that are not there.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from development.description import ROOT
from development.errors import PackagesMissing
from development.managers.docker import install
from development.managers.nested import NestedMachine
from development.progress import Progress

#: A checkout may share its cache with another one by a link, which leads nowhere in a nested machine
CACHE = (ROOT / "cache").resolve() / "kubernetes"
VERSION = "1.20.2"
#: name → about how many minutes of two cores its build takes after those before it
PROGRAMS = {
	"kubectl": 2,
	"kube-apiserver": 6,
	"kube-controller-manager": 2,
	"kube-scheduler": 1,
	"kubelet": 4,
}
PAUSE = "pause"  # the first process of each pod
COMPILERS = ("golang-go", "gcc", "libc6-dev", "dpkg-dev", "xz-utils")
#: Debian's own lists of packages, in the order in which they are looked for
LISTS = ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list")
GOPATH = Path("/build/go")
SOURCE = GOPATH / "src/k8s.io/kubernetes"
#: Go refuses the old list of vendored modules, so it reads them as folders, and needs no network
GO = {
	"GOPATH": str(GOPATH),
	"GO111MODULE": "off",
	"GOFLAGS": "",
	"GOPROXY": "off",
	"GOCACHE": "/build/cache",
	"CGO_ENABLED": "0",
}
OPENAPI = "pkg/generated/openapi"
TAG = b"+k8s:openapi-gen="
TAGGED = ("pkg", "cmd", "plugin", "staging/src/k8s.io")
#: Of the staging folder: they generate code, or are examples
UNTAGGED = ("code-generator", "sample-apiserver", "sample-controller", "kube-openapi", "gengo")


class KubernetesBuild:
	"""`folder`: its own, not below /tmp. It holds some GB until the end."""

	def __init__(self, folder: Path, progress: Progress) -> None:
		self.machine = NestedMachine(folder, [CACHE])
		self._progress = progress
		self._source = Path(f"{self.machine.layer}/files{SOURCE}")  # as this machine sees it

	def run(self, programs: list[str]) -> None:
		"""Into the cache, one after the other: what was built stays there if it ends early."""
		try:
			self.machine.up()
			self._install()
			self._unpack()
			if PAUSE in programs:
				self._build_pause()
			self._generate()
			for program in [it for it in PROGRAMS if it in programs]:
				self._progress.say(f"{program}: the build takes about {PROGRAMS[program]} min")
				self._build(program)
		finally:
			self.machine.down()

	def _install(self) -> None:
		self._progress.say("the compilers of Debian, for a machine inside of this one: about 1 min")
		install(self.machine, *COMPILERS)

	def _unpack(self) -> None:
		"""Debian's source, whose signature apt checks, at the place where Go looks for it."""
		self._progress.say(f"the source of Kubernetes {VERSION}: about 1 min")
		found = next(Path(it) for it in LISTS if Path(it).exists())
		wanted = Path(f"{self.machine.layer}/files/build/lists{found.suffix}")
		text = found.read_text().replace("Types: deb\n", "Types: deb-src\n").replace("deb ", "deb-src ")
		self.machine.run("mkdir", "-p", "/build", SOURCE.parent)
		self.machine.run("tee", f"/build/{wanted.name}", text=text.encode())
		lists = ["-o", f"Dir::Etc::sourcelist=/build/{wanted.name}", "-o", "Dir::Etc::sourceparts=-"]
		self.machine.run("apt-get", "update", *lists)
		self._shell(
			f'cd /build && apt-get source {" ".join(lists)} kubernetes && mv kubernetes-*/ "$1"', SOURCE
		)

	def _build_pause(self) -> None:
		unfinished = CACHE / f".{PAUSE}.new"
		self._run("gcc", "-Os", "-static", "-o", unfinished, "build/pause/linux/pause.c")
		unfinished.rename(CACHE / PAUSE)

	def _generate(self) -> None:
		"""The one file of the source that its own build writes first."""
		self._progress.say("the description of the API, which the source lacks: less than 1 min")
		self._go("build", "-o", "/build/openapi-gen", "./vendor/k8s.io/kube-openapi/cmd/openapi-gen")
		packages = ",".join(f"k8s.io/kubernetes/{folder}" for folder in self._tagged())
		header = f"{SOURCE}/hack/boilerplate/boilerplate.generatego.txt"
		places = ["-p", f"k8s.io/kubernetes/{OPENAPI}", "-O", "zz_generated.openapi", "-h", header]
		command = ["/build/openapi-gen", "--logtostderr", "-i", packages, *places, "-r", "/build/violations"]
		self._run(*command, "--output-base", GOPATH / "src")

	def _tagged(self) -> list[str]:
		"""Folders of what the description tells about, by the path with which they are imported."""
		files = (file for top in TAGGED for file in (self._source / top).rglob("*.go"))
		folders = {
			file.parent.relative_to(self._source).as_posix()
			for file in files
			if not file.name.endswith("_test.go") and TAG in file.read_bytes()
		}
		left_out = tuple(f"staging/src/k8s.io/{name}/" for name in UNTAGGED)
		return sorted(
			folder.replace("staging/src/", "vendor/", 1)
			for folder in folders
			if "testdata" not in folder and not folder.startswith(left_out)
		)

	def _build(self, program: str) -> None:
		versions = ("vendor/k8s.io/component-base/version", "vendor/k8s.io/client-go/pkg/version")
		major, minor, _ = VERSION.split(".")
		values = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor}
		told = " ".join(
			f"-X k8s.io/kubernetes/{package}.{name}={value}"
			for package in versions
			for name, value in values.items()
		)
		unfinished = CACHE / f".{program}.new"
		self._go("build", "-ldflags", f"-s -w {told}", "-o", unfinished, f"./cmd/{program}")
		unfinished.rename(CACHE / program)

	def _go(self, *words: str | Path) -> None:
		self._run("go", *words)

	def _run(self, *words: str | Path) -> None:
		"""In the folder of the source; others on this machine come first."""
		self._shell('cd "$1" && shift && exec nice -n 19 "$@"', SOURCE, *words)

	def _shell(self, script: str, *words: str | Path) -> None:
		self.machine.run("sh", "-ec", script, "sh", *words, env=GO)


def can_be_built() -> bool:
	"""By root, from the packages of Debian 12: neither its source nor a compiler as old as that is anywhere else."""
	release = Path("/etc/os-release")
	return os.geteuid() == 0 and release.exists() and "VERSION_CODENAME=bookworm" in release.read_text()


def ensure_programs(progress: Progress) -> Path:
	"""The folder with all programs. Builds those that it lacks; one process at a time does. Raises PackagesMissing."""
	CACHE.mkdir(parents=True, exist_ok=True)
	with (CACHE / "lock").open("w") as lock:
		fcntl.flock(lock, fcntl.LOCK_EX)
		missing = [name for name in (*PROGRAMS, PAUSE) if not (CACHE / name).exists()]
		if missing and not can_be_built():
			raise PackagesMissing(
				"Kubernetes is built from the packages of Debian 12, by root",
				hint=f"these programs of version {VERSION} are not in {CACHE}: {', '.join(missing)}",
			)
		if missing:
			with TemporaryDirectory(prefix="kubernetes-build-", dir=ROOT) as folder:
				KubernetesBuild(Path(folder), progress).run(missing)
			progress.say(f"Kubernetes is built: {CACHE}")
	return CACHE
