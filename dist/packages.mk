##
## Packages
##
ifndef packages_mk # once, whether included or named with -f
packages_mk = here

ARCH ?= $(shell $(GO) env GOHOSTARCH)
cross = $(filter-out $(shell $(GO) env GOHOSTARCH),$(ARCH))

.PHONY: packages
packages: build build/tools/nfpm $(if $(cross),cross) ## deb, rpm and a tarball into build/packages/ (ARCH=arm64: for another machine)
	@VERSION='$(VERSION)' dist/packages/package $(ARCH) $(if $(cross),build/$(ARCH)/src)
	@$(giveback)

# For ARCH, in a copy of the checkout, against Debian's libraries of ARCH.
.PHONY: cross
cross:
	@dist/packages/cross build $(ARCH)

.PHONY: test-packages
test-packages: build/tools/suite packages ## install, use and remove the packages in a disposable host (as root)
	$(GO) vet -tags packages ./tests/install
	@dist/packages/old || [ $$? = 2 ] # the test says that it has no such version
	@$(suite) -- -tags packages -run '^TestPackage' ./tests/install

.PHONY: test-cross
test-cross: build build/tools/nfpm ## the arm64 module: it loads in qemu-user, and has a session in a virtual machine
	@dist/deps cross arm64
	@dist/packages/cross build arm64
	@VERSION='$(VERSION)' dist/packages/package arm64 build/arm64/src
	@dist/packages/cross test arm64
	@$(giveback)

ARCHES ?= amd64 arm64
.PHONY: release
release: build build/tools/nfpm build/tools/cyclonedx-gomod ## source, tarballs, deb, rpm, SBOM and checksums into build/release/ (ARCHES=)
	@dist/deps pack $(if $(filter-out $(shell $(GO) env GOHOSTARCH),$(ARCHES)),cross)
	@ARCHES='$(ARCHES)' dist/packages/release
	@$(giveback)

.PHONY: release-twice
release-twice: build/tools/nfpm build/tools/cyclonedx-gomod ## make the release in two clones: are the checksums the same?
	@ARCHES='$(ARCHES)' dist/packages/reproducible release

.PHONY: reproducible
reproducible: build/tools/nfpm ## build the packages twice, in different places: are they the same?
	@dist/packages/reproducible

.PHONY: sbom
sbom: build build/tools/cyclonedx-gomod ## what is linked in, as CycloneDX, into build/sbom/
	@mkdir -p build/sbom
	@for file in pam_polyinst.so polyinst; do \
		build/tools/cyclonedx-gomod bin -json -std -licenses=false \
			-noserial -notimestamp -version 'v$(VERSION)' \
			-output build/sbom/$$file.cdx.json build/$$file || exit 1; \
		echo build/sbom/$$file.cdx.json; done
	@$(giveback)

build/tools/nfpm: tools/go.mod tools/go.sum
	@mkdir -p build/tools
	$(GO) build -C tools -o ../$@ github.com/goreleaser/nfpm/v2/cmd/nfpm

build/tools/cyclonedx-gomod: tools/go.mod tools/go.sum
	@mkdir -p build/tools
	$(GO) build -C tools -o ../$@ github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod

endif
