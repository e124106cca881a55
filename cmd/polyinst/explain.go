package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pam_polyinst/internal/config"
	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/pamstack"
	"pam_polyinst/internal/polyinst"
)

// explainOptions are the words of explain.
type explainOptions struct {
	conf, service, context, from string
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
			if o.from != "" && !cmd.Flags().Changed("service") {
				o.service = "su"
			}
			return explain(args[0], o)
		},
	}
	confFlag(cmd, &o.conf)
	cmd.Flags().StringVar(&o.service, "service", "sshd", "the PAM `SERVICE`; with --from, su")
	cmd.Flags().StringVar(&o.from, "from", "", "in a session of `USER`[:SERVICE], as by su or sudo")
	cmd.Flags().StringVar(&o.context, "context", "", "the session's security `CONTEXT`, not this shell's")
	cmd.Flags().StringArrayVar(&o.args, "arg", nil, "an `ARGUMENT` of the PAM line; can be repeated")
	jsonFlag(cmd, &o.asJSON)
	completeUsers(cmd, "from")
	return cmd
}

// The values of an explanation's outcome.
const (
	outcomeNew     = "new"     // a namespace is made, as the plan says
	outcomeStays   = "stays"   // the session stays in the view that it is in
	outcomeHost    = "host"    // it goes back to the host's view
	outcomeSame    = "same"    // it is in the view that it would get
	outcomeRefused = "refused" // there is no session
	outcomeRescued = "rescued" // there is one, without private directories
)

// explanation is what a session would get. Its fields are the schema of explain
// --json.
type explanation struct {
	Schema   int           `json:"schema"`
	User     string        `json:"user"`
	UID      uint32        `json:"uid"`
	Service  string        `json:"service"`
	PAM      *pamLine      `json:"pam"`  // null: the stack has no line of ours
	From     *outerSession `json:"from"` // null: not nested
	LastGood string        `json:"last_good"`
	Polydirs []ruleVerdict `json:"polydirs"`
	Outcome  string        `json:"outcome"`
	Refusals []string      `json:"refusals"`
	Plan     []planStep    `json:"plan"`
	Unseen   []string      `json:"unseen"` // polydirs in instances that are not there yet
	Text     string        `json:"text"`   // the whole plan as the module logs it

	pamFile   string
	plan      polyinst.Plan
	digest    string
	view      dirfd.View
	outer     []polyinst.Step
	scenes    []*observe.Scene
	args      config.Args
	config    *config.Config
	who       polyinst.Subject
	selection polyinst.Selection
	security  polyinst.Security
}

// pamLine is our line in the stack of the service.
type pamLine struct {
	File      string        `json:"file"` // empty: the arguments are those of --arg
	Line      int           `json:"line"`
	Control   string        `json:"control"`
	Arguments []argumentSay `json:"arguments"`
}

// argumentSay is an argument and what it does here.
type argumentSay struct {
	Argument string `json:"argument"`
	Meaning  string `json:"meaning"`
}

// outerSession is the session in which another one is opened.
type outerSession struct {
	User     string   `json:"user"`
	UID      uint32   `json:"uid"`
	Service  string   `json:"service"`
	Polydirs []string `json:"polydirs"` // that are covered in it
	Nested   string   `json:"nested"`
	Base     string   `json:"base"` // host or session: what the nested one is built from
}

type ruleVerdict struct {
	Path    string `json:"path"`
	Applies bool   `json:"applies"`
	Why     string `json:"why"`
	File    string `json:"file"`
	Line    int    `json:"line"`
}

type planStep struct {
	Path        string            `json:"path"`
	Method      string            `json:"method"`
	Source      string            `json:"source"`
	Instance    *string           `json:"instance"` // null: a tmpfs
	MakePolydir bool              `json:"make_polydir"`
	MakeParent  bool              `json:"make_parent"`
	Owner       *uint32           `json:"owner"` // of what is made; null: it exists
	Group       *uint32           `json:"group"`
	Mode        *string           `json:"mode"`
	Options     []string          `json:"options"`
	Tmpfs       map[string]string `json:"tmpfs"`
	Label       string            `json:"label"`
	Skel        bool              `json:"skel"`
	Init        string            `json:"init"`
	Text        string            `json:"text"` // the step as the module logs it
}

func explain(name string, o explainOptions) error {
	stacks, err := readStacks(pamDir)
	if err != nil && !o.argsGiven {
		return err
	}
	e := explainer{o, stacks}
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
}

