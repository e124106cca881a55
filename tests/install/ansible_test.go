package install

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// play runs the role with the variables, on this host itself, and returns what
// Ansible says, with its recap: "changed=1 failed=0".
func play(h *host.Host, vars string, args ...string) (said, recap string) {
	h.T.Helper()
	text := "- hosts: localhost\n  connection: local\n  gather_facts: false\n  roles:\n    - role: polyinst\n  vars:\n"
	for line := range strings.Lines(strings.TrimSpace(vars)) {
		text += "    " + line
	}
	h.WriteFile("/root/play/site.yml", text+"\n")
	r := h.Command(append([]string{"ansible-playbook", "-i", "localhost,", "/root/play/site.yml"}, args...)...).
		Env("ANSIBLE_ROLES_PATH=/.host/src/dist/ansible/roles", "LC_ALL=C.UTF-8", "ANSIBLE_NOCOLOR=1", "ANSIBLE_PIPELINING=1", "ANSIBLE_LOCALHOST_WARNING=false").Timeout(5 * time.Minute).Run()
	m := regexp.MustCompile(`(?m)^localhost .*\b(changed=\d+)\b.*\b(failed=\d+)\b`).FindStringSubmatch(r.Stdout)
	if m == nil {
		h.T.Fatalf("ansible-playbook: exit status %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout + r.Stderr, m[1] + " " + m[2]
}

const (
	roleVars = `
polyinst_services: [su, sshd]
polyinst_arguments: [rescue=root]
polyinst_require: [/tmp]
polyinst_config: |
  [[polydir]]
  path            = "/tmp"
  instance_prefix = "/var/lib/polyinst/tmp/"
  method          = "user"
  except          = ["root"]
`
	// what the role may write to, without users' instances, which a rehearsal makes; and
	// /etc as a whole by its names
	roleFiles = `find /etc/pam.d /etc/security -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum; find /etc/pam.d /etc/security $(ls -d /var/lib/polyinst/*/ || :) -maxdepth 3 ! -path '/var/lib/polyinst/*/*' -printf '%p %u %g %m\n' | LC_ALL=C sort; find /etc | sort | sha256sum; ls -A /run | grep -vE '^polyinst(\.enable)?$'`
)

// unchanged fails the story where files are not what they were, and says which.
func unchanged(h *host.Host, what, now, before string) {
	h.T.Helper()
	lines := func(s string) []string { return slices.Sorted(strings.SplitSeq(s, "\n")) }
	host.Equal(h, what+": new", strings.Join(minus(lines(now), lines(before)), "\n"), "")
	host.Equal(h, what+": gone", strings.Join(minus(lines(before), lines(now)), "\n"), "")
}

// The role sets a machine up, does nothing the second time, and undoes it all.
func TestAnsible(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		h.Need("ansible-playbook")
		h.Install()
		h.MustRun("rm", "-rf", "/etc/security/polyinst", host.Parents, "/usr/share/polyinst")
		h.Sh("sed -i -E '/^(cloudsdk|slurm):/d' /etc/passwd; mkdir -p /etc/security/polyinst " + host.Parents)
		h.AddUser("alice")
		h.PAM("su", host.Stack("session optional pam_permit.so")...)
		h.PAM("sshd", host.Stack("session required pam_permit.so")...)
		before := h.Sh(roleFiles)

		said, recap := play(h, roleVars, "--check")
		host.Equal(h, "check mode", recap != "changed=0 failed=0" && strings.HasSuffix(recap, " failed=0"), true)
		unchanged(h, "after it", h.Sh(roleFiles), before)
		h.Match("what it would change", said, `(?m)^TASK \[polyinst : The configuration\] \**\nchanged: \[localhost\]$`)

		_, recap = play(h, roleVars)
		host.Equal(h, "the first run", strings.HasSuffix(recap, " failed=0"), true)
		kit.InInstance(h, "isolated", "alice", h.Su("alice", kit.WhichTmp).Out())
		h.Match("the line", h.ReadFile("/etc/pam.d/su"), `\nsession required pam_polyinst\.so rescue=root\n$`)
		after := h.Sh(roleFiles)
		if said, recap = play(h, roleVars); recap != "changed=0 failed=0" {
			t.Errorf("once more: %s\n%s", recap, said)
		}
		unchanged(h, "after it", h.Sh(roleFiles), after)

		// another configuration, and other arguments, in place of the first ones
		_, recap = play(h, strings.NewReplacer("[rescue=root]", "[debug]", "polyinst/tmp", "polyinst/new").Replace(roleVars))
		host.Equal(h, "a change", recap, "changed=3 failed=0") // parents, configuration, lines
		h.Match("its arguments", h.ReadFile("/etc/pam.d/su"), `\nsession required pam_polyinst\.so debug\n$`)
		host.Equal(h, "lines", h.Sh("grep -c pam_polyinst /etc/pam.d/su /etc/pam.d/sshd"), "/etc/pam.d/su:1\n/etc/pam.d/sshd:1")
		h.Su("alice", "touch /tmp/mine")
		host.Equal(h, "its instance", h.Exists("/var/lib/polyinst/new/alice/mine"), true)

		const absent = "polyinst_state: absent"
		_, recap = play(h, absent)
		host.Equal(h, "the undo", recap, "changed=2 failed=0")
		h.Sh("rm -r /var/lib/polyinst/*") // the users' files, which it leaves
		unchanged(h, "after it", h.Sh(roleFiles), before)
		kit.InPublic(h, "undone", h.Su("alice", kit.WhichTmp).Out())
		_, recap = play(h, absent)
		host.Equal(h, "the undo once more", recap, "changed=0 failed=0")
	}, host.Within(8*time.Minute))
}

