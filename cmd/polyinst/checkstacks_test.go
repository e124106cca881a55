package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
)

// What is installed on this machine counts for its own stacks, and for no others.
func TestCompositorIsInstalled(t *testing.T) {
	was := pamstack.Compositors
	t.Cleanup(func() { pamstack.Compositors = was })
	there := filepath.Join(t.TempDir(), "a-shell")
	if err := os.WriteFile(there, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	c, problems := config.Parse(config.Source{Name: "x", Data: []byte("[[polydir]]\npath = \"/tmp\"\ninstance_prefix = \"/i/\"\nmethod = \"user\"\n")}, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	stacks := pamstack.Dir{"systemd-user": {Path: "/etc/pam.d/systemd-user", Data: []byte("session required pam_polyinst.so\n")}}
	for _, about := range []struct {
		dir, compositor string
		said            bool
	}{
		{pamDir, there, true},
		{pamDir, there + "-that-is-not-there", false},
		{"/srv/pam.d", there, false},
	} {
		pamstack.Compositors = []string{"/nowhere", about.compositor}
		said := false
		for _, r := range checkStacks(c, "x", about.dir, stacks) {
			said = said || strings.Contains(r.Message, "a-shell ends where /tmp has no .X11-unix")
		}
		if said != about.said {
			t.Errorf("%+v: said %v", about, said)
		}
	}
}
