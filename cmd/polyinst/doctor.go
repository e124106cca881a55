package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pam_polyinst/cmd/polyinst/internal/modulelog"
	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/nss"
	"pam_polyinst/internal/observe"
)

func doctorCommand() *cobra.Command {
	var service string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor USER",
		Short: "why was the user refused, and what mends it?",
		Long: `Doctor shows the last refusal of USER in the system log, what a session by the
same service would get now, as explain says it, and the command that mends it.
The exit status is 1 if it would be refused now, or if the stack is faulty.`,
		Example: `  polyinst doctor alice
  polyinst doctor alice --service cron
  polyinst doctor alice --json | jq -r '.commands[]'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("whom? polyinst doctor USER")}
			}
			return nil
		},
		ValidArgsFunction: users,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := needUID0("doctor"); err != nil {
				return err
			}
			return doctor(args[0], service, asJSON)
		},
	}
	cmd.Flags().StringVar(&service, "service", "", "the PAM `SERVICE`; else that of the last refusal")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// diagnosis is the schema of doctor --json.
type diagnosis struct {
	Schema   int           `json:"schema"`
	User     string        `json:"user"`
	Service  string        `json:"service"`
	Log      string        `json:"log"`   // empty: there is none that can be read
	Since    string        `json:"since"` // later than 30 days ago if the log begins later
	Last     *refusedState `json:"last"`  // null: no refusal in the log
	Outcome  string        `json:"outcome"`
	Refusals []string      `json:"refusals"`
	Commands []string      `json:"commands"` // that mend it
	Warnings []string      `json:"warnings"`

	faults []string // of the stack, which are no matter of the session's alone
	x      *explanation
	reach  *reach // of the log; nil: as far as was asked for
}

// remembered is how old a refusal in the log is at most.
const remembered = 30 * 24 * time.Hour

func doctor(name, service string, asJSON bool) error {
	u, err := nss.User(name)
	if nss.IsUnknown(err) {
		return noSuchAccount(name)
	}
	if err == nil {
		name = u.Username
	}
	stacks, err := readStacks(pamDir)
	if err != nil {
		return err
	}
	if service != "" {
		if err := knownServices(stacks, []string{service}); err != nil {
			return err
		}
	}
	d := diagnosis{Schema: schema, User: name, Service: service, Refusals: []string{}, Commands: []string{}, Warnings: []string{}, x: &explanation{}}
	defer func() { d.x.close() }()
	d.lastRefusal()
	if err := d.explain(explainer{stacks: stacks}); err != nil {
		return err
	}
	d.judge(stacks)
	if asJSON {
		err = printJSON(d)
	} else {
		d.print()
	}
	if err == nil && len(d.Refusals)+len(d.faults) > 0 {
		return errReported
	}
	return err
}

// lastRefusal looks for the newest one in the log.
func (d *diagnosis) lastRefusal() {
	since := time.Now().Add(-remembered)
	log := sessionLog(since, true, func(e modulelog.Entry) bool {
		if e.User != d.User || d.Service != "" && e.Service != d.Service {
			return true
		}
		d.Last = &refusedState{e.User, e.Service, e.Reason, e.Kind == modulelog.Rescued, 1, e.At.UTC().Format(time.RFC3339)}
		return false
	})
	d.Log = log.name
	if log.name != "" {
		d.Since = log.since.UTC().Format(time.RFC3339)
	}
	d.reach = log.reach(since)
}

// explain explains the session by the service that is asked about, or else by the
// first one that refuses it now. The log says only which one is looked at first: it is
// anybody's, and must not hide what is refused by another one.
func (d *diagnosis) explain(who explainer) error {
	services := []string{d.Service}
	if d.Service == "" {
		services = d.services(who.stacks)
	}
	for i, service := range services {
		x := &explanation{}
		if err := who.session(x, d.User, service, nil); err != nil {
			x.close()
			return err
		}
		refused := len(x.Refusals) > 0
		if i > 0 && !refused {
			x.close()
			continue
		}
		d.x.close()
		if d.x, d.Service = x, service; refused {
			break
		}
	}
	return nil
}

// services are those that have our line: first that of the last refusal, and then
// those by which users log in.
func (d *diagnosis) services(stacks pamstack.Dir) []string {
	first := often
	if d.Last != nil {
		first = append([]string{d.Last.Service}, often...)
	}
	if out := inOrder(pamstack.Services(stacks), first...); len(out) > 0 {
		return out
	}
	return often[:1]
}

// judge takes over what explain says, and picks the commands out.
func (d *diagnosis) judge(stacks pamstack.Dir) {
	x := d.x
	d.Outcome = x.Outcome
	for _, r := range x.Refusals {
		if x.PAM != nil && x.PAM.Line > 0 && strings.HasPrefix(r, "PAM line: ") { // the module does not know where it stands
			r = fmt.Sprintf("%s: %s", config.Position{File: x.PAM.File, Line: x.PAM.Line, Col: 1}, r)
		}
		d.Refusals = append(d.Refusals, r)
	}
	if len(x.loaded.Refused) == 0 {
		for _, r := range checkStacks(x.Config, x.Loaded.Files.Main.Name, pamDir, stacks) {
			said := len(d.Refusals) > 0 && x.PAM != nil && r.File == x.PAM.File && r.Line == x.PAM.Line // by the decision itself
			if r.service == d.Service && r.Level == pamstack.Error && !said {
				d.faults = append(d.faults, r.String())
			}
		}
	}
	if d.Warnings = append(slices.Clone(d.faults), x.loaded.LeftOut...); !d.active() {
		if len(d.Refusals)+len(d.Warnings) == 0 {
			d.Commands = append(d.Commands, "polyinst enable "+shellword.Quote(d.Service))
		}
		return
	}
	if x.LastGood != "" {
		d.Warnings = append(d.Warnings, "the configuration is broken, the last good one is used: "+x.LastGood)
		d.Commands = append(d.Commands, d.edit())
	}
	for _, step := range x.plan.Steps {
		d.Warnings = append(d.Warnings, step.Warnings(d.User)...)
	}
	for i, path := range x.Unseen {
		d.Warnings = append(d.Warnings, unseen(path, x.theirs[i]))
	}
	if x.Config == nil {
		for _, p := range x.Loaded.Problems {
			if command := d.edit() + dropinArg(p.Pos.File, d.x.Args.Conf); !slices.Contains(d.Commands, command) {
				d.Commands = append(d.Commands, command)
			}
		}
	}
	for _, text := range slices.Concat(d.Refusals, d.Warnings) {
		for _, command := range commandsIn(text) {
			if !slices.Contains(d.Commands, command) {
				d.Commands = append(d.Commands, command)
			}
		}
	}
}

// edit is the command that edits the session's configuration.
func (d *diagnosis) edit() string { return editOf(d.x.Args.Conf) }

// dropinArg names a file to edit, where that is a drop-in: the main file is what edit
// begins with, and what is wrong elsewhere cannot be mended there.
func dropinArg(file, conf string) string {
	dir, name := dirfd.Split(file)
	if dir != observe.InitDir(conf) {
		return ""
	}
	return " " + shellword.Quote(name)
}

// editOf is the command that edits a main file; conf is empty for the default one.
func editOf(conf string) string {
	if conf != "" {
		return "polyinst edit --conf " + shellword.Quote(conf)
	}
	return "polyinst edit"
}

// active reports whether sessions by the service go through our line.
func (d *diagnosis) active() bool { return d.x.PAM != nil }

// remedy is how a message names a command: between backticks, or by a program whose
// arguments go to the next comma, semicolon or parenthesis. Every such command is
// obeyed by a test.
var remedy = regexp.MustCompile("`((?:polyinst|getent|nscd|fuser|mount|ip) [^`]*)`|\\b((?:chmod|chown|chattr|chcon|setsebool|setfattr|semanage|tune2fs|restorecon) [^,;`)]*)")

// commandsIn are the commands that one of our own messages names. Never ask it of a
// line of the log, which may be anybody's.
func commandsIn(text string) []string {
	var out []string
	for _, m := range remedy.FindAllStringSubmatch(text, -1) {
		out = append(out, strings.TrimSpace(m[1]+m[2]))
	}
	return out
}

// ofSecurity reports whether a reason of the log is followed by what a security module
// wants (observe.DeniedHint).
func ofSecurity(reason string) bool {
	return slices.ContainsFunc([]string{"; SELinux is enforcing", "; AppArmor confines this program", "; Smack is active"}, func(hint string) bool { return strings.Contains(reason, hint) })
}

func (d *diagnosis) print() {
	who := plain(d.User) + " by " + plain(d.Service)
	switch {
	case d.Log == "":
		fmt.Fprintln(stdout, "last: not known: there is no log that can be read here")
	case d.Last == nil && d.reach != nil:
		why := map[bool]string{false: "when " + d.Log + " begins", true: "and " + d.Log + ", which goes further back, is not read there"}[d.reach.cut]
		fmt.Fprintf(stdout, "last: no refusal since %s, %s\n", d.reach.at.Local().Format(time.DateTime), why)
	case d.Last == nil:
		fmt.Fprintf(stdout, "last: no refusal in the last 30 days, says %s\n", d.Log)
	default:
		at, _ := time.Parse(time.RFC3339, d.Last.Last)
		what := map[bool]string{true: "rescued", false: "refused"}[d.Last.Rescued]
		fmt.Fprintf(stdout, "last: %s, %s ago, %s by %s, says %s: %s\n", at.Local().Format(time.DateTime), ageText(time.Since(at)), what, plain(d.Last.Service), d.Log, plain(d.Last.Reason))
	}
	switch {
	case len(d.Refusals) > 0 && !d.active() && len(d.x.loaded.Refused)+len(d.x.loaded.LeftOut) == 0:
		fmt.Fprintf(stdout, "now:  the stack of %s has no line of ours: its sessions see the public directories; with the line %s would be refused\n", plain(d.Service), plain(d.User))
		for _, r := range d.Refusals {
			fmt.Fprintf(stdout, "      %s\n", r)
		}
	case len(d.Refusals) > 0:
		what := map[bool]string{true: "gets in by rescue, WITHOUT private directories", false: "is refused"}[d.Outcome == outcomeRescued]
		fmt.Fprintf(stdout, "now:  %s %s\n", who, what)
		for _, r := range d.Refusals {
			fmt.Fprintf(stdout, "      %s\n", r)
		}
	case len(d.faults) > 0:
		fmt.Fprintf(stdout, "now:  the stack of %s is faulty\n", plain(d.Service))
	case !d.active() && len(d.x.loaded.LeftOut) > 0:
		fmt.Fprintf(stdout, "now:  sessions by %s see the public directories\n", plain(d.Service))
	case !d.active():
		fmt.Fprintf(stdout, "now:  the stack of %s has no line of ours: its sessions see the public directories\n", plain(d.Service))
	case d.Outcome == outcomeNew:
		fmt.Fprintf(stdout, "now:  %s %s\n", who, d.x.gets())
	default:
		fmt.Fprintf(stdout, "now:  %s gets in, and no polydir applies\n", who)
		if len(d.x.Polydirs) == 0 {
			fmt.Fprintln(stdout, "      none is configured")
		}
		for _, v := range d.x.Polydirs {
			fmt.Fprintf(stdout, "      %s: %s (%s:%d)\n", plain(v.Path), v.Why, v.File, v.Line)
		}
	}
	for i, w := range d.Warnings {
		level := "warning: "
		if i < len(d.faults) {
			level = ""
		}
		fmt.Fprintf(stdout, "      %s%s\n", level, w)
	}
	switch {
	case len(d.Commands) == 1:
		fmt.Fprintf(stdout, "do:   %s\n", d.Commands[0])
	case len(d.Commands) > 1:
		fmt.Fprintf(stdout, "do what fits, as said above:\n      %s\n", strings.Join(d.Commands, "\n      "))
	case d.Last != nil && len(d.Refusals)+len(d.faults) == 0 && d.active() && ofSecurity(d.Last.Reason):
		// what the log says is no advice: it is anybody's
		fmt.Fprintln(stdout, "do:   not known: a security module may deny that program what it does not deny this shell; the denial is in the audit log, or in the kernel's")
	case d.Last != nil && len(d.Refusals)+len(d.faults) == 0 && d.active():
		fmt.Fprintf(stdout, "do:   nothing: what refused it is over, or was of that session alone, as a limit of its program: `polyinst try %s --service %s` rehearses one\n", shellword.Quote(d.User), shellword.Quote(d.Service))
	}
}
