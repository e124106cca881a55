//go:build packages

package tests

import (
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// The packages, by `make test-packages`, which builds them first.

const debName = "libpam-polyinst"

// built is a package that was built for this machine.
func built(h *host.Host, pattern string) string {
	h.T.Helper()
	found, err := filepath.Glob(h.Source("build/packages/" + pattern))
	if err != nil || len(found) != 1 {
		h.T.Fatalf("build/packages/%s: %d files: run `make packages` first", pattern, len(found))
	}
	return found[0]
}

func deb(h *host.Host) string { return built(h, debName+"_*_"+runtime.GOARCH+".deb") }

func rpm(h *host.Host) string {
	return built(h, "pam_polyinst-*."+map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]+".rpm")
}

// pkg runs dpkg, apt-get or pam-auth-update, which must not ask anybody.
func pkg(h *host.Host, args ...string) host.Result {
	h.T.Helper()
	return h.Command(args...).Env("DEBIAN_FRONTEND=noninteractive").Run()
}

func mustPkg(h *host.Host, args ...string) string {
	h.T.Helper()
	r := pkg(h, args...)
	if r.Code != 0 {
		h.T.Fatalf("%s: exit status %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout + r.Stderr
}

// installed installs the deb, writes a configuration and enables the profile.
func installed(h *host.Host) {
	h.T.Helper()
	h.MustRun("rm", "-rf", "/etc/security/polyinst", host.Parents, "/usr/share/polyinst")
	mustPkg(h, "dpkg", "-i", deb(h))
	h.Config(ownTmp)
	h.MustRun("polyinst", "prepare")
	mustPkg(h, "pam-auth-update", "--package", "--enable", "polyinst")
	h.AddUser("alice")
}

// files are all files below the directories that a package may write to, but
// those that change by themselves.
func files(h *host.Host) []string {
	h.T.Helper()
	return strings.Split(h.Sh(`find /etc /usr /opt /srv /var \( -path /var/cache -o -path /var/log -o -path /var/tmp \
		-o -path '/var/lib/dpkg/*-old' -o -path /var/lib/apt \) -prune -o -print | LC_ALL=C sort`), "\n")
}

// minus are the lines of a that are not in b.
func minus(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { _, in := slices.BinarySearch(b, s); return in })
}

// Installed, used, upgraded, disabled, removed: nothing is left but what users own.
func TestPackageLife(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		h.MustRun("rm", "-rf", "/etc/security/polyinst", host.Parents, "/usr/share/polyinst")
		h.AddUser("alice")
		before := files(h)
		stacks := h.Sh("cat /etc/pam.d/*")

		mustPkg(h, "dpkg", "-i", deb(h))
		host.Equal(h, "PAM after installation", h.Sh("cat /etc/pam.d/*"), stacks)
		h.MustRun("polyinst", "check")
		inPublic(h, "installed only", h.MustRun("su", "alice", "-c", place))
		for _, link := range []string{"multi-user.target.wants/polyinst-prepare.service", "timers.target.wants/polyinst-gc.timer"} {
			if !h.Exists("/etc/systemd/system/" + link) {
				t.Errorf("%s is not there", link)
			}
		}

		h.Config(ownTmp)
		h.MustRun("polyinst", "prepare")
		mustPkg(h, "pam-auth-update", "--package", "--enable", "polyinst")
		for _, stack := range []string{"common-session", "common-session-noninteractive"} {
			h.Match(stack, h.ReadFile("/etc/pam.d/"+stack), `(?m)^session\s+required\s+pam_polyinst\.so\s*\n# end of pam-auth-update config`)
		}
		inInstance(h, "enabled", "alice", h.MustRun("su", "alice", "-c", "touch /tmp/mine; "+place))
		if h.Exists("/tmp/mine") {
			t.Error("alice's file is in the public /tmp")
		}
		loggedIn(h)
		h.MustRun("polyinst", "gc")

		// An upgrade while alice is logged in.
		s := h.OnPty("su", "alice", "-c", "echo ready; read line; "+place+"; echo done")
		s.Expect("ready")
		mustPkg(h, "dpkg", "-i", deb(h))
		host.Equal(h, "the configuration", h.ReadFile(host.ConfigFile), ownTmp)
		h.Match("the profile", h.ReadFile("/etc/pam.d/common-session"), `pam_polyinst`)
		s.Send("\n")
		s.Expect(h.Place(instance("alice")))
		s.Expect("done")
		host.Equal(h, "its exit status", s.Wait().Code, 0)

		mustPkg(h, "pam-auth-update", "--package", "--disable", "polyinst")
		said := mustPkg(h, "apt-get", "-y", "-o", "Dpkg::Use-Pty=0", "remove", debName)
		h.Match("what removal says", said, `(?m)^  /var/lib/polyinst/tmp/$`)
		host.Equal(h, "PAM after removal", h.Sh("cat /etc/pam.d/*"), stacks)
		inPublic(h, "removed", h.MustRun("su", "alice", "-c", place))
		host.Equal(h, "the configuration", h.ReadFile(host.ConfigFile), ownTmp)
		if h.Exists(h.Module()) || h.Exists("/usr/sbin/polyinst") {
			t.Error("the module or the command is still there")
		}

		said = mustPkg(h, "dpkg", "-P", debName)
		h.Match("what purge says", said, `(?m)^  /var/lib/polyinst$`)
		after := files(h)
		left := slices.DeleteFunc(minus(after, before), func(s string) bool { return strings.HasPrefix(s, host.Parents) })
		host.Equal(h, "left", strings.Join(left, "\n"), "")
		host.Equal(h, "lost", strings.Join(minus(before, after), "\n"), "")
		host.Equal(h, "alice's file", h.Exists(instance("alice")+"/mine"), true)
	})
}

