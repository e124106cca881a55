package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/kernel/mntns"
)

// checkPAM judges the stacks of a directory.
func checkPAM(c *config.Config, main, dir string) ([]remark, error) {
	stacks, err := readStacks(dir)
	if err != nil {
		return nil, err
	}
	return checkStacks(c, main, dir, stacks), nil
}

// checkBypassed says by which stacks of this machine users go around what their
// sessions are to see; with --pam that is said of each stack.
func checkBypassed(c *config.Config, main string) []remark {
	stacks, err := readStacks(pamDir)
	if err != nil {
		return nil // no PAM: nobody has a session
	}
	return remarks(pamstack.Bypassed(pamstack.Machine{Stacks: stacks, Config: c, Main: main, Units: unitsWithPAM()}))
}

// checkStacks judges stacks, which are those of a directory or are to be.
func checkStacks(c *config.Config, main, dir string, stacks pamstack.Dir) []remark {
	m := pamstack.Machine{Stacks: stacks, Config: c, Main: main,
		Krb5:   readGlobs("/etc/krb5.conf", "/etc/krb5.conf.d/*"),
		Limits: readGlobs("/etc/security/limits.conf", "/etc/security/limits.d/*.conf"),
		Load:   loadProblem, Conf: remembering(func(path string) string {
			if path == main {
				return "" // what is wrong with it is said of itself
			}
			return confProblem(path)
		})}
	if caps, err := mntns.OwnCapabilities(); err == nil && os.Geteuid() == 0 {
		m.Confined = !caps.SysResource
	}
	if filepath.Clean(dir) == pamDir { // they use this machine's own stacks
		m.Units, m.Daemons = unitsWithPAM(), daemonFiles()
		m.Portal = slices.ContainsFunc(pamstack.Portal, isThere)
		if i := slices.IndexFunc(pamstack.Compositors, isThere); i >= 0 {
			m.Compositor = filepath.Base(pamstack.Compositors[i])
		}
	}
	out := append(remarks(pamstack.Check(m)), checkRescueOfLines(stacks)...)
	if filepath.Clean(dir) == pamDir && c != nil {
		out = append(out, domainRemarks(c, main, stacks)...)
	}
	return out
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// checkRescueOfLines looks up whom rescue= names in our lines.
func checkRescueOfLines(stacks pamstack.Dir) []remark {
	var out []remark
	seen := map[pamstack.Pos]bool{}
	for _, service := range pamstack.Services(stacks) {
		entry, _, _ := stacks.SessionLine(service)
		args, err := config.ParseArgs(entry.Args)
		if err != nil || seen[entry.Pos] {
			continue // an error is said of the line itself
		}
		seen[entry.Pos] = true
		for _, r := range checkList(nil, args.Rescue, rescues) {
			r.File, r.Line, r.Column = entry.Pos.File, entry.Pos.Line, 1
			r.Message, r.service = "rescue=: "+r.Message, service
			out = append(out, r)
		}
	}
	return out
}

// confProblem says why no session can be opened with a main file, and its own machine;
// empty where nothing speaks against it.
func confProblem(path string) string {
	all := fmt.Sprintf("(`polyinst check %s` shows all)", shellword.Quote(path))
	c, files, problems, err := read(path, true)
	switch {
	case err != nil:
		return err.Error()
	case len(problems) > 0:
		return fmt.Sprintf("%v %s", problems[0], all)
	case os.Geteuid() != 0:
		return ""
	}
	found, err := checkMachine(c, files, path)
	if err != nil {
		return err.Error()
	}
	if i := slices.IndexFunc(found, func(r remark) bool { return r.Level == pamstack.Error }); i >= 0 {
		return fmt.Sprintf("%s %s", found[i], all)
	}
	return ""
}
