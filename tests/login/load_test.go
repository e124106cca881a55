package login

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// goSections are those of the module that hold Go's data alone, so that the dynamic
// loader has nothing to write there: pam_polyinst/init.ld. Others hold some of C's
// as well.
var goSections = []string{".polyinst_go_relro", ".go.module", ".noptrdata"}

// The module's file: the relocations of Go's data are the worker's, all of them and
// no other, and of a kind that it knows.
func TestWorkerRelocatesGo(t *testing.T) {
	f, err := elf.Open("../../build/pam_polyinst.so")
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatal("run `make build` first")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	relative := map[elf.Machine]uint32{elf.EM_X86_64: uint32(elf.R_X86_64_RELATIVE), elf.EM_AARCH64: uint32(elf.R_AARCH64_RELATIVE)}[f.Machine]

	ours, loaders := relocations(t, f, ".polyinst_go_rela"), relocations(t, f, ".rela.dyn")
	if len(ours) < 10000 || ours[0] != (elf.Rela64{}) {
		t.Fatalf("%d relocations are left to the worker, of which the first one is %+v, want many, and none as the first", len(ours), ours[0])
	}
	for _, r := range ours[1:] {
		in := sectionOf(f, r.Off)
		if elf.R_TYPE64(r.Info) != relative || !slices.Contains(goSections, in) && in != ".data" && in != ".go.fipsinfo" {
			t.Fatalf("the worker relocates %#x in %s: %+v", r.Off, in, r)
		}
	}
	for _, r := range loaders {
		if in := sectionOf(f, r.Off); slices.Contains(goSections, in) {
			t.Errorf("the dynamic loader relocates %#x in %s", r.Off, in)
		}
	}

	// what the loader reads is what it is to read
	size, err := f.DynValue(elf.DT_RELASZ)
	if err != nil || len(size) != 1 || size[0] != f.Section(".rela.dyn").Size {
		t.Errorf("DT_RELASZ: %v (%v), want %d", size, err, f.Section(".rela.dyn").Size)
	}
	if end, next := f.Section(".rela.dyn"), f.Section(".polyinst_go_rela"); end.Addr+end.Size != next.Addr {
		t.Errorf("a linker that counted both would have the loader read what is between %#x and %#x", end.Addr+end.Size, next.Addr)
	}
	// the base is the address of the header, and what is made read-only was so
	s := f.Section(".polyinst_go_relro")
	var first, readOnly bool
	for _, p := range f.Progs {
		first = first || p.Type == elf.PT_LOAD && p.Off == 0 && p.Vaddr == 0
		readOnly = readOnly || p.Type == elf.PT_GNU_RELRO && p.Vaddr <= s.Addr && roundUp(s.Addr+s.Size) <= roundUp(p.Vaddr+p.Memsz)
	}
	if !first || !readOnly {
		t.Errorf("the file is loaded from its header on: %v; Go's tables are in what is read-only: %v", first, readOnly)
	}
}

const pageSize = 4096

func roundUp(address uint64) uint64 { return (address + pageSize - 1) &^ (pageSize - 1) }

func relocations(t *testing.T, f *elf.File, name string) []elf.Rela64 {
	t.Helper()
	s := f.Section(name)
	if s == nil {
		t.Fatalf("the module has no section %s", name)
	}
	all := make([]elf.Rela64, s.Size/24)
	if err := binary.Read(s.Open(), f.ByteOrder, all); err != nil {
		t.Fatal(err)
	}
	return all
}

func sectionOf(f *elf.File, address uint64) string {
	for _, s := range f.Sections {
		if s.Flags&elf.SHF_ALLOC != 0 && s.Addr <= address && address < s.Addr+s.Size {
			return s.Name
		}
	}
	return "no section"
}

// A host that has a session open has no page of its own of Go's data.
func TestHostHasNoPageOfGo(t *testing.T) {
	kit.HostStory(t, func(h *host.Host) {
		p := h.PamHostCommand(kit.Steps("open", "print:open", "pause", "close", "end")...).Start()
		p.Expect(`"print"`)
		f, err := elf.Open(h.Module())
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		base := baseOf(h, p.Pid(), h.Module())
		pages, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", p.Pid()))
		if err != nil {
			t.Fatal(err)
		}
		defer pages.Close()
		for _, name := range goSections {
			s := f.Section(name)
			if s == nil {
				t.Fatalf("the module has no section %s", name)
			}
			own, all := 0, 0
			for a := roundUp(base + s.Addr); a+pageSize <= base+s.Addr+s.Size; a += pageSize {
				var entry [8]byte
				if _, err := pages.ReadAt(entry[:], int64(a/pageSize*8)); err != nil {
					t.Fatal(err)
				}
				all++
				// proc_pid_pagemap(5): present or swapped, and of no file
				if e := binary.LittleEndian.Uint64(entry[:]); e>>62 != 0 && e&(1<<61) == 0 {
					own++
				}
			}
			t.Logf("%s: %d of %d pages", name, own, all)
			if own > 0 || name == ".polyinst_go_relro" && all < 10 {
				t.Errorf("%s: %d of %d pages are the host's own", name, own, all)
			}
		}
		p.Send("\n")
		p.Wait()
	})
}

// baseOf is where a file is mapped from its beginning on.
func baseOf(h *host.Host, pid int, file string) uint64 {
	h.T.Helper()
	for line := range strings.Lines(h.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))) {
		if fields := strings.Fields(line); len(fields) == 6 && fields[2] == "00000000" && strings.HasSuffix(fields[5], file[strings.LastIndex(file, "/"):]) {
			base, err := strconv.ParseUint(fields[0][:strings.IndexByte(fields[0], '-')], 16, 64)
			if err != nil {
				h.T.Fatal(err)
			}
			return base
		}
	}
	h.T.Fatalf("%s is not mapped", file)
	return 0
}
