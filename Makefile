# pam_polyinst: `make help` lists the targets.
#
# Set at `make install` (and `make build` with the same values):
PREFIX     ?= /usr
SBINDIR    ?= $(PREFIX)/sbin
SYSCONFDIR ?= /etc
VENDORDIR  ?= $(PREFIX)/share/polyinst
MANDIR     ?= $(PREFIX)/share/man
UNITDIR    ?= $(PREFIX)/lib/systemd/system
PAMDIR     ?= $(shell ./dist/pamdir)
DESTDIR    ?=

GO      ?= go
VERSION ?= $(shell cat VERSION)

pathvars = -X pam_polyinst/internal/observe.ConfigDir=$(SYSCONFDIR)/security/polyinst \
           -X pam_polyinst/internal/observe.VendorDir=$(VENDORDIR)
hardening = -Wl,-T,$(CURDIR)/pam_polyinst/init.ld \
            -Wl,--version-script=$(CURDIR)/pam_polyinst/exports.map \
            -Wl,-z,relro -Wl,-z,now -Wl,-z,nodelete -Wl,-z,noexecstack
gobuild = CGO_ENABLED=1 $(GO) build -trimpath -buildvcs=false

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: build
build: ## build/pam_polyinst.so and build/polyinst
	@mkdir -p build
	$(gobuild) -buildmode=c-shared -o build/pam_polyinst.so \
		-ldflags "-s -w $(pathvars) -linkmode=external -extldflags '$(hardening)'" ./pam_polyinst
	@rm -f build/pam_polyinst.h
	@if [ -e cmd/polyinst/main.go ]; then \
		$(gobuild) -o build/polyinst -ldflags "-s -w $(pathvars) -X main.version=$(VERSION)" ./cmd/polyinst; fi
