# pam_polyinst: `make help` lists the targets.
#
# Set at `make install` (and `make build` with the same values):
PREFIX     ?= /usr
SBINDIR    ?= $(PREFIX)/sbin
SYSCONFDIR ?= /etc
VENDORDIR  ?= $(PREFIX)/share/polyinst
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/pam_polyinst
UNITDIR    ?= $(PREFIX)/lib/systemd/system
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
PAMDIR     ?= $(shell ./dist/pamdir)
DESTDIR    ?=

GO       ?= go
VERSION  ?= $(shell cat VERSION)
FUZZTIME ?= 20s

# sudo and su leave these out.
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin

pathvars = -X pam_polyinst/internal/observe.ConfigDir=$(SYSCONFDIR)/security/polyinst \
           -X pam_polyinst/internal/observe.VendorDir=$(VENDORDIR)
# The two scripts are found by LIBRARY_PATH: a path of this machine among the
# flags would become part of Go's build id, and the build not reproducible.
hardening = -Wl,-T,init.ld -Wl,--version-script=exports.map \
            -Wl,-z,relro -Wl,-z,now -Wl,-z,nodelete -Wl,-z,noexecstack
linkscripts = pam_polyinst/init.ld pam_polyinst/exports.map
gobuild = CGO_ENABLED=1 $(GO) build -trimpath -buildvcs=false

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: build
build: ## build/pam_polyinst.so and build/polyinst
	@dist/deps -n build
	@mkdir -p build
	@for s in $(linkscripts); do \
		[ build/pam_polyinst.so -nt $$s ] || rm -f build/pam_polyinst.so; done # Go does not know them
	LIBRARY_PATH="$(CURDIR)/pam_polyinst$${LIBRARY_PATH:+:$$LIBRARY_PATH}" \
	$(gobuild) -buildmode=c-shared -o build/pam_polyinst.so \
		-ldflags "-s -w $(pathvars) -linkmode=external -extldflags '$(hardening)'" ./pam_polyinst
	@rm -f build/pam_polyinst.h
	$(gobuild) -o build/polyinst -ldflags "-s -w $(pathvars) -X main.version=$(VERSION)" ./cmd/polyinst
	@echo '$(pathvars)' >build/paths
	@$(giveback)

# Under sudo, build/ stays the user's.
giveback = if [ "$$(id -u)" = 0 ] && [ -n "$$SUDO_UID" ]; then chown -R "$$SUDO_UID:$$SUDO_GID" build; fi

.PHONY: deps
deps: ## install what building, testing and linting need
	@dist/deps
	@echo "everything that building, testing and linting need is there"

.PHONY: demo
demo: ## a story with real logins, in a disposable copy of this machine (as root)
	@[ "$$(id -u)" = 0 ] || { echo "make demo logs users in, in a disposable copy of this machine, and needs root for that:"; \
		echo "  sudo make demo"; exit 1; }
	@dist/deps build test
	@$(MAKE) --no-print-directory -s build
	@tests/demo/run; told=$$?; $(giveback); exit $$told

.PHONY: bench
bench: ## measure sessions beside pam_namespace, and write the pages' tables (as root; BENCHROUNDS=80)
	@[ "$$(id -u)" = 0 ] || { echo "make bench opens sessions in a disposable copy of this machine, and needs root for that:"; \
		echo "  sudo make bench"; exit 1; }
	@dist/deps build test
	@$(MAKE) --no-print-directory -s build
	@tests/bench/run; told=$$?; $(giveback); exit $$told

##
## Tests. As root all of them; otherwise those that need no root, and a list of
## the others. Nothing that they do reaches the machine itself.
##
suite = build/tools/suite -allowed .ci/skips

.PHONY: test
test: build-to-test ## all tests; as another user than root, those that need no root
	@$(suite) ./...

