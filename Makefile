# `make test` is the whole proof, on a fresh Debian 12 with make, git, root, apt and the Python index. Each target
# brings what it needs; what is there already costs nothing.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: always help test unit seeds fuzz repo lab deb demo pictures costs bench fleet estate vm-test lint format generated clean

# The machine's Python, whatever else is on the PATH: Debian's own libraries are installed for this one.
PYTHON := /usr/bin/python3
# Debian's libraries and pytest beside them; what a node runs.
DEBIAN := .venv/debian/bin/python
# The newest libraries of the index, and the linters.
INDEX := .venv/index/bin/python

VERSION := $(shell sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
DEB := dist/nodeprep_$(VERSION)_all.deb
# Those that exist: a file deleted and not yet committed is no source.
SOURCES := $(wildcard $(shell git ls-files --cached --others --exclude-standard))

# Debian's packages by what needs them.
NEED_RUN := nftables openssh-client python3-dbus-next python3-pyroute2 python3-structlog python3-systemd
# Private buses and networks of the quick tests, etcd, and the firewalls' own readers of rules. Not firewalld, which would
# start where it is installed.
NEED_UNIT := dbus-daemon etcd-client etcd-server iproute2 iptables openssl python3-firewall python3-yaml ufw util-linux
NEED_DEB := build-essential debhelper dh-python pybuild-plugin-pyproject python3-all python3-setuptools
# The compiler's part is for systemd-python, which the index has as source only.
NEED_VENV := python3-venv gcc libc6-dev libsystemd-dev pkg-config python3-dev
NEED_REPO := faketime fish git groff lintian man-db python3-build python3-installer rpm systemd tshark zsh
NEED_VM := e2fsprogs iproute2 openssh-client qemu-system-x86 qemu-utils util-linux
# virt-sysprep boots a kernel of Debian's.
NEED_BENCH := e2fsprogs libguestfs-tools linux-image-cloud-$(shell dpkg --print-architecture)
NEED_LAB := debian-archive-keyring dnsmasq-base dpkg-dev etcd-client etcd-server iproute2 mmdebstrap nmap piuparts procps \
	systemd-container util-linux

# $(call need,PACKAGES): one question to dpkg, and apt-get only if the answer is no.
need = have=$$(dpkg-query -W -f '$${Package} $${db:Status-Status}\n' $(1) 2>/dev/null | sed -n 's/ installed$$//p' \
		|| true); \
	missing=$$(comm -23 <(printf '%s\n' $(1) | sort -u) <(sort -u <<< "$$have")); \
	if [ -n "$$missing" ]; then \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get -q update; \
		apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install $$missing; \
	fi

# $(call requirements,PARTS): lines for pip from pyproject.toml; a part is "dependencies" or the name of an extra.
define requirements_py
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
parts = project["optional-dependencies"] | {"dependencies": project["dependencies"]}
print(*(line for part in sys.argv[1:] for line in parts[part]), sep="\n")
endef
export requirements_py
requirements = $(PYTHON) -c "$$requirements_py" $(1)

# How many tests at a time: of those that compute, and of those that wait, for machines that wait among others.
JOBS := $(shell nproc)
WAITING_JOBS := $(shell expr 2 '*' $(JOBS))
LAB_JOBS := $(shell expr 5 '*' $(JOBS) / 2)

help:
	@echo 'make test     everything, as CI runs it'
	@echo 'make unit     the quick tests, on both sets of libraries'
	@echo 'make seeds    segments of simulated machines, on both sets of libraries'
	@echo 'make fuzz     the codec for FUZZ_S seconds; what it finds goes into tests/fuzz/corpus'
	@echo 'make lint     linters, types and import contracts'
	@echo 'make format   what the linters can mend by themselves'
	@echo 'make deb      $(DEB)'
	@echo 'make lab      booted clones (after make deb)'
	@echo 'make demo     a template, its clones, and what nodeprep makes of them'
	@echo 'make pictures those of docs/, recorded from booted machines and drawn anew'
	@echo 'make costs    what it costs, each against its limit'
	@echo 'make bench    the same, and writes docs/performance.md'
	@echo 'make fleet    2, 10, 30 and 100 twins booted at one instant: time, frames and CPU of each'
	@echo 'make estate   8 and 64 twins that only a registry in etcd can tell apart: time and CPU of each'
	@echo 'make vm-test  virtual machines under QEMU without hardware support; not part of make test'
	@echo 'make generated  completions, manual pages and the journal catalog, from the records that run'
	@echo 'make clean'

test: unit seeds repo lab costs

# The tests that need no machine of their own, as far as they exist.
QUICK = $(wildcard tests/unit tests/contract tests/golden tests/fuzz)

unit: .venv/debian/made .venv/index/made
	@$(call need,$(NEED_UNIT))
	@echo '== on the libraries of Debian'
	$(DEBIAN) -m pytest -q -n $(WAITING_JOBS) $(or $(QUICK),$(error there is no quick test))
	@echo '== on the newest libraries of the index'
	$(INDEX) -m pytest -q -n $(WAITING_JOBS) $(QUICK)

# Two minutes of one processor for both sets. A seed that fails is printed; `python -m tests.seeds SEED` plays it again.
seeds: .venv/debian/made .venv/index/made
	$(DEBIAN) -m pytest -q -n $(JOBS) tests/seeds
	NODEPREP_FIRST_SEED=1000000 $(INDEX) -m pytest -q -n $(JOBS) tests/seeds

FUZZ_S := 60
fuzz: .venv/debian/made
	$(DEBIAN) -m tests.fuzz.fuzzer $(FUZZ_S)

repo lint: .venv/index/made
	@$(call need,$(NEED_REPO))
	$(INDEX) -m pytest -q tests/repo -m 'not package'

lab: .venv/debian/made .venv/index/made deb
	@$(call need,$(NEED_REPO) $(NEED_LAB))
	$(INDEX) -m pytest -q tests/repo -m package
	$(DEBIAN) -m pytest -q -n $(LAB_JOBS) --dist loadgroup tests/lab

# Apart from `make test`: machines under software emulation take minutes to boot.
vm-test: .venv/debian/made deb
	@$(call need,$(NEED_LAB) $(NEED_VM))
	$(DEBIAN) -m pytest -q tests/vm

demo: .venv/debian/made deb
	@$(call need,$(NEED_LAB))
	$(DEBIAN) -m tests.lab.demo

pictures: .venv/debian/made deb
	@$(call need,$(NEED_LAB))
	$(DEBIAN) -m tests.pictures.record
	$(DEBIAN) -m tests.pictures

costs: .venv/debian/made deb
	@$(call need,$(NEED_LAB))
	$(DEBIAN) -m pytest -q -s tests/bench

bench: .venv/debian/made deb
	@$(call need,$(NEED_LAB) $(NEED_BENCH))
	$(DEBIAN) -m pytest -q -s tests/bench --write docs/performance.md

fleet: .venv/debian/made deb
	@$(call need,$(NEED_LAB))
	$(DEBIAN) -m tests.lab.fleet 2 10 30 100

estate: .venv/debian/made deb
	@$(call need,$(NEED_LAB))
	$(DEBIAN) -m tests.lab.registered 8 64

format: .venv/index/made
	$(INDEX) -m ruff check --fix .
	$(INDEX) -m ruff format .

generated: .venv/index/made
	$(INDEX) -m packaging.generate

deb: $(DEB)

# Built in a copy, so that the build's files never lie among the sources, and with the timestamps of the changelog, so
# that the same sources give the same bytes. On Debian's own PATH: pybuild takes the first python3.11 that it finds.
$(DEB): $(SOURCES)
	@$(call need,$(NEED_DEB))
	@copy=$$(mktemp -d); trap 'rm -rf "$$copy"' EXIT; \
	mkdir "$$copy/source"; \
	git ls-files -z --cached --others --exclude-standard \
		| while IFS= read -r -d '' file; do if [ -e "$$file" ]; then printf '%s\0' "$$file"; fi; done \
		| tar --null --no-recursion -T - -cf - | tar -C "$$copy/source" -xf -; \
	(cd "$$copy/source" && PATH=/usr/sbin:/usr/bin:/sbin:/bin dpkg-buildpackage --build=binary --no-sign) \
		> "$$copy/log" 2>&1 || { cat "$$copy/log"; exit 1; }; \
	mkdir -p dist; rm -f dist/*.deb; mv "$$copy"/*.deb dist/
	@echo $@

# The environments are made again when what they are to hold has changed, not with every touch of pyproject.toml.
.venv/debian.txt: PARTS := test
.venv/index.txt: PARTS := dependencies test lint readers
.venv/debian.txt .venv/index.txt: always
	@$(call need,python3)
	@mkdir -p .venv
	@$(call requirements,$(PARTS)) > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# Debian's libraries are seen from inside it, and nothing is installed that would hide them.
.venv/debian/made: .venv/debian.txt
	@$(call need,$(NEED_VENV) $(NEED_RUN))
	$(PYTHON) -m venv --clear --system-site-packages .venv/debian
	$(DEBIAN) -m pip install -q --disable-pip-version-check -r $<
	@touch $@

# --use-pep517, or pip builds systemd-python by a road that it has since closed.
.venv/index/made: .venv/index.txt
	@$(call need,$(NEED_VENV))
	$(PYTHON) -m venv --clear .venv/index
	$(INDEX) -m pip install -q --disable-pip-version-check --use-pep517 -r $<
	@touch $@

clean:
	rm -rf dist .venv build *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
