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
				unit := pamstack.Unit{} // this file takes the place of one further down
				if around := filepath.Base(filepath.Dir(f.Path)); strings.HasSuffix(around, ".service.d") {
					name = strings.TrimSuffix(around, ".d")
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
