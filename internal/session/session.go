// Package session opens and closes sessions in terms that know nothing of PAM:
// it runs the stages and returns one outcome. It lives in the worker, a process
// of its own for each call; the outcome is carried out by the host.
package session

import (
	"fmt"
	"strings"
	"time"

	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/audit"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/nss"
	"pam_polyinst/internal/kernel/wire"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/promise"
	"pam_polyinst/internal/sessions/record"
)

// Host is the line to the host process.
type Host interface {
	Log(wire.Priority, string)
	Tell(string)
	Deadline(ms uint32)
	// Mounted hands over a mount that will be attached in the host's own
	// namespace, which takes it off if this process ends without an answer.
	Mounted(dirfd.Dir) error
	// Elsewhere hands over the directory in which the host stands if it cannot enter
	// its working directory.
	Elsewhere(dirfd.Dir)
	// Retake puts this process in order again, whose effective uid was a user's.
	Retake()
	// Why says, before a report of StayHome, what is wrong.
	Why(string)
	// Later has something done for which the host does not wait.
	Later(func())
	// Report sends the answer; an error says that the host did not enter
	// the new view, or rejected StayHome.
	Report(wire.Report) error
}

// tellRefused is what the user reads; why is in the log, which they may not read.
const tellRefused = "pam_polyinst: this session was refused; the system log says why"

// call is one open or close.
type call struct {
	*promise.Promise

	req  wire.Request
	host Host
	of   AboutHost
	place

	hostView mntns.Set // the view of process 1, once it was opened
	entered  bool      // the worker is in that view
	mounted  int       // attached in place
	cut      apply.Cut // of the namespace that the view is built in

	buffer  *buffer   // host, while nothing may be sent to it
	patient time.Time // how long to wait for others if it can be done without them

	turn *record.User // scope "user": while it is this session's turn
	view string       // scope "user": what the sessions that share have in common

	until time.Time // when the host gives up

	declined error // why another worker, which the host forks, is to open this session
}

func newCall(req wire.Request, host Host, of AboutHost) *call {
	b := &buffer{Host: host, apart: of.Apart() != nil}
	return &call{Promise: &promise.Promise{}, req: req, host: b, of: of, buffer: b}
}

// buffer keeps what is to be logged while other sessions may be waiting for this
// one. A user who has stopped the host, so that it does not read, would else stop them
// too. What is kept is bounded: a line for each thing that a plan says, and what a
// script may write.
//
// A worker that may have to leave the session to another one keeps it until it reports:
// the other one says it too.
type buffer struct {
	Host
	holding bool
	apart   bool
	kept    []func()

	counts, skipClose, goesOn bool // what the report will say
}

// Report sends the answer.
func (b *buffer) Report(r wire.Report) error {
	b.send()
	r.Counts, r.SkipClose, r.GoesOn = b.counts, b.skipClose, b.goesOn
	return b.Host.Report(r)
}

// Log sends a line, or keeps it.
func (b *buffer) Log(p wire.Priority, text string) {
	if b.holding || b.apart && p != wire.Debug {
		b.kept = append(b.kept, func() { b.Host.Log(p, text) })
		return
	}
	b.Host.Log(p, text)
}

func (b *buffer) send() {
	for _, send := range b.kept {
		send()
	}
	b.kept = nil
}

// hold begins the time in which other sessions may be waiting for this one, and
// release is its end.
func (c *call) hold() { c.buffer.holding = true }

func (c *call) release() {
	if c.buffer.holding = false; !c.buffer.apart {
		c.buffer.send()
	}
}

// waits says how long this session waits for others: half of the timeout if it can do
// without them, else nearly all of it, so that there is time left to say why not.
func (c *call) waits() instance.Waits {
	return instance.Waits{Turn: c.patient, Lock: c.until.Add(-c.Config.Namespace.Timeout / 10)}
}

func (c *call) debug(format string, args ...any) {
	if c.Args.Debug {
		c.host.Log(wire.Debug, fmt.Sprintf(format, args...))
	}
}

func hostFault(err error) *plan.Refusal { return promise.HostFault(err) }

func (c *call) close() {
	c.root.Close()
	c.store.Close()
	c.hostView.Close()
	c.endTurn()
}

// promised finds out what the session is promised.
func (c *call) promised() (r *plan.Refusal) {
	c.Promise, r = promise.Ask(promise.Question{User: c.req.User, Service: c.req.Service, Args: c.req.Args, HostUID: c.req.HostUID, Host: c.of.Thread(),
		Context: observe.ExecContext, Configured: c.configured})
	c.debug("worker: %s", c.of.By())
	if c.Selected {
		c.warn()
	}
	for _, v := range c.Selection.Verdicts {
		c.debug("polydir %q: applies %v: %s", v.Path, v.Applies, v.Why)
	}
	return r
}

