package install

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pam_polyinst/tests/host"
)

const (
	openscap  = "/.host/src/dist/compliance/openscap/"
	benchmark = openscap + "polyinst-xccdf.xml"
	ruleOfOur = "xccdf_local.polyinst_rule_"
	ruleOfSSG = "xccdf_org.ssgproject.content_rule_"
)

// scanned are the results of oscap, by the rules' names without their prefix; code
// is its exit status: 0, all that is selected passes; 2, something does not.
func scanned(h *host.Host, args ...string) (results map[string]string, code int) {
	h.T.Helper()
	r := h.Cmd(append([]string{"oscap", "xccdf", "eval"}, args...)...)
	results = map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^Rule\s+(\S+)\n(?:Ident\s.*\n)*Result\s+(\S+)$`).FindAllStringSubmatch(r.Stdout, -1) {
		results[strings.TrimPrefix(strings.TrimPrefix(m[1], ruleOfOur), ruleOfSSG)] = m[2]
	}
	if r.Code != 0 && r.Code != 2 || len(results) == 0 {
		h.T.Fatalf("oscap: exit status %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	return results, r.Code
}

// convertedMachine is one that had pam_namespace as hardening guides say, and was
// converted by the command.
func convertedMachine(h *host.Host) {
	h.T.Helper()
	h.Install()
	h.AddUser("alice")
	h.Sh("sed -i -E '/^(cloudsdk|slurm):/d' /etc/passwd")
	h.WriteFile("/root/old/namespace.conf", "/tmp /tmp/tmp-inst/ user root\n/var/tmp /var/tmp/tmp-inst/ user root\n")
	h.Sh("mkdir -p /etc/security/polyinst; polyinst convert --parents /var/lib/polyinst /root/old/namespace.conf >" + host.ConfigFile)
	for _, service := range []string{"sshd", "login", "su"} {
		h.PAM(service, host.Stack("session required pam_namespace.so")...)
		h.Sh("polyinst convert /etc/pam.d/" + service + " >/root/new && cat /root/new >/etc/pam.d/" + service)
	}
	h.MustRun("polyinst", "prepare")
	h.MustRun("polyinst", "check", "--pam")
}

// The scan passes on a converted machine, and fails where the isolation is broken.
func TestOpenSCAP(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		h.Need("oscap")
		convertedMachine(h)
		h.MustRun("oscap", "oval", "validate", openscap+"polyinst-oval.xml")
		h.MustRun("oscap", "xccdf", "validate", benchmark)
		for profile, rules := range map[string]int{"tmp": 6, "tmp_only": 5} {
			results, code := scanned(h, "--profile", profileOfOur(profile), benchmark)
			host.Equal(h, profile+": exit status", code, 0)
			host.Equal(h, profile+": rules", len(results), rules)
			for rule, result := range results {
				host.Equal(h, profile+": "+rule, result, "pass")
			}
		}

		h.Sh("cp -a /etc/pam.d /root/pam.d; cp -a " + host.ConfigFile + " /root/")
		for what, broken := range map[string]struct{ setup, undo, fails string }{
			"the line is gone from one":   {"sed -i /polyinst/d /etc/pam.d/sshd", "", "sessions"},
			"the line is gone from all":   {"sed -i /polyinst/d /etc/pam.d/*", "", "line sessions"},
			"the line only cleans up":     {"sed -i 's/pam_polyinst.so/& close/' /etc/pam.d/*", "", "line sessions"},
			"a parent's mode":             {"chmod 0700 /var/lib/polyinst/tmp", "chmod 0 /var/lib/polyinst/tmp", "parents sessions"},
			"a parent's owner":            {"chown alice /var/lib/polyinst/var-tmp", "chown root /var/lib/polyinst/var-tmp", "parents sessions"},
			"a parent is gone":            {"mv /var/lib/polyinst/tmp /root/", "mv /root/tmp /var/lib/polyinst/", "sessions"},
			"the module is gone":          {"mv " + h.Module() + " /root/", "mv /root/pam_polyinst.so " + h.Module(), "module sessions"},
			"the module is a user's":      {"chown alice " + h.Module(), "chown root " + h.Module(), "module sessions"},
			"one is no polydir any more":  {"sed -i 's,\"/var/tmp\",\"/srv\",' " + host.ConfigFile, "", "sessions var_tmp"},
			"a user is exempt":            {"sed -i 's/\"root\"/\"root\", \"alice\"/' " + host.ConfigFile, "", "sessions"},
			"the configuration is broken": {"echo colour = 1 >>" + host.ConfigFile, "", "sessions"},
			"the command is gone":         {"mv /usr/local/sbin/polyinst /root/", "mv /root/polyinst /usr/local/sbin/", "sessions"},
		} {
			h.Sh(broken.setup)
			results, code := scanned(h, "--profile", profileOfOur("tmp"), benchmark)
			host.Equal(h, what+": exit status", code, 2)
			var fails []string
			for _, rule := range []string{"line", "module", "parents", "sessions", "tmp", "var_tmp"} {
				if results[rule] != "pass" {
					host.Equal(h, what+": "+rule, results[rule], "fail")
					fails = append(fails, rule)
				}
			}
			host.Equal(h, what+": what fails", strings.Join(fails, " "), broken.fails)
			h.Sh(broken.undo + "\ncp -a /root/pam.d/. /etc/pam.d/; cp -a /root/namespace.conf " + host.ConfigFile)
		}

		// what a site demands is a value of the tailoring
		h.Sh("sed -i 's/\"root\"/\"root\", \"alice\"/' " + host.ConfigFile)
		h.WriteFile("/root/site.xml", siteTailoring(h))
		results, code := scanned(h, "--tailoring-file", "/root/site.xml", "--profile", "xccdf_local.site_profile_tmp", benchmark)
		host.Equal(h, "a site's own exemption", fmt.Sprint(results["sessions"], code), "pass0")

		// without the script engine's right there is no verdict
		alice := host.User{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice"}
		r := h.Command(openscap + "polyinst-sessions.sh").As(alice).Env("XCCDF_RESULT_ERROR=103").Run()
		host.Equal(h, "as a user", r.Code, 103)
	})
}

func profileOfOur(name string) string { return "xccdf_local.polyinst_profile_" + name }

// siteTailoring is the example of docs/compliance.md, which names the benchmark by
// the place in which it is installed.
func siteTailoring(h *host.Host) string {
	h.T.Helper()
	m := regexp.MustCompile("(?s)```xml\n(.*?)```").FindStringSubmatch(h.ReadFile(h.Source("docs/compliance.md")))
	if m == nil {
		h.T.Fatal("docs/compliance.md has no example of a tailoring")
	}
	return strings.NewReplacer("polyinst-xccdf.xml", benchmark, "backup", "alice").Replace(m[1])
}

// The stock rules ask for pam_namespace, and fail on the converted machine; the
// tailoring leaves them out.
func TestOpenSCAPTailoring(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		const stock = "/usr/share/xml/scap/ssg/content/ssg-debian11-ds.xml"
		h.Need("oscap", stock)
		convertedMachine(h)
		h.WriteFile("/etc/debian_version", "11.5\n") // which this content is for
		// Debian's content has the rules, and the profiles that select them are those
		// of other distributions
		const profile = "site"
		content := strings.Replace(h.ReadFile(stock), "<xccdf-1.2:Profile ", `<xccdf-1.2:Profile id="xccdf_org.ssgproject.content_profile_site">`+
			`<xccdf-1.2:title>site</xccdf-1.2:title><xccdf-1.2:select idref="`+ruleOfSSG+`file_owner_etc_passwd" selected="true"/></xccdf-1.2:Profile>
<xccdf-1.2:Profile `, 1)
		h.WriteFile("/root/ds.xml", regexp.MustCompile(`selected="false" (id="\S+rule_accounts_polyinstantiated_)`).ReplaceAllString(content, `selected="true" $1`))
		results, _ := scanned(h, "--profile", "xccdf_org.ssgproject.content_profile_"+profile, "/root/ds.xml")
		for _, dir := range []string{"tmp", "var_tmp"} {
			host.Equal(h, "the stock rule of "+dir, results["accounts_polyinstantiated_"+dir], "fail")
		}
		h.Sh(openscap + "tailoring /root/ds.xml " + profile + " >/root/tailoring.xml")
		results, code := scanned(h, "--tailoring-file", "/root/tailoring.xml", "--profile", profileOfOur(profile), "/root/ds.xml")
		host.Equal(h, "rules with the tailoring", fmt.Sprint(results), "map[file_owner_etc_passwd:pass]")
		host.Equal(h, "its exit status", code, 0)
		for _, dir := range []string{"tmp", "var_tmp"} {
			host.Equal(h, "the stock rule of "+dir+" with the tailoring", results["accounts_polyinstantiated_"+dir], "")
		}
		_, code = scanned(h, "--profile", profileOfOur("tmp"), benchmark)
		host.Equal(h, "and what takes their place", code, 0)
		r := h.Cmd(openscap+"tailoring", "/root/ds.xml", "nothing")
		h.Match("another profile", r.Stderr, `/root/ds.xml has no profile nothing; it has: site anssi_np_nt28_average`)
		host.Equal(h, "its exit status", r.Code, 1)
	})
}

