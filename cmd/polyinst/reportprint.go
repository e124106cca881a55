package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// print is the report for people.
func (e *evidence) print() {
	by := cmp.Or(strings.Join(e.Judged, ", "), "no service")
	if e.Isolated {
		fmt.Fprintf(stdout, "ISOLATED since %s: sessions by %s\n", *e.Since, by)
	} else {
		fmt.Fprintf(stdout, "NOT ISOLATED: sessions by %s:\n", by)
	}
	for _, r := range e.Reasons {
		fmt.Fprintf(stdout, "  %s\n", r)
	}
	section := func(head string, t table) {
		if len(t.rows) > 0 {
			fmt.Fprintln(stdout, head)
			t.indent = "  "
			t.print()
		}
	}
	var files, services, polydirs, sessions table
	for _, f := range e.Configuration.Files {
		files.add(plain(f.Path), f.Changed, "sha256 "+f.SHA256)
	}
	if e.Module != nil {
		files.add(plain(e.Module.Path), e.Module.Changed, "sha256 "+e.Module.SHA256)
	}
	section("files, and when each was changed:", files)
	for _, s := range e.Services {
		where := s.Problem
		if s.Covered {
			where = fmt.Sprintf("%s:%d", s.File, s.Line)
		}
		services.add(plain(s.Service), map[bool]string{true: "covered", false: "public"}[s.Covered], where)
	}
	section("services:", services)
	for _, p := range e.Polydirs {
		polydirs.add(plain(p.Path), strings.Join(p.Methods, ","), cmp.Or(strings.Join(p.Options, ","), "-"), "for "+few3(p.Isolated), except(p.Public))
	}
	section("directories, of root and people:", polydirs)
	for _, s := range e.Sessions {
		proof := "the kernel shows all of its mounts"
		if slices.ContainsFunc(s.Polydirs, func(p polydirJSON) bool { return !p.Covered }) {
			proof = "mounts are gone"
		}
		if s.Current != nil && !*s.Current {
			proof += "; by an older configuration"
		}
		sessions.add(plain(s.User), plain(s.Service), s.Since, proof)
	}
	section("live sessions:", sessions)
}

// except names whom a directory is not for.
func except(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "not for " + few3(names)
}

// few3 are up to three names, and how many there are besides.
func few3(names []string) string {
	const most = 3
	var out []string
	for _, n := range names[:min(len(names), most)] {
		if n == anybodyElse {
			n = "all others"
		}
		out = append(out, plain(n))
	}
	text := cmp.Or(strings.Join(out, ", "), "nobody")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
