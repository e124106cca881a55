# The long forms of what `make test` does in short, and tests of the tests. Each
# prints a table; docs/evidence.md has those of a real run. As root, in
# disposable hosts.

ATTACKS   ?= 1000
SOAK      ?= 180
LIVE      ?= 2000
LIVE_MANY ?= 200
SEQUENCE  ?= 20000
MOUNTS    ?= 5000
SCOPES    ?= session
ONLY      ?=
MUTANTS   ?= internal/dirfd/walk.go internal/polyinst/decide.go internal/polyinst/select.go \
             internal/polyinst/name.go internal/polyinst/subject.go

long = $(GO) test -count=1 -v -timeout 12h ./tests -run

.PHONY: attacks
attacks: build-to-test ## users who attack while sessions open, ATTACKS=1000 of each kind (as root)
	POLYINST_TEST_ATTACKS=$(ATTACKS) $(long) '^(TestAttackers|TestHostileHosts)$$'

.PHONY: soak
soak: build-to-test ## SOAK=180 seconds of logins with kills, changes and gc (as root)
	POLYINST_TEST_SOAK=$(SOAK) $(long) '^TestSoak$$'

.PHONY: scale
scale: build-to-test ## LIVE=2000 sessions at once, SEQUENCE=20000 in turn, MOUNTS=5000 (as root)
	POLYINST_TEST_LIVE=$(LIVE) POLYINST_TEST_LIVE_MANY=$(LIVE_MANY) POLYINST_TEST_SEQUENCE=$(SEQUENCE) \
	POLYINST_TEST_MOUNTS=$(MOUNTS) POLYINST_TEST_SCOPES="$(SCOPES)" $(long) '^TestScale$$'

.PHONY: weakened
weakened: build-to-test build/tools/weakened ## builds without one check each: do tests notice? (ONLY=REGEXP)
	build/tools/weakened -only '$(ONLY)'

.PHONY: mutants
mutants: build/tools/mutants ## the walk and the decisions, changed in one place each: do tests notice?
	@for dir in $(sort $(dir $(MUTANTS))); do \
		build/tools/mutants -known tests/mutants.known $$(echo $(MUTANTS) | tr ' ' '\n' | grep "^$$dir"); told=$$?; \
		[ $$told = 0 ] || exit $$told; done

build/tools/weakened build/tools/mutants: build/tools/%: $(wildcard tools/weakened/*.go tools/mutants/*.go) tools/go.mod
	@mkdir -p build/tools
	@$(GO) build -C tools -o ../$@ ./$*
	@$(giveback)
