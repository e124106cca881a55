package command

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

func TestMetrics(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.Forks()
		for _, user := range []string{"alice", "bob"} {
			h.AddUser(user)
			h.MustRun("su", user, "-c", "dd if=/dev/zero of=/tmp/big bs=1M count=1 status=none")
		}
		a := h.Start("su", "alice", "-c", "echo ready; cat")
		a.Expect("ready")
		h.Mkdir(kit.TmpParent+"/.new.carol", 0, 0, 0)
		authLog(h, "/var/log/auth.log", time.RFC3339)
		out := h.MustRun("polyinst", "metrics")
		for line := range strings.Lines(out + "\n") {
			if !regexp.MustCompile(`^(# (HELP|TYPE) polyinst_\w+ .+|polyinst_\w+(\{(\w+="[^"]*",?)+\})? [0-9.e+]+)?\n$`).MatchString(line) {
				t.Errorf("no line of Prometheus' text format: %q", line)
			}
		}
		for _, want := range []string{"polyinst_module_loads 1", "polyinst_served 0", "polyinst_last_good_in_use 0", "polyinst_parents_missing 0",
			`polyinst_sessions_last_hour{outcome="opened"} 3`, `polyinst_sessions_last_hour{outcome="refused"} 0`, `polyinst_refused_last_hour{reason="parent"} 0`, "polyinst_log_readable 1",
			"polyinst_namespaces 1", "polyinst_users 1", "polyinst_processes 2", "polyinst_config_problems 0",
			`polyinst_instances{parent="` + kit.TmpParent + `",state="in_use"} 1`, `polyinst_instances{parent="` + kit.TmpParent + `",state="idle"} 1`,
			`polyinst_instances{parent="` + kit.TmpParent + `",state="stale"} 1`} {
			if !strings.Contains("\n"+out+"\n", "\n"+want+"\n") {
				t.Errorf("no %s", want)
			}
		}
		h.Match("services: su, and su-l where it includes that", out, `(?m)^polyinst_services [12]$`)
		host.Equal(h, "bytes without --sizes", strings.Contains(out, "bytes"), false)
		h.MustRun("polyinst", "metrics", "--sizes", "--output", "/run/polyinst.prom")
		h.Match("bytes", h.ReadFile("/run/polyinst.prom"), `polyinst_instance_bytes\{parent="`+kit.TmpParent+`"\} 2\d{6}`)
		mode, _, _ := h.Mode("/run/polyinst.prom")
		host.Equal(h, "mode", fmt.Sprintf("%o", mode), "644")
		// what refuses sessions, by the functions of check
		for setup, undo := range map[string]string{"chmod 0755 " + kit.TmpParent: "chmod 0000 " + kit.TmpParent, "mv " + kit.TmpParent + " /srv/away": "mv /srv/away " + kit.TmpParent} {
			h.Sh(setup)
			h.Match(setup, h.MustRun("polyinst", "metrics"), `(?m)^polyinst_config_problems [1-9]`)
			h.Match(setup, h.MustRun("polyinst", "metrics"), fmt.Sprintf(`(?m)^polyinst_parents_missing %d$`, strings.Count(setup, "away")))
			h.Sh(undo)
			h.Match(undo, h.MustRun("polyinst", "metrics"), `(?m)^polyinst_config_problems 0$`)
		}
		h.Config("broken")
		h.Match("a broken file", h.MustRun("polyinst", "metrics"), `(?m)^polyinst_namespaces 1\n(.*\n)*polyinst_config_problems [1-9]`)
		a.Kill()
	})
}