// nested explains a session, and first the one that it is opened in, if it is.
func (e explainer) nested(name string) (*explanation, error) {
	x := &explanation{Schema: schema, Polydirs: []ruleVerdict{}, Refusals: []string{}, Plan: []planStep{}, Unseen: []string{}}
	if e.from == "" {
		return x, e.session(x, name, e.service, nil)
	}
	outerName, outerService, given := strings.Cut(e.from, ":")
	if !given {
		outerService = "sshd"
	}
	outer := &explanation{}
	defer outer.close()
	login := explainer{explainOptions{conf: e.conf}, e.stacks}
	if err := login.session(outer, outerName, outerService, nil); err != nil {
		return x, err
	}
	if outer.Outcome == outcomeRefused {
		return x, fmt.Errorf("%s by %s would have no session to begin in: %s", plain(outer.User), plain(outerService), outer.Refusals[0])
	}
	return x, e.session(x, name, e.service, outer)
}

// session fills in what a session would get; outer is the one in which it is
// opened, or nil. An error says that nothing could be found out.
func (e explainer) session(x *explanation, name, service string, outer *explanation) error {
	x.Service, x.User = service, name
	refuse := func(r *polyinst.Refusal) error {
		x.Refusals = append(x.Refusals, r.Error())
		x.Outcome = outcomeRefused
		if x.rescued(r) {
			x.Outcome = outcomeRescued
		}
		return nil
	}
	argsErr := e.line(x)
	who, r := observe.Account(name, service, e.groups(x))
	switch {
	case r != nil && r.Unknown:
		return noSuchAccount(name)
	case r != nil:
		return r
	}
	x.who, x.User, x.UID = who, who.User, who.UID
	if argsErr != nil {
		return refuse(&polyinst.Refusal{Fault: polyinst.FaultConfig, Reason: "PAM line: " + argsErr.Error()})
	}
	if err := e.load(x); err != nil {
		var problems config.Problems
		if errors.As(err, &problems) {
			for _, p := range problems[:len(problems)-1] {
				x.Refusals = append(x.Refusals, p.Error())
			}
			err = problems[len(problems)-1]
		}
		return refuse(&polyinst.Refusal{Fault: polyinst.FaultConfig, Reason: err.Error()})
	}
	if x.who, r = observe.Account(name, service, e.groups(x)); r != nil {
		return refuse(r)
	}
	x.selection, r = polyinst.Select(x.config, x.who)
	for _, v := range x.selection.Verdicts {
		x.Polydirs = append(x.Polydirs, ruleVerdict{v.Path, v.Applies, v.Why, v.Polydir.Pos.File, v.Polydir.Pos.Line})
	}
	if r != nil {
		return refuse(r)
	}
	if x.args.RequireSELinux && !observe.SELinuxActive() {
		return refuse(&polyinst.Refusal{Fault: polyinst.FaultHost, Reason: "require_selinux, but SELinux is not active here"})
	}
	x.security = e.securityOf(x)
	x.digest = x.selection.Digest(x.config.Namespace, x.security.Session)
	x.meanings(e)
	if !x.standsIn(outer) {
		return nil
	}
	return x.decide(e)
}

// groups are those that the lists name, as far as these are known.
func (e explainer) groups(x *explanation) []string {
	groups := (&config.Config{Namespace: config.Namespace{Rescue: x.args.Rescue}}).Groups()
	if x.config != nil {
		groups = append(groups, x.config.Groups()...)
	}
	return groups
}

// line finds the PAM line of the service and reads its arguments.
func (e explainer) line(x *explanation) (err error) {
	words := e.args
	if e.argsGiven {
		x.PAM = &pamLine{Arguments: []argumentSay{}}
	} else {
		entry, file, ok := e.stacks.SessionLine(x.Service)
		x.pamFile = file
		if !ok {
			return nil
		}
		words = entry.Args
		x.PAM = &pamLine{entry.Pos.File, entry.Pos.Line, entry.Control, []argumentSay{}}
	}
	for _, w := range words {
		x.PAM.Arguments = append(x.PAM.Arguments, argumentSay{Argument: w})
	}
	x.args, err = config.ParseArgs(words)
	return err
}

// load reads the configuration that the module would take; the error may be
// config.Problems.
func (e explainer) load(x *explanation) error {
	if e.conf != "" {
		x.args.Conf = e.conf
	}
	c, _, problems, err := read(x.args.Conf, true)
	if err == nil && len(problems) == 0 {
		x.config = c
		return nil
	}
	if err == nil {
		err = problems
	}
	if !x.args.LastGood {
		return err
	}
	good, goodErr := observe.LastGood()
	if goodErr == nil {
		if c, problems = config.Parse(good.Main, good.Dropins); len(problems) == 0 {
			x.config, x.LastGood = c, err.Error()
			return nil
		}
		goodErr = problems[0]
	}
	return fmt.Errorf("%w; and there is no last good configuration: %w", err, goodErr)
}

