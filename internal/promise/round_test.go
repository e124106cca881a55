package promise

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/observe"
)

// rules are of polydirs that lie in the root directory, and show a tmpfs: nothing else is
// looked at. A name that is not there cannot be covered.
func rules(paths ...string) []plan.Rule {
	var all []plan.Rule
	for _, p := range paths {
		all = append(all, plan.Rule{Path: p, Config: &config.Polydir{Path: config.Template(p), Method: config.MethodTmpfs}})
	}
	return all
}

// round notes what becomes of each rule. refusal, which may be nil, is what stands against
// covering a polydir.
func round(refusal func(path string) *plan.Refusal) (*Round, *[]string) {
	var told []string
	r := &Round{Subject: plan.Subject{User: "root"}, Own: dirfd.NoUID,
		Machine: plan.Machine{Random: "abc", KernelAtLeast: mntns.KernelAtLeast, Kernel: mntns.Kernel()}}
	r.Cover = func(step plan.Step, _ *observe.Scene, _ dirfd.View) (dirfd.Spot, *plan.Refusal) {
		told = append(told, "cover "+step.Path+" "+r.Machine.Random)
		if refusal != nil {
			return dirfd.Spot{}, refusal(step.Path)
		}
		return dirfd.Spot{}, nil
	}
	r.Refused = func(rule plan.Rule, scene *observe.Scene, refusal *plan.Refusal) bool {
		told = append(told, fmt.Sprintf("refused %s %v", rule.Path, scene != nil))
		return rule.Path == "/no-such-directory"
	}
	r.Unseen = func(rule plan.Rule, theirs string) { told = append(told, "unseen "+rule.Path+theirs) }
	return r, &told
}

func wants(t *testing.T, what string, told []string, want ...string) {
	t.Helper()
	if !slices.Equal(told, want) {
		t.Errorf("%s: %q, want %q", what, told, want)
	}
}

// Each rule is covered or refused, in their order, and two that share a parent make nothing
// of one name.
func TestRound(t *testing.T) {
	r, told := round(nil)
	r.Go(rules("/etc", "/no-such-directory", "/usr"))
	wants(t, "all", *told, "cover /etc abc00", "refused /no-such-directory true", "cover /usr abc02")
	if r.Machine.Random != "abc" || r.View == nil {
		t.Errorf("afterwards %q, %v", r.Machine.Random, r.View)
	}
	r, told = round(func(path string) *plan.Refusal { return &plan.Refusal{Polydir: path} })
	r.Go(rules("/etc", "/usr"))
	wants(t, "until one is refused for good", *told, "cover /etc abc00", "refused /etc true")
}

// What changed while a rule was carried out is decided once more, and then it is a refusal:
// no rule is passed over, or a session would see the public directory there (I-7).
func TestRoundOnceMore(t *testing.T) {
	again := func(times int) func(string) *plan.Refusal {
		return func(path string) *plan.Refusal {
			if times--; times < 0 {
				return nil
			}
			return &plan.Refusal{Polydir: path, Reason: "the instance was replaced at this moment: try again", Again: true}
		}
	}
	r, told := round(again(1))
	r.Go(rules("/etc", "/usr"))
	wants(t, "once", *told, "cover /etc abc00", "cover /etc abc00", "cover /usr abc01")
	r, told = round(again(2))
	r.Go(rules("/etc", "/usr"))
	wants(t, "twice", *told, "cover /etc abc00", "cover /etc abc00", "refused /etc true")
}

