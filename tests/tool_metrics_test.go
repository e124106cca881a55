package tests

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

func TestMetrics(t *testing.T) {
	story(t, ownTmp, []string{"su"}, func(h *host.Host) {
		for _, user := range []string{"alice", "bob"} {
			h.AddUser(user)
			h.MustRun("su", user, "-c", "dd if=/dev/zero of=/tmp/big bs=1M count=1 status=none")
		}
		a := h.Start("su", "alice", "-c", "echo ready; cat")
		a.Expect("ready")
		h.Mkdir(parent+"/.new.carol", 0, 0, 0)
		out := h.MustRun("polyinst", "metrics")
		for line := range strings.Lines(out + "\n") {
			if !regexp.MustCompile(`^(# (HELP|TYPE) polyinst_\w+ .+|polyinst_\w+(\{(\w+="[^"]*",?)+\})? [0-9.e+]+)?\n$`).MatchString(line) {
				t.Errorf("no line of Prometheus' text format: %q", line)
			}
		}
		for _, want := range []string{"polyinst_namespaces 1", "polyinst_users 1", "polyinst_processes 2", "polyinst_config_problems 0",
			`polyinst_instances{parent="` + parent + `",state="in_use"} 1`, `polyinst_instances{parent="` + parent + `",state="idle"} 1`,
			`polyinst_instances{parent="` + parent + `",state="stale"} 1`} {
			if !strings.Contains("\n"+out+"\n", "\n"+want+"\n") {
				t.Errorf("no %s", want)
			}
		}
		host.Equal(h, "bytes without --sizes", strings.Contains(out, "bytes"), false)
		h.MustRun("polyinst", "metrics", "--sizes", "--output", "/run/polyinst.prom")
		h.Match("bytes", h.ReadFile("/run/polyinst.prom"), `polyinst_instance_bytes\{parent="`+parent+`"\} 2\d{6}`)
		mode, _, _ := h.Mode("/run/polyinst.prom")
		host.Equal(h, "mode", fmt.Sprintf("%o", mode), "644")
		h.Config("broken")
		h.Match("a broken file", h.MustRun("polyinst", "metrics"), `(?m)^polyinst_namespaces 1\n(.*\n)*polyinst_config_problems [1-9]`)
		a.Kill()
	})
}
