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
BASHCOMPDIR ?= $(PREFIX)/share/bash-completion/completions
FISHCOMPDIR ?= $(PREFIX)/share/fish/vendor_completions.d
DATADIR    ?= $(PREFIX)/share/pam_polyinst
# Debian's zsh looks elsewhere for what packages have.
ZSHCOMPDIR ?= $(PREFIX)/share/zsh/$(if $(and $(filter /usr,$(PREFIX)),$(wildcard /etc/debian_version)),vendor-completions,site-functions)
PAMDIR     ?= $(shell ./dist/pamdir)
DESTDIR    ?=

GO       ?= go
VERSION  ?= $(shell cat VERSION)
FUZZRUNS ?= 300000

# sudo and su leave these out.
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin

# What the module and `polyinst serve` were built of, and where they look: only two
# of one build talk to each other.
built = $(eval built := $(shell { find cmd internal pam_polyinst VERSION go.mod go.sum -type f ! -name '*_test.go' ! -path '*/testdata/*' | LC_ALL=C sort | xargs sha256sum; \
	$(GO) version; echo '$(SYSCONFDIR) $(VENDORDIR) $(VERSION)'; } | sha256sum | cut -c1-32))$(built)
pathvars = -X pam_polyinst/internal/observe.ConfigDir=$(SYSCONFDIR)/security/polyinst \
           -X pam_polyinst/internal/observe.VendorDir=$(VENDORDIR)
# The two scripts are found by LIBRARY_PATH: a path of this machine among the
# flags would become part of Go's build id, and the build not reproducible.
hardening = -Wl,-T,init.ld -Wl,--version-script=exports.map \
            -Wl,-z,relro -Wl,-z,now -Wl,-z,nodelete -Wl,-z,noexecstack
linkscripts = pam_polyinst/init.ld pam_polyinst/exports.map
# A polyinst that this machine can run: a build for another one is given it.
runnable = build/polyinst
gobuild = CGO_ENABLED=1 $(GO) build -trimpath -buildvcs=false

# What a newcomer needs; `make help` prints these before the groups.
firsts = demo build install test check

##@ Building and measuring
.PHONY: help
help: ## list the targets
	@awk -F '## ' -v firsts="$(firsts)" ' \
		/^##@ / { group = substr($$0, 5); if (!(group in text)) order[++groups] = group } \
		/^[a-z][a-z-]*:.*## / { name = $$1; sub(/:.*/, "", name); line[name] = sprintf("  %-15s %s\n", name, $$2); \
			if (index(" " firsts " ", " " name " ") == 0) text[group] = text[group] line[name] } \
		END { n = split(firsts, first, " "); for (i = 1; i <= n; i++) printf "%s", line[first[i]]; \
			for (i = 1; i <= groups; i++) printf "\n%s\n%s", order[i], text[order[i]] }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build/pam_polyinst.so and build/polyinst
	@dist/deps -n build
	@mkdir -p build
	@for s in $(linkscripts); do \
		[ build/pam_polyinst.so -nt $$s ] || rm -f build/pam_polyinst.so; done # Go does not know them
	LIBRARY_PATH="$(CURDIR)/pam_polyinst$${LIBRARY_PATH:+:$$LIBRARY_PATH}" CGO_CFLAGS="$${CGO_CFLAGS:--g -O2} -DPOLYINST_BUILD=$(built)" \
	$(gobuild) -buildmode=c-shared -o build/pam_polyinst.so \
		-ldflags "-s -w $(pathvars) -linkmode=external -extldflags '$(hardening)'" ./pam_polyinst
	@rm -f build/pam_polyinst.h
	$(gobuild) -o build/polyinst -ldflags "-s -w $(pathvars) -X main.version=$(VERSION) -X pam_polyinst/internal/kernel/wire.Build=$(built)" ./cmd/polyinst
	@mkdir -p build/completions
	@for shell in bash fish zsh; do $(runnable) completion $$shell >build/completions/$$shell || exit 1; done
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

.PHONY: demo-svg
demo-svg: build ## draw docs/demo.svg, the README's picture, from a recording of the demo (as root; asciinema, npm)
	@tests/demo/record

