//go:build packages

package install

import (
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
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
	h.Config(kit.OwnTmp)
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

// Installed, used, upgraded, disabled, removed: nothing is left but what users own.
func TestPackageLife(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		h.MustRun("rm", "-rf", "/etc/security/polyinst", host.Parents, "/usr/share/polyinst")
		// of other tests' packages: whichever installation runs pam-auth-update(8)
		// next would take them into the stacks
		h.MustRun("rm", "-f", "/usr/share/pam-configs/krb5", "/usr/share/pam-configs/libpam-mount", "/usr/share/pam-configs/tmpdir")
		mustPkg(h, "pam-auth-update", "--package")
		h.AddUser("alice")
		before := files(h)
		stacks := h.Sh("cat /etc/pam.d/*")

		mustPkg(h, "dpkg", "-i", deb(h))
		host.Equal(h, "PAM after installation", h.Sh("cat /etc/pam.d/*"), stacks)
		h.MustRun("polyinst", "check")
		kit.InPublic(h, "installed only", h.MustRun("su", "alice", "-c", kit.WhichTmp))
		for _, link := range []string{"multi-user.target.wants/polyinst-prepare.service", "timers.target.wants/polyinst-gc.timer", "sockets.target.wants/polyinst.socket"} {
			if !h.Exists("/etc/systemd/system/" + link) {
				t.Errorf("%s is not there", link)
			}
		}

		h.Config(kit.OwnTmp)
		h.MustRun("polyinst", "prepare")
		mustPkg(h, "pam-auth-update", "--package", "--enable", "polyinst")
		for _, stack := range []string{"common-session", "common-session-noninteractive"} {
			h.Match(stack, h.ReadFile("/etc/pam.d/"+stack), `(?m)^session\s+required\s+pam_polyinst\.so rescue=root,@sudo\s*\n(session\s+optional\s+pam_systemd\.so\s*\n)?# end of pam-auth-update config`)
		}
		kit.InInstance(h, "enabled", "alice", h.MustRun("su", "alice", "-c", "touch /tmp/mine; "+kit.WhichTmp))
		if h.Exists("/tmp/mine") {
			t.Error("alice's file is in the public /tmp")
		}
		loggedIn(h)
		h.MustRun("polyinst", "gc")

		// An upgrade while alice is logged in.
		s := h.OnPty("su", "alice", "-c", "echo ready; read line; "+kit.WhichTmp+"; echo done")
		s.Expect("ready")
		mustPkg(h, "dpkg", "-i", deb(h))
		host.Equal(h, "the configuration", h.ReadFile(host.ConfigFile), kit.OwnTmp)
		h.Match("the profile", h.ReadFile("/etc/pam.d/common-session"), `pam_polyinst`)
		s.Send("\n")
		s.Expect(h.FileID(kit.Instance("alice")))
		s.Expect("done")
		host.Equal(h, "its exit status", s.Wait().Code, 0)

		// a configuration that was none to the version before, and refuses now
		h.Config("# nothing\n")
		h.Match("what an upgrade says", mustPkg(h, "dpkg", "-i", deb(h)), "sessions are refused, but for those of the rescue list: polyinst check tells why")
		h.Config(kit.OwnTmp)

		mustPkg(h, "pam-auth-update", "--package", "--disable", "polyinst")
		said := mustPkg(h, "apt-get", "-y", "-o", "Dpkg::Use-Pty=0", "remove", debName)
		h.Match("what removal says", said, `(?m)^  /var/lib/polyinst/tmp/$`)
		host.Equal(h, "PAM after removal", h.Sh("cat /etc/pam.d/*"), stacks)
		kit.InPublic(h, "removed", h.MustRun("su", "alice", "-c", kit.WhichTmp))
		host.Equal(h, "the configuration", h.ReadFile(host.ConfigFile), kit.OwnTmp)
		if h.Exists(h.Module()) || h.Exists("/usr/sbin/polyinst") {
			t.Error("the module or the command is still there")
		}

		said = mustPkg(h, "dpkg", "-P", debName)
		h.Match("what purge says", said, `(?m)^  /var/lib/polyinst$`)
		after := files(h)
		left := slices.DeleteFunc(minus(after, before), func(s string) bool { return strings.HasPrefix(s, host.Parents) })
		host.Equal(h, "left", strings.Join(left, "\n"), "")
		host.Equal(h, "lost", strings.Join(minus(before, after), "\n"), "")
		host.Equal(h, "alice's file", h.Exists(kit.Instance("alice")+"/mine"), true)
	})
}

