package host

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// Snapshot is the state of a process, as sections of lines: "threads",
// "signals", "fds", "limits", "umask", "environ", "cwd", "root", "ns",
// "mountinfo", "credentials". One taken by the C host from inside also has
// "sigactions", "mask", "pending", "timers".
type Snapshot map[string][]string

// The sections that joining a namespace changes. The working directory and the
// root are other mounts of the same path.
var View = []string{"ns", "mountinfo", "cwd", "root"}

// Snapshot looks at a process from outside.
func (h *Host) Snapshot(pid int) Snapshot {
	h.T.Helper()
	dir := fmt.Sprintf("/proc/%d/", pid)
	s := Snapshot{}
	for line := range strings.Lines(h.ReadFile(dir + "status")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		section := ""
		switch key {
		case "Threads":
			section = "threads"
		case "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt":
			section = "signals"
		case "Umask":
			section = "umask"
		case "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp":
			section = "credentials"
		default:
			continue
		}
		s[section] = append(s[section], key+" "+strings.Join(strings.Fields(value), " "))
	}
	s["limits"] = strings.Split(strings.TrimSpace(h.ReadFile(dir+"limits")), "\n")
	s["mountinfo"] = strings.Split(strings.TrimSpace(h.ReadFile(dir+"mountinfo")), "\n")
	s["environ"] = strings.Split(strings.Trim(h.ReadFile(dir+"environ"), "\x00"), "\x00")
	s["fds"] = h.links(dir + "fd")
	s["ns"] = h.links(dir + "ns")
	for _, name := range []string{"cwd", "root"} {
		var st unix.Stat_t
		target, err := os.Readlink(dir + name)
		if err == nil {
			err = unix.Stat(dir+name, &st)
		}
		h.check(err)
		s[name] = []string{fmt.Sprintf("%s %d:%d", target, st.Dev, st.Ino)}
	}
	return s
}

func (h *Host) links(dir string) []string {
	h.T.Helper()
	var links []string
	for _, name := range h.Names(dir) {
		if target, err := os.Readlink(filepath.Join(dir, name)); err == nil {
			links = append(links, name+" -> "+target)
		}
	}
	sort.Strings(links)
	return links
}

// Diff is how s became later: lines that went, with "-", and lines that came,
// with "+". The sections named are not looked at.
func (s Snapshot) Diff(later Snapshot, except ...string) []string {
	var sections []string
	for _, side := range []Snapshot{s, later} {
		for name := range side {
			if !slices.Contains(sections, name) && !slices.Contains(except, name) {
				sections = append(sections, name)
			}
		}
	}
	sort.Strings(sections)
	var diff []string
	for _, name := range sections {
		for _, line := range s[name] {
			if !slices.Contains(later[name], line) {
				diff = append(diff, name+" - "+line)
			}
		}
		for _, line := range later[name] {
			if !slices.Contains(s[name], line) {
				diff = append(diff, name+" + "+line)
			}
		}
	}
	return diff
}

// Unchanged fails the story where a process is not as it was, leaving
// out the sections named.
func (h *Host) Unchanged(what string, before, after Snapshot, except ...string) {
	h.T.Helper()
	if len(before) == 0 || len(after) == 0 {
		h.T.Fatalf("%s: a snapshot is missing", what)
	}
	if diff := before.Diff(after, except...); len(diff) > 0 {
		h.T.Errorf("%s: the process changed:\n%s", what, strings.Join(diff, "\n"))
	}
}
