// Package promise says what a session is promised, and goes the one way through
// its rules: for the module, which carries it out, and for the commands that say
// what it would do.
package promise

import (
	"errors"
	"fmt"
	"slices"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/observe"
)

// Question is what a session is opened with.
type Question struct {
	User    string // as typed
	Service string
	Args    []string // of the PAM line
	HostUID uint32   // the host's real uid; a command knows of none: 0
	// Host is the thread of which security modules are asked what the session gets;
	// a command has none but its own.
	Host lsm.Thread
	// Context says where the session's security context is, unless an argument
	// does. What pam_selinux would set a command does not know: CurrentContext.
	Context observe.ContextFrom
	// Configured, if it is not nil, is told as soon as the configuration is known,
	// before accounts are looked up.
	Configured func(*Promise)

	// What a command may say instead of the PAM line and the host.
	Conf      string // the main file
	InContext string // the session's security context
}

// Promise is what a session is promised, as far as that is known.
type Promise struct {
	Args      config.Args
	Loaded    observe.Configuration
	Config    *config.Config // that is gone by: of Loaded
	Who       plan.Subject
	Known     bool // Who is filled in
	Selection plan.Selection
	Selected  bool   // Selection is whole
	Digest    string // of the view that the rules make

	question Question
	security *plan.Security
}

// Ask finds out what a session is promised. With a refusal the promise holds what
// was known by then.
func Ask(q Question) (*Promise, *plan.Refusal) {
	p := &Promise{question: q}
	return p, p.ask()
}

func (p *Promise) ask() *plan.Refusal {
	if r := p.configure(); r != nil {
		return r
	}
	if p.question.Configured != nil {
		p.question.Configured(p)
	}
	if r := p.Identify(); r != nil {
		return r
	}
	return p.selectRules()
}

// configure reads the arguments and the configuration. With config_error=last-good
// the configuration that was accepted last replaces a broken one.
func (p *Promise) configure() *plan.Refusal {
	var err error
	if p.Args, err = config.ParseArgs(p.question.Args); err != nil {
		return configFault(fmt.Errorf("PAM line: %w", err))
	}
	if p.question.Conf != "" {
		p.Args.Conf = p.question.Conf
	}
	p.Loaded = observe.Load(p.Args)
	p.Config = p.Loaded.Config
	if p.Config != nil {
		return nil
	}
	err = p.Broken()
	if p.Args.LastGood {
		err = fmt.Errorf("%w; and there is no last good configuration: %w", err, p.Loaded.GoodErr)
	}
	return configFault(err)
}

// Broken is why the files of the machine are no configuration: of several
// problems the first that has a hint, because a mistyped key makes others follow.
// It is nil where they are one.
func (p *Promise) Broken() error {
	problems := p.Loaded.Problems
	if p.Loaded.Err != nil || len(problems) == 0 {
		return p.Loaded.Err
	}
	first := problems[max(0, slices.IndexFunc(problems, func(x config.Problem) bool { return x.Hint != "" }))]
	if n := len(problems) - 1; n > 0 {
		return fmt.Errorf("%w (and %d more: `polyinst check` shows them)", first, n)
	}
	return first
}

// Identify finds out who the session is for, and which of the groups that the
// lists name they are in. Without a configuration it is still wanted to know
// whether they are of the rescue list.
func (p *Promise) Identify() *plan.Refusal {
	groups := p.Rescue().Groups()
	if p.Config != nil {
		groups = append(groups, p.Config.Groups()...)
	}
	who, r := observe.Account(p.question.User, p.question.Service, groups)
	if r == nil {
		p.Who, p.Known = who, true
	}
	return r
}

// selectRules selects the rules, and refuses whoever does not get what the PAM line
// demands.
func (p *Promise) selectRules() *plan.Refusal {
	var r *plan.Refusal
	if p.Selection, r = plan.Select(p.Config, p.Who, p.Args.Rescue); r != nil {
		return r
	}
	p.Selected = true
	if r := p.Selection.Required(p.Args.Require, p.Who, p.Nested(), false); r != nil {
		return r
	}
	if p.Args.RequireSELinux && !observe.SELinuxActive() {
		return HostFault(errors.New("require_selinux, but SELinux is not active here"))
	}
	if len(p.Selection.Rules) == 0 {
		return nil
	}
	context := ""
	if p.Security().Labels() || p.Selection.ByContext() {
		context = p.Security().Session
	}
	p.Digest = p.Selection.Digest(p.Config.Namespace, context)
	return nil
}

