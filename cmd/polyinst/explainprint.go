package main

import (
	"fmt"
	"strings"

	"pam_polyinst/internal/core/plan"
)

func (x *explanation) print() {
	if x.From != nil {
		x.printOuter()
	}
	instead := ""
	if x.instead != "" {
		instead = fmt.Sprintf(", since sessions by %s do not go through our line", x.instead)
	}
	fmt.Fprintf(stdout, "%s (uid %d) by %s%s:\n", plain(x.User), x.UID, plain(x.Service), instead)
	if x.LastGood != "" {
		fmt.Fprintf(stdout, "the configuration is broken, the last good one is used: %s\n", x.LastGood)
	}
	t := table{indent: "  "}
	for _, v := range x.Polydirs {
		applies := "no"
		if v.Applies {
			applies = "yes"
		}
		t.add(plain(v.Path), applies, v.Why, fmt.Sprintf("%s:%d", v.File, v.Line))
	}
	t.print()
	x.printPAM()
	for _, r := range x.Refusals {
		fmt.Fprintln(stdout, "REFUSED:", printable(r))
	}
	for i, path := range x.Unseen {
		fmt.Fprintln(stdout, unseen(path, x.theirs[i]))
	}
	switch x.Outcome {
	case outcomeRescued:
		fmt.Fprintf(stdout, "rescue: %q is admitted all the same, WITHOUT private directories\n", x.User)
	case outcomeStays:
		fmt.Fprintln(stdout, "nothing applies: the session stays in the view that it is in")
	case outcomeHost:
		fmt.Fprintln(stdout, "the session goes to the host's view, and nothing is built")
	case outcomeSame:
		fmt.Fprintln(stdout, "the session is in its view already: nothing changes")
	case outcomeNew:
		fmt.Fprint(stdout, x.Text)
	}
}

func (x *explanation) printOuter() {
	f := x.From
	if len(f.Polydirs) == 0 {
		fmt.Fprintf(stdout, "a session of %s (uid %d) by %s has no private directory: what begins in it is not nested\n", plain(f.User), f.UID, plain(f.Service))
		return
	}
	fmt.Fprintf(stdout, "in a session of %s (uid %d) by %s, which covers %s; nested = %q: %s\n", plain(f.User), f.UID, plain(f.Service),
		strings.Join(f.Polydirs, ", "), f.Nested, map[string]string{
			string(plan.HostView): "the host's view is what it begins from",
			string(plan.OwnView):  "that session's view is what it begins from",
		}[f.Base])
	for _, d := range f.Directories {
		fmt.Fprintf(stdout, "  a working directory below %s %s\n", plain(d.Polydir), map[string]string{
			fateStays: "stays",
			fateEmpty: "is left for an empty one",
			fateHost:  "is the same, below " + plain(deref(d.Path)),
		}[d.Fate])
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// notActive says that sessions by the service do not go through our line, if that is so.
func (x *explanation) notActive() string {
	switch {
	case len(x.loaded.Refused) > 0 || x.PAM != nil:
		return "" // the reasons say all
	case len(x.loaded.LeftOut) > 0:
		return fmt.Sprintf("NOT ACTIVE: %s: what follows holds once that is done\n", x.loaded.LeftOut[0])
	case x.loaded.File == "":
		return fmt.Sprintf("NOT ACTIVE: there is no PAM stack for %q: what follows holds once there is one, with `session required pam_polyinst.so`\n", x.Service)
	}
	return fmt.Sprintf("NOT ACTIVE: the session stack of %q (%s) has no `session required pam_polyinst.so`: what follows holds once it has\n", x.Service, x.loaded.File)
}

func (x *explanation) printPAM() {
	fmt.Fprint(stdout, x.notActive())
	if x.PAM == nil || len(x.loaded.Refused) > 0 || len(x.PAM.Arguments) == 0 {
		return
	}
	where := "arguments of --arg"
	if x.PAM.File != "" {
		where = fmt.Sprintf("arguments of the PAM line %s:%d", x.PAM.File, x.PAM.Line)
	}
	fmt.Fprintln(stdout, where+", which win over the file:")
	t := table{indent: "  "}
	for _, a := range x.PAM.Arguments {
		t.add(plain(a.Argument), a.Meaning)
	}
	t.print()
}