func (e explainer) securityOf(x *explanation) polyinst.Security {
	// what pam_selinux would set is not known here: this shell's stands for it
	from := observe.CurrentContext
	if x.args.UseDefaultContext {
		from = observe.DefaultContext
	}
	s := observe.Security(from, x.who)
	if e.context != "" && s.Module != polyinst.NoModule {
		s.Session, s.Problem = e.context, ""
	}
	return s
}

func (x *explanation) rescued(r *polyinst.Refusal) bool {
	if x.config == nil {
		return r.Fault != polyinst.FaultUser && (x.UID == 0 || polyinst.Rescued(r, x.who, x.args.Rescue))
	}
	return x.selection.Admitted(r, x.who, x.security, x.config.Namespace.Rescue, x.args.Rescue)
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
		pos, set := x.config.Namespace.Set[key]
		switch {
		case !set:
			return what
		case config == what:
			return what + ", as " + pos.String() + " says"
		}
		return what + ", and not " + config + " as " + pos.String() + " says"
	}
	nested := fmt.Sprintf("nested = %q", x.config.Namespace.Nested)
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
	case "unmnt_remnt":
		return wins(`nested = "replace"`, "nested", nested)
	case "unmnt_only":
		return wins(`nested = "escape"`, "nested", nested)
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

// differing names the places where the file says otherwise than the PAM line.
func (x *explanation) differing(key string, otherwise func(*config.Polydir) bool) string {
	var places []string
	for i := range x.config.Polydirs {
		p := &x.config.Polydirs[i]
		if pos, set := p.KeyPos[key]; set && otherwise(p) {
			places = append(places, pos.String())
		}
	}
	if len(places) == 0 {
		return ""
	}
	return ", whatever " + strings.Join(places, " and ") + " says"
}

// standsIn tells whether there is something to build, and from where.
func (x *explanation) standsIn(outer *explanation) (build bool) {
	nested := x.config.Namespace.Nested
	if x.args.Nested != nil {
		nested = *x.args.Nested
	}
	if outer == nil || outer.Outcome != outcomeNew {
		x.Outcome = outcomeNew
		if len(x.selection.Rules) == 0 {
			x.Outcome = outcomeStays
		}
		if outer != nil {
			x.From = &outerSession{outer.User, outer.UID, outer.Service, []string{}, string(nested), string(polyinst.HostView)}
		}
		return x.Outcome == outcomeNew
	}
	base := x.selection.Base(nested)
	x.From = &outerSession{outer.User, outer.UID, outer.Service, []string{}, string(nested), string(base)}
	for _, r := range outer.selection.Rules {
		x.From.Polydirs = append(x.From.Polydirs, r.Path)
	}
	switch {
	case len(x.selection.Rules) > 0 && x.User == outer.User && x.digest == outer.digest:
		x.Outcome = outcomeSame
	case base == polyinst.HostView && x.selection.LeavesOnly(nested):
		x.Outcome = outcomeHost
	case len(x.selection.Rules) == 0:
		x.Outcome = outcomeStays
	default:
		x.Outcome = outcomeNew
		if base == polyinst.OwnView {
			x.view, x.outer = outer.view, outer.plan.Steps
		}
		return true
	}
	return false
}

