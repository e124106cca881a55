package namespaces

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// README's configuration; www-data, a stranger without a session of ours, has a
// directory of the same name in the public /tmp. What root installs, builds and
// names by sudo is what alice stands in.
func TestRootWorksInTheDirectoryThatItNames(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su", "sudo"}, func(h *host.Host) {
		h.Need("dpkg-deb", "apt-get", "make", "python3")
		kit.Sudoers(h)
		h.AddUser("alice")
		deb := func(whose, at string) {
			h.WriteFile(at+"/pkg/DEBIAN/control", "Package: hello-"+whose+"\nVersion: 1\nArchitecture: all\nMaintainer: m <m@example.org>\nDescription: d\n", 0o644)
			h.Sh("cd " + at + " && dpkg-deb --build pkg hello.deb && rm -r pkg && echo 'all:;@echo " + whose + " $(CURDIR)' >Makefile")
		}
		deb("stranger", "/tmp/build")
		h.MustRun("su", "alice", "-c", "mkdir /tmp/build")
		deb("alice", kit.Instance("alice")+"/build")
		in := func(script string) string {
			return h.MustRun("su", "alice", "-c", "cd /tmp/build; "+script+"; true")
		}
		in("sudo apt-get install -y --allow-downgrades ./hello.deb >/dev/null 2>&1")
		installed := h.Sh("dpkg-query -W -f '${Package} ' 'hello-*'")
		host.Equal(h, "apt-get install ./hello.deb", strings.TrimSpace(installed), "hello-alice")
		in("sudo dpkg -i hello.deb >/dev/null")
		at := kit.Instance("alice") + "/build"
		for what, script := range map[string]string{
			"pwd":      "sudo pwd",
			"CURDIR":   "sudo make -s | cut -d' ' -f2",
			"realpath": "sudo realpath .",
			"abspath":  `sudo python3 -c 'import os; print(os.path.abspath("."))'`,
			"cd $PWD":  `sudo bash -c 'cd "$PWD"; /bin/pwd'`,
			"cd $(..)": `sudo sh -c 'cd "$(/bin/pwd)"; /bin/pwd'`,
		} {
			host.Equal(h, what, in(script), at)
		}
		host.Equal(h, "make", in("sudo make -s"), "alice "+at)
		host.Equal(h, "make -C", in(`sudo sh -c 'make -s -C "$(/bin/pwd)"'`), "alice "+at)
		// from the polydir itself
		host.Equal(h, "from /tmp", h.MustRun("su", "alice", "-c", "cd /tmp; sudo pwd; sudo ls -d build/hello.deb"), kit.Instance("alice")+"\nbuild/hello.deb")
	})
}

// alice: cd /tmp/tree; sudo -u bob rm -rf home. She is told where sudo runs a
// shell: for a single command it asks its modules for silence.
func TestNobodyIsPutIntoTheRootDirectory(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su", "sudo"}, func(h *host.Host) {
		kit.Sudoers(h)
		h.AddUser("alice")
		h.AddUser("bob")
		h.WriteFile("/home/bob/thesis", "years", 0o600)
		h.MustRun("chown", "bob", "/home/bob/thesis")
		r := h.Cmd("su", "alice", "-c", "mkdir -p /tmp/tree/home; cd /tmp/tree; sudo -u bob rm -rf home; echo 'pwd; ls -A; stat -c %u:%a .; touch x' | sudo -s -u bob; ls")
		if !h.Exists("/home/bob/thesis") {
			t.Error("bob's files were removed")
		}
		host.Equal(h, "bob stands, and alice's files", strings.Join(strings.Fields(r.Stdout), " "), kit.Nowhere+" 0:555 home")
		h.Match("told", r.Stderr, `(?m)^pam_polyinst: .*"/tmp/tree".* `+kit.Nowhere+`$`)
		h.Match("touch", r.Stderr, `touch: cannot touch 'x': Permission denied`)
		h.WaitLog(`"/tmp/tree".*` + kit.Nowhere)
	})
}