// The plugin of Lynis, by the program itself.
func TestLynis(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		h.Need("lynis")
		convertedMachine(h)
		h.Sh(`install -D -m 0640 -t /root/plugins /.host/src/dist/compliance/lynis/plugin_polyinst_phase1
grep -v '^plugin=' /etc/lynis/default.prf >/root/polyinst.prf; echo plugin=polyinst >>/root/polyinst.prf`)
		audit := func() string {
			h.T.Helper()
			h.Command("lynis", "audit", "system", "--quick", "--no-colors", "--profile", "/root/polyinst.prf", "--plugindir", "/root/plugins",
				"--tests", "CUST-7001 CUST-7002", "--logfile", "/root/lynis.log", "--report-file", "/root/lynis.dat").Timeout(3 * time.Minute).Must()
			return h.ReadFile("/root/lynis.dat")
		}
		said := audit()
		h.Match("the plugin", said, `(?m)^plugin_enabled_phase1\[\]=polyinst\|`)
		h.Match("a good machine", said, `(?m)^polyinst_isolated=1\npolyinst_private\[\]=/tmp\npolyinst_private\[\]=/var/tmp\nsuggestion\[\]=CUST-7002\|Give each person a /dev/shm of their own\|`)
		if strings.Contains(said, "warning[]=CUST") {
			t.Errorf("a warning:\n%s", said)
		}
		h.MustRun("chmod", "0755", "/var/lib/polyinst/tmp")
		h.Match("a broken one", audit(), `(?m)^polyinst_isolated=0\nwarning\[\]=CUST-7001\|Private directories of sessions: \S+ polydir "/tmp": instance parent "/var/lib/polyinst/tmp": mode 0755, want 0000`)
	}, host.Within(7*time.Minute))
}