// loggedIn logs alice in by login, and looks at her session by the command.
func loggedIn(h *host.Host) {
	h.T.Helper()
	p := kit.LogIn(h, "alice")
	h.Match("list", h.MustRun("polyinst", "list"), `(?m)^alice +login +\S+ +session +\d+ +\d+ +\S+ +/tmp +`+kit.Instance("alice")+`$`)
	h.Match("explain", h.MustRun("polyinst", "explain", "alice", "--service", "login"), `(?m)^cover "/tmp" with existing instance "`+kit.Instance("alice")+`"`)
	if out := h.MustRun("polyinst", "explain", "alice", "--service", "login"); strings.Contains(out, "NOT ACTIVE") {
		h.T.Errorf("explain does not find the profile's line:\n%s", out)
	}
	p.Send("exit\n")
	p.Wait()
	host.Equal(h, "list after it", h.Cmd("polyinst", "list").Stderr, "polyinst: no process is in a private namespace\n")
}

// From the deb to a login with a private /tmp in three commands; and back, with
// nothing left.
func TestPackageEnabled(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		h.MustRun("rm", "-rf", "/etc/security/polyinst", host.Parents, "/usr/share/polyinst")
		h.AddUser("alice")
		s := h.Sshd()
		before := files(h)
		mustPkg(h, "dpkg", "-i", deb(h))
		stacks := kit.PAMState(h)
		h.MustRun("polyinst", "enable", "--tmp", "sshd", "su")
		seen := s.SSH("alice", kit.WhichTmp)
		h.MustRun("polyinst", "confirm")
		kit.InInstance(h, "by ssh", "alice", seen.Out())
		h.Match("removal", pkg(h, "dpkg", "-r", debName).Stderr, "Remove their pam_polyinst.so lines first: polyinst disable SERVICE")
		h.MustRun("polyinst", "disable", "sshd", "su")
		host.Equal(h, "the stacks", kit.PAMState(h), stacks)
		mustPkg(h, "dpkg", "-P", debName)
		left := slices.DeleteFunc(minus(files(h), before), func(s string) bool { return strings.HasPrefix(s, host.Parents) })
		host.Equal(h, "left", strings.Join(left, "\n"), "")
	})
}

// Removal takes its own line out of the stacks first.
func TestPackageRemovalOfAnEnabledProfile(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		installed(h)
		mustPkg(h, "dpkg", "-r", debName)
		host.Equal(h, "stacks that name it", h.Sh("grep -ls pam_polyinst /etc/pam.d/* || :"), "")
		kit.InPublic(h, "removed", h.MustRun("su", "alice", "-c", kit.WhichTmp))
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
				kit.InInstance(h, "still", "alice", h.MustRun("su", "alice", "-c", kit.WhichTmp))

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
			"./usr/share/doc/PACKAGE/README.Debian\n./usr/share/pam-configs/polyinst\n./usr/share/pam-configs/polyinst-close")

		h.Match("the rpm's configuration", h.MustRun("rpm", "-qp", "--qf", "[%{FILENAMES} %{FILEFLAGS:fflags}\n]", rpm(h)),
			`(?m)^/etc/security/polyinst/namespace\.conf cn$`)
		h.Match("the rpm's needs", h.MustRun("rpm", "-qp", "--requires", rpm(h)), `(?m)^glibc >= 2\.\d+\npam$`)
		h.Match("the deb's needs", h.MustRun("dpkg-deb", "-f", deb(h), "Depends"), `^libc6 \(>= 2\.\d+\), libpam0g, libpam-runtime`)
		host.Equal(h, "the deb's configuration", strings.TrimSpace(h.MustRun("dpkg-deb", "-I", deb(h), "conffiles")), host.ConfigFile)
		for _, u := range []string{"polyinst-gc.service", "polyinst-prepare.service", "polyinst.service"} {
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
		h.PAM("su", host.Stack(kit.Session)...)
		r := h.Cmd(append(script("PREUN"), "0")...)
		host.Equal(h, "removal", r.Code, 1)
		h.Match("the reason", r.Stderr, `(?s)is not removed.*\n  /etc/pam\.d/su\n`)
		h.MustRun(append(script("PREUN"), "1")...) // an upgrade
		h.PAM("su", host.Stack("# "+kit.Session)...)
		h.MustRun(append(script("PREUN"), "0")...)
		h.MustRun(append(script("POSTUN"), "0")...)
	})
}

