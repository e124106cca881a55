package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pam_polyinst/cmd/polyinst/internal/modulelog"
	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/kernel/peer"
	"pam_polyinst/internal/observe"
)

func statusCommand() *cobra.Command {
	var conf string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "is it on, for which services, and is all well?",
		Long: `Status shows on one screen which services have private directories, what
check --pam finds, how many sessions there are, what was refused in the last
hour, when gc has run, and who gets in when what breaks. The exit status is 1
if check finds an error, or if there are polydirs and no service has our line.`,
		Example: `  polyinst status
  polyinst status --quiet || echo "look at polyinst status"
  polyinst status --json | jq .last_hour.refused`,
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			if err := needUID0("status"); err != nil {
				return err
			}
			return status(conf, asJSON)
		},
	}
	confFlag(cmd, &conf)
	jsonFlag(cmd, &asJSON)
	quietFlag(cmd)
	return cmd
}

// The values of a state.
const (
	stateOn    = "on"
	stateOff   = "off" // no service has our line, or there is no polydir
	stateFault = "faulty"
)

// machineState is the schema of status --json.
type machineState struct {
	Schema   int           `json:"schema"`
	State    string        `json:"state"`
	Services []lineOf      `json:"services"` // that have our line, and go through it
	Without  []string      `json:"without"`  // that do not, of these and of the usual ones
	Module   moduleState   `json:"module"`
	Served   bool          `json:"served"` // somebody listens for ready workers of the module's build
	Waits    *waitingState `json:"waits"`  // null: nothing is to be confirmed
	Config   configState   `json:"configuration"`
	Remarks  []remark      `json:"remarks"` // as check --pam has them
	Live     liveState     `json:"sessions"`
	LastHour hourState     `json:"last_hour"`
	LastGC   *lastGC       `json:"last_gc"` // null: never

	elsewhere int  // the polydirs of other main files, which lines name
	old       bool // the ready workers are of another build than module and command
}

// lineOf is where a service has our line.
type lineOf struct {
	Service string `json:"service"`
	File    string `json:"file"`
	Line    int    `json:"line"`

	conf string // the main file that the line names; empty: the default one
}

type waitingState struct {
	Services []string `json:"services"`
	Until    string   `json:"until"`
	Lost     bool     `json:"lost"` // the process that takes it back is gone
}

type configState struct {
	File     string `json:"file"`
	Files    int    `json:"files"`
	Polydirs int    `json:"polydirs"`
	Parents  int    `json:"parents"`
	Missing  int    `json:"missing_parents"`
}

type liveState struct {
	Namespaces int `json:"namespaces"`
	Users      int `json:"users"`
	Processes  int `json:"processes"`
}

type hourState struct {
	From    string         `json:"from"`  // which log; empty: there is none that can be read
	Since   string         `json:"since"` // later than an hour ago if the log begins later
	Opened  int            `json:"opened"`
	Refused []refusedState `json:"refused"`

	reach *reach // of the log; nil: the whole hour
}

// refusedState are refusals alike.
type refusedState struct {
	User    string `json:"user"`
	Service string `json:"service"`
	Reason  string `json:"reason"`
	Rescued bool   `json:"rescued"` // admitted all the same
	Times   int    `json:"times"`
	Last    string `json:"last"`
}

func status(conf string, asJSON bool) error {
	s := machineState{Schema: schema, Services: []lineOf{}, Without: []string{}, Remarks: []remark{}}
	stacks, err := readStacks(pamDir)
	if err != nil {
		return err
	}
	s.Without = append(s.Without, pamstack.Without(stacks)...)
	through, past := covered(stacks)
	s.Services, s.Without = append(s.Services, through...), append(s.Without, past...)
	s.Module = inspectModule(moduleOf(stacks))
	s.Served, s.old = s.Module.served()
	slices.Sort(s.Without)
	for _, l := range s.Services {
		if l.conf != "" {
			if c, _, _, err := read(l.conf, true); err == nil && c != nil {
				s.elsewhere += len(c.Polydirs)
			}
		}
	}
	c, files, err := s.inspect(conf, stacks)
	for _, err := range []error{err, s.waiting()} {
		if err != nil {
			s.Remarks = append(s.Remarks, at(config.Position{File: s.Config.File}, pamstack.Error, "%s", err))
		}
	}
	if err := s.live(); err != nil && !faulty(s.Remarks) { // where check has found why already, once is enough
		s.Remarks = append(s.Remarks, at(config.Position{File: s.Config.File}, pamstack.Error, "%s", err))
	}
	s.lastHour(time.Now())
	if last := new(lastGC); readLastRun(lastGCFile, last) {
		s.LastGC = last
	}
	s.State = s.verdict()
	if asJSON {
		err = printJSON(s)
	} else {
		s.print(c, files, conf)
	}
	if err == nil && s.bad() {
		return errReported
	}
	return err
}

