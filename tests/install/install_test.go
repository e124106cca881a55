package install

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// `make install` puts installedFiles where programs look for it, `make uninstall` takes
// it away again, and leaves what is the administrator's.
func TestMakeInstall(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Need("make", "bash", "zsh", "fish")
		h.MustRun("rm", "-rf", "/etc/security/polyinst", "/usr/local/sbin/polyinst")
		before := h.Sh(installedFiles)
		h.Command("make", "install").Dir(h.Source("")).Must()
		h.AddUser("alice")
		host.Equal(h, "the command", h.MustRun("polyinst", "--version"), h.MustRun(h.Source("build/polyinst"), "--version"))
		h.MustRun("polyinst", "check")
		for _, page := range []string{"polyinst.8", "pam_polyinst.8", "polyinst-namespace.conf.5"} {
			name, section, _ := strings.Cut(page, ".")
			if strings.HasSuffix(page, ".5") {
				name, section = "polyinst-namespace.conf", "5"
			}
			h.MustRun("man", "-w", section, name)
		}

		// what the messages and docs/security-modules.md name is there without a checkout
		for _, file := range []string{"selinux/polyinst.te", "selinux/polyinst.if", "selinux/polyinst.fc", "apparmor/polyinst"} {
			host.Equal(h, file, h.ReadFile("/usr/share/pam_polyinst/"+file), h.ReadFile(h.Source("dist/"+file)))
		}

		// each shell finds its completion by itself
		const words = "COMP_WORDS=(polyinst expl); COMP_CWORD=1; COMP_LINE='polyinst expl'; COMP_POINT=13"
		h.Match("bash", h.MustRun("bash", "-c", ". /usr/share/bash-completion/bash_completion; _completion_loader polyinst; "+words+
			`; $(complete -p polyinst | sed 's/.*-F \([^ ]*\).*/\1/'); printf '%s\n' "${COMPREPLY[@]}"`), `(?m)^explain\b`)
		h.Match("fish", h.MustRun("fish", "-c", `complete -C "polyinst expl"`), `(?m)^explain\b`)
		h.Match("zsh", h.MustRun("zsh", "-f", "-c", "autoload -Uz compinit; compinit -u -D; print $_comps[polyinst]"), `^_polyinst$`)

		h.Config(kit.OwnTmp)
		h.Prepare(kit.TmpParent)
		h.PAM("su", host.Stack(kit.Session)...)
		kit.InInstance(h, "installed", "alice", h.Su("alice", kit.WhichTmp).Out())
		r := h.Command("make", "uninstall").Dir(h.Source("")).Run()
		h.Match("while a stack names the module", r.Stdout+r.Stderr, `/etc/pam\.d/su\n`)
		host.Equal(h, "the command is there still", h.Exists("/usr/sbin/polyinst"), true)
		h.PAM("su", host.Stack()...)
		h.Command("make", "uninstall").Dir(h.Source("")).Must()
		after := h.Sh(installedFiles)
		host.Equal(h, "left", strings.Join(minus(strings.Split(after, "\n"), strings.Split(before, "\n")), "\n"), "/etc/security/polyinst/namespace.conf")
		host.Equal(h, "lost", strings.Join(minus(strings.Split(before, "\n"), strings.Split(after, "\n")), "\n"), "")
		host.Equal(h, "the configuration", h.ReadFile(host.ConfigFile), kit.OwnTmp)
	})
}

// installedFiles lists the files below the directories that an installation writes to.
const installedFiles = `find /etc/security /lib/*/security /usr/lib/systemd /usr/lib/tmpfiles.d /usr/sbin /usr/local \
	/usr/share/man /usr/share/doc /usr/share/bash-completion /usr/share/fish /usr/share/zsh /usr/share/polyinst /usr/share/pam_polyinst ! -type d 2>/dev/null | LC_ALL=C sort`

// minus are the lines of a that are not in b.
func minus(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { _, in := slices.BinarySearch(b, s); return in })
}