.PHONY: bench
bench: ## measure sessions beside pam_namespace, and write the pages' tables (as root; BENCHROUNDS=80)
	@[ "$$(id -u)" = 0 ] || { echo "make bench opens sessions in a disposable copy of this machine, and needs root for that:"; \
		echo "  sudo make bench"; exit 1; }
	@dist/deps build test
	@$(MAKE) --no-print-directory -s build
	@tests/bench/run; told=$$?; $(giveback); exit $$told

##@ Tests
#
# As root all of them; otherwise those that need no root, and a list of
# the others. Nothing that they do reaches the machine itself.
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
	@$(suite) ./tests/network

.PHONY: test-world
test-world: build-to-test ## programs that people run in a session: the rows of docs/compatibility.md (as root)
	@dist/deps world
	@GOFLAGS=-tags=world $(suite) ./tests/world

# The folders of stories that one more question, or ready workers, can be put under.
stories = $(shell grep -l 'kit[.]Main' tests/*/main_test.go | sed 's,^,./,; s,/[^/]*$$,,')

.PHONY: test-agree
test-agree: build-to-test ## the stories, in which `explain` is asked before each session and compared; RUN=REGEXP
	@POLYINST_TEST_AGREE=1 $(suite) $(stories) $(if $(RUN),-run '$(RUN)')

.PHONY: test-ready
test-ready: build-to-test ## the stories, in each of which ready workers serve; RUN=REGEXP
	@POLYINST_TEST_READY=1 $(suite) $(stories) $(if $(RUN),-run '$(RUN)')

# Inputs are counted: at the end of a time, Go up to 1.26 may call a good target
# failed ("context deadline exceeded", go.dev/issue/75804).
.PHONY: fuzz
fuzz: build/edge/fuzz_host ## fuzz all parsers, and the C edge, FUZZRUNS=300000 inputs for each target
	@grep -rHoE '^func Fuzz[A-Za-z]+' internal cmd --include=*_test.go | sed 's/:func /:/' | while IFS=: read -r file target; do \
		echo "== $$target, $${file%/*}"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZRUNS)x -fuzzminimizetime 100x "./$${file%/*}" </dev/null || exit 1; done
	@mkdir -p build/edge/corpus
	build/edge/fuzz_host -runs=$(FUZZRUNS) -max_len=800 -timeout=10 -print_final_stats=1 -verbosity=0 \
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
edgec    = $(wildcard pam_polyinst/*.c)
liar     = $(edgec) tests/edge/c/liar.c
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
build/edge/replay_host: tests/edge/c/fuzz_host.c tests/edge/c/lie.h $(edgec)
	$(edgecc) -DREPLAY -o $@ $<
build/edge/fuzz_host: tests/edge/c/fuzz_host.c tests/edge/c/lie.h $(edgec)
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

##@ Lint
#
# Each line guards something; what, is told in CONTRIBUTING.
cwarnings = -Wall -Wextra -Werror -Wshadow -Wconversion -Wno-sign-conversion -Wvla -Wformat=2 \
            -Wstrict-prototypes -Wmissing-prototypes -fanalyzer
scripts   = $(shell grep -rlE '^\#! ?/(usr/)?bin/(env )?(ba)?sh' .ci dist tests --exclude=*.go)

.PHONY: lint
lint: build/tools/staticcheck ## gofmt, vet, staticcheck, C warnings, shell, man pages
	@dist/deps -n build lint
	@unformatted=$$(gofmt -l cmd internal pam_polyinst tests tools); \
		[ -z "$$unformatted" ] || { echo "gofmt -w:" $$unformatted; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags world ./tests/world
	$(GO) -C tools vet ./...
	$(GO) -C tools test ./...
	build/tools/staticcheck -tags world ./...
	for c in $(edgec); do gcc -std=gnu11 -O2 $(cwarnings) -c -o /dev/null $$c || exit 1; done
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 $(edgec)
	shellcheck $(filter-out tests/vm/%,$(scripts))
	@# the guests' scripts run in a machine that is thrown away
	shellcheck -x -S warning -e SC2154,SC2174 $(filter tests/vm/%,$(scripts))
	mandoc -T lint -W warning man/*.[58]
	@for page in man/*.[58]; do mandoc -T ascii -O width=80 $$page | sed 's/.\x08//g' | awk -v page=$$page \
		'length > 80 { print page ": more than 80 columns: " $$0; bad = 1 } END { exit bad }' || exit 1; done

build/tools/staticcheck: tools/go.mod tools/go.sum
	@mkdir -p build/tools
	$(GO) build -C tools -o ../$@ honnef.co/go/tools/cmd/staticcheck
	@$(giveback)

build/tools/suite: $(wildcard tools/suite/*.go) tools/go.mod
	@dist/deps -n build
	@mkdir -p build/tools
	@$(GO) build -C tools -o ../$@ ./suite
	@$(giveback)

##@ Installation and packages
doc     = $(DESTDIR)$(DOCDIR)
etc     = $(DESTDIR)$(SYSCONFDIR)/security/polyinst
units   = polyinst.socket polyinst.service polyinst-prepare.service polyinst-gc.service polyinst-gc.timer polyinst-watch.service
replace = sed -e 's|@SBINDIR@|$(SBINDIR)|g' -e 's|@DOCDIR@|$(DOCDIR)|g'
# Only where this very machine is meant, and runs systemd.
systemctl = if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl --quiet

.PHONY: install
install: ## install what was built; a configuration that is there stays
	@[ "$$(cat build/paths 2>/dev/null)" = '$(strip $(pathvars))' ] || $(MAKE) --no-print-directory build
	install -d -m 0755 "$(DESTDIR)$(PAMDIR)" "$(DESTDIR)$(SBINDIR)" "$(DESTDIR)$(UNITDIR)" "$(DESTDIR)$(TMPFILESDIR)" \
		"$(DESTDIR)$(MANDIR)/man5" "$(DESTDIR)$(MANDIR)/man8" "$(doc)" "$(etc)/namespace.d" \
		"$(DESTDIR)$(BASHCOMPDIR)" "$(DESTDIR)$(FISHCOMPDIR)" "$(DESTDIR)$(ZSHCOMPDIR)" \
		"$(DESTDIR)$(DATADIR)/openscap" "$(DESTDIR)$(DATADIR)/lynis" "$(DESTDIR)$(DATADIR)/authselect" "$(DESTDIR)$(DATADIR)/prometheus" \
		"$(DESTDIR)$(DATADIR)/selinux" "$(DESTDIR)$(DATADIR)/apparmor"
	@# Processes have the module mapped: it is replaced, never written to.
	install -m 0755 build/pam_polyinst.so "$(DESTDIR)$(PAMDIR)/.pam_polyinst.so.new"
	mv -f "$(DESTDIR)$(PAMDIR)/.pam_polyinst.so.new" "$(DESTDIR)$(PAMDIR)/pam_polyinst.so"
	install -m 0755 build/polyinst "$(DESTDIR)$(SBINDIR)/.polyinst.new"
	mv -f "$(DESTDIR)$(SBINDIR)/.polyinst.new" "$(DESTDIR)$(SBINDIR)/polyinst"
	@# the label by which systemd starts it in its domain (dist/selinux); rpm and dpkg know it
	@if [ -z "$(DESTDIR)" ] && command -v restorecon >/dev/null; then restorecon "$(SBINDIR)/polyinst" || :; fi
	@for page in man/*.[58]; do [ -e "$$page" ] || continue; \
		echo install $$page; install -m 0644 "$$page" "$(DESTDIR)$(MANDIR)/man$${page##*.}/" || exit 1; done
	install -m 0644 build/completions/bash "$(DESTDIR)$(BASHCOMPDIR)/polyinst"
	install -m 0644 build/completions/fish "$(DESTDIR)$(FISHCOMPDIR)/polyinst.fish"
	install -m 0644 build/completions/zsh "$(DESTDIR)$(ZSHCOMPDIR)/_polyinst"
	install -m 0644 $(wildcard dist/compliance/openscap/*.xml) "$(DESTDIR)$(DATADIR)/openscap/"
	install -m 0755 dist/compliance/openscap/polyinst-sessions.sh dist/compliance/openscap/tailoring "$(DESTDIR)$(DATADIR)/openscap/"
	install -m 0640 dist/compliance/lynis/plugin_polyinst_phase1 "$(DESTDIR)$(DATADIR)/lynis/"
	install -m 0644 dist/prometheus/polyinst.rules.yml "$(DESTDIR)$(DATADIR)/prometheus/"
	install -m 0755 dist/authselect/create "$(DESTDIR)$(DATADIR)/authselect/"
	install -m 0644 dist/selinux/polyinst.te dist/selinux/polyinst.if dist/selinux/polyinst.fc "$(DESTDIR)$(DATADIR)/selinux/"
	install -m 0644 dist/apparmor/polyinst "$(DESTDIR)$(DATADIR)/apparmor/"
	install -m 0644 namespace.conf.example dist/dbus/polyinst-units.conf "$(doc)/"
	@for unit in $(units); do echo install dist/$$unit; \
		$(replace) dist/$$unit >"$(DESTDIR)$(UNITDIR)/$$unit" && chmod 0644 "$(DESTDIR)$(UNITDIR)/$$unit" || exit 1; done
	install -m 0644 dist/polyinst.tmpfiles "$(DESTDIR)$(TMPFILESDIR)/polyinst.conf"
	@if [ -e "$(etc)/namespace.conf" ]; then echo "kept $(etc)/namespace.conf"; else \
		echo "install dist/namespace.conf, in which no polydir is active"; \
		$(replace) dist/namespace.conf >"$(etc)/.namespace.conf.new" && chmod 0644 "$(etc)/.namespace.conf.new" && \
		mv "$(etc)/.namespace.conf.new" "$(etc)/namespace.conf"; fi
	@$(systemctl) daemon-reload; systemctl --quiet try-reload-or-restart polyinst.service; fi
	@echo "Next: write $(SYSCONFDIR)/security/polyinst/namespace.conf, run polyinst check,"
	@echo "systemctl enable --now polyinst.socket polyinst-prepare.service polyinst-gc.timer, and polyinst enable SERVICE...: polyinst(8)."

.PHONY: uninstall
uninstall: ## remove what install put; never a configuration or an instance
	@stacks=$$(grep -lsE '^[^#]*pam_polyinst\.so' "$(DESTDIR)$(SYSCONFDIR)"/pam.conf "$(DESTDIR)$(SYSCONFDIR)"/pam.d/*); \
	if [ -n "$$stacks" ] && [ "$(FORCE)" != 1 ]; then \
		echo "make uninstall: these PAM stacks name pam_polyinst.so, and without the module nobody could log in through them:"; \
		echo "$$stacks" | sed 's/^/  /'; \
		echo "Remove their pam_polyinst.so lines first: polyinst disable SERVICE... (or, if you know better: make uninstall FORCE=1)."; exit 1; fi
	@$(systemctl) disable --now polyinst.socket polyinst.service polyinst-prepare.service polyinst-gc.timer polyinst-watch.service || :; fi
	rm -f "$(DESTDIR)$(PAMDIR)/pam_polyinst.so" "$(DESTDIR)$(SBINDIR)/polyinst" \
		"$(doc)/namespace.conf.example" "$(doc)/polyinst-units.conf" "$(DESTDIR)$(TMPFILESDIR)/polyinst.conf" \
		"$(DESTDIR)$(BASHCOMPDIR)/polyinst" "$(DESTDIR)$(FISHCOMPDIR)/polyinst.fish" "$(DESTDIR)$(ZSHCOMPDIR)/_polyinst"
	@for unit in $(units); do rm -fv "$(DESTDIR)$(UNITDIR)/$$unit"; done
	@for page in man/*.[58]; do rm -fv "$(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}"; done
	rm -rf "$(DESTDIR)$(DATADIR)"
	@rmdir "$(doc)" 2>/dev/null || :
	@$(systemctl) daemon-reload; fi
	@echo "Left as they are: $(SYSCONFDIR)/security/polyinst and the instances in /var/lib/polyinst."

.PHONY: clean
clean: ## remove what was built
	rm -rf build

# A tarball of what was built has neither.
-include dist/packages.mk tests/proof.mk
