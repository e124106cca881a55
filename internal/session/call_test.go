package session

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/audit"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/wire"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/promise"
	"pam_polyinst/internal/sessions/record"
)

// host writes down what it is told, one word or line each.
type host struct {
	told   []string
	answer error // to a report
	audits int

	reported              bool
	counts, skips, goesOn bool // of the last report
}

func (h *host) say(format string, args ...any) { h.told = append(h.told, fmt.Sprintf(format, args...)) }
func (h *host) Log(p wire.Priority, text string) {
	if h.reported {
		h.say("lost:") // nobody reads on
	}
	h.say("log %d %s", p, text)
}
func (h *host) Tell(text string)        { h.say("tell %s", text) }
func (h *host) Deadline(ms uint32)      { h.say("deadline %d", ms) }
func (h *host) Mounted(dirfd.Dir) error { h.say("mounted"); return nil }
func (h *host) Elsewhere(dirfd.Dir)     { h.say("elsewhere") }
func (h *host) Retake()                 { h.say("retake") }
func (h *host) Why(text string)         { h.say("why %s", text) }
func (h *host) Later(func())            { h.audits++ } // not done: it would be in the kernel's log
func (h *host) Report(r wire.Report) error {
	h.say("report %c %d %d %s", r.Action, r.Code, r.Priority, r.Text)
	h.reported = true
	h.counts, h.skips, h.goesOn = r.Counts, r.SkipClose, r.GoesOn
	return h.answer
}

// stand is a host's by which a test knows it.
type stand struct {
	Inherited
	caps  mntns.Capabilities
	err   error
	apart error
	label string // that it may give
}

func (s stand) Capabilities() (mntns.Capabilities, error) { return s.caps, s.err }
func (s stand) MayLabel(context string) bool              { return context == s.label }
func (s stand) Apart() error                              { return s.apart }

// of is a call of alice's by su, before anything is known.
func of(req wire.Request) (*call, *host) {
	h := &host{}
	req.User, req.Service = "alice", "su"
	return newCall(req, h, stand{}), h
}

func wants(t *testing.T, what string, h *host, want ...string) {
	t.Helper()
	if !slices.Equal(h.told, want) {
		t.Errorf("%s: the host is told\n%s\nwant\n%s", what, strings.Join(h.told, "\n"), strings.Join(want, "\n"))
	}
}

// A refusal is one line for the log, a sentence for the user that says nothing of why,
// and a code by which the host knows an account that is not there.
func TestRefuse(t *testing.T) {
	const text = `session refused for "alice": polydir "/tmp": instance parent "/i": does not exist`
	refusal := plan.Refusal{Fault: plan.FaultUser, Polydir: "/tmp", Reason: `instance parent "/i": does not exist`}
	unknown := refusal
	unknown.Unknown = true
	c, h := of(wire.Request{})
	c.refuse(&refusal)
	wants(t, "a refusal", h, "tell "+tellRefused, "report - 6 3 "+text)
	c, h = of(wire.Request{Silent: true})
	c.refuse(&refusal)
	wants(t, "PAM_SILENT", h, "report - 6 3 "+text)
	c, h = of(wire.Request{})
	c.refuse(&unknown)
	wants(t, "no such account", h, "tell "+tellRefused, "report - 10 3 "+text)
	if h.audits != 1 {
		t.Errorf("%d audit records", h.audits)
	}
}

