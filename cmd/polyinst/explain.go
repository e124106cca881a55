package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/promise"
)

// explainOptions are the words of explain.
type explainOptions struct {
	conf, service, context, from string
	here                         bool     // in the session that this process is in
	args                         []string // of the PAM line, instead of the stack's
	argsGiven                    bool
	asJSON                       bool
}

func explainCommand() *cobra.Command {
	var o explainOptions
	cmd := &cobra.Command{
		Use:   "explain USER",
		Short: "what would a session of the user get, and why?",
		Long: `Explain decides as the module would, from the configuration, the arguments of
the PAM line and the machine as they are now. It makes and mounts nothing.`,
		Example: `  polyinst explain alice
  polyinst explain alice --service cron
  polyinst explain bob --from alice      by su, in alice's session
  polyinst explain bob --arg unmnt_only  as if the PAM line had that argument`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("which user? polyinst explain USER")}
			}
			return nil
		},
		ValidArgsFunction: users,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needUID0("explain"); err != nil {
				return err
			}
			o.argsGiven = cmd.Flags().Changed("arg")
			if o.from != "" && o.here {
				return usageError{errors.New("--from or --here, not both: --here is the session that this shell is in")}
			}
			if cmd.Flags().Changed("service") {
				if err := serviceName("service", o.service); err != nil {
					return err
				}
			}
			if _, service, named := strings.Cut(o.from, ":"); named {
				if err := serviceName("from", service); err != nil {
					return err
				}
			}
			return explain(args[0], o)
		},
	}
	confFlag(cmd, &o.conf)
	cmd.Flags().StringVar(&o.service, "service", "", "the PAM `SERVICE`; else sshd, or su with --from or --here")
	cmd.Flags().StringVar(&o.from, "from", "", "in a session of `USER`[:SERVICE], as by su or sudo")
	cmd.Flags().BoolVar(&o.here, "here", false, "in the session that this shell is in, if it is in one")
	cmd.Flags().StringVar(&o.context, "context", "", "the session's security `CONTEXT`, not this shell's")
	cmd.Flags().StringArrayVar(&o.args, "arg", nil, "an `ARGUMENT` of the PAM line; can be repeated")
	jsonFlag(cmd, &o.asJSON)
	return cmd
}

func explain(name string, o explainOptions) error {
	stacks, err := readStacks(pamDir)
	if err != nil && !o.argsGiven {
		return err
	}
	e := explainer{explainOptions: o, stacks: stacks}
	x, err := e.nested(name)
	if x != nil {
		defer x.close()
	}
	if err != nil {
		return err
	}
	if o.asJSON {
		err = printJSON(x)
	} else {
		x.print()
	}
	if err == nil && (x.Outcome == outcomeRefused || x.Outcome == outcomeRescued) {
		return errReported
	}
	return err
}

type explainer struct {
	explainOptions
	stacks pamstack.Dir
	load   func(module string) string // as loadProblem, which it is if it is nil
}

// nested explains a session, and first the one that it is opened in, if it is.
func (e explainer) nested(name string) (*explanation, error) {
	x := &explanation{Schema: schema, Polydirs: []ruleVerdict{}, Refusals: []string{}, Plan: []planStep{}, Unseen: []string{}}
	switch {
	case e.here:
		e.choose(x, becoming, false)
		runtime.LockOSThread() // it may have to go to the host's view
		outer, err := outerHere()
		if err != nil {
			return x, err
		}
		return x, e.session(x, name, e.service, outer)
	case e.from == "":
		e.choose(x, often, true)
		return x, e.session(x, name, e.service, nil)
	}
	outerName, outerService, given := strings.Cut(e.from, ":")
	e.choose(x, becoming, false)
	outer := &explanation{}
	defer outer.close()
	login := explainer{explainOptions{conf: e.conf, service: outerService}, e.stacks, e.load}
	if !given {
		login.choose(outer, often, true)
		outerService = login.service
	}
	if err := login.session(outer, outerName, outerService, nil); err != nil {
		return x, err
	}
	if outer.Outcome == outcomeRefused {
		return x, fmt.Errorf("%s by %s would have no session to begin in: %s", plain(outer.User), plain(outerService), outer.Refusals[0])
	}
	return x, e.session(x, name, e.service, outer.asOuter())
}

// choose names the service where nobody has named one: the first of the usual ones,
// or else of all, whose sessions go through our line. Where there is none it is the
// first of the usual ones, and what is said of it holds once it has one.
func (e *explainer) choose(x *explanation, usual []string, all bool) {
	if e.service != "" {
		return
	}
	var services []string
	through, _ := covered(e.stacks)
	for _, l := range through {
		if all || slices.Contains(usual, l.Service) {
			services = append(services, l.Service)
		}
	}
	e.service = usual[0]
	if services = inOrder(services, usual...); len(services) > 0 && services[0] != usual[0] {
		e.service, x.instead = services[0], usual[0]
	}
}