// loggedIn logs alice in by login, and looks at her session by the command.
func loggedIn(h *host.Host) {
	h.T.Helper()
	p := h.OnPty("login")
	p.Expect("login: ")
	p.Send("alice\n")
	p.Expect("Password: ")
	p.Send(host.Password + "\n")
	p.Expect(`\$ `)
	p.Send("echo at=$(" + place + ")\n")
	inInstance(h, "login", "alice", p.Expect(`at=(\d+:\d+)`)[1])
	h.Match("list", h.MustRun("polyinst", "list"), `(?m)^alice +login +\S+ +session +\d+ +\d+ +/tmp +`+instance("alice")+`$`)
	h.Match("explain", h.MustRun("polyinst", "explain", "alice", "--service", "login"), `(?m)^cover "/tmp" with existing instance "`+instance("alice")+`"`)
	if out := h.MustRun("polyinst", "explain", "alice", "--service", "login"); strings.Contains(out, "NOT ACTIVE") {
		h.T.Errorf("explain does not find the profile's line:\n%s", out)
	}
	p.Send("exit\n")
	p.Wait()
	host.Equal(h, "list after it", h.Cmd("polyinst", "list").Stderr, "polyinst: no process is in a private namespace\n")
}

// Removal takes its own line out of the stacks first.
func TestPackageRemovalOfAnEnabledProfile(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		installed(h)
		mustPkg(h, "dpkg", "-r", debName)
		host.Equal(h, "stacks that name it", h.Sh("grep -ls pam_polyinst /etc/pam.d/* || :"), "")
		inPublic(h, "removed", h.MustRun("su", "alice", "-c", place))
	})
}

// A line that the administrator wrote keeps the package.
func TestPackageRemovalIsRefused(t *testing.T) {
	for name, file := range map[string]string{"in a service's file": "/etc/pam.d/su", "in common-session": "/etc/pam.d/common-session"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host.Run(t, func(h *host.Host) {
				installed(h)
				h.Sh("echo 'session required pam_polyinst.so debug' >>" + file)
				h.Sh("cp /etc/pam.d/su /etc/pam.d/su.dpkg-old") // no stack: nobody is held up by it
				for _, remove := range [][]string{{"dpkg", "-r", debName}, {"apt-get", "-y", "-o", "Dpkg::Use-Pty=0", "purge", debName}} {
					r := pkg(h, remove...)
					if r.Code == 0 {
						t.Fatalf("%v: it was removed", remove)
					}
					h.Match("the reason", r.Stdout+r.Stderr, `(?s)is not removed.*nobody could log in through them:\n(  .*\n)*  `+file+`\n`)
					if strings.Contains(r.Stdout+r.Stderr, "dpkg-old") {
						t.Error("a copy is taken for a stack")
					}
				}
				host.Equal(h, "state", h.MustRun("dpkg-query", "-W", "-f", "${db:Status-Abbrev}", debName)[1:2], "i")
				h.Match("the profile stays", h.ReadFile("/etc/pam.d/common-session-noninteractive"), `pam_polyinst`)
				inInstance(h, "still", "alice", h.MustRun("su", "alice", "-c", place))

				h.Sh("sed -i '/pam_polyinst.so debug/d' " + file)
				mustPkg(h, "dpkg", "-r", debName)
			})
		})
	}
}

// An administrator who disabled a unit finds it disabled after an upgrade.
func TestPackageKeepsWhatWasDisabled(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		h.Need("systemctl")
		installed(h)
		h.MustRun("systemctl", "disable", "polyinst-gc.timer")
		mustPkg(h, "dpkg", "-i", deb(h))
		host.Equal(h, "the timer", h.Exists("/etc/systemd/system/timers.target.wants/polyinst-gc.timer"), false)
		host.Equal(h, "the service", h.Exists("/etc/systemd/system/multi-user.target.wants/polyinst-prepare.service"), true)
	})
}

