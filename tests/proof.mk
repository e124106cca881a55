# The long forms of what `make test` does in short, and tests of the tests. Each
# prints a table; docs/evidence.md has those of a real run. As root, in
# disposable hosts.

ATTACKS   ?= 1000
POINTS    ?= 1
HOSTS     ?= 1000
SOAK      ?= 180
LIVE      ?= 2000
LIVE_MANY ?= 200
SEQUENCE  ?= 20000
MOUNTS    ?= 5000
SCOPES    ?= session
TASKS     ?= 500
SEEDS     ?= 200
ONLY      ?=

##@ Proof, in its long forms

# $(call long,TestA TestB): these tests, in the folders that have them.
empty :=
either = $(subst $(empty) $(empty),|,$(strip $(1)))
folders = $(shell grep -lwE '^func ($(call either,$(1)))' tests/*/*_test.go | sed 's,^,./,; s,/[^/]*$$,,' | sort -u)
long = $(GO) test -count=1 -v -timeout 12h -p 1 $(call folders,$(1)) -run '^($(call either,$(1)))$$'

.PHONY: attacks
attacks: build-to-test ## users who attack while sessions open, ATTACKS=1000 of each kind, every POINTS=1st call stopped, killed and failed (FAULTS=all: with each error) (as root)
	POLYINST_TEST_ATTACKS=$(ATTACKS) POLYINST_TEST_POINTS=$(POINTS) POLYINST_TEST_FAULTS=$(FAULTS) \
	$(call long,TestAttackers TestHostileHosts TestStoppedAtEveryPoint TestReadyKilledAtEveryCall TestReadyFailsAtEveryCall)

.PHONY: seeds
seeds: build-to-test ## SEEDS=200 generated configurations of pam_namespace: converted, do they give the same? (as root)
	POLYINST_TEST_SEEDS=$(SEEDS) $(call long,TestConvertedLikeThePeer)

.PHONY: soak
soak: build-to-test ## SOAK=180 seconds of logins with kills, changes and gc (as root)
	POLYINST_TEST_SOAK=$(SOAK) $(call long,TestSoak)

.PHONY: scale
scale: build-to-test ## LIVE=2000 sessions at once, SEQUENCE=20000 in turn, MOUNTS=5000, HOSTS=1000 that ask at once, TASKS=500 of Slurm arrays (as root)
	POLYINST_TEST_LIVE=$(LIVE) POLYINST_TEST_LIVE_MANY=$(LIVE_MANY) POLYINST_TEST_SEQUENCE=$(SEQUENCE) \
	POLYINST_TEST_MOUNTS=$(MOUNTS) POLYINST_TEST_SCOPES="$(SCOPES)" POLYINST_TEST_HOSTS=$(HOSTS) POLYINST_TEST_TASKS=$(TASKS) \
	$(call long,TestScale TestReadyMany TestSlurmArray)

.PHONY: weakened
weakened: build-to-test build/tools/weakened ## builds without one check each: do tests notice? (ONLY=REGEXP)
	build/tools/weakened -only '$(ONLY)'

build/tools/weakened: $(wildcard tools/weakened/*.go) tools/go.mod
	@mkdir -p build/tools
	@$(GO) build -C tools -o ../$@ ./weakened
	@$(giveback)
