package main

import (
	"fmt"
	"slices"
	"strings"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/promise"
)

// checkForEverybody goes through the polydirs that are the same for all users,
// as a session would to whom all of them apply. Of several tables for one path,
// which are for different users, each is in a round of its own.
func checkForEverybody(c *config.Config, m plan.Machine) []remark {
	var out []remark
	var left []config.Polydir
	origin := map[config.Position]*config.Polydir{}
	for i := range c.Polydirs {
		p := &c.Polydirs[i]
		if varies(p) {
			continue
		}
		every := *p
		every.Except, every.Only, every.Services = nil, nil, nil
		if _, r := plan.Select(&config.Config{Polydirs: []config.Polydir{every}}, nobodyYet); r != nil {
			out = append(out, at(keyOf(p, "path"), pamstack.Error, "%v", r))
			continue
		}
		origin[p.Pos] = p
		left = append(left, every)
	}
	for len(left) > 0 {
		var round, others []config.Polydir
		for _, p := range left {
			if slices.ContainsFunc(round, func(q config.Polydir) bool { return q.Path == p.Path }) {
				others = append(others, p)
			} else {
				round = append(round, p)
			}
		}
		left = others
		selection, r := plan.Select(&config.Config{Polydirs: round}, nobodyYet)
		if r != nil {
			out = append(out, at(round[0].Pos, pamstack.Error, "%v", r))
			continue
		}
		for i := range selection.Rules {
			selection.Rules[i].Config = origin[selection.Rules[i].Config.Pos]
		}
		found := checkRound(selection.Rules, nobodyYet, m)
		for _, rule := range selection.Rules {
			out = append(out, found[rule.Config]...)
		}
	}
	return out
}

// checkRound goes through the rules of a session, and says of each polydir what
// would refuse it.
func checkRound(rules []plan.Rule, who plan.Subject, m plan.Machine) map[*config.Polydir][]remark {
	out := map[*config.Polydir][]remark{}
	var h rehearsal
	defer h.close()
	h.Subject, h.Machine = who, m
	h.Refused = func(rule plan.Rule, scene *observe.Scene, r *plan.Refusal) bool {
		out[rule.Config] = append(out[rule.Config], refused(rule, who, scene, r))
		return true
	}
	h.Unseen = func(rule plan.Rule, theirs string) {
		if theirs != "" {
			out[rule.Config] = append(out[rule.Config], at(keyOf(rule.Config, "path"), pamstack.Note, "for %s: %s", who.User, unseen(rule.Path, theirs)))
		}
	}
	h.Go(rules)
	for _, step := range h.Steps {
		for _, rule := range rules {
			if rule.Path == step.Path {
				for _, more := range [][]remark{checkClosed(step, rule.Config, who), checkSlash(step, rule.Config), checkKeep(step, rule.Config, m.Conf), checkMount(step, rule.Config)} {
					out[rule.Config] = append(out[rule.Config], more...)
				}
			}
		}
	}
	return out
}

// peopleMax is for how many accounts a polydir of theirs is checked, and
// remarksMax how many of them are named.
const (
	peopleMax  = 1000
	remarksMax = 5
)

// checkForPeople goes through the sessions of root and of the accounts of people
// that the directory lists: what varies by user, what several tables for one path
// make of a user to whom more than one applies, and the instances that they have.
// said is what is said of everybody.
func checkForPeople(c *config.Config, m plan.Machine, said []remark) []remark {
	out := slices.Clone(said)
	people := 0
	for _, name := range withRoot(accounts()) {
		who, r := observe.Account(name, "", c.Groups())
		if r != nil || !isPerson(who) || absent(who.Home) {
			continue
		}
		if people++; people > peopleMax {
			break
		}
		if r := promise.Turn(c.Namespace, who); r != nil {
			out = append(out, at(c.Namespace.Set["scope"], pamstack.Error, "for %s: %v", name, r))
		}
		for _, service := range servicesOf(c) {
			who.Service = service
			selection, r := plan.Select(c, who)
			if r != nil {
				out = append(out, at(placeOf(c, r), pamstack.Error, "for %s: %v", name, r))
				continue
			}
			if len(selection.Rules) > 0 {
				out = append(out, checkNetwork(c.Namespace, who)...)
			}
			found := checkRound(selection.Rules, who, m)
			for _, rule := range selection.Rules {
				out = append(out, found[rule.Config]...)
			}
		}
	}
	return few(differing(out)[len(differing(slices.Clone(said))):])
}

// withRoot adds root to a list of accounts that has not got it.
func withRoot(names []string) []string {
	if slices.Contains(names, "root") {
		return names
	}
	return append(names, "root")
}

// isPerson reports whether an account is root's, or one of those that
// distributions give to people: not a service's, and not nobody's.
func isPerson(who plan.Subject) bool {
	return who.UID == 0 || who.UID >= 1000 && who.UID != 65534
}

// few leaves of the remarks on one position only the first ones.
func few(all []remark) []remark {
	count := map[config.Position]int{}
	var out []remark
	for _, r := range all {
		pos := config.Position{File: r.File, Line: r.Line, Col: r.Column}
		if count[pos]++; count[pos] <= remarksMax {
			out = append(out, r)
		}
	}
	for i := len(out) - 1; i >= 0; i-- {
		pos := config.Position{File: out[i].File, Line: out[i].Line, Col: out[i].Column}
		if n := count[pos] - remarksMax; n > 0 {
			out = slices.Insert(out, i+1, at(pos, pamstack.Warning, "and %s like these", number(n, "remark")))
			count[pos] = 0
		}
	}
	return out
}