// Whatever errors on the way to the old directory in the new view, nobody keeps
// the old one: its ".." leads back into the view that was left.
func TestNobodyKeepsAHandleOfTheOldView(t *testing.T) {
	kit.Story(t, strings.ReplaceAll(kit.OwnTmp, `["root"]`, `["root", "carol"]`), []string{"su", "runuser"}, func(h *host.Host) {
		for _, u := range []string{"alice", "bob", "carol"} {
			h.AddUser(u)
		}
		for _, u := range []string{"bob", "carol", "root"} {
			seen := kit.InASession(h, `mount -t tmpfs none /mnt; mkdir -p /mnt/x/y; cd /mnt/x/y
runuser `+u+` -c 'pwd; stat -c %d:%i ../../../tmp 2>/dev/null || echo none'`)
			want := kit.Nowhere + "\nnone"
			if u == "root" {
				want = kit.Nowhere + "\n" + h.FileID("/tmp")
			}
			host.Equal(h, u+": pwd and ../../../tmp", lastLines(seen, 2), want)
		}
		// a directory that is no more
		seen := kit.InASession(h, "mkdir -p /home/gone/x; cd /home/gone/x; rm -r /home/gone; runuser root -c pwd")
		host.Equal(h, "root in a directory that is gone", lastLines(seen, 1), kit.Nowhere)
	})
}

// lastLines are the last lines of a text: before them, what was told.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// A host that has no descriptor left for the working directory is refused; it
// does not stand in / instead.
func TestWorkingDirectoryThatGetsLost(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		opened := 0
		for n := 3; n < 20; n++ {
			tr := h.PamHost("user=alice", "start", "acct", "cwd:/usr/share", fmt.Sprintf("rlimit:nofile=%d,1000", n), "open", "look:.", "end")
			at, _, _ := strings.Cut(tr.Step("look").Text, " ")
			if tr.Step("open").RC == 0 {
				opened++
			}
			host.Equal(h, fmt.Sprintf("%d descriptors: the working directory", n), at, h.FileID("/usr/share"))
		}
		if opened == 0 {
			t.Error("no session was opened: nothing is shown")
		}
	})
}

// standing is what a session of a user says of where it is: the name, whether
// that leads to the very directory, and whether the session can write there.
const standing = `set -- "$(/bin/pwd)" "$(stat -c %d:%i .)"
test "$(stat -c %d:%i "$1" 2>/dev/null)" = "$2" && true=yes || true=no
touch .probe 2>/dev/null && { write=yes; rm -f .probe; } || write=no
echo "$1 true=$true write=$write"`