// Refusals by what they are about, the last runs, the last good configuration, and
// whether ready workers are there: each as it changes.
func TestMetricsOfFaults(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.Forks()
		h.AddUser("alice")
		h.Su("alice", "true")
		is := func(what string, lines ...string) {
			t.Helper()
			out := "\n" + h.MustRun("polyinst", "metrics") + "\n"
			for _, l := range lines {
				if !regexp.MustCompile(`\n` + l + `\n`).MatchString(out) {
					t.Errorf("%s: no %s in:%s", what, l, out)
				}
			}
		}
		h.MustRun("rm", "-rf", "/var/log/journal", "/run/log/journal", "/var/log/auth.log", "/var/log/secure", "/var/log/messages")
		is("no log", "polyinst_log_readable 0")
		if strings.Contains(h.MustRun("polyinst", "metrics"), "polyinst_sessions_last_hour") {
			t.Error("without a log nothing is known of sessions")
		}

		h.MustRun("polyinst", "check", "--accept")
		h.MustRun("polyinst", "gc")
		h.MustRun("polyinst", "prepare")
		const at = ` 1\.?[0-9]+(e\+09)?`
		is("gc and prepare", `polyinst_last_run_timestamp_seconds\{command="gc"\}`+at, `polyinst_last_run_success\{command="gc"\} 1`, `polyinst_last_run_success\{command="prepare"\} 1`)

		h.MustRun("chmod", "755", kit.TmpParent)
		h.Su("alice", "true")
		h.Cmd("polyinst", "prepare")
		h.MustRun("chmod", "0", kit.TmpParent)
		h.MustRun("chown", "0:0", kit.Instance("alice"))
		h.MustRun("chmod", "777", kit.Instance("alice"))
		h.Su("alice", "true")
		h.Config("junk")
		h.Su("alice", "true")
		h.PAM("su", host.Stack(kit.Session+" rescue=alice")...)
		h.Su("alice", "true")
		authLog(h, "/var/log/auth.log", time.RFC3339)
		is("refused", `polyinst_refused_last_hour\{reason="parent"\} 1`, `polyinst_refused_last_hour\{reason="instance"\} 1`, `polyinst_refused_last_hour\{reason="configuration"\} 2`,
			`polyinst_sessions_last_hour\{outcome="refused"\} 3`, `polyinst_sessions_last_hour\{outcome="rescued"\} 1`, `polyinst_last_run_success\{command="prepare"\} 0`,
			"polyinst_last_good_in_use 0")
		h.PAM("su", host.Stack(kit.Session+" config_error=last-good")...)
		is("the last good one", "polyinst_last_good_in_use [12]", "polyinst_config_problems 1")
		h.Config(kit.OwnTmp)
		s := h.Serve()
		is("served", "polyinst_served 1", `polyinst_build_info\{version="[^"]+",build="[0-9a-f]{32}",go="go[^"]+"\} 1`)
		s.Stop()
		is("not served", "polyinst_served 0")
		h.MustRun("chmod", "1777", kit.Instance("alice"))
		h.PAM("su", host.Stack(kit.Session+" conf=/etc/second.conf")...)
		h.WriteFile("/etc/second.conf", strings.Replace(kit.OwnTmp, "polyinst/tmp", "polyinst/second", 1))
		is("another main file, whose parent is missing", "polyinst_config_problems 1")
		h.MustRun("polyinst", "prepare", "--conf", "/etc/second.conf")
		is("another main file, which is in order", "polyinst_config_problems 0")
		h.MustRun("rm", h.Module())
		is("no module", "polyinst_module_loads 0")
	})
}

// The alerts in dist/prometheus are rules to Prometheus, and all their metrics, and
// labels, are in what the command prints; polyinst(8) has each metric, and no other.
func TestMetricsAndAlerts(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.Need("promtool")
		h.MustRun("polyinst", "gc")
		h.MustRun("polyinst", "prepare")
		h.WriteFile("/var/log/auth.log", "", 0o640)
		out := h.MustRun("polyinst", "metrics", "--sizes")
		printed := map[string]string{}
		for _, m := range regexp.MustCompile(`(?m)^# TYPE (\w+) gauge\n((?:[^#].*\n?)*)`).FindAllStringSubmatch(out, -1) {
			printed[m[1]] = m[2]
		}
		rules := h.Source("dist/prometheus/polyinst.rules.yml")
		h.Match("promtool", h.MustRun("promtool", "check", "rules", rules), `SUCCESS: \d+ rules found`)
		h.MustRun("sh", "-c", "polyinst metrics --sizes | promtool check metrics")
		used := regexp.MustCompile(`polyinst_\w+(\{\w+="\w+"\})?`)
		n := 0
		for _, expr := range regexp.MustCompile(`(?m)^ *expr: (.*)$`).FindAllStringSubmatch(h.ReadFile(rules), -1) {
			for _, metric := range used.FindAllString(expr[1], -1) {
				n++
				name, labels, _ := strings.Cut(metric, "{")
				values, ok := printed[name]
				if !ok || labels != "" && !strings.Contains(values, strings.TrimSuffix(labels, "}")) {
					t.Errorf("an alert asks for %s, which polyinst metrics does not print", metric)
				}
			}
		}
		if n < 10 {
			t.Errorf("only %d metrics in the alerts", n)
		}
		page := kit.Between(h.ReadFile(h.Source("man/polyinst.8")), "\n.It Xo\n.Cm metrics\n", "\n.It Xo\n.Cm report\n")
		for name := range printed {
			if !regexp.MustCompile(`\b` + name + `\b`).MatchString(page) {
				t.Errorf("polyinst(8) does not describe %s", name)
			}
		}
		for _, name := range regexp.MustCompile(`polyinst_\w+`).FindAllString(page, -1) {
			if _, ok := printed[name]; !ok {
				t.Errorf("polyinst(8) has %s, which polyinst metrics does not print", name)
			}
		}
	})
}