.PHONY: test-unit
test-unit: build/tools/suite ## the tests that need no build and no logins
	@$(suite) $$($(GO) list ./... | grep -v /tests)

.PHONY: test-stories
test-stories: build-to-test ## the stories: real logins in a disposable host (as root)
	@$(suite) ./tests/...

.PHONY: test-vm
test-vm: build ## the stories that need a kernel of their own: SELinux, systemd
	@[ -x tests/vm/run ] || { echo "tests/vm/run: there is none yet"; exit 1; }
	tests/vm/run

.PHONY: test-cluster
test-cluster: build-to-test ## the stories on a Slurm cluster, which `make test` has too where Slurm is installed
	@dist/deps cluster
	@$(suite) ./tests -run 'TestSlurm|TestNetworkFS'

.PHONY: fuzz
fuzz: build/edge/fuzz_host ## fuzz all parsers, and the C edge, FUZZTIME=20s for each target
	@grep -rHoE '^func Fuzz[A-Za-z]+' internal --include=*_test.go | sed 's/:func /:/' | while IFS=: read -r file target; do \
		echo "== $$target, $${file%/*}"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$${file%/*}" </dev/null || exit 1; done
	@mkdir -p build/edge/corpus
	build/edge/fuzz_host -max_total_time=$(FUZZTIME:s=) -max_len=800 -timeout=10 -print_final_stats=1 -verbosity=0 \
		-artifact_prefix=build/edge/ build/edge/corpus tests/edge/corpus

# FAULTS=all tries each fault, which takes long; 3/8 is the third eighth of them.
FAULTS ?= 1/8
.PHONY: faults
faults: build-to-test ## let the system calls of a login fail, and lower all limits; FAULTS=all|N/M of all faults
	@status=0; out=$$(mktemp); \
	POLYINST_TEST_FAULTS=$(FAULTS) $(GO) test -count=1 -v -timeout 4h ./tests/faults >$$out 2>&1 || status=1; \
	grep -E '^ *(\||HARM|cannot say)|_test.go:[0-9]+: .|^(ok|FAIL)' $$out | sed 's/^ *//'; \
	[ $$status = 0 ] || { echo "all that was said: $$out"; exit 1; }; rm -f $$out

.PHONY: edge
edge: build-to-test ## the C edge with sanitizers, under valgrind, with workers that lie
	$(GO) test -count=1 -v ./tests/edge

# The C edge with sanitizers, with a worker that lies, and under a fuzzer.
sanitize = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
liar     = pam_polyinst/module.c tests/edge/c/liar.c
edgecc   = mkdir -p build/edge; gcc -std=gnu11 -Wall -Wextra -Werror -O1 -g
sharedc  = -fPIC -shared -Wl,--version-script=pam_polyinst/exports.map

.PHONY: edge-build
edge-build: build/edge/pam_liar.so build/edge/pam_liar-asan.so build/edge/pamhost-asan build/edge/replay_host build/edge/fuzz_host
	LIBRARY_PATH="$(CURDIR)/pam_polyinst$${LIBRARY_PATH:+:$$LIBRARY_PATH}" \
	CGO_CFLAGS="-g -O1 $(sanitize)" CGO_LDFLAGS="$(sanitize)" \
	$(gobuild) -buildmode=c-shared -o build/edge/pam_polyinst-asan.so \
		-ldflags "$(pathvars) -linkmode=external -extldflags '$(hardening)'" ./pam_polyinst
	@rm -f build/edge/pam_polyinst-asan.h
	@$(giveback)

build/edge/pam_liar.so: $(liar) tests/edge/c/lie.h
	$(edgecc) $(sharedc) -o $@ $(liar) -lpam
build/edge/pam_liar-asan.so: $(liar) tests/edge/c/lie.h
	$(edgecc) $(sharedc) $(sanitize) -o $@ $(liar) -lpam
build/edge/pamhost-asan: tests/chosts/pamhost.c tests/chosts/json.h
	$(edgecc) $(sanitize) -o $@ $< -lpam -ldl -pthread
build/edge/replay_host: tests/edge/c/fuzz_host.c tests/edge/c/lie.h pam_polyinst/module.c
	$(edgecc) -DREPLAY -o $@ $<
build/edge/fuzz_host: tests/edge/c/fuzz_host.c tests/edge/c/lie.h pam_polyinst/module.c
	@dist/deps -n edge
	@mkdir -p build/edge
	clang -std=gnu11 -Wall -Wextra -Werror -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -o $@ $<

.PHONY: build-to-test
build-to-test: build/tools/suite
	@if [ "$$(id -u)" = 0 ]; then dist/deps build test edge; fi
	@$(MAKE) --no-print-directory -s build

.PHONY: check
check: ## lint and all tests; CI adds the packages and the virtual machines
	@for stage in lint test; do \
		start=$$(date +%s); $(MAKE) --no-print-directory $$stage || exit 1; \
		echo "== $$stage: $$(($$(date +%s) - start)) s"; done

##
## Lint. Each line guards something; what, is told in CONTRIBUTING.
##
cwarnings = -Wall -Wextra -Werror -Wshadow -Wconversion -Wno-sign-conversion -Wvla -Wformat=2 \
            -Wstrict-prototypes -Wmissing-prototypes -fanalyzer
scripts   = $(shell grep -rlE '^\#! ?/(usr/)?bin/(env )?(ba)?sh' .ci dist tests --exclude=*.go)

.PHONY: lint
lint: build/tools/staticcheck ## gofmt, vet, staticcheck, C warnings, shell, man pages
	@dist/deps -n build lint
	@unformatted=$$(gofmt -l cmd internal pam_polyinst tests tools); \
		[ -z "$$unformatted" ] || { echo "gofmt -w:" $$unformatted; exit 1; }
	$(GO) vet ./...
	$(GO) -C tools vet ./...
	$(GO) -C tools test ./...
	build/tools/staticcheck ./...
	gcc -std=gnu11 -O2 $(cwarnings) -c -o /dev/null pam_polyinst/module.c
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 pam_polyinst/module.c
	shellcheck $(filter-out tests/vm/%,$(scripts))
	@# the guests' scripts run in a machine that is thrown away
	shellcheck -x -S warning -e SC2154,SC2174 $(filter tests/vm/%,$(scripts))
	@pages=$$(ls man/*.[58] 2>/dev/null); [ -z "$$pages" ] || { set -x; mandoc -T lint -W warning $$pages; }

build/tools/staticcheck: tools/go.mod tools/go.sum
	@mkdir -p build/tools
	$(GO) build -C tools -o ../$@ honnef.co/go/tools/cmd/staticcheck
	@$(giveback)

build/tools/suite: $(wildcard tools/suite/*.go) tools/go.mod
	@dist/deps -n build
	@mkdir -p build/tools
	@$(GO) build -C tools -o ../$@ ./suite
	@$(giveback)

##
## Installation
##
doc     = $(DESTDIR)$(DOCDIR)
etc     = $(DESTDIR)$(SYSCONFDIR)/security/polyinst
units   = polyinst-prepare.service polyinst-gc.service polyinst-gc.timer
replace = sed -e 's|@SBINDIR@|$(SBINDIR)|g' -e 's|@DOCDIR@|$(DOCDIR)|g'
# Only where this very machine is meant, and runs systemd.
systemctl = if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl --quiet

.PHONY: install
install: ## install what was built; a configuration that is there stays
	@[ "$$(cat build/paths 2>/dev/null)" = '$(strip $(pathvars))' ] || $(MAKE) --no-print-directory build
	install -d -m 0755 "$(DESTDIR)$(PAMDIR)" "$(DESTDIR)$(SBINDIR)" "$(DESTDIR)$(UNITDIR)" "$(DESTDIR)$(TMPFILESDIR)" \
		"$(DESTDIR)$(MANDIR)/man5" "$(DESTDIR)$(MANDIR)/man8" "$(doc)" "$(etc)/namespace.d"
	@# Processes have the module mapped: it is replaced, never written to.
	install -m 0755 build/pam_polyinst.so "$(DESTDIR)$(PAMDIR)/.pam_polyinst.so.new"
	mv -f "$(DESTDIR)$(PAMDIR)/.pam_polyinst.so.new" "$(DESTDIR)$(PAMDIR)/pam_polyinst.so"
	install -m 0755 build/polyinst "$(DESTDIR)$(SBINDIR)/.polyinst.new"
	mv -f "$(DESTDIR)$(SBINDIR)/.polyinst.new" "$(DESTDIR)$(SBINDIR)/polyinst"
	@for page in man/*.[58]; do [ -e "$$page" ] || continue; \
		echo install $$page; install -m 0644 "$$page" "$(DESTDIR)$(MANDIR)/man$${page##*.}/" || exit 1; done
	install -m 0644 namespace.conf.example "$(doc)/namespace.conf.example"
	@for unit in $(units); do echo install dist/$$unit; \
		$(replace) dist/$$unit >"$(DESTDIR)$(UNITDIR)/$$unit" && chmod 0644 "$(DESTDIR)$(UNITDIR)/$$unit" || exit 1; done
	install -m 0644 dist/polyinst.tmpfiles "$(DESTDIR)$(TMPFILESDIR)/polyinst.conf"
	@if [ -e "$(etc)/namespace.conf" ]; then echo "kept $(etc)/namespace.conf"; else \
		echo "install dist/namespace.conf, in which no polydir is active"; \
		$(replace) dist/namespace.conf >"$(etc)/.namespace.conf.new" && chmod 0644 "$(etc)/.namespace.conf.new" && \
		mv "$(etc)/.namespace.conf.new" "$(etc)/namespace.conf"; fi
	@$(systemctl) daemon-reload; fi
	@echo "Next: write $(SYSCONFDIR)/security/polyinst/namespace.conf, run polyinst check,"
	@echo "systemctl enable --now polyinst-prepare.service polyinst-gc.timer, and see pam_polyinst(8) for the PAM lines."

.PHONY: uninstall
uninstall: ## remove what install put; never a configuration or an instance
	@stacks=$$(grep -lsE '^[^#]*pam_polyinst\.so' "$(DESTDIR)$(SYSCONFDIR)"/pam.conf "$(DESTDIR)$(SYSCONFDIR)"/pam.d/*); \
	if [ -n "$$stacks" ] && [ "$(FORCE)" != 1 ]; then \
		echo "make uninstall: these PAM stacks name pam_polyinst.so, and without the module nobody could log in through them:"; \
		echo "$$stacks" | sed 's/^/  /'; \
		echo "Remove their pam_polyinst.so lines first (or, if you know better: make uninstall FORCE=1)."; exit 1; fi
	@$(systemctl) disable --now polyinst-prepare.service polyinst-gc.timer || :; fi
	rm -f "$(DESTDIR)$(PAMDIR)/pam_polyinst.so" "$(DESTDIR)$(SBINDIR)/polyinst" \
		"$(doc)/namespace.conf.example" "$(DESTDIR)$(TMPFILESDIR)/polyinst.conf"
	@for unit in $(units); do rm -fv "$(DESTDIR)$(UNITDIR)/$$unit"; done
	@for page in man/*.[58]; do rm -fv "$(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}"; done
	@rmdir "$(doc)" 2>/dev/null || :
	@$(systemctl) daemon-reload; fi
	@echo "Left as they are: $(SYSCONFDIR)/security/polyinst and the instances in /var/lib/polyinst."

.PHONY: clean
clean: ## remove what was built
	rm -rf build

include dist/packages.mk tests/proof.mk
