// Package session opens and closes sessions in terms that know nothing of PAM:
// it runs the stages and returns one outcome. It lives in the worker, a process
// of its own for each call; the outcome is carried out by the host.
package session

import (
	"fmt"
	"strings"
	"time"

	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/auditmsg"
	"pam_polyinst/internal/config"
	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/hostconn"
	"pam_polyinst/internal/mntns"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/polyinst"
	"pam_polyinst/internal/record"
)

// Request is what the host asks: the items of its PAM transaction and the
// arguments of the PAM line.
type Request struct {
	User, Service, TTY, RUser, RHost string
	Silent                           bool
	InPlace                          bool     // the host has unshared itself: build in its namespace
	Back                             bool     // at close: the host kept a way back, hostconn.BackFD
	HostNS                           mntns.ID // the host's namespace before it unshared itself
	HostPID                          int
	HostThread                       int    // its thread that asks
	Held                             int    // sessions that this thread has open in a view of ours, without this one
	HeldUser                         string // whose they are
	HostUID                          uint32 // the host's real uid
	Args                             []string
}

// Host is the line to the host process.
type Host interface {
	Log(hostconn.Priority, string)
	Tell(string)
	Deadline(ms uint32)
	// Mounted hands over a mount that will be attached in the host's own
	// namespace, which takes it off if this process ends without an answer.
	Mounted(dirfd.Dir)
	// Counts has the host count this session as open.
	Counts()
	// QuietClose says that nothing will have to be done at the session's end.
	QuietClose()
	// Report sends the answer; an error says that the host did not enter
	// the new view.
	Report(hostconn.Report) error
}

// tellRefused is what the user reads; why is in the log, which he may not read.
const tellRefused = "pam_polyinst: this session was refused; the system log says why"

// call is one open or close.
type call struct {
	req    Request
	host   Host
	args   config.Args
	config *config.Config
	who    polyinst.Subject
	known  bool // who is filled in
	store  record.Store
	cwd    dirfd.Dir
	root   dirfd.Dir // of the host, where it is in a chroot
	chroot bool      // the host's root is not that of its namespace
	rooted bool      // GoToRoot was possible
	ns     mntns.ID
	nsRoot dirfd.Stat     // of the namespace's root directory
	own    *record.Record // of the namespace that the host is in, if it is ours

	hostView mntns.Set // what base has opened of the view of process 1
	entered  bool      // the worker is in that view
	mounted  int       // attached in place

	turn *record.User // scope "user": while it is this session's turn
	view string       // scope "user": what the sessions that share have in common

	security  polyinst.Security
	selection polyinst.Selection
	until     time.Time // when the host gives up
}

func (c *call) debug(format string, args ...any) {
	if c.args.Debug {
		c.host.Log(hostconn.Debug, fmt.Sprintf(format, args...))
	}
}

func hostFault(err error) *polyinst.Refusal {
	r := &polyinst.Refusal{Fault: polyinst.FaultHost, Reason: err.Error()}
	if dirfd.IsLimit(err) {
		r.Fault = polyinst.FaultUser // whoever started the host has set the limit
	}
	return r
}

func configFault(err error) *polyinst.Refusal {
	return &polyinst.Refusal{Fault: polyinst.FaultConfig, Reason: err.Error()}
}

// lookAround notes where the host is: its working directory, its root, its
// namespace and what we know of that. On the way, a namespace to build in in
// place is cut off: that is done at its root, where a chroot need be no mount.
// What cannot be told in a chroot without CAP_SYS_CHROOT is left open.
func (c *call) lookAround() *polyinst.Refusal {
	var err error
	if c.cwd, err = dirfd.Cwd(); err != nil {
		c.debug("the working directory cannot be opened: %v", err)
	}
	if c.root, err = dirfd.Root(); err != nil {
		return hostFault(err)
	}
	before, err := c.root.Stat()
	if err != nil {
		return hostFault(err)
	}
	err = mntns.GoToRoot()
	if c.rooted = err == nil; !c.rooted && !dirfd.IsDenied(err) {
		return hostFault(err) // not a right that is missing: another way would not do better
	}
	root, err := dirfd.Root()
	if err != nil {
		return hostFault(err)
	}
	defer root.Close()
	after, err := root.Stat()
	if err != nil {
		return hostFault(err)
	}
	c.chroot = before.ID != after.ID || before.MountID != after.MountID
	c.nsRoot = after
	if c.ns, err = mntns.OwnID(); err != nil {
		return hostFault(fmt.Errorf("%w (is /proc mounted?)", err))
	}
	if c.store, err = record.Open(); err != nil {
		if r := c.unrecorded(err); r != nil {
			return r
		}
	}
	if c.req.InPlace {
		if r := apply.Isolate(c.config.Namespace.Propagation); r != nil {
			return r
		}
	}
	if r := c.backToChroot(); r != nil {
		return r
	}
	return c.readRecord()
}

// readRecord finds out whether the namespace that the host is in, or was in
// before it unshared itself, is ours.
func (c *call) readRecord() *polyinst.Refusal {
	if !c.store.IsOpen() {
		return nil
	}
	ns := c.ns
	if c.req.InPlace {
		ns = c.req.HostNS
	}
	own, err := c.store.Read(ns)
	if err != nil {
		return c.unrecorded(err)
	}
	if own == nil {
		return nil
	}
	// a copy of a namespace has other mounts than the record says
	if c.req.InPlace && own.NS == ns && own.Looks() || !c.req.InPlace && own.Is(ns, c.nsRoot) {
		c.own = own
	}
	return nil
}