// The packages hold what `make install` installs, at the same places, and the rpm
// what the deb holds.
func TestPackageContents(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		h.Need("rpm", "rpm2cpio", "cpio")
		h.MustRun("mkdir", "-p", "/srv/deb", "/srv/rpm")
		h.MustRun("dpkg-deb", "-x", deb(h), "/srv/deb")
		h.MustRun("sh", "-c", "cd /srv/rpm && rpm2cpio "+rpm(h)+" | cpio -idm --quiet --no-absolute-filenames")
		list := func(dir string) []string {
			return strings.Split(h.MustRun("sh", "-c", "cd "+dir+" && find . ! -type d | LC_ALL=C sort"), "\n")
		}
		stage := h.Source("build/packages/stage/")
		for _, kind := range []string{"deb", "rpm"} {
			want, got := list(stage+"/"+kind+"-"+runtime.GOARCH+"/tree"), list("/srv/"+kind)
			host.Equal(h, kind+": staged, not packed", strings.Join(minus(want, got), "\n"), "")
			host.Equal(h, kind+": packed, not staged", strings.Join(minus(got, want), "\n"), "")
		}
		same := func(kind string) []string { // by the name of the deb's place
			var names []string
			for _, n := range list("/srv/" + kind) {
				n = strings.NewReplacer("/lib64/security/", "/PAM/", filepath.Dir(h.Module())[len("/usr"):]+"/", "/PAM/",
					"/doc/pam_polyinst/", "/doc/PACKAGE/", "/doc/"+debName+"/", "/doc/PACKAGE/",
					"/licenses/pam_polyinst/LICENSE", "/doc/PACKAGE/copyright",
					"/vendor-completions/", "/site-functions/").Replace(n)
				names = append(names, n)
			}
			slices.Sort(names)
			return names
		}
		host.Equal(h, "in the rpm only", strings.Join(minus(same("rpm"), same("deb")), "\n"), "")
		host.Equal(h, "in the deb only", strings.Join(minus(same("deb"), same("rpm")), "\n"),
			"./usr/share/doc/PACKAGE/README.Debian\n./usr/share/pam-configs/polyinst")

		h.Match("the rpm's configuration", h.MustRun("rpm", "-qp", "--qf", "[%{FILENAMES} %{FILEFLAGS:fflags}\n]", rpm(h)),
			`(?m)^/etc/security/polyinst/namespace\.conf cn$`)
		h.Match("the rpm's needs", h.MustRun("rpm", "-qp", "--requires", rpm(h)), `(?m)^glibc >= 2\.\d+\npam$`)
		h.Match("the deb's needs", h.MustRun("dpkg-deb", "-f", deb(h), "Depends"), `^libc6 \(>= 2\.\d+\), libpam0g, libpam-runtime`)
		host.Equal(h, "the deb's configuration", strings.TrimSpace(h.MustRun("dpkg-deb", "-I", deb(h), "conffiles")), host.ConfigFile)
		for _, u := range []string{"polyinst-gc.service", "polyinst-prepare.service"} {
			h.Match(u, h.ReadFile("/srv/rpm/usr/lib/systemd/system/"+u), `(?m)^ExecStart=/usr/sbin/polyinst `)
		}
		h.Match("copyright", h.ReadFile("/srv/deb/usr/share/doc/"+debName+"/copyright"), `(?s)MIT License.*---- github\.com/BurntSushi/toml@`)
	})
}

// The rpm's own scripts, with the arguments that rpm gives them: removal is
// refused while a stack names the module, an upgrade never is.
func TestPackageRPMScripts(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		h.Need("rpm")
		script := func(tag string) []string {
			file := "/root/" + tag
			h.WriteFile(file, h.MustRun("rpm", "-qp", "--qf", "%{"+tag+"}", rpm(h)))
			return []string{"sh", file}
		}
		h.MustRun(append(script("POSTIN"), "1")...)
		h.PAM("su", host.Stack(session)...)
		r := h.Cmd(append(script("PREUN"), "0")...)
		host.Equal(h, "removal", r.Code, 1)
		h.Match("the reason", r.Stderr, `(?s)is not removed.*\n  /etc/pam\.d/su\n`)
		h.MustRun(append(script("PREUN"), "1")...) // an upgrade
		h.PAM("su", host.Stack("# "+session)...)
		h.MustRun(append(script("PREUN"), "0")...)
		h.MustRun(append(script("POSTUN"), "0")...)
	})
}
