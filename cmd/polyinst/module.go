package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/peer"
	"pam_polyinst/internal/kernel/wire"
)

// moduleDirs are where libpam of the distributions looks for modules.
var moduleDirs = []string{"/lib/*/security", "/usr/lib/*/security", "/lib64/security", "/usr/lib64/security",
	"/lib/security", "/usr/lib/security"}

// besides is where Debian's libpam looks for what its own directory does not have.
const besides = "/lib/security"

// loadProblem says why libpam cannot load a module; empty where it can, or where
// it is not known in which directory it looks.
func loadProblem(module string) string {
	_, why := findModule(module)
	return why
}

// remembering asks about each module once, for however many sessions are explained.
func remembering(load func(module string) string) func(module string) string {
	known := map[string]string{}
	return func(module string) string {
		why, ok := known[module]
		if !ok {
			why = load(module)
			known[module] = why
		}
		return why
	}
}

// findModule is the file that libpam loads for a module, empty where it is not
// known in which directory it looks, and why it cannot load that.
func findModule(module string) (path, problem string) {
	if strings.HasPrefix(module, "/") {
		if _, err := os.Stat(module); err != nil {
			return module, module + ": " + dirfd.Errno(err)
		}
		return module, objectProblem(module)
	}
	there, looked := copies(module)
	if len(looked) == 0 {
		if len(there) > 0 {
			return there[0], objectProblem(there[0])
		}
		return "", ""
	}
	for _, dir := range looked {
		if path := filepath.Join(dir, module); !absent(path) {
			return path, objectProblem(path)
		}
	}
	problem = fmt.Sprintf("there is no %s in %s", module, looked[0])
	if len(there) > 0 {
		problem += fmt.Sprintf(", where libpam looks for it: it is %s", there[0])
	}
	return filepath.Join(looked[0], module), problem
}

// copies are the files of a module in all directories of modules, and the directories
// among these in which libpam of this machine looks: those with Linux-PAM's own
// modules for this processor, and what Debian adds.
func copies(module string) (there, looked []string) {
	var seen []os.FileInfo // /lib is /usr/lib, mostly
	for _, pattern := range moduleDirs {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			info, err := os.Stat(dir)
			if err != nil || slices.ContainsFunc(seen, func(o os.FileInfo) bool { return os.SameFile(o, info) }) {
				continue
			}
			seen = append(seen, info)
			if path := filepath.Join(dir, module); !absent(path) {
				there = append(there, path)
			}
			if own := filepath.Join(dir, "pam_permit.so"); !absent(own) && objectProblem(own) == "" || dir == besides && len(looked) > 0 {
				looked = append(looked, dir)
			}
		}
	}
	return there, looked
}

// objectProblem says that a file is no shared object for this processor: an
// installation that was cut short, as by a full disk, leaves such a one.
func objectProblem(path string) string {
	f, err := elf.Open(path)
	if err != nil {
		return path + " is no shared object, or not a whole one"
	}
	defer f.Close()
	if own, err := elf.Open("/proc/self/exe"); err == nil {
		defer own.Close()
		if f.Machine != own.Machine || f.Class != own.Class {
			return fmt.Sprintf("%s is for another processor (%s, not %s)", path, f.Machine, own.Machine)
		}
	}
	return ""
}

// moduleState is what status says of the module that libpam loads.
type moduleState struct {
	File    string   `json:"file"`    // empty: it is not known where libpam looks
	Problem string   `json:"problem"` // why libpam cannot load it; empty: it can
	Build   bool     `json:"build"`   // it was built with this command: the ready workers serve it
	Others  []string `json:"others"`  // of the same name, which libpam does not load
}

// moduleOf is the module that the first of our lines names.
func moduleOf(stacks pamstack.Dir) string {
	for _, c := range pamstack.Covers(stacks) {
		if c.Line != nil {
			return c.Line.Module
		}
	}
	return pamstack.Module
}

// served reports whether a login may get a ready worker; old is true where those that
// are there were started before the module and this command were replaced.
func (m moduleState) served() (served, old bool) {
	listens, build := peer.Listens(wire.ReadySocket)
	old = listens && m.Build && build != "" && build != wire.Build
	return listens && m.Build && !old && !peer.Off(), old
}

func inspectModule(name string) moduleState {
	m := moduleState{Others: []string{}}
	m.File, m.Problem = findModule(name)
	there, _ := copies(filepath.Base(name))
	loaded, _ := os.Stat(m.File)
	for _, path := range there {
		if info, err := os.Stat(path); err == nil && !os.SameFile(info, loaded) {
			m.Others = append(m.Others, path)
		}
	}
	if m.Problem == "" && m.File != "" && wire.Build != "" {
		data, err := os.ReadFile(m.File)
		m.Build = err == nil && bytes.Contains(data, []byte(wire.Build))
	}
	return m
}

func (m moduleState) print(say func(head, format string, args ...any)) {
	switch {
	case m.File == "":
		say("module", "not found, and it is not known where libpam looks")
	case m.Problem != "":
		say("module", "cannot be loaded: %s", m.Problem)
	case !m.Build:
		say("module", "%s: whole, but of another build than this command: every session forks", plain(m.File))
	default:
		say("module", "%s: whole, and of the same build as this command", plain(m.File))
	}
	for _, path := range m.Others {
		say("", "%s is another one, which libpam does not load", plain(path))
	}
}