// Where a session stands, by every method, word of nested, scope and kind of
// user. What is named elsewhere leads there; the empty directory cannot be
// entered by its name but by root, and not be written by others.
func TestNestedWorkingDirectory(t *testing.T) {
	tmpfs := "[[polydir]]\npath = \"/tmp\"\nmethod = \"tmpfs\"\nexcept = [\"root\"]\n"
	exempt := func(c string) string { return strings.ReplaceAll(c, `"root"`, `"root", "carol"`) }
	own, empty := "/tmp true=yes write=yes", kit.Nowhere+" true=no write=no"
	emptyRoot := kit.Nowhere + " true=yes write=yes"
	alices := kit.Instance("alice")
	type row struct{ user, at, want string }
	for _, c := range []struct {
		name, namespace, config string
		rows                    []row
	}{
		{"user, replace", "", kit.OwnTmp, []row{
			{"root", "/tmp/build", alices + "/build true=yes write=yes"},
			{"root", "/tmp", alices + " true=yes write=yes"},
			{"carol", "/tmp/build", empty},
			{"carol", "/tmp", empty}, // the public one is full of strangers' names
			{"bob", "/tmp/build", empty},
			{"bob", "/tmp", own},
			{"alice", "/tmp/build", "/tmp/build true=yes write=yes"},
			{"alice", "/tmp", own},
			{"bob", "/usr/share", "/usr/share true=yes write=no"},
			{"root", "/usr/share", "/usr/share true=yes write=yes"},
			{"bob", "/", "/ true=yes write=no"},
			{"root", "/", "/ true=yes write=yes"},
		}},
		{"user, keep", `nested = "keep"`, kit.OwnTmp, []row{
			{"root", "/tmp/build", "/tmp/build true=yes write=yes"},
			{"carol", "/tmp/build", "/tmp/build true=yes write=yes"},
			{"bob", "/tmp/build", empty},
			{"bob", "/tmp", own},
			{"alice", "/tmp/build", "/tmp/build true=yes write=yes"},
		}},
		{"user, escape", `nested = "escape"`, kit.OwnTmp, []row{
			{"root", "/tmp/build", alices + "/build true=yes write=yes"},
			{"bob", "/tmp/build", empty},
			{"bob", "/tmp", empty},
		}},
		{"user, scope user", `scope = "user"`, kit.OwnTmp, []row{
			{"root", "/tmp/build", alices + "/build true=yes write=yes"},
			{"bob", "/tmp/build", empty},
			{"bob", "/tmp", own},
			{"alice", "/tmp/build", "/tmp/build true=yes write=yes"},
		}},
		{"tmpdir", "", kit.Tmpdir, []row{
			{"root", "/tmp/build", host.Parents + "/tmp/.tmpdir.ID/build true=yes write=yes"},
			{"carol", "/tmp/build", empty},
			{"bob", "/tmp/build", empty},
			{"bob", "/tmp", own},
			{"alice", "/tmp/build", "/tmp/build true=yes write=yes"}, // her view already
		}},
		{"tmpfs", "", tmpfs, []row{
			{"root", "/tmp/build", emptyRoot},
			{"root", "/tmp", emptyRoot},
			{"carol", "/tmp/build", empty},
			{"bob", "/tmp/build", empty},
			{"bob", "/tmp", own},
			{"alice", "/tmp/build", "/tmp/build true=yes write=yes"},
		}},
		{"everybody, root too", "", strings.Replace(kit.OwnTmp, `except          = ["root"]`, `except = ["carol"]`, 1), []row{
			{"root", "/tmp/build", alices + "/build true=yes write=yes"},
			{"root", "/tmp", own},
			{"bob", "/tmp", own},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			config := "[namespace]\n" + c.namespace + "\n" + exempt(c.config)
			kit.Story(t, config, []string{"su", "runuser", "sudo"}, func(h *host.Host) {
				kit.Sudoers(h)
				for _, u := range []string{"alice", "bob", "carol"} {
					h.AddUser(u)
				}
				h.Mkdir("/tmp/build", 0o777, 0, 0) // a stranger's, of the same name
				h.WriteFile("/run/nest/stand", "#!/bin/sh\n"+standing+"\n", 0o755)
				for _, r := range c.rows {
					for program, with := range map[string]string{
						"su":      "su " + r.user + " -c /run/nest/stand",
						"runuser": "runuser -u " + r.user + " -- /run/nest/stand",
						"sudo":    "sudo -u " + r.user + " /run/nest/stand",
					} {
						seen := kit.InASession(h, "mkdir -p -m 777 /tmp/build; cd "+r.at+" && "+with)
						seen = tmpdirID.ReplaceAllString(lastLines(seen, 1), ".tmpdir.ID")
						host.Equal(h, fmt.Sprintf("%s: %s in %s", program, r.user, r.at), seen, r.want)
					}
				}
			})
		})
	}
}

// tmpdirID is the name of a tmpdir instance.
var tmpdirID = regexp.MustCompile(`\.tmpdir\.[^/ ]+`)

// A host that may not join another namespace is treated alike, and so is one in
// a chroot.
func TestWhereSessionsStandInPlace(t *testing.T) {
	kit.HostStory(t, func(h *host.Host) {
		h.Mkdir("/srv/jail", 0o755, 0, 0)
		h.MustRun("mount", "--rbind", "/", "/srv/jail")
		h.MustRun("mount", "--make-rslave", "/srv/jail")
		h.Mkdir("/tmp/build", 0o777, 0, 0)
		for what, first := range map[string][]string{
			"without CAP_SYS_CHROOT": {"dropcap:cap_sys_chroot"},
			"in a chroot":            {"chroot:/srv/jail"},
			"plain":                  nil,
		} {
			for at, want := range map[string]string{
				"/tmp/build": kit.Nowhere + " true=no write=no", "/tmp": "/tmp true=yes write=yes",
				"/usr/share": "/usr/share true=yes write=no", "/": "/ true=yes write=no",
			} {
				tr := h.PamHost(append(first, append([]string{"cwd:" + at}, kit.Steps("open", "exec:"+standing, "close", "end")...)...)...)
				tr.RC("open", host.PAMSuccess)
				host.Equal(h, what+" in "+at, tr.Step("exec").Text, want)
			}
		}
	})
}