// The commands of docs/install.md, typed as they stand there: what they enable is
// enabled, and the last one finds no error.
func TestInstallAsWritten(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Need("make", "sudo", "systemctl")
		h.MustRun("rm", "-rf", "/etc/security/polyinst", "/usr/local/sbin/polyinst", host.Parents)
		h.WriteFile("/usr/local/bin/an-editor", "#!/bin/sh\nprintf '%s' '"+kit.OwnTmp+"' >\"$1\"\n", 0o755)
		h.MustRun("ln", "-sf", "/usr/local/bin/an-editor", "/usr/bin/editor")
		h.WriteFile("/etc/sudoers.d/editor", "Defaults env_keep += \"EDITOR\"\n", 0o440)
		block := regexp.MustCompile(`(?m)^    make build\n(?:    .*\n)+`).FindString(h.ReadFile(h.Source("docs/install.md")))
		n := 0
		for _, m := range regexp.MustCompile(`(?m)^    (.*?)(?: {2,}#.*)?$`).FindAllStringSubmatch(block, -1) {
			c := m[1]
			if c == "make build" {
				continue // it was, outside
			}
			n++
			c = strings.Replace(c, "enable --now", "enable", 1) // no systemd runs here
			h.Command("sh", "-c", c).Dir(h.Source("")).Env("EDITOR=an-editor").Stdin("p\n").Must()
		}
		if n < 4 {
			t.Errorf("only %d commands: %s", n, block)
		}
		host.Equal(h, "the configuration", strings.TrimSpace(h.ReadFile(host.ConfigFile)), strings.TrimSpace(kit.OwnTmp))
		for _, link := range []string{"multi-user.target.wants/polyinst-prepare.service", "timers.target.wants/polyinst-gc.timer", "sockets.target.wants/polyinst.socket"} {
			host.Equal(h, link, h.Exists("/etc/systemd/system/"+link), true)
		}
	})
}

// systemd finds nothing to say against our units, nor against them with the drop-in that
// docs/housekeeping.md has for parents on a filesystem that is mounted late.
func TestUnitsAreInOrder(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Need("make", "systemd-analyze", "systemd-escape")
		h.Command("make", "install").Dir(h.Source("")).Must()
		verify := func(what string) {
			t.Helper()
			r := h.Cmd("sh", "-c", "systemd-analyze verify --man=no --recursive-errors=no polyinst.socket polyinst.service polyinst-prepare.service polyinst-gc.service polyinst-gc.timer")
			host.Equal(h, what, r.Stderr+r.Stdout, "")
			host.Equal(h, what+": exit status", r.Code, 0)
		}
		verify("as installed")
		dropin := regexp.MustCompile(`(?m)^      # systemctl edit polyinst-prepare\.service\n((?:^      .+\n)+)`).FindStringSubmatch(h.ReadFile(h.Source("docs/housekeeping.md")) + "\n")
		if dropin == nil {
			t.Fatal("docs/housekeeping.md has no drop-in for polyinst-prepare.service")
		}
		unit := h.MustRun("systemd-escape", "-p", "--suffix=mount", "/srv/polyinst")
		h.Match("the drop-in", dropin[1], `(?m)^ *After=`+regexp.QuoteMeta(unit)+`$`)
		h.WriteFile("/etc/systemd/system/polyinst-prepare.service.d/late.conf", dropin[1])
		h.WriteFile("/etc/systemd/system/"+unit, "[Mount]\nWhat=server:/export\nWhere=/srv/polyinst\nType=nfs\n")
		verify("with the drop-in")
		h.WriteFile("/etc/systemd/system/polyinst-prepare.service.d/late.conf", "[Unit]\nAftre=x\n")
		r := h.Cmd("systemd-analyze", "verify", "--man=no", "polyinst-prepare.service")
		h.Match("what it says of a mistake", r.Stderr, "Unknown key.* 'Aftre'")
	})
}

// systemd denies openat2(2) to a service with RestrictSUIDSGID=, because a filter of
// system calls cannot see its mode, and every path is walked by that call: gc's unit did
// nothing but fail. vm:services starts the units under a real systemd.
func TestUnitsPermitOpenat2(t *testing.T) {
	denies := regexp.MustCompile(`(?m)^(RestrictSUIDSGID|SystemCallFilter|DynamicUser)=`)
	units := kit.SourceFiles(t, "dist/*.service")
	for _, unit := range units {
		if key := denies.FindString(kit.ReadDoc(t, unit)); key != "" {
			t.Errorf("%s: %s", unit, key)
		}
	}
	if len(units) < 4 {
		t.Errorf("there are more units than %q", units)
	}
}
