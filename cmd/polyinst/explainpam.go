package main

import (
	"fmt"
	"strings"

	"pam_polyinst/internal/core/config"
)

// line finds the PAM line of the service that is in effect, and returns its
// arguments.
func (e explainer) line(x *explanation) []string {
	words := e.args
	if e.argsGiven {
		x.PAM = &pamLine{Arguments: []argumentSay{}}
	} else {
		x.loaded = e.stacks.Load(x.Service, loadProblem, daemonFiles())
		if !x.loaded.Active {
			return nil
		}
		entry := x.loaded.Line
		words = entry.Args
		x.PAM = &pamLine{entry.Pos.File, entry.Pos.Line, entry.Control, []argumentSay{}}
	}
	for _, w := range words {
		x.PAM.Arguments = append(x.PAM.Arguments, argumentSay{Argument: w})
	}
	return words
}

// meanings says what each argument does beside what the file says.
func (x *explanation) meanings(e explainer) {
	if x.PAM == nil {
		return
	}
	for i, a := range x.PAM.Arguments {
		name, value, _ := strings.Cut(a.Argument, "=")
		x.PAM.Arguments[i].Meaning = x.meaning(e, name, value)
	}
}

func (x *explanation) meaning(e explainer, name, value string) string {
	wins := func(what string, key string, config string) string {
		pos, set := x.Config.Namespace.Set[key]
		switch {
		case !set:
			return what
		case config == what:
			return what + ", as " + pos.String() + " says"
		}
		return what + ", and not " + config + " as " + pos.String() + " says"
	}
	nested := fmt.Sprintf("nested = %q", x.Config.Namespace.NestedOf(x.Service, config.Args{}))
	nestedKey := "nested"
	if _, own := x.Config.Namespace.NestedBy[x.Service]; own {
		nestedKey += "." + x.Service
	}
	switch name {
	case "conf":
		if e.conf != "" {
			return "the main file; here --conf is in its place"
		}
		return "the main file"
	case "config_error", "ignore_config_error":
		if value == "deny" {
			return "a broken configuration refuses"
		}
		return "in place of a broken configuration, the one that was accepted last"
	case "rescue":
		return "admits these as well, whatever the file says"
	case "require":
		return "refuses whoever does not get these, and rescues root alone"
	case "unmnt_remnt":
		return wins(`nested = "replace"`, nestedKey, nested)
	case "unmnt_only":
		return wins(`nested = "escape"`, nestedKey, nested)
	case "nested":
		return wins(fmt.Sprintf("nested = %q", value), nestedKey, nested)
	case "gen_hash":
		return "hash_names = true for all polydirs" + x.differing("hash_names", func(p *config.Polydir) bool { return !p.HashNames })
	case "ignore_instance_parent_mode":
		return `parent_mode = "any" for all polydirs` + x.differing("parent_mode", func(p *config.Polydir) bool { return !p.ParentModeAny })
	case "require_selinux":
		return "refuses where SELinux is off"
	case "unmount_on_close":
		return "at the end the program goes back to the view that it had"
	case "use_current_context":
		return "the session has the context of the login program; here that of this shell"
	case "use_default_context":
		return "the session has the context that the policy's files give the user"
	case "mount_private":
		return "nothing more than is always done"
	case "debug":
		return "the decision is logged"
	}
	return ""
}

// differing names the positions where the file says otherwise than the PAM line.
func (x *explanation) differing(key string, otherwise func(*config.Polydir) bool) string {
	var positions []string
	for i := range x.Config.Polydirs {
		p := &x.Config.Polydirs[i]
		if pos, set := p.KeyPos[key]; set && otherwise(p) {
			positions = append(positions, pos.String())
		}
	}
	if len(positions) == 0 {
		return ""
	}
	return ", whatever " + strings.Join(positions, " and ") + " says"
}
