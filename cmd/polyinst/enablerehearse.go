package main

import (
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strings"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/observe"
)

// often are the services by which root gets in: through each of them that changes,
// a session of root's is rehearsed. becoming are those of them that open a session in
// another one.
var (
	often    = append([]string{"sshd", "login"}, becoming...)
	becoming = []string{"su", "su-l", "sudo", "sudo-i"}
)

// telling are the services through which sessions are rehearsed: each whose own
// file changes, those by which root gets in, and of a file that is only included one
// that includes it.
func telling(stacks pamstack.Dir, changes []pamstack.Change) []string {
	var out []string
	for _, name := range names(changes) {
		reached := stacks.Reaching([]string{name})
		found := slices.DeleteFunc(slices.Clone(reached), func(s string) bool { return s != name && !slices.Contains(often, s) })
		switch {
		case len(found) > 0:
			out = append(out, found...)
		case len(reached) > 0:
			out = append(out, reached[0])
		default:
			out = append(out, name)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(out)))
}

// rehearse opens and closes sessions by the changed stacks.
func (e *enabling) rehearse() error {
	services := telling(e.after, e.changes)
	user, known, err := e.somebody(services)
	if err != nil {
		return err
	}
	for _, service := range services {
		if known {
			if err := e.session(service, user); err != nil {
				return err
			}
		}
		if user != "root" {
			if err := e.session(service, "root"); err != nil {
				return err
			}
		}
	}
	if !known {
		tell("no account that `getent passwd` lists would get a private directory by %s: only root's session was rehearsed; --user names another account", strings.Join(services, ", "))
	}
	return nil
}

// somebody is the account whose session is rehearsed: who is named, who has become
// root, or the first of the people to whom a polydir applies.
func (e *enabling) somebody(services []string) (user string, known bool, err error) {
	if e.user != "" {
		return e.user, true, nil
	}
	var list []string
	if caller := os.Getenv("SUDO_USER"); caller != "" && caller != "root" {
		list = append(list, caller)
	}
	for i, name := range append(list, accounts()...) {
		who, r := observe.Account(name, "", nil)
		if r != nil || i >= len(list) && (who.UID == 0 || !isPerson(who) || absent(who.Home)) {
			continue
		}
		for _, service := range services {
			x, err := e.explained(service, name)
			if err != nil {
				return "", false, err
			}
			// who is refused is told by the session that is rehearsed
			if x.Outcome == outcomeNew || i < len(list) && (x.Outcome == outcomeRefused || x.Outcome == outcomeRescued) {
				return name, true, nil
			}
		}
		if i > peopleMax {
			break
		}
	}
	return "", false, nil
}

// explained is what a session would get, as explain says it.
func (e *enabling) explained(service, name string) (*explanation, error) {
	x := &explanation{}
	defer x.close()
	err := explainer{stacks: e.after}.session(x, name, service, nil)
	return x, err
}

// session rehearses a session, and compares it with what explain says.
func (e *enabling) session(service, user string) error {
	x, err := e.explained(service, user)
	if err != nil {
		return err
	}
	if len(x.Refusals) > 0 && user != "root" {
		return fmt.Errorf("%s by %s would be refused, and nothing is changed: %s", plain(user), service, strings.Join(x.Refusals, "; "))
	}
	r, alone, err := judge(e.before, e.after, service, user)
	if err != nil {
		return err
	}
	said := ""
	if r.Said != "" {
		said = ": " + strings.ReplaceAll(r.Said, "\n", "; ")
	}
	switch {
	case !r.Opened:
		return fmt.Errorf("%s by %s is refused through the changed stack, and nothing is changed: %s%s; the system log says more", plain(user), service, r.Error, said)
	case r.Error != "":
		return fmt.Errorf("%s by %s, through the changed stack: %s; nothing is changed", plain(user), service, r.Error)
	case x.Outcome == outcomeNew && !r.Moved:
		return fmt.Errorf("%s by %s gets no private directory through the changed stack, and nothing is changed: a line before ours ends it (`polyinst check --pam`)", plain(user), service)
	}
	fmt.Fprintf(stdout, "rehearsed: %s by %s %s%s\n", plain(user), service, x.gets(), map[bool]string{true: " (by our line alone: the other lines cannot be rehearsed here)"}[alone])
	return nil
}

// gets says in a few words what a session has.
func (x *explanation) gets() string {
	var paths []string
	for _, s := range x.plan.Steps {
		paths = append(paths, plain(s.Path))
	}
	switch x.Outcome {
	case outcomeNew:
		return "has " + strings.Join(paths, ", ") + " of their own"
	case outcomeRescued:
		return "gets in by rescue"
	}
	return "gets in, in the host's view"
}