// A worker that a security module tells from its host leaves to another worker what goes by
// who does it: it says why, and reports nothing.
func TestDeclines(t *testing.T) {
	for what, c := range map[string]struct {
		step  plan.Step
		apart error
		want  []string
	}{
		"no script":              {plan.Step{}, errors.New("it is apart"), nil},
		"a script":               {plan.Step{Init: &plan.Init{}}, nil, nil},
		"a label":                {plan.Step{Module: plan.SELinux, Label: "u:object_r:tmp_t:s0"}, errors.New("it is apart"), nil},
		"a label too high":       {plan.Step{Module: plan.SELinux, Label: "u:object_r:tmp_t:s9"}, errors.New("it is apart"), []string{`why it is apart, and may label no directory "u:object_r:tmp_t:s9"`}},
		"and by a fork":          {plan.Step{Module: plan.SELinux, Label: "u:object_r:tmp_t:s9"}, nil, nil},
		"it is there":            {plan.Step{Module: plan.SELinux, Label: "u:object_r:tmp_t:s9", Source: plan.ExistingInstance}, errors.New("it is apart"), nil},
		"it is to be relabelled": {plan.Step{Module: plan.SELinux, Label: "u:object_r:tmp_t:s9", Source: plan.ExistingInstance, Relabel: true}, errors.New("it is apart"), []string{`why it is apart, and may label no directory "u:object_r:tmp_t:s9"`}},
		"Smack's label":          {plan.Step{Module: plan.Smack, Label: "Secret"}, errors.New("it is apart"), nil},
		"a script, by another":   {plan.Step{Init: &plan.Init{}}, errors.New("it is apart"), []string{"why the init script is the host's to run: it is apart"}},
	} {
		call, h := of(wire.Request{})
		call.of = stand{apart: c.apart, label: "u:object_r:tmp_t:s0"}
		if r := call.declines(c.step); r != nil {
			call.refuse(r)
		}
		wants(t, what, h, c.want...)
		if h.audits != 0 {
			t.Errorf("%s: %d audit records", what, h.audits)
		}
	}
	for what, c := range map[string]struct {
		reason string
		apart  error
		want   []string
	}{
		"denied to it":          {"mkdir /tmp/x: permission denied", errors.New("it is apart"), []string{"why it is apart, and this worker is denied: mkdir /tmp/x: permission denied"}},
		"denied to the host":    {"mkdir /tmp/x: permission denied", nil, []string{"tell " + tellRefused, `report - 6 3 session refused for "alice": mkdir /tmp/x: permission denied`}},
		"refused, whoever asks": {"it is a file", errors.New("it is apart"), []string{"tell " + tellRefused, `report - 6 3 session refused for "alice": it is a file`}},
	} {
		call, h := of(wire.Request{})
		call.of = stand{apart: c.apart}
		call.refuse(&plan.Refusal{Fault: plan.FaultUser, Reason: c.reason})
		wants(t, what, h, c.want...)
	}
}

// What such a worker has to log is logged once, by it or by the other one; what is logged
// for debugging tells of both.
func TestDeclinesUnsaid(t *testing.T) {
	apart := errors.New("it is apart")
	for what, c := range map[string]struct {
		apart   error
		refusal *plan.Refusal
		want    []string
	}{
		"it opens":        {apart, nil, []string{"log 7 debug", "log 4 early", "log 4 late", "report - 0 6 "}},
		"it refuses":      {apart, &plan.Refusal{Reason: "it is a file"}, []string{"log 7 debug", "tell " + tellRefused, "log 4 early", "log 4 late", `report - 6 3 session refused for "alice": it is a file`}},
		"another opens":   {apart, &plan.Refusal{Reason: "permission denied"}, []string{"log 7 debug", "why it is apart, and this worker is denied: permission denied"}},
		"one that is not": {nil, nil, []string{"log 4 early", "log 7 debug", "log 4 late", "report - 0 6 "}},
	} {
		h := &host{}
		call := newCall(wire.Request{User: "alice", Service: "su"}, h, stand{apart: c.apart})
		call.host.Log(wire.Warning, "early")
		call.host.Log(wire.Debug, "debug")
		call.hold()
		call.host.Log(wire.Warning, "late")
		call.release()
		if c.refusal != nil {
			call.refuse(c.refusal)
		} else {
			call.stay("")
		}
		wants(t, what, h, c.want...)
	}
}

// What is said of a session comes before its report, behind which nobody reads on.
func TestSaysBeforeItReports(t *testing.T) {
	call, h := of(wire.Request{})
	call.Args.Debug, call.ns = true, 7
	if r := call.follow(plan.Route{Way: plan.Same}); r != nil {
		t.Error(r)
	}
	wants(t, "in its view already", h, "log 7 the session is in its view already (mnt:[7])", "report - 0 6 ")
}

// Rescue is loud, goes by the view of process 1 alone, and is an opened session only where
// the host agrees that it is in that.
func TestRescued(t *testing.T) {
	rescued := func(answer error, hostUID uint32, fault plan.Fault) *host {
		c, h := of(wire.Request{HostUID: hostUID})
		h.answer = answer
		asked, _ := promise.Ask(promise.Question{User: "root", Conf: "/no/such/configuration", HostUID: hostUID})
		c.Promise = asked
		c.Promise.Who, c.Promise.Known = plan.Subject{User: "root"}, true
		c.refuse(&plan.Refusal{Fault: fault, Reason: "it is broken"})
		return h
	}
	in := []string{`why "alice": it is broken`, `report 1 0 1 rescue: "alice" is admitted WITHOUT private directories: it is broken`}
	h := rescued(nil, 0, plan.FaultHost)
	wants(t, "root", h, in...)
	if h.audits != 1 {
		t.Errorf("%d audit records", h.audits)
	}
	h = rescued(errors.New("it is in another view"), 0, plan.FaultHost)
	wants(t, "a host that rejects it", h, in...)
	if h.audits != 1 { // of the refusal, and none of a rescue
		t.Errorf("%d audit records", h.audits)
	}
	out := []string{"tell " + tellRefused, `report - 6 3 session refused for "alice": it is broken`}
	wants(t, "what anyone can bring about, by su", rescued(nil, 1001, plan.FaultAnyone), out...)
	wants(t, "what the user has brought about", rescued(nil, 0, plan.FaultUser), out...)
}

