package main

import (
	"fmt"
	"slices"
	"strings"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/observe"
)

func (e *evidence) configuration(files observe.Files) {
	var sums strings.Builder
	for _, src := range files.All() {
		f, err := factsOf(src.Name)
		if err != nil {
			e.against("%s", words(err))
			continue
		}
		f.SHA256 = digestOf(src.Data) // of what was looked at
		fmt.Fprintf(&sums, "%s  %s\n", f.SHA256, f.Path)
		e.Configuration.Files = append(e.Configuration.Files, f)
		e.since(f.changed)
	}
	e.Configuration.Digest = digestOf([]byte(sums.String()))
	good, err := observe.LastGood(files.Main.Name)
	e.Configuration.Accepted = err == nil && sameFiles(good, files)
}

// moduleLimit is more than any module has.
const moduleLimit = 1 << 28

// factsOf are those of a file, by one handle.
func factsOf(path string) (f fileEvidence, err error) {
	way, err := dirfd.WalkFile(path)
	if err != nil {
		return f, err
	}
	defer way.Close()
	if way.Missing {
		return f, dirfd.NotExist(path)
	}
	file, err := way.Parent.OpenFile(way.Name)
	if err != nil {
		return f, err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return f, err
	}
	data, err := file.ReadAll(moduleLimit)
	if err != nil {
		return f, fmt.Errorf("%s: %s", path, dirfd.Errno(err))
	}
	return fileEvidence{path, digestOf(data), moment(st.ChangeTime), st.UID, fmt.Sprintf("%04o", st.Mode), st.ChangeTime}, nil
}

// since notes when something was changed by which sessions are isolated.
func (e *evidence) since(changed int64) {
	if at := moment(changed); e.Since == nil || at > *e.Since {
		e.Since = &at
	}
}

// module looks at the file that the first of our lines names.
func (e *evidence) module(stacks pamstack.Dir) {
	path, problem := findModule(moduleOf(stacks))
	if problem != "" {
		e.against("%s", problem)
	}
	if path == "" || absent(path) {
		return
	}
	f, err := factsOf(path)
	if err != nil {
		e.against("%s", words(err))
		return
	}
	if f.Owner != 0 {
		e.against("%s: owned by uid %d, want root", path, f.Owner)
	}
	e.Module = &f
	e.since(f.changed)
}

// services looks at the stacks, and returns the services that are judged.
func (e *evidence) services(stacks pamstack.Dir) (asked []pamstack.Cover) {
	wanted := e.options.services
	covers := pamstack.Covers(stacks)
	for _, name := range wanted {
		if !slices.ContainsFunc(covers, func(c pamstack.Cover) bool { return c.Service == name }) {
			line, file, ok := stacks.SessionLine(name)
			c := pamstack.Cover{Service: name, File: file}
			if ok {
				c.Line = &line
			}
			covers = append(covers, c)
		}
	}
	for _, c := range covers {
		judged := len(wanted) == 0 && c.Line != nil || slices.Contains(wanted, c.Service)
		s := e.stands(c)
		e.Services = append(e.Services, s)
		switch {
		case !judged:
		case c.Line == nil:
			e.against("service %q: %s", c.Service, s.Problem)
		default:
			asked = append(asked, c)
		}
		if judged {
			e.Judged = append(e.Judged, c.Service)
		}
	}
	if len(asked) == 0 && len(wanted) == 0 {
		e.against("no service has `session required %s` in its stack", pamstack.Module)
	}
	return asked
}

// stands is what a stack says, and when that was changed.
func (e *evidence) stands(c pamstack.Cover) serviceStands {
	s := serviceStands{Service: c.Service, File: c.File, Arguments: []string{}}
	if c.Line != nil {
		s.File, s.Line, s.Control, s.Arguments = c.Line.Pos.File, c.Line.Pos.Line, c.Line.Control, append(s.Arguments, c.Line.Args...)
	}
	if s.File != "" {
		f, err := factsOf(s.File)
		if err != nil {
			e.against("%s", words(err))
		}
		s.Changed = f.Changed
		if c.Line != nil {
			e.since(f.changed)
		}
	}
	switch wrong := slices.IndexFunc(e.Remarks, func(r remark) bool {
		return r.service == c.Service && (r.Level == pamstack.Error || r.passed)
	}); {
	case wrong >= 0:
		s.Problem = e.Remarks[wrong].Message
	case c.Line == nil && c.File == "":
		s.Problem = "it has no PAM stack"
	case c.Line == nil:
		s.Problem = fmt.Sprintf("its session stack (%s) has no `session required %s`", c.File, pamstack.Module)
	default:
		s.Covered = true
	}
	return s
}

// parents looks at those that are the same for all and those of each account; one
// in a home is made by its session.
func (e *evidence) parents(c *config.Config) {
	for _, p := range parents(c, true) {
		s := parentStands{Path: p.path, Polydir: string(p.rule.Path)}
		err := apply.CheckParent(p.path, p.rule)
		if err != nil {
			s.Problem = message(err)
		}
		e.Parents = append(e.Parents, s)
		said := slices.ContainsFunc(e.Reasons, func(reason string) bool { return strings.Contains(reason, fmt.Sprintf("instance parent %q", p.path)) })
		if err != nil && !dirfd.IsUsersMount(err) && !said {
			e.against("instance parent %q: %s", p.path, s.Problem)
		}
	}
}