// What root has made of the empty directory is left alone, and another one takes
// its place. Where there can be none with a name, a session stands in one that has
// none: nothing can be written or removed there, and getcwd(3) says ENOENT.
func TestWhereThereIsNoEmptyDirectory(t *testing.T) {
	var spoilt []string
	for i := 1; i < 16; i++ {
		spoilt = append(spoilt, fmt.Sprintf("%s.%d", kit.Nowhere, i))
	}
	const nameless = "FileNotFoundError: [Errno 2] No such file or directory"
	for what, c := range map[string]struct{ spoil, want string }{
		"read-only":   {"rm -rf " + kit.Nowhere + "; mount -o remount,ro /run", nameless},
		"all of them": {"touch " + kit.Nowhere + "/file; mkdir -m 700 " + strings.Join(spoilt, " "), nameless},
		"not empty":   {"touch " + kit.Nowhere + "/file", kit.Nowhere + ".1"},
		"writable":    {"chmod 0777 " + kit.Nowhere, kit.Nowhere + ".1"},
		"not root's":  {"chown alice " + kit.Nowhere, kit.Nowhere + ".1"},
		"a file":      {"rmdir " + kit.Nowhere + "; touch " + kit.Nowhere, kit.Nowhere + ".1"},
		"a link":      {"rmdir " + kit.Nowhere + "; ln -s /srv " + kit.Nowhere, kit.Nowhere + ".1"},
		"a mount":     {"mount -t tmpfs none " + kit.Nowhere, kit.Nowhere + ".1"},
	} {
		t.Run(what, func(t *testing.T) {
			kit.Story(t, kit.OwnTmp+"\n[[polydir]]\npath = \"/dev/shm\"\nmethod = \"tmpfs\"\nexcept = [\"root\"]\n", []string{"su", "runuser"}, func(h *host.Host) {
				h.AddUser("alice")
				h.WriteFile("/srv/stand", "#!/bin/sh\nls -A .; rm -rf * home; echo here; python3 -c 'import os; print(os.getcwd())' 2>&1 | tail -1; touch x 2>&1\n", 0o755)
				out := kit.InASession(h, "mkdir -p "+kit.Nowhere+" -m 555; nsenter -t 1 -m sh -c \""+c.spoil+"\"; mkdir /dev/shm/x; cd /dev/shm/x && runuser root -c /srv/stand")
				h.Match("told", out, `the working directory "/dev/shm/x" was left: .*; this session stands in (the|an) empty directory`)
				want := "here\n" + c.want
				if c.want == nameless {
					want += "\ntouch: cannot touch 'x': Read-only file system"
				}
				host.Equal(h, "root stands in nothing", lastLines(out, strings.Count(want, "\n")+1), want)
			})
		})
	}
}

// Root stands in alice's instance by its path in the host's view; bob, whom root
// becomes there, does not come along.
func TestNobodyStandsInAnothersInstance(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su", "runuser", "sudo"}, func(h *host.Host) {
		kit.Sudoers(h)
		h.AddUser("alice")
		h.AddUser("bob")
		out := kit.InASession(h, `mkdir -p -m 777 /tmp/build; cd /tmp/build; sudo sh -c "pwd; su bob -c 'pwd; ls -A ..'"`)
		h.Match("root, then bob", out, `(?s)^`+kit.Instance("alice")+`/build\n.* it lies in an instance parent; .*\n`+kit.Nowhere+`\nls: .*Permission denied$`)
	})
}

// One line, at a terminal, to whom root's session leads out of a private
// directory; nothing to those who stand elsewhere, to scripts, or where the host
// asks for silence.
func TestToldByWhichName(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su", "sudo"}, func(h *host.Host) {
		kit.Sudoers(h)
		h.Sh("sed -i 1i'auth sufficient pam_permit.so' /etc/pam.d/su")
		h.AddUser("alice")
		line := fmt.Sprintf("pam_polyinst: this session is in the host's view: %q of alice's session is %q here (nested in polyinst-namespace.conf(5))",
			"/tmp/build", kit.Instance("alice")+"/build")
		for _, c := range []struct {
			at, command string
			told        bool
		}{
			{"/tmp/build", "su root -c pwd", true},
			{"/tmp/build", "sudo -s pwd", true},
			{"/tmp/build", "sudo pwd", false}, // sudo asks for silence
			{"/usr", "su root -c pwd", false},
			{"/", "sudo -s pwd", false},
		} {
			alice := func(command string) []string {
				return []string{"su", "alice", "-c", "mkdir -p /tmp/build; cd " + c.at + "; " + command}
			}
			seen := h.OnPty(alice(c.command)...).Wait().Out()
			host.Equal(h, c.command+" in "+c.at+": told at a terminal", strings.Contains(seen, line), c.told)
			host.Equal(h, "lines", strings.Count(seen, "pam_polyinst") == 1, c.told)
			r := h.Cmd(alice(c.command)...)
			host.Equal(h, c.command+" in "+c.at+": told to a script", r.Stderr, "")
		}
	})
}

