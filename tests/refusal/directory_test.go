package refusal

import (
	"fmt"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// outcome is what became of a session.
type outcome string

const (
	isRefused   outcome = "refused"
	noSuchUser  outcome = "unknown user"
	ownDir      outcome = "own /tmp"
	inPublicTmp outcome = "public /tmp"
)

// becomes opens a session for a user and says what became of it.
func becomes(h *host.Host, user string) outcome {
	h.T.Helper()
	h.ForgetLog()
	trace := h.PamHost("user="+user, "start", "open", "exec:"+kit.WhichTmp, "close", "end")
	seen := ""
	for _, s := range trace.All("exec") {
		seen = strings.TrimSpace(s.Text)
	}
	public := seen == h.FileID("/tmp")
	switch rc := trace.All("open")[0].RC; {
	case rc == host.PAMSuccess && public:
		return inPublicTmp
	case rc == host.PAMSuccess:
		return ownDir
	case rc == host.PAMUserUnknown:
		return noSuchUser
	default:
		if !strings.Contains(fmt.Sprint(h.ModuleLog()), "cannot be looked up") {
			h.T.Errorf("refused, and not told that something cannot be looked up:\n%s", h.ModuleLog())
		}
		return isRefused
	}
}

// With the module of sssd itself, and no sssd.
func TestDirectoryOfSSSD(t *testing.T) {
	kit.Story(t, strings.Replace(kit.OwnTmp, `except          = ["root"]`, `only = ["@local"]`, 1), []string{"pamhost"}, func(h *host.Host) {
		if !strings.Contains(h.MustRun("ldconfig", "-p"), "libnss_sss.so.2") {
			h.T.Skip("needs a program: libnss_sss.so.2")
		}
		h.AddUser("alice")
		h.AddGroup("local")
		h.AddSource("", "sss")
		// as some distributions are installed: nobody has configured sssd
		h.Sh("rm -rf /etc/sssd; mkdir -p /etc/sssd/conf.d")
		host.Equal(h, "alice, not configured", becomes(h, "alice"), inPublicTmp)
		host.Equal(h, "dana, not configured", becomes(h, "dana"), noSuchUser)
		h.WriteFile("/etc/sssd/conf.d/a.conf", "")
		host.Equal(h, "alice, configured", becomes(h, "alice"), isRefused)
		h.MustRun("mv", "/etc/sssd/conf.d/a.conf", "/etc/sssd/sssd.conf")
		for _, user := range []string{"alice", "dana"} {
			host.Equal(h, user, becomes(h, user), isRefused)
			h.WaitLog(`source "sss" of /etc/nsswitch\.conf answers UNAVAIL`)
		}
		h.Match("explain", h.Cmd("polyinst", "explain", "alice", "--service", "pamhost").Stdout, `REFUSED: .*groups of "alice" cannot be looked up: source "sss"`)
		h.Match("explain", h.Cmd("polyinst", "explain", "dana", "--service", "pamhost").Stderr, `account "dana" cannot be looked up: source "sss"`)
		h.Config(strings.Replace(kit.OwnTmp, `["root"]`, `["@studnets"]`, 1))
		r := h.Cmd("polyinst", "check")
		host.Equal(h, "check", r.Code, 1)
		h.Match("check", r.Stdout+r.Stderr, `the group "studnets" cannot be looked up, and then every session is refused: source "sss"`)
	})
}

// A source whose module is not installed keeps nobody out: it cannot be down.
func TestSourceThatIsNotInstalled(t *testing.T) {
	plain := strings.Replace(kit.OwnTmp, `except          = ["root"]`, "", 1)
	for keys, want := range map[string]outcome{`only = ["@local"]`: inPublicTmp, `except = ["@local"]`: ownDir, `only = ["@no-such-group"]`: ownDir} {
		t.Run(keys, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, plain+keys+"\n", nil, func(h *host.Host) {
				h.PAM("pamhost", host.Stack(kit.Session+" debug")...)
				h.AddUser("alice")
				h.AddGroup("local")
				h.AddSource("", "nowhere")
				host.Equal(h, "alice", becomes(h, "alice"), want)
				h.WaitLog(`names the source "nowhere", which is not installed`)
				host.Equal(h, "dana", becomes(h, "dana"), noSuchUser)
			})
		})
	}
}

// A directory that is down is not one that says "there is none" (I-13), whatever
// libc makes of its answer: nothing is known of its accounts, its groups and its
// memberships, and that refuses where a decision hangs on it.
func TestDirectoryDown(t *testing.T) {
	plain := strings.Replace(kit.OwnTmp, `except          = ["root"]`, "", 1)
	for _, c := range []struct {
		name, keys, user string
		has              []string // what the directory holds
		function         string   // and which of its answers varies
		down, gone, up   outcome
	}{
		{"account", "", "dana", []string{"user dana 5000 5000 /home/dana"}, "getpwnam", isRefused, noSuchUser, ownDir},
		{"local account", "", "alice", nil, "getpwnam", ownDir, ownDir, ownDir},
		{"local account, no list", "", "alice", nil, "initgroups", ownDir, ownDir, ownDir},
		{"group in only", `only = ["@students"]`, "alice", []string{"group students 6000", "member alice 6000"}, "getgrnam", isRefused, ownDir, ownDir},
		{"group in except", `except = ["@students"]`, "alice", []string{"group students 6000", "member alice 6000"}, "getgrnam", isRefused, ownDir, inPublicTmp},
		{"membership in only", `only = ["@local"]`, "alice", []string{"member alice 7000"}, "initgroups", isRefused, inPublicTmp, ownDir},
		{"membership in except", `except = ["@local"]`, "alice", []string{"member alice 7000"}, "initgroups", isRefused, ownDir, inPublicTmp},
		{"another entry of only decides", `only = ["@local", "alice"]`, "alice", nil, "initgroups", ownDir, ownDir, ownDir},
		{"another entry of except decides", `except = ["@local", "uid:5000-6000"]`, "dana", []string{"user dana 5000 5000 /home/dana"}, "initgroups", inPublicTmp, inPublicTmp, inPublicTmp},
		{"root is not locked out", `only = ["@local"]`, "root", nil, "initgroups", inPublicTmp, inPublicTmp, inPublicTmp},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, plain+c.keys+"\n", []string{"pamhost"}, func(h *host.Host) {
				h.AddUser("alice", host.User{UID: 3001})
				h.WriteFile("/etc/group", h.ReadFile("/etc/group")+"local:x:7000:\n")
				h.Mkdir("/home/dana", 0o700, 5000, 5000)
				d := h.Directory()
				check := func(answer string, want outcome) {
					if got := becomes(h, c.user); got != want {
						h.T.Errorf("%s answers %s: %s, want %s", c.function, answer, got, want)
					}
				}
				d.Says(c.has...)
				check("what it has", c.up)
				for _, a := range kit.DownAnswers {
					d.Says(append([]string{"say " + c.function + " " + a}, c.has...)...)
					check(a, c.down)
				}
				for _, a := range kit.GoneAnswers {
					d.Says(append([]string{"say " + c.function + " " + a}, c.has...)...)
					check(a, c.gone)
				}
			})
		})
	}
}