// verdict is the state in a word.
func (s *machineState) verdict() string {
	switch {
	case faulty(s.Remarks):
		return stateFault
	case len(s.Services) == 0 || s.noPolydir():
		return stateOff
	}
	return stateOn
}

// noPolydir reports whether the lines lead to nothing: a polydir that was lost, with its
// file, is not missed by anybody else.
func (s *machineState) noPolydir() bool { return s.Config.Polydirs+s.elsewhere == 0 }

// bad reports whether the state is one that the exit status tells of.
func (s *machineState) bad() bool {
	return s.State == stateFault || s.State == stateOff && s.Config.Polydirs > 0
}

// inspect asks the code of check.
func (s *machineState) inspect(conf string, stacks pamstack.Dir) (*config.Config, observe.Files, error) {
	c, files, problems, err := read(conf, true)
	s.Config.File = files.Main.Name
	if err != nil {
		message := strings.TrimPrefix(err.Error(), files.Main.Name+": ") // the remark names the file
		s.Remarks = append(s.Remarks, at(config.Position{File: files.Main.Name}, pamstack.Error, "%s", message))
		return nil, files, nil
	}
	s.Config.Files = len(files.All())
	s.Remarks = append(append(s.Remarks, fileRemarks(c, files, problems)...), unread(conf)...)
	if faulty(s.Remarks) {
		return nil, files, nil
	}
	s.Config.Polydirs = len(c.Polydirs)
	for _, p := range parents(c, true) {
		s.Config.Parents++
		if absent(p.path) {
			s.Config.Missing++
		}
	}
	machine, err := checkMachine(c, files, conf)
	if err != nil {
		return nil, files, err
	}
	s.Remarks = append(append(append(s.Remarks, checkLists(c)...), machine...), checkStacks(c, files.Main.Name, pamDir, stacks)...)
	return c, files, nil
}

func (s *machineState) waiting() error {
	n, err := readNote()
	if err != nil || n.Waits == nil {
		return err
	}
	k := &keeper{note: n}
	s.Waits = &waitingState{k.waitingNames(), n.Waits.Until.UTC().Format(time.RFC3339), !waiterLives()}
	return nil
}

func (s *machineState) live() error {
	all, err := namespaces()
	if err != nil {
		return err
	}
	users := map[string]bool{}
	for _, n := range all {
		users[n.User] = true
		s.Live.Processes += len(n.PIDs)
	}
	s.Live.Namespaces, s.Live.Users = len(all), len(users)
	return nil
}

// lastHour counts what the module has logged; of refusals alike the newest comes
// first.
func (s *machineState) lastHour(now time.Time) {
	s.LastHour.Refused = []refusedState{}
	log := sessionLog(now.Add(-time.Hour), false, func(e modulelog.Entry) bool {
		if e.Kind == modulelog.Opened {
			s.LastHour.Opened++
			return true
		}
		r := refusedState{e.User, e.Service, e.Reason, e.Kind == modulelog.Rescued, 0, e.At.UTC().Format(time.RFC3339)}
		i := slices.IndexFunc(s.LastHour.Refused, func(o refusedState) bool {
			o.Times, o.Last = r.Times, r.Last
			return o == r
		})
		if i < 0 {
			i = len(s.LastHour.Refused)
			s.LastHour.Refused = append(s.LastHour.Refused, r)
		}
		s.LastHour.Refused[i].Times++
		return true
	})
	s.LastHour.From = log.name
	if log.name != "" {
		s.LastHour.Since = log.since.UTC().Format(time.RFC3339)
	}
	s.LastHour.reach = log.reach(now.Add(-time.Hour))
}

// refusedMax is how many kinds of refusals a screen shows.
const refusedMax = 5