// Security is what the security module gives the session. It is asked once.
func (p *Promise) Security() plan.Security {
	if p.security == nil {
		s := observe.Security(p.question.Host, p.contextFrom(), p.Who)
		if p.question.InContext != "" && s.Module != plan.NoModule {
			s.Session, s.Problem = p.question.InContext, ""
		}
		p.security = &s
	}
	return *p.security
}

func (p *Promise) contextFrom() observe.ContextFrom {
	switch {
	case p.Args.UseCurrentContext:
		return observe.CurrentContext
	case p.Args.UseDefaultContext:
		return observe.DefaultContext
	}
	return p.question.Context
}

// Machine is what the decision wants to know of the machine, for this session.
func (p *Promise) Machine() (plan.Machine, error) {
	return machine(p.Args, p.Security(), p.Selection.Fresh())
}

// Machine is the same for any session by the arguments of a PAM line, with what
// the security module gives it.
func Machine(args config.Args, security plan.Security) (plan.Machine, error) {
	return machine(args, security, true)
}

func machine(args config.Args, security plan.Security, ids bool) (plan.Machine, error) {
	m, err := observe.Machine(ids)
	m.InitDir = observe.InitDir(args.Conf)
	if args.Conf != observe.ConfigDir+"/namespace.conf" {
		m.Conf = args.Conf
	}
	m.ParentModeAny, m.HashNames = args.IgnoreInstanceParentMode, args.GenHash
	m.Security = security
	return m, err
}

// Nested is what is said of a session inside another one.
func (p *Promise) Nested() config.Nested {
	return p.Config.Namespace.NestedOf(p.Who.Service, p.Args)
}

// Choose says which way a session goes from the place where its host stands.
func (p *Promise) Choose(at plan.Place) (plan.Route, *plan.Refusal) {
	return plan.Choose(plan.Wanted{Selection: p.Selection, Who: p.Who, Digest: p.Digest, Nested: p.Nested(),
		Scope: p.Config.Namespace.Scope, Require: p.Args.Require}, at)
}

// Rescue says who is admitted in spite of a refusal.
func (p *Promise) Rescue() plan.Rescue { return p.Loaded.Rescue(p.Args) }

// Rescued reports whether the user is admitted, without private directories, in
// spite of a refusal.
func (p *Promise) Rescued(r *plan.Refusal) bool {
	switch {
	case r.Fault == plan.FaultUser || r.Unknown:
		return false
	case !p.Known && p.Identify() != nil:
		return false
	case r.Fault == plan.FaultAnyone && p.question.HostUID != 0:
		return false // by su, a user could choose where root's session is opened
	}
	var security plan.Security
	byContext := p.byContext()
	if byContext {
		security = p.Security()
	}
	return p.Rescue().Admits(r, p.Who, byContext, security)
}

// byContext reports whether a polydir of the user's is by level or context, or may
// be, as far as it is known which are theirs.
func (p *Promise) byContext() bool {
	switch {
	case p.Selected:
		return p.Selection.ByContext()
	case p.Config != nil:
		return p.Config.ByContext()
	}
	return p.Loaded.MayNameContexts()
}

// configFault is the refusal for an error of the configuration, unless it says
// that the files could not be read for a reason that a user can bring about.
func configFault(err error) *plan.Refusal {
	r := HostFault(err)
	if r.Fault == plan.FaultHost {
		r.Fault = plan.FaultConfig
	}
	return r
}

// HostFault is the refusal for an error of the machine (plan.HostFault). dirfd knows
// which errors come from a limit, or from what anyone can bring about.
func HostFault(err error) *plan.Refusal {
	return plan.HostFault(err, dirfd.IsLimit(err), dirfd.IsScarce(err))
}

// Kernel says why no session can be built on this machine's kernel; nil: it can.
func Kernel() *plan.Refusal {
	if err := mntns.Supported(); err != nil {
		return HostFault(err)
	}
	return nil
}
