// Package kit has what stories of several folders share: configurations, and questions
// that they ask of a host.
package kit

import (
	"slices"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

func Main(m *testing.M) {
	host.Compared, host.NotCompared = true, NotCompared
	host.Main(m)
}

// Session is the line that an administrator adds.
const Session = "session required pam_polyinst.so"

// OwnTmp gives every user but root a /tmp of their own.
const OwnTmp = `
[[polydir]]
path            = "/tmp"
instance_prefix = "/var/lib/polyinst/tmp/"
method          = "user"
except          = ["root"]
`

// WhichTmp prints which directory a session sees as /tmp.
const WhichTmp = "stat -c %d:%i /tmp"

// LogIn is a session by login on a terminal, with a shell in it; its /tmp is the user's.
func LogIn(h *host.Host, user string) *host.Process {
	h.T.Helper()
	p := h.OnPty("login")
	p.Expect("login: ")
	p.Send(user + "\n")
	p.Expect("Password: ")
	p.Send(host.Password + "\n")
	p.Expect(`\$ `)
	p.Send("echo at=$(" + WhichTmp + ")\n")
	InInstance(h, "login", user, p.Expect(`at=(\d+:\d+)`)[1])
	return p
}

// Story runs a story on a host with the module, a configuration, its instance
// parents, and the PAM line in each of the services.
func Story(t *testing.T, config string, services []string, tell func(h *host.Host)) {
	t.Helper()
	host.Run(t, func(h *host.Host) {
		Install(h, config)
		for _, s := range services {
			h.PAM(s, host.Stack(Session)...)
		}
		tell(h)
	})
}

// Install installs the module with a configuration.
func Install(h *host.Host, config string) {
	h.T.Helper()
	h.Install()
	h.Config(config)
	for line := range strings.Lines(config) {
		if prefix, ok := strings.CutPrefix(strings.ReplaceAll(line, " ", ""), `instance_prefix="`); ok {
			prefix = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(prefix), `"`))
			if strings.HasSuffix(prefix, "/") && !strings.Contains(prefix, "$") {
				h.Prepare(strings.TrimSuffix(prefix, "/"))
			}
		}
	}
}

// Records are the names in the directory of the records, without the socket of
// the ready workers.
func Records(h *host.Host) []string {
	return slices.DeleteFunc(h.Names("/run/polyinst"), func(name string) bool { return name == "serve.sock" })
}

// Instance is the directory that a user's /tmp is.
func Instance(user string) string { return host.Parents + "/tmp/" + user }

// InInstance fails the story where a session's /tmp, as place printed it, was
// not the user's instance.
func InInstance(h *host.Host, what, user, seen string) {
	h.T.Helper()
	if !h.Exists(Instance(user)) {
		h.T.Errorf("%s: %s has no instance", what, user)
		return
	}
	if want := h.FileID(Instance(user)); seen != want {
		h.T.Errorf("%s: /tmp is %q, want %s's instance %s; the public /tmp is %s", what, seen, user, want, h.FileID("/tmp"))
	}
}

// InPublic fails the story where a session's /tmp was not the public one.
func InPublic(h *host.Host, what, seen string) {
	h.T.Helper()
	host.Equal(h, what+": the public /tmp", seen, h.FileID("/tmp"))
}