// The rpm by rpm itself, with the modules where Fedora has them: installed, used,
// installed once more, kept while a stack names the module, removed.
func TestPackageRPM(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		h.Need("rpm")
		h.MustRun("rm", "-rf", "/etc/security/polyinst", host.Parents, "/usr/share/polyinst")
		if dir := filepath.Dir(h.Module()); dir != "/usr/lib64/security" {
			h.Sh("mkdir -p /usr/lib64 && mv " + dir + " /usr/lib64/security && ln -s /usr/lib64/security " + dir)
		}
		h.MustRun("rm", "-f", "/usr/lib64/security/pam_polyinst.so")
		h.MustRun("mkdir", "-p", "/usr/share/licenses", "/usr/share/zsh/site-functions") // there, of Fedora's package filesystem
		h.AddUser("alice")
		kit.Without(h, "su")
		before := files(h)
		run := func(args ...string) host.Result {
			return h.Cmd(append([]string{"rpm", "--dbpath", "/root/rpmdb", "--force-debian", "--nodeps"}, args...)...)
		}
		must := func(args ...string) {
			t.Helper()
			if r := run(args...); r.Code != 0 {
				t.Fatalf("rpm %v: exit status %d\n%s%s", args, r.Code, r.Stdout, r.Stderr)
			}
		}
		must("-i", rpm(h))
		host.Equal(h, "the module's place", h.Exists("/usr/lib64/security/pam_polyinst.so"), true)
		host.Equal(h, "its files", run("-V", "pam_polyinst").Stdout, "")
		kit.InPublic(h, "installed only", h.Su("alice", kit.WhichTmp).Out())
		h.MustRun("polyinst", "enable", "--tmp", "--no-confirm", "su")
		kit.InInstance(h, "enabled", "alice", h.Su("alice", kit.WhichTmp).Out())
		h.Match("status", h.MustRun("polyinst", "status"), `(?m)^state +on$(?s:.*)^module +/\S*/pam_polyinst\.so: whole, and of the same build as this command$`)
		h.Config("# an administrator's\n")
		must("-U", "--replacepkgs", rpm(h))
		host.Equal(h, "the configuration", h.ReadFile(host.ConfigFile), "# an administrator's\n")
		kit.InInstance(h, "once more", "alice", h.Su("alice", kit.WhichTmp).Out())

		r := run("-e", "pam_polyinst")
		h.Match("removal while a stack names the module", r.Stderr, `(?s)is not removed.*\n  /etc/pam\.d/su\n`)
		kit.InInstance(h, "still", "alice", h.Su("alice", kit.WhichTmp).Out())
		h.MustRun("polyinst", "disable", "su")
		must("-e", "pam_polyinst")
		kit.InPublic(h, "removed", h.Su("alice", kit.WhichTmp).Out())
		left := slices.DeleteFunc(minus(files(h), before), func(s string) bool {
			return strings.HasPrefix(s, host.Parents) || strings.HasPrefix(s, "/etc/security/polyinst")
		})
		host.Equal(h, "left", strings.Join(left, "\n"), "")
	})
}