func (s *machineState) print(c *config.Config, files observe.Files, conf string) {
	say := func(head, format string, args ...any) {
		fmt.Fprintf(stdout, "%-14s %s\n", head, fmt.Sprintf(format, args...))
	}
	count := map[pamstack.Level]int{}
	for _, r := range s.Remarks {
		if count[r.Level]++; r.Level == pamstack.Error {
			r.tell()
		}
	}
	off := "off: no service has our line: `polyinst enable SERVICE...`"
	if len(s.Services) > 0 {
		off = "off: no polydir is configured: `" + editOf(cmp.Or(conf, s.Services[0].conf)) + "`"
	}
	say("state", "%s", map[string]string{
		stateOn:    "on",
		stateFault: "faulty: " + number(count[pamstack.Error], "error") + ", told on standard error",
		stateOff:   off,
	}[s.State])
	if len(s.Services) > 0 {
		var list []string
		for _, l := range s.Services {
			list = append(list, plain(l.Service))
		}
		say("services", "%s", strings.Join(list, ", "))
	}
	if len(s.Without) > 0 {
		say("without", "%s", strings.Join(s.Without, ", "))
	}
	s.Module.print(say)
	workers := "none listens: every session forks its own (`systemctl status polyinst.socket`)"
	switch {
	case s.Served:
		workers = "ready ones are listened for"
	case s.old:
		workers = "those of another build are listened for: every session forks its own: `systemctl restart polyinst.service`"
	case peer.Off():
		workers = "SELinux's boolean " + peer.Boolean + " is off: every session forks its own"
	}
	say("workers", "%s", workers)
	if s.Waits != nil {
		s.printWaiting(say)
	}
	say("configuration", "%s: %s, %s; %s", plain(s.Config.File), number(s.Config.Files, "file"), number(s.Config.Polydirs, "polydir"), remarksText(count))
	if s.Config.Parents > 0 {
		say("parents", "%d, %s", s.Config.Parents, map[bool]string{true: "all there", false: fmt.Sprintf("%d missing: %s makes them", s.Config.Missing, plan.OfConf("`polyinst prepare`", conf))}[s.Config.Missing == 0])
	}
	say("sessions", "%s of %s, %s", number(s.Live.Namespaces, "namespace"), number(s.Live.Users, "user"), number(s.Live.Processes, "process"))
	s.printHour(say)
	switch {
	case s.LastGC == nil:
		say("gc", "never")
	case s.LastGC.Error != "":
		say("gc", "%s ago: %s", ageText(time.Since(s.LastGC.At)), s.LastGC.Error)
	default:
		say("gc", "%s ago, removed %s", ageText(time.Since(s.LastGC.At)), number(s.LastGC.Removed, "instance"))
	}
	if c != nil {
		printRescue(c, files, pamDir)
	} else if len(s.Services) > 0 {
		say("meanwhile", "in, WITHOUT private directories: %s (and by rescue= or config_error= of a PAM line, as `polyinst explain` says)", admitted(files.Main))
	}
}

// admitted are those who get in while the configuration is broken.
func admitted(main config.Source) string {
	r := plan.RescueOfBroken(config.RescueOf(main), observe.AcceptedRescue(main.Name), config.Args{})
	return whoIs(r.Who(false, observe.Security(lsm.Own(), observe.CurrentContext, nobodyYet)))
}

func (s *machineState) printWaiting(say func(head, format string, args ...any)) {
	list := strings.Join(s.Waits.Services, ", ")
	if s.Waits.Lost {
		say("to confirm", "%s, and nobody takes it back: `polyinst prepare` does", list)
		return
	}
	until, _ := time.Parse(time.RFC3339, s.Waits.Until)
	say("to confirm", "%s, until %s: `polyinst confirm`", list, until.Local().Format(time.TimeOnly))
}

func (s *machineState) printHour(say func(head, format string, args ...any)) {
	h := s.LastHour
	if h.From == "" {
		say("last hour", "not known: there is no log that can be read here")
		return
	}
	refused, rescued := 0, 0
	for _, r := range h.Refused {
		if r.Rescued {
			rescued += r.Times
		} else {
			refused += r.Times
		}
	}
	also := ""
	if rescued > 0 {
		also = fmt.Sprintf(", %d rescued", rescued)
	}
	begins := ""
	if h.reach != nil {
		what := map[bool]string{false: "which begins at ", true: "of which no more was read than since "}[h.reach.cut]
		begins = ", " + what + h.reach.at.Local().Format(time.TimeOnly)
	}
	say("last hour", "%d opened, %d refused%s, says %s%s", h.Opened, refused, also, h.From, begins)
	for i, r := range h.Refused {
		if i == refusedMax {
			say("", "and %s like these: `polyinst status --json`", number(len(h.Refused)-refusedMax, "other refusal"))
			break
		}
		at, _ := time.Parse(time.RFC3339, r.Last)
		what := map[bool]string{true: "rescued", false: "refused"}[r.Rescued]
		times := ""
		if r.Times > 1 {
			times = fmt.Sprintf(" (%d times)", r.Times)
		}
		say("", "%s %s %s by %s%s: %s", at.Local().Format(time.TimeOnly), what, plain(cmp.Or(r.User, "somebody")), plain(r.Service), times, plain(r.Reason))
	}
}

func remarksText(count map[pamstack.Level]int) string {
	if count[pamstack.Error]+count[pamstack.Warning] == 0 {
		return "no problem"
	}
	var out []string
	for _, level := range []pamstack.Level{pamstack.Error, pamstack.Warning} {
		if n := count[level]; n > 0 {
			out = append(out, number(n, string(level)))
		}
	}
	return strings.Join(out, ", ") + " (`polyinst check --pam`)"
}
