// Package tests holds the stories: real programs with the module in the
// disposable host. See README.md.
package tests

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

func TestMain(m *testing.M) { host.Main(m) }

// session is the line that an administrator adds.
const session = "session required pam_polyinst.so"

// ownTmp gives every user but root a /tmp of their own.
const ownTmp = `
[[polydir]]
path            = "/tmp"
instance_prefix = "/var/lib/polyinst/tmp/"
method          = "user"
except          = ["root"]
`

// place prints which directory a session sees as /tmp.
const place = "stat -c %d:%i /tmp"

// story runs a story on a host with the module, a configuration, its instance
// parents, and the PAM line in each of the services.
func story(t *testing.T, config string, services []string, tell func(h *host.Host)) {
	t.Helper()
	host.Run(t, func(h *host.Host) {
		install(h, config)
		for _, s := range services {
			h.PAM(s, host.Stack(session)...)
		}
		tell(h)
	})
}

// install installs the module with a configuration.
func install(h *host.Host, config string) {
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

// instance is the directory that a user's /tmp is.
func instance(user string) string { return host.Parents + "/tmp/" + user }

// inInstance fails the story where a session's /tmp, as place printed it, was
// not the user's instance.
func inInstance(h *host.Host, what, user, seen string) {
	h.T.Helper()
	if !h.Exists(instance(user)) {
		h.T.Errorf("%s: %s has no instance", what, user)
		return
	}
	if want := h.Place(instance(user)); seen != want {
		h.T.Errorf("%s: /tmp is %q, want %s's instance %s; the public /tmp is %s", what, seen, user, want, h.Place("/tmp"))
	}
}

// inPublic fails the story where a session's /tmp was not the public one.
func inPublic(h *host.Host, what, seen string) {
	h.T.Helper()
	host.Equal(h, what+": the public /tmp", seen, h.Place("/tmp"))
}