// A filesystem of alice's that hangs, in which the host of bob's session stands:
// that one waits, and nobody else does.
func TestWorkingDirectoryThatHangs(t *testing.T) {
	kit.Story(t, "[namespace]\nscope = \"user\"\n"+kit.OwnTmp, []string{"su", "pamhost"}, func(h *host.Host) {
		h.Need("sshfs")
		alice := h.AddUser("alice")
		h.AddUser("bob")
		h.Sshd()
		h.Mkdir("/srv/remote/dir", 0o777, 0, 0)
		h.Mkdir("/home/alice/mnt", 0o755, alice.UID, alice.GID)
		h.MustRun("sshfs", "-o", "allow_other,default_permissions,attr_timeout=0,entry_timeout=0,IdentityFile=/etc/ssh/story/client,UserKnownHostsFile=/etc/ssh/story/known_hosts",
			"root@127.0.0.1:/srv/remote", "/home/alice/mnt")
		p := h.PamHostCommand("user=bob", "start", "acct", "cwd:/home/alice/mnt/dir", "print:there", "pause", "open", "exec:/bin/pwd", "cwd:/", "end").Start()
		p.Expect("there")
		server := strings.TrimSpace(h.Sh("pgrep -x sshfs"))
		h.MustRun("kill", "-STOP", server)
		p.Send("\n")
		h.Sh("until grep -qs request_wait_answer /proc/[0-9]*/wchan; do :; done")
		for range 5 {
			kit.InInstance(h, "bob meanwhile", "bob", h.MustRun("su", "bob", "-c", kit.WhichTmp))
		}
		h.Sh("grep -qs request_wait_answer /proc/[0-9]*/wchan") // it does so still
		h.MustRun("kill", "-CONT", server)
		p.Expect(`"Text":"/home/alice/mnt/dir"`)
		p.Wait()
	})
}

// A host that goes back to its view stands there where it stood: in the polydir
// of that view, in the same directory by another name, or in an empty one.
func TestWorkingDirectoryAfterClose(t *testing.T) {
	for name, config := range map[string]string{"user": kit.OwnTmp, "tmpfs": "[[polydir]]\npath = \"/tmp\"\nmethod = \"tmpfs\"\nexcept = [\"root\"]\n"} {
		t.Run(name, func(t *testing.T) {
			kit.Story(t, config, nil, func(h *host.Host) {
				h.PAM("pamhost", host.Stack(kit.Session+" unmount_on_close")...)
				h.AddUser("alice")
				h.Mkdir("/tmp/build", 0o777, 0, 0)
				within := kit.Instance("alice") + "/build true=yes write=yes"
				if name == "tmpfs" {
					within = kit.Nowhere + " true=yes write=yes"
				}
				for at, want := range map[string]string{"/tmp": "/tmp true=yes write=yes", "/tmp/build": within, "/usr": "/usr true=yes write=yes", "/": "/ true=yes write=yes"} {
					tr := h.PamHost(kit.Steps("open", "root-exec:mkdir -p /tmp/build", "cwd:"+at, "close", "root-exec:"+standing, "end")...)
					tr.RC("close", host.PAMSuccess)
					host.Equal(h, "after close, from "+at, tr.All("root-exec")[1].Text, want)
				}
			})
		})
	}
}

// A directory that is closed to the host at the last moment, although the worker
// has been in it.
func TestWorkingDirectoryThatCloses(t *testing.T) {
	for when, want := range map[string]string{"when=1": kit.Nowhere, "when=1+": "/"} {
		t.Run(when, func(t *testing.T) {
			kit.Story(t, kit.OwnTmp, []string{"pamhost"}, func(h *host.Host) {
				h.Need("strace")
				h.AddUser("alice")
				args := []string{"strace", "-qq", "-o", "/dev/null", "-e", "inject=fchdir:error=EACCES:" + when, h.Built("pamhost")}
				tr := h.Command(append(args, kit.Steps("cwd:/usr", "open", "exec:/bin/pwd", "close", "end")...)...).Trace()
				tr.RC("open", host.PAMSuccess)
				host.Equal(h, "the working directory", tr.Step("exec").Text, want)
				h.WaitLog("the working directory cannot be entered, and this session stands in (an empty directory|/): Permission denied")
			})
		})
	}
}