// What would break a machine changes nothing on it.
func TestAnsibleRefuses(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		h.Need("ansible-playbook")
		h.Install()
		h.MustRun("rm", "-rf", "/etc/security/polyinst", host.Parents)
		h.Sh("sed -i -E '/^(cloudsdk|slurm):/d' /etc/passwd; mkdir -p " + host.Parents)
		h.AddUser("alice")
		h.PAM("su", host.Stack("session required pam_permit.so")...)
		h.PAM("sshd", host.Stack("session required pam_permit.so")...)
		_, text, _ := strings.Cut(roleVars, "|\n")
		h.Config(regexp.MustCompile(`(?m)^  `).ReplaceAllString(text, ""))
		h.Prepare(kit.TmpParent)
		before := h.Sh(roleFiles)
		for what, c := range map[string]struct{ vars, args, want string }{
			"a mistyped key, in check mode": {strings.Replace(roleVars, "method ", "methd ", 1), "--check", `unknown key \\"methd\\", did you mean \\"method\\"`},
			"a warning":                     {strings.Replace(roleVars, `["root"]`, `["root", "zaphod"]`, 1), "", `failed to validate.*there is no account \\"zaphod\\"`},
			"a required directory":          {strings.Replace(roleVars, "[/tmp]", "[/var/tmp]", 1), "", `"the PAM stacks are as they were: alice by sshd, su sees the public /var/tmp: .*"`},
			"a service that is not there":   {strings.Replace(roleVars, "sshd]", "nothing]", 1), "", `the PAM stacks are as they were: file not found: /etc/pam.d/nothing`},
		} {
			said, recap := play(h, c.vars, strings.Fields(c.args)...)
			host.Equal(h, what+": failed", strings.HasSuffix(recap, " failed=1"), true)
			h.Match(what, said, c.want)
			unchanged(h, what, h.Sh(roleFiles), before)
		}
		// pam_namespace in the stack of one: no stack gets the line
		h.PAM("sshd", host.Stack("session required pam_namespace.so")...)
		before = h.Sh(roleFiles)
		said, recap := play(h, roleVars)
		host.Equal(h, "pam_namespace beside it", strings.HasSuffix(recap, " failed=1"), true)
		h.Match("why", said, `pam_namespace\.so stands at /etc/pam\.d/sshd:5:1, and does not go into one stack with pam_polyinst\.so`)
		unchanged(h, "after it", h.Sh(roleFiles), before)
		kit.InPublic(h, "a session", h.Su("alice", kit.WhichTmp).Out())
	}, host.Within(8*time.Minute))
}

// validate= of Ansible, as docs/fleet.md has it, for files of one's own.
func TestAnsibleValidate(t *testing.T) {
	t.Parallel()
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.Need("ansible")
		h.Prepare("/var/lib/polyinst/labs")
		const dropin = "/etc/security/polyinst/namespace.d/10-labs.conf"
		h.MustRun("mkdir", "-p", "/etc/security/polyinst/namespace.d")
		put := func(text string) host.Result {
			return h.Command("ansible", "-i", "localhost,", "-c", "local", "localhost", "-m", "ansible.builtin.copy", "-a",
				fmt.Sprintf(`{"content": %q, "dest": %q, "validate": "polyinst check --strict --json --as %s %%s"}`, text, dropin, dropin)).
				Env("LC_ALL=C.UTF-8", "ANSIBLE_NOCOLOR=1").Timeout(2 * time.Minute).Run()
		}
		labs := strings.NewReplacer(`"/tmp"`, `"/srv"`, "polyinst/tmp", "polyinst/labs").Replace(kit.OwnTmp)
		r := put(labs + "colour = 1\n")
		host.Equal(h, "a bad one: exit status", r.Code, 2)
		h.Match("a bad one", r.Stdout+r.Stderr, `(?s)failed to validate.*unknown key`)
		host.Equal(h, "is it there?", h.Exists(dropin), false)
		h.Match("a good one", put(labs).Stdout, `CHANGED`)
		host.Equal(h, "what is there", h.ReadFile(dropin), labs)
	})
}