// unrecorded judges records that cannot be read or written. Where SELinux
// denies that to this program, a session is none the less possible: what is
// lost is told.
func (c *call) unrecorded(err error) *polyinst.Refusal {
	// asked now: the mode may have changed since the session's context was read
	if !dirfd.IsDenied(err) || !observe.SELinuxActive() {
		return hostFault(fmt.Errorf("the records of sessions: %w", err))
	}
	c.store.Close()
	c.host.Log(hostconn.Warning, fmt.Sprintf("SELinux denies this program the records of sessions (%v): nested sessions are built on the view that they are in, tmpdir instances wait for `polyinst gc`; the policy module in dist/selinux permits them", err))
	return nil
}

// backToChroot goes back below the host's root, where it was not the
// namespace's.
func (c *call) backToChroot() *polyinst.Refusal {
	if !c.chroot {
		return nil
	}
	if err := mntns.Chroot(c.root); err != nil {
		return hostFault(err)
	}
	return nil
}

func (c *call) close() {
	c.cwd.Close()
	c.root.Close()
	c.store.Close()
	c.hostView.Close()
	c.endTurn()
}

// loadConfig reads and checks the configuration; with config_error=last-good
// the last accepted one takes the place of a broken one, loudly.
func (c *call) loadConfig() *polyinst.Refusal {
	files, err := observe.ConfigFiles(c.args.Conf, true)
	if err == nil {
		var problems config.Problems
		if c.config, problems = config.Parse(files.Main, files.Dropins); len(problems) == 0 {
			return nil
		}
		err = firstProblem(problems)
	}
	if !c.args.LastGood {
		return configFault(err)
	}
	good, goodErr := observe.LastGood()
	if goodErr == nil {
		var problems config.Problems
		if c.config, problems = config.Parse(good.Main, good.Dropins); len(problems) == 0 {
			c.host.Log(hostconn.Alert, fmt.Sprintf("the configuration is broken, the last good one is used: %v", err))
			return nil
		}
		goodErr = firstProblem(problems)
	}
	return configFault(fmt.Errorf("%w; and there is no last good configuration: %w", err, goodErr))
}

// firstProblem is what the log line says of a broken configuration: the first
// problem that has a hint, because a mistyped key makes others follow.
func firstProblem(problems config.Problems) error {
	first := problems[0]
	for _, p := range problems {
		if p.Hint != "" {
			first = p
			break
		}
	}
	if n := len(problems) - 1; n > 0 {
		return fmt.Errorf("%w (and %d more: `polyinst check` shows them)", first, n)
	}
	return first
}

// identify finds out who the session is for. Without a configuration it is
// still wanted to know whether it is one of the rescue group.
func (c *call) identify() *polyinst.Refusal {
	groups := (&config.Config{Namespace: config.Namespace{Rescue: c.args.Rescue}}).Groups()
	if c.config != nil {
		groups = append(groups, c.config.Groups()...)
	}
	who, r := observe.Account(c.req.User, c.req.Service, groups)
	if r == nil {
		c.who, c.known = who, true
	}
	return r
}

// refuse answers with a refusal, or admits a user of the rescue group to the
// view that he is in.
func (c *call) refuse(r *polyinst.Refusal) {
	if denied(r) {
		if hint := observe.DeniedHint(); hint != "" {
			r.Reason += "; " + hint
		}
	}
	if c.rescued(r) {
		_ = c.host.Report(hostconn.Report{Action: hostconn.Stay, Code: hostconn.Success, Priority: hostconn.Alert,
			Text: fmt.Sprintf("rescue: %q is admitted WITHOUT private directories: %v", c.req.User, r)})
		c.auditRefused(r, auditmsg.Rescue)
		return
	}
	if !c.req.Silent {
		c.host.Tell(tellRefused)
	}
	code := hostconn.SessionErr
	if r.Unknown {
		code = hostconn.UserUnknown
	}
	_ = c.host.Report(hostconn.Report{Action: hostconn.Stay, Code: code, Priority: hostconn.Err,
		Text: fmt.Sprintf("session refused for %q: %v", c.req.User, r)})
	c.auditRefused(r, auditmsg.Open)
}

// denied tells whether a refusal comes from something that was not permitted.
func denied(r *polyinst.Refusal) bool {
	return strings.Contains(r.Reason, "permission denied") || strings.Contains(r.Reason, "operation not permitted")
}

func (c *call) rescued(r *polyinst.Refusal) bool {
	if r.Fault == polyinst.FaultUser || r.Unknown {
		return false
	}
	if !c.known && c.identify() != nil {
		return false
	}
	if c.config == nil {
		return c.who.UID == 0 || polyinst.Rescued(r, c.who, c.args.Rescue)
	}
	return c.selection.Admitted(r, c.who, c.security, c.config.Namespace.Rescue, c.args.Rescue)
}

func (c *call) stay(text string) {
	_ = c.host.Report(hostconn.Report{Action: hostconn.Stay, Code: hostconn.Success, Priority: hostconn.Info, Text: text})
}

// quietClose saves the host the question at close where there can be nothing to
// do: no tmpdir instance is in the view that the session gets, and the host does
// not want to go back.
func (c *call) quietClose(view *record.Record) {
	if (view == nil || len(view.Tmpdirs()) == 0) && !c.args.UnmountOnClose {
		c.host.QuietClose()
	}
}

func (c *call) logPlan(plan polyinst.Plan) {
	if !c.args.Debug {
		return
	}
	for line := range strings.SplitSeq(strings.TrimSpace(plan.String()), "\n") {
		c.debug("plan: %s", line)
	}
}

func now() int64 { return time.Now().Unix() }