// Nothing is sent to the host while others may be waiting for this session: who has
// stopped the host would stop them too. It comes later, in its order.
func TestBuffer(t *testing.T) {
	c, h := of(wire.Request{})
	c.Args.Debug = true
	c.debug("one")
	c.hold()
	c.host.Log(wire.Warning, "two")
	c.debug("three")
	wants(t, "while it holds", h, "log 7 one")
	c.release()
	wants(t, "after it", h, "log 7 one", "log 4 two", "log 7 three")
	c.release()
	c.Args.Debug = false
	c.debug("nobody wants it")
	wants(t, "once", h, "log 7 one", "log 4 two", "log 7 three")
}

// The times: half of them for what goes without others, a tenth to say why not.
func TestTimes(t *testing.T) {
	c, h := of(wire.Request{})
	timeout := 20 * time.Second
	before := time.Now()
	c.configured(&promise.Promise{Config: &config.Config{Namespace: config.Namespace{Timeout: timeout}}})
	after := time.Now()
	wants(t, "as soon as it is known", h, "deadline 20000")
	within := func(what string, got time.Time, want time.Duration) {
		if got.Before(before.Add(want)) || got.After(after.Add(want)) {
			t.Errorf("%s: %v after the beginning, want %v", what, got.Sub(before), want)
		}
	}
	within("the end", c.until, 20*time.Second)
	within("another session's turn", c.waits().Turn, 10*time.Second)
	within("a lock", c.waits().Lock, 18*time.Second)
}

// A broken configuration in the place of which the last good one is used is told each
// time, and loudly.
func TestLastGoodIsTold(t *testing.T) {
	c, h := of(wire.Request{})
	loaded := observe.Configuration{UsesGood: true, Err: errors.New("namespace.conf:3:1: unknown key")}
	c.configured(&promise.Promise{Loaded: loaded, Config: &config.Config{}})
	wants(t, "last-good", h, "log 1 the configuration is broken, the last good one is used: namespace.conf:3:1: unknown key", "deadline 0")
}

// One thread shows the view of one user: whoever comes while another's session is
// open is refused, and that is nothing that anybody is rescued from.
func TestAlone(t *testing.T) {
	for what, c := range map[string]struct {
		held int
		of   string
		uid  uint32
		ok   bool
	}{
		"nobody's":                       {0, "root", 1001, true},
		"their own":                      {1, "alice", 1001, true},
		"another's":                      {1, "root", 1001, false},
		"an account of the same uid":     {1, "root", 0, true},
		"one that cannot be looked up":   {2, "no-such-account-here", 1001, false},
		"nobody knows whose, but closed": {0, "", 1001, true},
	} {
		call, _ := of(wire.Request{Held: c.held, HeldUser: c.of})
		call.Who.UID = c.uid
		r := call.alone()
		if (r == nil) != c.ok {
			t.Errorf("%s: %v", what, r)
		}
		if r != nil && (r.Fault != plan.FaultUser || !strings.Contains(r.Reason, fmt.Sprintf("session of %q open", c.of))) {
			t.Errorf("%s: %+v", what, r)
		}
	}
}

// That a thread opens, which is not the one that the process began with, is told: the others
// see another view.
func TestCounts(t *testing.T) {
	c, h := of(wire.Request{HostPID: 7, HostThread: 7})
	c.counts()
	wants(t, "the process's own thread", h)
	if _ = c.host.Report(wire.Report{}); !h.counts {
		t.Error("the report does not say that it counts")
	}
	c, h = of(wire.Request{HostPID: 7, HostThread: 9})
	c.counts()
	wants(t, "another one", h, "log 4 opened by thread 9 of process 7: only what this very thread starts sees the session's view, and what the process's other threads start sees theirs")
}