// What the README says about installing with apt and from the tarball of a release,
// and undoing it, typed as it stands there.
func TestPackageAsWritten(t *testing.T) {
	t.Parallel()
	row := func(h *host.Host, system string) (install, undo []string) {
		h.T.Helper()
		table := kit.Between(h.ReadFile(h.Source("README.md")), "\n## Install\n", "\n## ")
		m := regexp.MustCompile("(?m)^\\| " + system + " \\| (.*) \\| (.*) \\|$").FindStringSubmatch(table)
		if m == nil {
			h.T.Fatalf("README.md: its table of installations has no row %q", system)
		}
		code := func(cell string) (out []string) {
			for _, c := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
				out = append(out, c[1])
			}
			return out
		}
		return code(m[1]), code(m[2])
	}
	for name, from := range map[string]struct {
		system string
		unpack func(h *host.Host) // what the first command would make, into /root/checkout
		made   string             // that command
	}{
		"apt": {"Debian, Ubuntu", func(h *host.Host) {
			h.MustRun("install", "-D", "-t", "/root/checkout/build/packages", deb(h))
		}, "make packages && "},
		"source": {"from source", func(h *host.Host) { // as with the tarball, which has what `make build` makes
			h.Sh("tar -C /root -xzf " + built(h, "pam_polyinst-*-linux-"+runtime.GOARCH+".tar.gz") + " && mv /root/pam_polyinst-* /root/checkout")
		}, "make build && "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host.Run(t, func(h *host.Host) {
				h.MustRun("rm", "-rf", "/etc/security/polyinst", host.Parents, "/usr/share/polyinst", "/usr/local/sbin/polyinst")
				h.MustRun("rm", "-f", "/usr/share/pam-configs/krb5", "/usr/share/pam-configs/libpam-mount", "/usr/share/pam-configs/tmpdir")
				mustPkg(h, "pam-auth-update", "--package")
				h.AddUser("alice")
				s := h.Sshd()
				from.unpack(h)
				typed := func(c string) {
					t.Helper()
					r := h.Command("sh", "-c", c).Dir("/root/checkout").Stdin("y\n").Run()
					if r.Code != 0 {
						t.Fatalf("%s: exit status %d\n%s%s", c, r.Code, r.Stdout, r.Stderr)
					}
				}
				const stacks = "cat /etc/pam.d/*"
				before := h.Sh(stacks)
				install, undo := row(h, from.system)
				for _, c := range install {
					c, ok := strings.CutPrefix(c, from.made)
					host.Equal(h, "the first command", ok, true)
					typed(c)
				}
				h.MustRun("polyinst", "enable", "--tmp", "--no-confirm", "sshd", "su")
				kit.InInstance(h, "by ssh", "alice", s.SSH("alice", kit.WhichTmp).Out())
				h.Match("status", h.MustRun("polyinst", "status"), `(?m)^state +on$`)
				host.Equal(h, "commands that undo it", len(undo), 2)
				for _, c := range undo {
					typed(c)
				}
				host.Equal(h, "the stacks", h.Sh(stacks), before)
				host.Equal(h, "the module", h.Exists(h.Module()), false)
				kit.InPublic(h, "removed", s.SSH("alice", kit.WhichTmp).Out())
			})
		})
	}
}

