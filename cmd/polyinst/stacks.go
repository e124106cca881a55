package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
)

const pamDir = "/etc/pam.d"

// vendorPAM are where libpam looks for what /etc/pam.d does not have.
var vendorPAM = []string{"/usr/lib/pam.d", "/usr/share/pam.d", "/usr/etc/pam.d"}

// readStacks reads the stacks of a directory, with what the vendor supplies if
// it is the machine's own.
func readStacks(dir string) (pamstack.Dir, error) {
	stacks := pamstack.Dir{}
	dirs := []string{dir}
	if filepath.Clean(dir) == pamDir {
		dirs = append(dirs, vendorPAM...)
	}
	for i, d := range dirs {
		names, err := os.ReadDir(d)
		if err != nil && i == 0 {
			return nil, err
		}
		for _, n := range names {
			path := filepath.Join(d, n.Name())
			if _, ok := stacks[n.Name()]; ok || !isService(n.Name()) {
				continue
			}
			data, err := os.ReadFile(path)
			if err != nil {
				continue // a directory, a dangling link: libpam has none either
			}
			stacks[n.Name()] = pamstack.File{Path: path, Data: data}
		}
	}
	return stacks, nil
}

// covered are the services whose sessions go through our line, by name; past are those
// that have it, and whose sessions go past it all the same: check says why.
func covered(stacks pamstack.Dir) (through []lineOf, past []string) {
	load := remembering(loadProblem)
	for _, name := range pamstack.Services(stacks) {
		entry, _, _ := stacks.SessionLine(name)
		if len(stacks.Load(name, load, daemonFiles()).LeftOut) > 0 {
			past = append(past, name)
		} else {
			through = append(through, lineOf{name, entry.Pos.File, entry.Pos.Line, confOf(entry)})
		}
	}
	return through, past
}

// inOrder are services, those of first before the others.
func inOrder(services []string, first ...string) (out []string) {
	for _, name := range slices.Concat(first, services) {
		if slices.Contains(services, name) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// daemonFiles are the configurations of programs that say whether they open
// sessions, by their services. They are read once, for however many sessions are
// explained.
var daemonFiles = sync.OnceValue(func() map[string][]pamstack.File {
	sshd := readGlobs("/etc/ssh/sshd_config", "/usr/etc/ssh/sshd_config")
	sshd = sshd[:min(1, len(sshd))]
	for i := 0; i < len(sshd); i++ {
		for _, f := range readGlobs(pamstack.SSHIncludes(sshd[i])...) {
			if !slices.ContainsFunc(sshd, func(g pamstack.File) bool { return g.Path == f.Path }) {
				sshd = append(sshd, f)
			}
		}
	}
	return map[string][]pamstack.File{
		"sshd":    sshd,
		"vsftpd":  readGlobs("/etc/vsftpd.conf", "/etc/vsftpd/*.conf"),
		"dovecot": readGlobs("/etc/dovecot/dovecot.conf", "/etc/dovecot/conf.d/*", "/etc/dovecot/local.conf"),
	}
})

// unitDirs are where systemd looks for units of the system, the first one wins
// (systemd.unit(5)).
var unitDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// unitsWithPAM are the units that open a PAM session for what they start.
// Drop-in files count after all units, as in systemd.
func unitsWithPAM() map[string]pamstack.Unit {
	units := map[string]pamstack.Unit{}
	for _, kind := range []string{"/*.service", "/*.service.d/*.conf"} {
		for _, dir := range slices.Backward(unitDirs) {
			for _, f := range readGlobs(dir + kind) {
				name := filepath.Base(f.Path)
				unit := pamstack.Unit{} // this file replaces one further down
				if of := filepath.Base(filepath.Dir(f.Path)); strings.HasSuffix(of, ".service.d") {
					name = strings.TrimSuffix(of, ".d")
					unit = units[name]
				}
				unit.Read(string(f.Data))
				units[name] = unit
			}
		}
	}
	maps.DeleteFunc(units, func(_ string, u pamstack.Unit) bool { return u.Service == "" })
	if !absent("/usr/bin/run0") { // which has systemd start units that no file describes
		units["run0"] = pamstack.Unit{Service: "systemd-run0"}
	}
	return units
}

// isService leaves out what editors and packages leave behind.
func isService(name string) bool {
	for _, end := range []string{"~", ".dpkg-new", ".dpkg-old", ".dpkg-dist", ".rpmnew", ".rpmsave", ".rpmorig", ".ucf-dist", ".pacnew", ".pacsave"} {
		if strings.HasSuffix(name, end) {
			return false
		}
	}
	return !strings.HasPrefix(name, ".")
}

func readGlobs(patterns ...string) []pamstack.File {
	var out []pamstack.File
	for _, pattern := range patterns {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			if data, err := os.ReadFile(path); err == nil {
				out = append(out, pamstack.File{Path: path, Data: data})
			}
		}
	}
	return out
}