// The directory in which a polydir lies can be one that only the session will see.
func TestRoundUnseen(t *testing.T) {
	r, told := round(nil)
	fd, err := unix.Open("/usr", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	usr := dirfd.FromFD(fd, "/usr")
	defer usr.Close()
	st, err := usr.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r.View = dirfd.View{st.Spot(): dirfd.Over{}} // an instance that is not made yet
	r.Go(rules("/usr/bin", "/etc"))
	wants(t, "below an instance that is not there yet", *told, "unseen /usr/bin", "cover /etc abc01")
}

// Of several problems the log has one, and says that there are more: the first with a hint,
// because a mistyped key makes others follow.
func TestBroken(t *testing.T) {
	a, b := config.Problem{Message: "no path"}, config.Problem{Message: "unknown key", Hint: "did you mean method"}
	for what, c := range map[string]struct {
		err      error
		problems config.Problems
		want     string
	}{
		"none":       {nil, nil, "<nil>"},
		"unreadable": {errors.New("owned by uid 1"), config.Problems{a}, "owned by uid 1"},
		"one":        {nil, config.Problems{a}, a.Error()},
		"with a hint": {nil, config.Problems{a, b, a},
			b.Error() + " (and 2 more: `polyinst check` shows them)"},
		"none with a hint": {nil, config.Problems{a, a}, a.Error() + " (and 1 more: `polyinst check` shows them)"},
	} {
		p := Promise{Loaded: observe.Configuration{Err: c.err, Problems: c.problems}}
		if got := fmt.Sprint(p.Broken()); got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}

// A question that cannot be answered is a refusal by whose fault it is, and what was known
// by then is there.
func TestAsk(t *testing.T) {
	asked := 0
	configured := func(*Promise) { asked++ }
	p, r := Ask(Question{User: "root", Args: []string{"no_such_argument"}, Configured: configured})
	if r == nil || r.Fault != plan.FaultConfig || !strings.HasPrefix(r.Reason, "PAM line: ") || p.Config != nil {
		t.Errorf("an argument: %+v", r)
	}
	conf := t.TempDir() + "/namespace.conf"
	p, r = Ask(Question{User: "root", Conf: conf, Configured: configured})
	if r == nil || r.Fault != plan.FaultConfig || p.Config != nil || p.Args.Conf != conf {
		t.Errorf("no file: %+v", r)
	}
	p, r = Ask(Question{User: "root", Conf: conf, Args: []string{"config_error=last-good"}})
	if r == nil || !strings.Contains(r.Reason, "; and there is no last good configuration: none was accepted") || !p.Args.LastGood {
		t.Errorf("no last good one: %+v", r)
	}
	if asked != 0 {
		t.Error("it was configured")
	}
}

// Rescue is from a fault of the configuration or the machine, never from the user's own
// (I-15).
func TestRescued(t *testing.T) {
	conf := t.TempDir() + "/namespace.conf"
	for what, c := range map[string]struct {
		user    string
		hostUID uint32
		refusal plan.Refusal
		want    bool
	}{
		"root, from the configuration":      {"root", 0, plan.Refusal{Fault: plan.FaultConfig}, true},
		"root, from the machine":            {"root", 0, plan.Refusal{Fault: plan.FaultHost}, true},
		"root, by su":                       {"root", 1001, plan.Refusal{Fault: plan.FaultHost}, true},
		"root, from what anyone can do":     {"root", 0, plan.Refusal{Fault: plan.FaultAnyone}, true},
		"the same, by su":                   {"root", 1001, plan.Refusal{Fault: plan.FaultAnyone}, false},
		"root, from their own doing":        {"root", 0, plan.Refusal{Fault: plan.FaultUser}, false},
		"an account that is not there":      {"root", 0, plan.Refusal{Fault: plan.FaultHost, Unknown: true}, false},
		"one that cannot be looked up then": {"no-such-account-here", 0, plan.Refusal{Fault: plan.FaultConfig}, false},
		"a user":                            {"nobody", 0, plan.Refusal{Fault: plan.FaultConfig}, false},
	} {
		p, r := Ask(Question{User: c.user, HostUID: c.hostUID, Conf: conf})
		if r == nil || p.Known {
			t.Fatalf("%s: %v", what, r)
		}
		if got := p.Rescued(&c.refusal); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// The PAM line says where the context is, and otherwise whoever asks.
func TestContextFrom(t *testing.T) {
	for _, c := range []struct {
		args config.Args
		want observe.ContextFrom
	}{
		{config.Args{}, observe.ExecContext},
		{config.Args{UseCurrentContext: true}, observe.CurrentContext},
		{config.Args{UseDefaultContext: true}, observe.DefaultContext},
		{config.Args{UseCurrentContext: true, UseDefaultContext: true}, observe.CurrentContext},
	} {
		p := Promise{Args: c.args, question: Question{Context: observe.ExecContext}}
		if got := p.contextFrom(); got != c.want {
			t.Errorf("%+v: %v, want %v", c.args, got, c.want)
		}
	}
	p := Promise{question: Question{Context: observe.CurrentContext}}
	if got := p.contextFrom(); got != observe.CurrentContext {
		t.Errorf("a command's: %v", got)
	}
}

// A fault of the configuration is the administrator's, unless a user can have brought it
// about by what they gave the program.
func TestConfigFault(t *testing.T) {
	for _, c := range []struct {
		err  error
		want plan.Fault
	}{{errors.New("unknown key"), plan.FaultConfig}, {unix.EMFILE, plan.FaultUser}, {unix.ENOMEM, plan.FaultAnyone}, {os.ErrPermission, plan.FaultConfig}} {
		if got := configFault(fmt.Errorf("x: %w", c.err)); got.Fault != c.want {
			t.Errorf("%v: %v, want %v", c.err, got.Fault, c.want)
		}
	}
	if records(nil) != nil {
		t.Error("nothing is a refusal")
	}
	if r := records(unix.ENOSPC); r.Fault != plan.FaultAnyone || r.Reason != "the records of sessions: no space left on device" {
		t.Errorf("%+v", r)
	}
	if r := Turn(config.Namespace{Scope: config.ScopeSession}, plan.Subject{UID: 1001}); r != nil {
		t.Errorf("a session of its own waits for no turn: %v", r)
	}
}

// A named network of which the name cannot be made is the user's fault, and one that is not
// there the machine's, with the command that makes it.
func TestNetwork(t *testing.T) {
	if ns, named, r := Network(config.Namespace{}, plan.Subject{User: "alice"}); named || r != nil || ns != (mntns.NS{}) {
		t.Errorf("none: %v, %v, %v", ns, named, r)
	}
	for netns, want := range map[string]struct {
		fault plan.Fault
		text  string
	}{
		"no-such-$USER": {plan.FaultHost, "/run/netns/no-such-alice does not exist: `ip netns add no-such-alice` makes it"},
		"no such-$USER": {plan.FaultUser, `"no such-alice" holds white space`},
	} {
		_, named, r := Network(config.Namespace{Netns: config.Template(netns)}, plan.Subject{User: "alice"})
		if named || r == nil || r.Fault != want.fault || r.Reason != fmt.Sprintf("network = %q: %s", "netns:"+netns, want.text) {
			t.Errorf("%s: %v, %+v, want %+v", netns, named, r, want)
		}
	}
}