// Version 0.1.0 is upgraded while sessions are open: they keep what they have, the new
// command knows them, and what they leave is taken away.
func TestPackageUpgradeFromTheFirstVersion(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		old, _ := filepath.Glob(h.Source("build/packages/old/libpam-polyinst_0.1.0*.deb"))
		if len(old) != 1 {
			t.Skip("needs the history: dist/packages/old builds version 0.1.0 from it")
		}
		const config = kit.OwnTmp + kit.TmpdirVarTmp
		h.MustRun("rm", "-rf", "/etc/security/polyinst", host.Parents, "/usr/share/polyinst")
		h.MustRun("rm", "-f", "/usr/share/pam-configs/krb5", "/usr/share/pam-configs/libpam-mount", "/usr/share/pam-configs/tmpdir")
		mustPkg(h, "dpkg", "-i", old[0])
		h.Config(config)
		h.MustRun("polyinst", "check", "--accept")
		h.MustRun("polyinst", "prepare")
		mustPkg(h, "pam-auth-update", "--package", "--enable", "polyinst")
		h.AddUser("alice")
		h.AddUser("bob")
		h.Su("bob", "echo mine >/tmp/file")
		const loop = `echo hers >/tmp/file; echo hers >/var/tmp/file; echo ready; while read line; do eval "$line"; done`
		a := h.OnPty("su", "alice", "-c", loop)
		a.Expect("ready")
		shows := func(what string) {
			t.Helper()
			a.Send("echo at=$(stat -c %d:%i /tmp) $(cat /tmp/file /var/tmp/file)\n")
			host.Equal(h, what, a.Expect(`at=(\d+:\d+ hers hers)`)[1], h.FileID(kit.Instance("alice"))+" hers hers")
		}
		shows("before the upgrade")
		tmpdirs := func() string { return h.Sh("ls -A /var/lib/polyinst/var-tmp | grep -v '^.lock$' || :") }
		hers := tmpdirs()

		mustPkg(h, "dpkg", "--force-confold", "-i", deb(h)) // as unattended-upgrades does
		shows("after it")
		h.Match("the profile", h.ReadFile("/etc/pam.d/common-session"), `(?m)^session\s+required\s+pam_polyinst\.so rescue=root,@sudo`)
		h.Match("list knows the session", h.MustRun("polyinst", "list"), `(?m)^alice +su .* /tmp +`+kit.Instance("alice")+`\n.*/var/tmp +/var/lib/polyinst/var-tmp/`)
		host.Equal(h, "enter does", h.MustRun("polyinst", "enter", "alice", "--", "cat", "/tmp/file", "/var/tmp/file"), "hers\nhers")
		x := kit.ReportOf(h, "--require", "/tmp", "--require", "/var/tmp", "--service", "su")
		host.Equal(h, "report", x.Isolated, true)
		host.Equal(h, "the last good configuration of 0.1", x.Configuration.Accepted, true)
		host.Equal(h, "the session's mounts", x.Sessions[0].Polydirs[0].Covered && x.Sessions[0].Polydirs[1].Covered, true)

		// new sessions beside it, and gc
		host.Equal(h, "a new one of alice", h.Su("alice", kit.WhichTmp+"; cat /tmp/file; ls -A /var/tmp").Out(), h.FileID(kit.Instance("alice"))+"\nhers")
		host.Equal(h, "bob's files", h.Su("bob", "cat /tmp/file").Out(), "mine")
		h.MustRun("polyinst", "gc")
		host.Equal(h, "tmpdirs after gc", tmpdirs(), hers)
		shows("after gc")

		// the old module closes the old session
		a.Send("exit 0\n")
		host.Equal(h, "its exit status", a.Wait().Code, 0)
		h.MustRun("polyinst", "gc")
		host.Equal(h, "tmpdirs", tmpdirs(), "")
		host.Equal(h, "list", h.Cmd("polyinst", "list").Stderr, "polyinst: no process is in a private namespace\n")
		host.Equal(h, "records", h.Sh("ls -A /run/polyinst | grep -v '^empty' || :"), "")
		host.Equal(h, "alice's files", h.Su("alice", "cat /tmp/file").Out(), "hers")
	})
}

