package main

import (
	"slices"
	"strings"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/observe"
)

// accounts explains the sessions of root and of the accounts of people by each of
// the services; those get the same that have the same line and are in no list.
func (e *evidence) accounts(who explainer, asked []pamstack.Cover, c *config.Config) error {
	var classes [][]string
	index := map[string]int{}
	for _, s := range asked {
		key := strings.Join(s.Line.Args, "\x00")
		if slices.Contains(servicesOf(c), s.Service) {
			key += "\x00\x00" + s.Service
		}
		i, known := index[key]
		if !known {
			i = len(classes)
			index[key], classes = i, append(classes, nil)
		}
		classes[i] = append(classes[i], s.Service)
	}
	names, err := getent("passwd")
	if err != nil {
		e.against("getent passwd: %v: whose sessions there are is not known", err)
	}
	people := 0
	other := plan.Subject{User: anybodyElse, Typed: anybodyElse, UID: 1000, Home: "/home/" + anybodyElse}
	for _, name := range withRoot(names) {
		subject, r := observe.Account(name, "", nil)
		if r != nil || !isPerson(subject) {
			continue
		}
		other.UID = max(other.UID, subject.UID+1)
		if people++; people > peopleMax {
			e.LeftOut++
			continue
		}
		for _, services := range classes {
			a, err := standsFor(who, name, services)
			if err != nil {
				return err
			}
			e.Accounts = append(e.Accounts, a)
			e.judge(a)
		}
	}
	for _, services := range classes {
		if line := slices.IndexFunc(asked, func(s pamstack.Cover) bool { return s.Service == services[0] }); confOf(*asked[line].Line) == "" {
			other.Service = services[0]
			a := standsForOthers(c, other, services)
			e.Accounts = append(e.Accounts, a)
			e.judge(a)
		}
	}
	for _, services := range classes {
		e.somebody(services)
	}
	if e.LeftOut > 0 {
		e.against("%s not looked at", number(e.LeftOut, "account"))
	}
	return nil
}

// confOf is the main file that a line names; empty: the default one.
func confOf(line pamstack.Entry) string {
	args, _ := config.ParseArgs(line.Args)
	return args.Conf
}

// standsFor explains a session of an account.
func standsFor(who explainer, name string, services []string) (accountStands, error) {
	x := &explanation{}
	defer x.close()
	a := accountStands{User: name, Services: services, Isolated: []string{}, Public: []publicPath{}, Refusals: []string{},
		methods: map[string][]string{}, options: map[string][]string{}}
	if err := who.session(x, name, services[0], nil); err != nil {
		return a, err
	}
	a.UID, a.Outcome = x.UID, x.Outcome
	a.Refusals = append(a.Refusals, x.Refusals...)
	for _, step := range x.Plan {
		a.Isolated = append(a.Isolated, step.Path)
		a.methods[step.Path], a.options[step.Path] = []string{step.Method}, step.Options
	}
	a.Isolated = append(a.Isolated, x.Unseen...) // covered, or the session is refused
	if x.Outcome == outcomeRefused {
		return a, nil
	}
	for _, v := range x.Polydirs {
		why := v.Why
		if x.Outcome == outcomeRescued {
			why = "the session is refused, and rescue admits the user"
		}
		known := slices.ContainsFunc(a.Public, func(p publicPath) bool { return p.Path == v.Path })
		if !known && !slices.Contains(a.Isolated, v.Path) {
			a.Public = append(a.Public, publicPath{v.Path, why})
		}
	}
	return a, nil
}

// anybodyElse stands for the accounts that no list of the configuration names, and
// for those that the directory does not list.
const anybodyElse = "*"

// standsForOthers says what the rules make of an account that no list names.
func standsForOthers(c *config.Config, who plan.Subject, services []string) accountStands {
	a := accountStands{User: who.User, UID: who.UID, Services: services, Outcome: outcomeNew, Isolated: []string{}, Public: []publicPath{}, Refusals: []string{}}
	selection, r := plan.Select(c, who)
	if r != nil {
		a.Outcome, a.Refusals = outcomeRefused, append(a.Refusals, r.Error())
		return a
	}
	if len(selection.Rules) == 0 {
		a.Outcome = outcomeStays
	}
	for _, v := range selection.Verdicts {
		// by its name in the file: the account has no home
		path := string(v.Polydir.Path)
		if v.Applies {
			a.Isolated = union(a.Isolated, []string{path})
		}
	}
	for _, v := range selection.Verdicts {
		if path := string(v.Polydir.Path); !v.Applies && !slices.Contains(a.Isolated, path) {
			a.Public = append(a.Public, publicPath{path, v.Why})
		}
	}
	return a
}

// judge holds what is required against what people get. A refused session sees
// nothing; root, and whoever the auditor says, may see what is public.
func (e *evidence) judge(a accountStands) {
	if a.UID == 0 || a.Outcome == outcomeRefused || slices.Contains(e.options.exempt, a.User) {
		return
	}
	by, name := strings.Join(a.Services, ", "), plain(a.User)
	if a.User == anybodyElse {
		name = "any account that no list names"
	}
	if a.Outcome == outcomeRescued {
		e.against("%s by %s is admitted WITHOUT private directories: %s", name, by, a.Refusals[0])
	}
	for _, dir := range e.options.require {
		if slices.Contains(a.Isolated, dir) {
			continue
		}
		why := "the configuration has no such polydir"
		if i := slices.IndexFunc(a.Public, func(p publicPath) bool { return p.Path == dir }); i >= 0 {
			why = a.Public[i].Why
		}
		e.against("%s by %s sees the public %s: %s", name, by, dir, why)
	}
}

// somebody holds against the services that nobody gets a directory by them: what is not
// required of an account is required of one.
func (e *evidence) somebody(services []string) {
	looked := 0
	for _, a := range e.Accounts {
		if a.UID == 0 || !slices.Equal(a.Services, services) || slices.Contains(e.options.exempt, a.User) {
			continue
		}
		if looked++; len(a.Isolated) > 0 || a.Outcome == outcomeRefused || a.Outcome == outcomeRescued {
			return
		}
	}
	if looked > 0 {
		e.against("nobody who was looked at gets a private directory by %s", strings.Join(services, ", "))
	}
}

// polydirs sums up who has which. What nobody has is there, too.
func (e *evidence) polydirs(c *config.Config) {
	at := map[string]*polydirStands{}
	var order []string
	find := func(path string) *polydirStands {
		if at[path] == nil {
			at[path] = &polydirStands{Path: path, Methods: []string{}, Options: []string{}, Isolated: []string{}, Public: []string{}}
			order = append(order, path)
		}
		return at[path]
	}
	for _, p := range c.Polydirs {
		if !varies(&p) {
			find(string(p.Path))
		}
	}
	for _, a := range e.Accounts {
		for _, path := range a.Isolated {
			p := find(path)
			if a.User != anybodyElse && len(p.Methods) == 0 {
				p.Options = append(p.Options, a.options[path]...)
			}
			p.Methods = union(p.Methods, a.methods[path])
			p.Options = slices.DeleteFunc(p.Options, func(o string) bool { return a.options != nil && !slices.Contains(a.options[path], o) })
			p.Isolated = union(p.Isolated, []string{a.User})
		}
		for _, public := range a.Public {
			p := find(public.Path)
			p.Public = union(p.Public, []string{a.User})
		}
	}
	for _, path := range order {
		p := at[path]
		p.Isolated = slices.DeleteFunc(p.Isolated, func(user string) bool { return slices.Contains(p.Public, user) })
		e.Polydirs = append(e.Polydirs, *p)
	}
}

func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}