// A host is joined to a namespace that the worker makes if it may be, before anything is
// made: setns(2) says what that takes. Without CAP_SYS_ADMIN no view can be given.
func TestJoinable(t *testing.T) {
	all := mntns.Capabilities{SysAdmin: true, SysChroot: true, SysPtrace: true}
	for what, c := range map[string]struct {
		change func(*call, *mntns.Capabilities)
		joins  bool
		why    string
	}{
		"all of root":                     {func(*call, *mntns.Capabilities) {}, true, ""},
		"by su, with CAP_SYS_PTRACE":      {func(c *call, _ *mntns.Capabilities) { c.req.HostUID = 1001 }, true, ""},
		"by su, without":                  {func(c *call, m *mntns.Capabilities) { c.req.HostUID, m.SysPtrace = 1001, false }, false, ""},
		"by root, without CAP_SYS_PTRACE": {func(_ *call, m *mntns.Capabilities) { m.SysPtrace = false }, true, ""},
		"without CAP_SYS_CHROOT":          {func(_ *call, m *mntns.Capabilities) { m.SysChroot = false }, false, ""},
		"in a chroot":                     {func(c *call, _ *mntns.Capabilities) { c.chroot = true }, false, ""},
		"whether it is cannot be told":    {func(c *call, _ *mntns.Capabilities) { c.rooted = false }, false, ""},
		"without CAP_SYS_ADMIN":           {func(_ *call, m *mntns.Capabilities) { m.SysAdmin = false }, false, "the host lacks CAP_SYS_ADMIN, which a mount namespace needs"},
	} {
		call, _ := of(wire.Request{})
		call.rooted = true
		caps := all
		c.change(call, &caps)
		call.of = stand{caps: caps}
		joins, r := call.joinable()
		why := ""
		if r != nil {
			why, _, _ = strings.Cut(r.Reason, ";")
		}
		if joins != c.joins || why != c.why {
			t.Errorf("%s: %v, %q, want %v, %q", what, joins, why, c.joins, c.why)
		}
	}
	call, _ := of(wire.Request{})
	call.of = stand{err: errors.New("capget: no")}
	if joins, r := call.joinable(); joins || r == nil || r.Fault != plan.FaultHost || r.Reason != "capget: no" {
		t.Errorf("it cannot be told: %v, %+v", joins, r)
	}
}

// What a session is recorded as built from, where it is nested and where the host has
// unshared itself.
func TestOrigin(t *testing.T) {
	const process1, outer, here, before = 1, 2, 3, 4
	theirs := &record.Record{Host: process1}
	for what, c := range map[string]struct {
		own           *record.Record
		inPlace       bool
		entered       bool
		origin, built mntns.ID
	}{
		"in the host's view":                {nil, false, false, here, here},
		"in one of ours, on top of it":      {theirs, false, false, process1, here},
		"in one of ours, on the host's":     {theirs, false, true, process1, process1},
		"in place":                          {nil, true, false, before, before},
		"in place, in one of ours":          {theirs, true, false, process1, before},
		"in place, from the host's view on": {theirs, true, true, process1, process1},
	} {
		call, _ := of(wire.Request{InPlace: c.inPlace, HostNS: before})
		call.ns, call.own, call.entered = here, c.own, c.entered
		if got := call.origin(); got != c.origin {
			t.Errorf("%s: from %d, want %d", what, got, c.origin)
		}
		if got := call.builtFrom(); got != c.built {
			t.Errorf("%s: a copy of %d, want %d", what, got, c.built)
		}
	}
}

// A close is asked about only where it has something to do; the host waits for its worker
// where that close, or what else ends then, may find it in the way.
func TestSkipClose(t *testing.T) {
	tmpdir := &record.Record{Polydirs: []record.Polydir{{Method: "user"}, {Method: "tmpdir"}}}
	user := &record.Record{Polydirs: tmpdir.Polydirs[:1]}
	watched := &record.Record{Polydirs: tmpdir.Polydirs, Watched: true}
	for what, c := range map[string]struct {
		view           *record.Record
		goBack, closes bool
		outer          *record.Record
		skips, goesOn  bool
	}{
		"one that is watched":        {watched, false, false, nil, true, true},
		"no view of ours":            {nil, false, false, nil, true, true},
		"instances that stay":        {user, false, false, nil, true, true},
		"an instance that ends":      {tmpdir, false, false, nil, false, false},
		"the host goes back":         {user, true, false, nil, false, false},
		"no view, and the host goes": {nil, true, false, nil, false, false},
		"others clean up":            {user, false, true, nil, true, false},
		"in another one of ours":     {user, false, false, watched, true, false},
	} {
		call, h := of(wire.Request{Closes: c.closes})
		call.Args.UnmountOnClose, call.own = c.goBack, c.outer
		call.skipClose(c.view)
		if _ = call.host.Report(wire.Report{}); h.skips != c.skips || h.goesOn != c.goesOn {
			t.Errorf("%s: %v, %v, want %v, %v", what, h.skips, h.goesOn, c.skips, c.goesOn)
		}
	}
}