// The tarball installs without Go, without a compiler, and uninstalls.
func TestPackageTarball(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		h.MustRun("rm", "-rf", "/etc/security/polyinst", host.Parents, "/usr/local/sbin/polyinst")
		before := files(h)
		h.Sh("tar -C /root -xzf " + built(h, "pam_polyinst-*-linux-"+runtime.GOARCH+".tar.gz") + " && mv /root/pam_polyinst-* /root/tarball")
		h.Sh("mkdir /root/bin; for p in /usr/bin/* /usr/sbin/*; do case ${p##*/} in go | *gcc* | cc | c89* | c99* | ld* | as) ;; *) ln -sf $p /root/bin/ ;; esac; done")
		run := func(args ...string) host.Result {
			return h.Command(append([]string{"env", "-i", "PATH=/root/bin"}, args...)...).Dir("/root/tarball").Run()
		}
		r := run("make", "install")
		host.Equal(h, "make install", r.Code, 0)
		h.AddUser("alice")
		before = append(before, "/home/alice")
		h.Config(kit.OwnTmp)
		h.MustRun("polyinst", "prepare")
		h.PAM("su", host.Stack(kit.Session)...)
		h.MustRun("polyinst", "check", "--pam")
		kit.InInstance(h, "installed", "alice", h.Su("alice", kit.WhichTmp).Out())
		host.Equal(h, "the module's place", h.Exists(h.Module()), true)
		h.Match("a completion", h.ReadFile("/usr/share/bash-completion/completions/polyinst"), "__start_polyinst")
		h.MustRun("oscap", "xccdf", "validate", "/usr/share/pam_polyinst/openscap/polyinst-xccdf.xml")
		h.PAM("su", host.Stack()...)
		r = run("make", "uninstall")
		host.Equal(h, "make uninstall", r.Code, 0)
		left := slices.DeleteFunc(minus(files(h), before), func(s string) bool {
			return strings.HasPrefix(s, host.Parents) || strings.HasPrefix(s, "/etc/security/polyinst")
		})
		h.Match("left", strings.Join(left, "\n"), `^(/usr/share/(doc|fish|bash-completion|zsh|man)\S*\n?)*$`)
		for _, s := range left {
			host.Equal(h, s+": a directory", h.Sh("test -d "+s+" && echo yes"), "yes")
		}
	})
}

// The Ansible role with the package: installed, used, removed.
func TestPackageByAnsible(t *testing.T) {
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		h.Need("ansible-playbook", "/usr/lib/python3/dist-packages/apt/__init__.py")
		h.MustRun("rm", "-rf", "/etc/security/polyinst", host.Parents, "/usr/share/polyinst", "/usr/local/sbin/polyinst")
		h.Sh("sed -i -E '/^(cloudsdk|slurm):/d' /etc/passwd")
		h.AddUser("alice")
		h.PAM("su", host.Stack("session required pam_permit.so")...)
		h.PAM("sshd", host.Stack("session required pam_permit.so")...)
		h.Sh("cp " + deb(h) + " /root/polyinst.deb")
		vars := roleVars + "polyinst_package: /root/polyinst.deb\n"
		stacks := h.Sh("cat /etc/pam.d/su /etc/pam.d/sshd")
		_, recap := play(h, vars)
		host.Equal(h, "the first run", strings.HasSuffix(recap, " failed=0"), true)
		host.Equal(h, "the package", h.MustRun("dpkg-query", "-W", "-f", "${db:Status-Abbrev}", debName)[1:2], "i")
		kit.InInstance(h, "isolated", "alice", h.Su("alice", kit.WhichTmp).Out())
		said, recap := play(h, vars)
		if recap != "changed=0 failed=0" {
			t.Errorf("once more: %s\n%s", recap, said)
		}
		_, recap = play(h, vars+"polyinst_state: absent\n")
		host.Equal(h, "the undo", strings.HasSuffix(recap, " failed=0"), true)
		host.Equal(h, "the module", h.Exists(h.Module()), false)
		host.Equal(h, "the stacks", h.Sh("cat /etc/pam.d/su /etc/pam.d/sshd"), stacks)
		kit.InPublic(h, "removed", h.Su("alice", kit.WhichTmp).Out())
	}, host.Within(8*time.Minute))
}