// session fills in what a session would get; outer is the one in which it is
// opened, or nil. An error says that nothing could be found out.
func (e explainer) session(x *explanation, name, service string, outer *outerView) error {
	x.Service, x.User = service, name
	x.away = outer != nil && outer.away
	var r *plan.Refusal
	// what pam_selinux would set is not known here: this shell's stands for it
	x.Promise, r = promise.Ask(promise.Question{User: name, Service: service, Args: e.line(x), Conf: e.conf,
		Host: lsm.Own(), Context: observe.CurrentContext, InContext: e.context})
	if !x.Known {
		switch r := x.Identify(); {
		case r != nil && r.Unknown:
			return noSuchAccount(name)
		case r != nil:
			return r
		}
	}
	x.User, x.UID = x.Who.User, x.Who.UID
	for _, v := range x.Selection.Verdicts {
		x.Polydirs = append(x.Polydirs, ruleVerdict{v.Path, v.Applies, v.Why, v.Polydir.Pos.File, v.Polydir.Pos.Line})
	}
	if x.Loaded.UsesGood {
		x.LastGood = x.broken().Error()
	}
	switch {
	case len(x.loaded.Refused) > 0:
		x.Refusals, x.Outcome = x.loaded.Refused, outcomeRefused // libpam does, and rescues nobody
		return nil
	case r != nil:
		x.refuse(r)
		return nil
	}
	x.meanings(e)
	return x.goes(outer)
}

// refuse notes a refusal; of a broken configuration all problems.
func (x *explanation) refuse(r *plan.Refusal) {
	reasons := []string{r.Error()}
	if problems := x.Loaded.Problems; len(problems) > 0 && x.Config == nil {
		reasons = nil
		for _, p := range problems {
			reasons = append(reasons, p.Error())
		}
		if x.Args.LastGood {
			reasons = append(reasons, fmt.Sprintf("there is no last good configuration: %v", x.Loaded.GoodErr))
		}
	}
	x.Refusals = append(x.Refusals, reasons...)
	x.Outcome = outcomeRefused
	if x.rescues(r) {
		x.Outcome = outcomeRescued
	}
}

// rescues reports whether the user is admitted all the same (I-15).
func (x *explanation) rescues(r *plan.Refusal) bool { return !x.away && x.Rescued(r) }

// broken is why the machine's files are no configuration: all of their problems.
func (x *explanation) broken() error {
	if x.Loaded.Err != nil {
		return x.Loaded.Err
	}
	return x.Loaded.Problems
}

// goes says which way the session goes, and what is built.
func (x *explanation) goes(outer *outerView) error {
	at := plan.Place{Joins: true, Kernel: x.Possible()}
	if outer != nil && outer.Facts != nil {
		at.Outer = outer.Facts(x.Promise)
	}
	route, r := x.Choose(at)
	x.inside(outer, route)
	if r != nil {
		x.refuse(r)
		return nil
	}
	x.Outcome = map[plan.Way]string{plan.Builds: outcomeNew, plan.ToHost: outcomeHost, plan.Same: outcomeSame, plan.Stays: outcomeStays}[route.Way]
	var err error
	if route.Way == plan.Builds {
		err = x.decide(outer, route)
	}
	x.directories(outer, route)
	return err
}

// decide goes through the rules as the module would.
func (x *explanation) decide(outer *outerView, route plan.Route) error {
	if outer != nil {
		if err := outer.enter(route.Base, &x.round); err != nil {
			return err
		}
	}
	m, err := x.Machine()
	if err != nil {
		return err
	}
	x.plan = plan.Plan{Subject: x.Who, Namespace: x.Config.Namespace}
	rescued := true
	x.round.Subject, x.round.Machine = x.Who, m
	x.round.Refused = func(_ plan.Rule, _ *observe.Scene, r *plan.Refusal) bool {
		x.Refusals = append(x.Refusals, r.Error())
		rescued = rescued && x.rescues(r)
		return true
	}
	x.round.Unseen = func(rule plan.Rule, theirs string) {
		x.Unseen, x.theirs = append(x.Unseen, rule.Path), append(x.theirs, theirs)
	}
	r := promise.Records()
	if r == nil {
		r = promise.Turn(x.Config.Namespace, x.Who)
	}
	if r != nil {
		x.round.Refused(plan.Rule{}, nil, r)
	}
	x.round.Go(x.Selection.Rules)
	for _, step := range x.round.Steps {
		x.plan.Steps = append(x.plan.Steps, step)
		x.Plan = append(x.Plan, toStep(step))
	}
	x.Text = x.plan.String()
	if len(x.Refusals) > 0 {
		x.Plan, x.Outcome, x.Text = []planStep{}, outcomeRefused, ""
		if rescued {
			x.Outcome = outcomeRescued
		}
	}
	return nil
}

// unseen says of a polydir that the session alone can look at it.
func unseen(path, theirs string) string {
	if theirs == "" {
		return fmt.Sprintf("polydir %q lies in an instance that is not there yet: what it finds is seen at the login", path)
	}
	return fmt.Sprintf("polydir %q: %s: their own sessions look at it, and what they find is seen at the login", path, theirs)
}

func (x *explanation) close() {
	x.round.close()
}