// servicesOf are the services that the configuration tells apart: one that no
// list names, and each that one does.
func servicesOf(c *config.Config) []string {
	all := []string{""}
	for _, p := range c.Polydirs {
		for _, s := range p.Services {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// placeOf is where the polydir stands that a refusal is about.
func placeOf(c *config.Config, r *plan.Refusal) config.Position {
	for i := range slices.Backward(c.Polydirs) {
		if string(c.Polydirs[i].Path) == r.Polydir {
			return keyOf(&c.Polydirs[i], "path")
		}
	}
	return config.Position{}
}

// differing leaves out what was said of somebody else in the same words.
func differing(all []remark) []remark {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(r remark) bool {
		what := r.Message
		if _, rest, ok := strings.Cut(what, ": polydir "); ok && strings.HasPrefix(what, "for ") {
			what = "polydir " + rest
		}
		again := seen[what]
		seen[what] = true
		return again
	})
}

// refused is the remark on a rule that a login would be refused for. What lies in
// a directory of the user's own they can have brought about themselves: a warning.
func refused(rule plan.Rule, who plan.Subject, scene *observe.Scene, r *plan.Refusal) remark {
	message, level := r.Error(), pamstack.Error
	if m, ok := toBeMounted(rule.Parent); ok && r.Key == "instance_prefix" && absent(rule.Parent) {
		message = fmt.Sprintf("polydir %q: instance parent %q: %v", rule.Path, rule.Parent, m)
	}
	if who.User != nobodyYet.User {
		message = "for " + who.User + ": " + message
		if scene != nil && usersDoing(scene.Facts, r) {
			level = pamstack.Warning
		}
	}
	if scene != nil && scene.Facts.Parent.Exposed != "" && !rule.Config.ParentInUnsafeDir {
		if better := betterPlace(rule); !strings.HasPrefix(rule.Parent+"/", better) {
			message += "; better: instance_prefix = \"" + better + "\""
		}
	}
	key := r.Key
	if key == "" {
		key = "path"
	}
	out := at(keyOf(rule.Config, key), level, "%s", message)
	out.prepares = r.Prepare
	return out
}

// betterPlace is a parent below /var/lib/polyinst, named after the polydir.
func betterPlace(rule plan.Rule) string {
	name := strings.ReplaceAll(strings.Trim(rule.Path, "/"), "/", "-")
	if rule.Config.Path.Uses("HOME") {
		name = "home"
	}
	return "/var/lib/polyinst/" + name + "/"
}

// checkSlash warns of an instance_prefix in which a slash may be missing, or a name
// is doubled: the instances are then where nobody meant them.
func checkSlash(step plan.Step, p *config.Polydir) []remark {
	if slash := plan.SlashMissing(p); slash != "" {
		return []remark{at(keyOf(p, "instance_prefix"), pamstack.Warning, "polydir %q: %s", step.Path, slash)}
	}
	if twice := plan.NameTwice(p); twice != "" {
		return []remark{at(keyOf(p, "instance_prefix"), pamstack.Warning, "polydir %q: %s", p.Path, twice)}
	}
	return nil
}

// checkMount tells of instances that a mount will hide.
func checkMount(step plan.Step, p *config.Polydir) []remark {
	m, ok := toBeMounted(step.Parent)
	if !ok {
		return nil
	}
	return []remark{at(keyOf(p, "instance_prefix"), pamstack.Warning, "polydir %q: instance parent %q: %v; it hides the instances that are made until then", step.Path, step.Parent, m)}
}

// publicDirs are those in which every user makes files (hier(7)).
var publicDirs = []string{"/tmp", "/var/tmp", "/dev/shm"}

// checkClosed tells of an instance, there already or yet to be made, in which the
// user cannot do what they are to be able to.
func checkClosed(step plan.Step, p *config.Polydir, who plan.Subject) []remark {
	var out []remark
	if step.Closed != nil {
		for _, w := range step.Warnings(who.User) {
			out = append(out, at(keyOf(p, "instance_prefix"), pamstack.Warning, "for %s: %s", who.User, w))
		}
	}
	takes := step.Create == nil && step.Source.Instance()
	if takes && slices.Contains(publicDirs, step.Path) && step.Owner.UID != 0 {
		out = append(out, at(keyOf(p, "path"), pamstack.Warning, "polydir %q: owned by uid %d, and so is each instance, whoever's it is: chown root:root %s, and only then repair instances", step.Path, step.Owner.UID, shellword.Quote(step.Path)))
	}
	if takes && slices.Contains(publicDirs, step.Path) && step.Owner.Mode&0o003 != 0o003 {
		out = append(out, at(keyOf(p, "path"), pamstack.Warning, "polydir %q: mode %04o, and instances get it: users can make no files there: chmod 1777 %s", step.Path, step.Owner.Mode, shellword.Quote(step.Path)))
	}
	return out
}

// checkKeep tells what of keep a session would not get now.
func checkKeep(step plan.Step, p *config.Polydir, conf string) []remark {
	var out []remark
	for _, l := range step.LeftOut {
		hint := ""
		if l.Why == plan.Absent && slices.Contains(apply.KeptByX, l.Name) {
			hint = plan.OfConf(": `polyinst prepare` makes it", conf)
		}
		out = append(out, at(keyOf(p, "keep"), pamstack.Warning, "polydir %q: keep: %q: %s%s", step.Path, l.Name, l.Why, hint))
	}
	return out
}