// configured tells the host how long it may take, before a directory service is
// asked for accounts.
func (c *call) configured(p *promise.Promise) {
	c.Promise = p
	if p.Loaded.UsesGood {
		c.host.Log(wire.Alert, fmt.Sprintf("the configuration is broken, the last good one is used: %v", p.Broken()))
	}
	timeout := p.Config.Namespace.Timeout
	if ms := uint32(timeout.Milliseconds()); ms != wire.FirstDeadline { // which counts until then
		c.host.Deadline(ms)
	}
	c.until, c.patient = time.Now().Add(timeout), time.Now().Add(timeout/2)
	if c.Args.Debug {
		for _, source := range nss.Absent() {
			c.debug("nsswitch.conf names the source %q, which is not installed, or has no configuration: nobody and nothing is in it", source)
		}
	}
}

// declines gives up, as if this worker had ended, a session with a script that is the
// host's to run, or with a new directory that the host could not label.
func (c *call) declines(step plan.Step) *plan.Refusal {
	apart := c.of.Apart()
	if apart == nil {
		return nil
	}
	makes := step.Module == plan.SELinux && step.Label != "" && (step.Source != plan.ExistingInstance || step.Relabel)
	switch {
	case step.Init != nil:
		c.declined = fmt.Errorf("the init script is the host's to run: %w", apart)
	case makes && !c.of.MayLabel(step.Label):
		c.declined = fmt.Errorf("%w, and may label no directory %q", apart, step.Label)
	default:
		return nil
	}
	return hostFault(c.declined)
}

// refuse answers with a refusal, or admits a user of the rescue group to the
// view of process 1, if the host is in it: any other may be one that a user chose.
func (c *call) refuse(r *plan.Refusal) {
	if apart := c.of.Apart(); c.declined == nil && apart != nil && denied(r) {
		c.declined = fmt.Errorf("%w, and this worker is denied: %w", apart, r)
	}
	if c.declined != nil {
		c.host.Why(c.declined.Error()) // and no report
		return
	}
	if denied(r) {
		if hint := observe.DeniedHint(lsm.Own()); hint != "" {
			r.Reason += "; " + hint
		}
	}
	if c.Rescued(r) {
		if c.stayHome(r, wire.Alert, fmt.Sprintf("rescue: %q is admitted WITHOUT private directories: %v", c.req.User, r)) {
			c.auditRefused(r, audit.Rescue)
		}
		return
	}
	if !c.req.Silent {
		c.host.Tell(tellRefused)
	}
	code := wire.Refused
	if r.Unknown {
		code = wire.UserUnknown
	}
	_ = c.host.Report(wire.Report{Action: wire.Stay, Code: code, Priority: wire.Err,
		Text: fmt.Sprintf("session refused for %q: %v", c.req.User, r)})
	c.auditRefused(r, audit.Open)
}

// denied reports whether a refusal comes from something that was not permitted.
func denied(r *plan.Refusal) bool {
	return strings.Contains(r.Reason, "permission denied") || strings.Contains(r.Reason, "operation not permitted")
}

func (c *call) stay(text string) {
	_ = c.host.Report(wire.Report{Action: wire.Stay, Code: wire.Success, Priority: wire.Info, Text: text})
}

// stayHome opens the session in the view that the host is in, if that is the view
// of process 1; else the host refuses it, saying r, and false is returned.
func (c *call) stayHome(r *plan.Refusal, p wire.Priority, text string) bool {
	c.host.Why(fmt.Sprintf("%q: %v", c.req.User, r))
	err := c.host.Report(wire.Report{Action: wire.StayHome, Code: wire.Success, Priority: p, Text: text})
	if err != nil {
		c.auditRefused(r, audit.Open)
	}
	return err == nil
}

// skipClose tells the host not to ask a worker at close if there can be nothing to do:
// the view of the session has no tmpdir instance, or somebody is told of its end
// (Watched), and the host does not want to go back.
//
// The host does not wait either until the worker has let go, unless others may look for
// that: the close of a session that this one is in, whose tmpdir its view may show, and
// modules that unmount at the line "close" what they have mounted before.
func (c *call) skipClose(view *record.Record) {
	if (view == nil || len(view.Tmpdirs()) == 0 || view.Watched) && !c.Args.UnmountOnClose {
		c.buffer.skipClose, c.buffer.goesOn = true, c.own == nil && !c.req.Closes
	}
}

func (c *call) logPlan(p plan.Plan) {
	if !c.Args.Debug {
		return
	}
	for line := range strings.SplitSeq(strings.TrimSpace(p.String()), "\n") {
		c.debug("plan: %s", line)
	}
}

func now() int64 { return time.Now().Unix() }