// decide goes through the rules as the module would.
func (x *explanation) decide(e explainer) error {
	m, err := observe.Machine()
	if err != nil {
		return err
	}
	m.InitDir = observe.InitDir(x.args.Conf)
	m.Security = x.security
	m.ParentModeAny, m.HashNames = x.args.IgnoreInstanceParentMode, x.args.GenHash
	x.plan = polyinst.Plan{Subject: x.who, Namespace: x.config.Namespace}
	if x.view == nil {
		x.view = dirfd.View{}
	}
	rescued := true
	for _, rule := range x.selection.Rules {
		scene, r := observe.Rule(rule, x.who, m, x.view)
		var step polyinst.Step
		if r == nil {
			x.scenes = append(x.scenes, scene)
			step, r = polyinst.Decide(rule, x.who, scene.Facts, m)
		}
		switch {
		case r == nil:
			x.plan.Steps = append(x.plan.Steps, step)
			x.Plan = append(x.Plan, toStep(step))
			if step.Source == polyinst.ExistingInstance {
				x.view[scene.Polydir.Stat.ID] = scene.Instance
				for _, k := range step.Keep {
					x.view[dirfd.ID(k.Point)] = scene.Kept[k.Name]
				}
			}
		case inNewInstance(rule, slices.Concat(x.outer, x.plan.Steps)):
			x.Unseen = append(x.Unseen, rule.Path)
		default:
			x.Refusals = append(x.Refusals, r.Error())
			rescued = rescued && x.rescued(r)
		}
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

func (x *explanation) close() {
	for _, s := range x.scenes {
		s.Close()
	}
}

func toStep(s polyinst.Step) planStep {
	out := planStep{Path: s.Path, Method: string(s.Method), Source: string(s.Source), MakePolydir: s.Create != nil,
		MakeParent: s.MakeParent, Options: []string{}, Tmpfs: map[string]string{}, Label: s.Label, Skel: s.Skel, Text: s.String()}
	if s.Source != polyinst.NewTmpfs {
		instance := s.Parent + "/" + s.Name
		out.Instance = &instance
	}
	if s.Source != polyinst.ExistingInstance {
		mode := fmt.Sprintf("%04o", s.Owner.Mode)
		out.Owner, out.Group, out.Mode = &s.Owner.UID, &s.Owner.GID, &mode
	}
	if s.Attributes != 0 {
		out.Options = strings.Split(s.Attributes.String(), ",")
	}
	for _, t := range s.Tmpfs {
		out.Tmpfs[t.Key] = t.Value
	}
	if s.Init != nil {
		out.Init = s.Init.Path
	}
	return out
}

func (x *explanation) print() {
	if x.From != nil {
		x.printOuter()
	}
	fmt.Printf("%s (uid %d) by %s:\n", plain(x.User), x.UID, plain(x.Service))
	if x.LastGood != "" {
		fmt.Printf("the configuration is broken, the last good one is used: %s\n", x.LastGood)
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
		fmt.Println("REFUSED:", r)
	}
	for _, path := range x.Unseen {
		fmt.Printf("polydir %q lies in an instance that is not there yet: what it finds is seen at the login\n", path)
	}
	switch x.Outcome {
	case outcomeRescued:
		fmt.Printf("rescue: %q is admitted all the same, WITHOUT private directories\n", x.User)
	case outcomeStays:
		fmt.Println("nothing applies: the session stays in the view that it is in")
	case outcomeHost:
		fmt.Println("the session goes to the host's view, and nothing is built")
	case outcomeSame:
		fmt.Println("the session is in its view already: nothing changes")
	case outcomeNew:
		fmt.Print(x.Text)
	}
}

func (x *explanation) printOuter() {
	f := x.From
	if len(f.Polydirs) == 0 {
		fmt.Printf("a session of %s (uid %d) by %s has no private directory: what begins in it is not nested\n", plain(f.User), f.UID, plain(f.Service))
		return
	}
	fmt.Printf("in a session of %s (uid %d) by %s, which covers %s; nested = %q: %s\n", plain(f.User), f.UID, plain(f.Service),
		strings.Join(f.Polydirs, ", "), f.Nested, map[string]string{
			string(polyinst.HostView): "the host's view is what it begins from",
			string(polyinst.OwnView):  "that session's view is what it begins from",
		}[f.Base])
}

func (x *explanation) printPAM() {
	switch {
	case x.PAM == nil && x.pamFile == "":
		fmt.Printf("NOT ACTIVE: there is no PAM stack for %q: what follows holds once there is one, with `session required pam_polyinst.so`\n", x.Service)
		return
	case x.PAM == nil:
		fmt.Printf("NOT ACTIVE: the session stack of %q (%s) has no `session required pam_polyinst.so`: what follows holds once it has\n", x.Service, x.pamFile)
		return
	case len(x.PAM.Arguments) == 0:
		return
	}
	where := "arguments of --arg"
	if x.PAM.File != "" {
		where = fmt.Sprintf("arguments of the PAM line %s:%d", x.PAM.File, x.PAM.Line)
	}
	fmt.Println(where + ", which win over the file:")
	t := table{indent: "  "}
	for _, a := range x.PAM.Arguments {
		t.add(plain(a.Argument), a.Meaning)
	}
	t.print()
}

// inNewInstance tells whether the polydir lies below one whose instance would
// only be made.
func inNewInstance(rule polyinst.Rule, steps []polyinst.Step) bool {
	for _, s := range steps {
		if s.Source != polyinst.ExistingInstance && strings.HasPrefix(rule.Path, s.Path+"/") {
			return true
		}
	}
	return false
}