func TestAtTerminal(t *testing.T) {
	for tty, want := range map[string]bool{
		"pts/1": true, "/dev/pts/12": true, "tty1": true, "/dev/tty1": true, "ttyS0": true, "console": true, "/dev/console": true,
		"": false, "ssh": false, "cron": false, ":0": false, "/dev/null": false, "console2": false, "xtty1": false,
	} {
		if got := atTerminal(tty); got != want {
			t.Errorf("%q is a terminal: %v", tty, got)
		}
	}
}

// Who is led out of a private directory, at a terminal, is told the name that it has now;
// nobody else is told anything.
func TestTellLedOut(t *testing.T) {
	for what, c := range map[string]struct {
		from, to, tty, left string
		want                []string
	}{
		"led out": {"/tmp/build", "/i/bob/build", "pts/1", "", []string{
			`tell pam_polyinst: this session is in the host's view: "/tmp/build" of bob's session is "/i/bob/build" here (nested in polyinst-namespace.conf(5))`}},
		"no terminal":         {"/tmp/build", "/i/bob/build", "cron", "", nil},
		"the same name":       {"/srv", "/srv", "pts/1", "", nil},
		"it was told already": {"/tmp/build", "/run/polyinst/empty", "pts/1", "it was left", nil},
	} {
		call, h := of(wire.Request{TTY: c.tty})
		call.own, call.cwd = &record.Record{User: "bob"}, apply.Cwd{Path: c.from}
		fd, err := os.Open("/")
		if err != nil {
			t.Fatal(err)
		}
		call.tellLedOut(apply.Standing{Dir: dirfd.FromFD(int(fd.Fd()), c.to), Left: c.left})
		_ = fd.Close()
		wants(t, what, h, c.want...)
	}
}

// What becomes of a working directory goes by the covers of the view that is left, as the
// host's view has them.
func TestLeaves(t *testing.T) {
	call, _ := of(wire.Request{})
	call.Who.UID, call.cwd = 1001, apply.Cwd{Path: "/tmp/x"}
	call.Selection.Rules = []plan.Rule{{Parent: "/i/tmp", Config: &config.Polydir{Method: config.MethodUser}}}
	left := call.leaves([]string{"/tmp"})
	if left.Path != "/tmp/x" || left.UID != 1001 || !slices.Equal(left.Own, []string{"/tmp"}) || !slices.Equal(left.Parents, call.Selection.Parents()) || left.Covers != nil {
		t.Errorf("%+v", left)
	}
	call.own = &record.Record{Polydirs: []record.Polydir{{Path: "/tmp", Real: "/tmp", Parent: "/i/tmp", Name: "bob"}}}
	if got, want := call.leaves(nil).Covers, []plan.Covered{{Path: "/tmp", Instance: "/i/tmp/bob"}}; !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// The audit trail has a word for whose fault a refusal is.
func TestFaultWord(t *testing.T) {
	for fault, want := range map[plan.Fault]string{plan.FaultConfig: "config", plan.FaultHost: "host", plan.FaultAnyone: "host", plan.FaultUser: "user"} {
		if got := faultWord(fault); got != want {
			t.Errorf("%v: %q, want %q", fault, got, want)
		}
	}
}

// A denial is told with the way out, and by its words it is known.
func TestDenied(t *testing.T) {
	for reason, want := range map[string]bool{
		"mount_setattr: operation not permitted": true, "open /x: permission denied": true, "open /x: no such file or directory": false, "": false,
	} {
		if got := denied(&plan.Refusal{Reason: reason}); got != want {
			t.Errorf("%q: %v", reason, got)
		}
	}
}

// The record of a session says what has opened it.
func TestBy(t *testing.T) {
	for why, want := range map[string]string{"": "forked", "the host is in a chroot": "forked: the host is in a chroot"} {
		if got := (Inherited{why}).By(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if login := (Inherited{}).Login(); login != (audit.Login{}) {
		t.Errorf("%+v: the kernel stamps it", login)
	}
}
