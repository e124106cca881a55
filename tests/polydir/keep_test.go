package polydir

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// ownTmpBy is ownTmp by another method.
func ownTmpBy(method string) string {
	config := strings.Replace(kit.OwnTmp, `"user"`, `"`+method+`"`, 1)
	if method == "tmpfs" {
		config = strings.Replace(config, `instance_prefix = "/var/lib/polyinst/tmp/"`, "", 1)
	}
	return config
}

// xServer listens as an X server does, and greets whoever connects.
func xServer(h *host.Host) {
	h.T.Helper()
	l, err := net.Listen("unix", kit.X11Dir+"/X0")
	if err != nil {
		h.T.Fatal(err)
	}
	if err := unix.Chmod(kit.X11Dir+"/X0", 0o777); err != nil {
		h.T.Fatal(err)
	}
	h.T.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("display 0\n"))
			_ = c.Close()
		}
	}()
}

// xClient connects to the display and prints what it says.
const xClient = `perl -MIO::Socket::UNIX -e 'print IO::Socket::UNIX->new(Peer => shift)->getline' ` + kit.X11Dir + "/X0"

// The sockets of an X server are reached from a session, by every method, on
// a new instance and on one that exists; the rest of the public directory is
// not seen, and nothing of it goes with the session.
func TestKeep(t *testing.T) {
	for _, method := range []string{"user", "tmpdir", "tmpfs"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, ownTmpBy(method)+kit.KeepX, []string{"su"}, func(h *host.Host) {
				h.Need("perl")
				h.AddUser("alice")
				h.Match("prepare", h.MustRun("polyinst", "prepare"), `made `+kit.X11Dir)
				xServer(h)
				h.WriteFile("/tmp/public", "")
				for range 2 {
					out := h.MustRun("su", "alice", "-c", xClient+"; ls -A /tmp; "+kit.WhichX+"; grep ' "+kit.X11Dir+" ' /proc/self/mountinfo")
					lines := strings.Split(out, "\n")
					host.Equal(h, "the server, and what is in /tmp", strings.Join(lines[:2], " "), "display 0 .X11-unix")
					host.Equal(h, "the directory", lines[2], h.FileID(kit.X11Dir))
					h.Match("its mount", lines[3], `nosuid,nodev,.*nosymfollow`)
				}
				// what a session makes there, others see
				h.MustRun("su", "alice", "-c", "touch "+kit.X11Dir+"/X1")
				host.Equal(h, "after the sessions", strings.Join(h.Names(kit.X11Dir), " "), "X0 X1")
				if method == "user" {
					mode, uid, _ := h.Mode(kit.Instance("alice") + "/.X11-unix")
					host.Equal(h, "the mount point", [2]int{int(mode), uid}, [2]int{0o1777, 0})
					host.Equal(h, "what is in it", len(h.Names(kit.Instance("alice")+"/.X11-unix")), 0)
					h.MustRun("polyinst", "gc")
				}
				if method == "tmpdir" {
					host.Equal(h, "tmpdir instances after close", len(kit.Settled(h, 0)), 0)
				}
				for _, l := range h.ModuleLog() {
					if strings.Contains(l.String(), "keep") {
						t.Errorf("logged: %s", l)
					}
				}
			})
		})
	}
}

// In the host's own namespace it is the same, and a refusal takes it off again.
func TestKeepInPlace(t *testing.T) {
	kit.Story(t, kit.OwnTmp+kit.KeepX, []string{"pamhost"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		h.MustRun("polyinst", "prepare")
		tr := h.PamHost(kit.Steps("dropcap:cap_sys_chroot", "open", "exec:"+kit.WhichX, "close", "end")...)
		tr.RC("open", host.PAMSuccess)
		host.Equal(h, "the directory", strings.TrimSpace(tr.Step("exec").Text), h.FileID(kit.X11Dir))

		args := []string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=mount_setattr:retval=0:when=3", h.Built("pamhost")}
		look := "root-exec:" + kit.WhichTmp + "; " + kit.WhichX + "; grep -c X11 /proc/self/mountinfo"
		tr = h.Command(append(args, kit.Steps("dropcap:cap_sys_chroot", look, "open", look, "end")...)...).Trace()
		tr.RC("open", host.PAMRefused)
		h.WaitLog(`keep ".X11-unix": mounted .* want nosuid,nodev,nosymfollow`)
		views := tr.All("root-exec")
		host.Equal(h, "the view after the refusal", views[1].Text, views[0].Text)
	})
}

// What is not in order in the public directory, where any user can have made
// it, is left out with one warning, and the session is opened.
func TestKeepLeftOut(t *testing.T) {
	cases := map[string]struct{ setup, says string }{
		"absent":         {"true", "does not exist"},
		"a user's":       {"install -d -o alice -m 1777 " + kit.X11Dir, `owned by uid \d+, want root`},
		"open to all":    {"install -d -m 0777 " + kit.X11Dir, "mode 0777: group or others can write it"},
		"open to group":  {"install -d -m 0770 " + kit.X11Dir, "mode 0770: group or others can write it"},
		"a link to etc":  {"ln -s /etc " + kit.X11Dir, "is a symbolic link, not a directory"},
		"a user's link":  {"ln -s /etc " + kit.X11Dir + "; chown -h alice " + kit.X11Dir, "is a symbolic link, not a directory"},
		"a fifo":         {"mkfifo " + kit.X11Dir, "is a FIFO, not a directory"},
		"a regular file": {"touch " + kit.X11Dir, "is a regular file, not a directory"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.OwnTmp+kit.KeepX, []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				h.Sh(c.setup)
				host.Equal(h, "the instance", h.MustRun("su", "alice", "-c", "ls -A /tmp"), "")
				h.WaitLog(`^<4>.*polydir "/tmp": keep: left out: ".X11-unix" \(` + c.says)
				warnings := 0
				for _, l := range h.ModuleLog() {
					if strings.HasPrefix(l.String(), "<4>") {
						warnings++
					}
				}
				host.Equal(h, "warnings", warnings, 1)
				h.Match("check", h.Cmd("polyinst", "check").Stderr, `warning: polydir "/tmp": keep: ".X11-unix": `+c.says)
				r := h.Cmd("polyinst", "prepare")
				host.Equal(h, "prepare: exit status", r.Code, map[bool]int{true: 0, false: 1}[name == "absent"])
				if name != "absent" {
					h.Match("prepare", r.Stderr, `:7:1: error: polydir "/tmp": keep: ".X11-unix": `+c.says)
				}
			})
		})
	}
}

// What a user has in their instance under a kept name: a directory is covered as
// long as the session lasts, and all else is left as it is, never followed.
func TestKeepMountPoint(t *testing.T) {
	own := kit.Instance("alice") + "/.X11-unix"
	cases := map[string]struct{ setup, says string }{
		"their directory":     {"install -d -o alice " + own + "; touch " + own + "/mine", ""},
		"another's directory": {"install -d -o bob " + own, `in the instance it is owned by uid \d+`},
		"a link to etc":       {"ln -s /etc " + own + "; chown -h alice " + own, "in the instance: is a symbolic link, not a directory"},
		"a dangling link":     {"ln -s /srv/made " + own + "; chown -h alice " + own, "in the instance: is a symbolic link, not a directory"},
		"a file":              {"install -o alice /dev/null " + own, "in the instance: is a regular file, not a directory"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.OwnTmp+kit.KeepX, []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				h.AddUser("bob")
				h.MustRun("polyinst", "prepare")
				h.Sh("install -d -m 1777 " + kit.Instance("alice") + "; " + c.setup)
				before := h.MustRun("stat", "-c", "%d:%i %a %u %F %s", own)
				seen := h.MustRun("su", "alice", "-c", "stat -c %d:%i "+kit.X11Dir+" 2>&1; true")
				if c.says == "" {
					host.Equal(h, "the session", seen, h.FileID(kit.X11Dir))
					h.Exists(own + "/mine")
				} else {
					if seen == h.FileID(kit.X11Dir) {
						t.Error("the public directory is in the session")
					}
					h.WaitLog(`keep: left out: ".X11-unix" \(` + c.says)
				}
				host.Equal(h, "what they have", h.MustRun("stat", "-c", "%d:%i %a %u %F %s", own), before)
				host.Equal(h, "made by a link", h.Exists("/srv/made"), false)
			})
		})
	}
}

// In an instance of root's the user cannot move the mount point, nor what is
// mounted there.
func TestKeepMountPointStays(t *testing.T) {
	kit.Story(t, kit.OwnTmp+kit.KeepX, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("polyinst", "prepare")
		out := h.MustRun("su", "alice", "-c", "mv "+kit.X11Dir+" /tmp/gone 2>&1; rmdir "+kit.X11Dir+" 2>&1; "+kit.WhichX)
		host.Equal(h, "after the attempts", out[strings.LastIndex(out, "\n")+1:], h.FileID(kit.X11Dir))
		// from a session without it, where it is no mount
		h.Config(kit.OwnTmp)
		out = h.MustRun("su", "alice", "-c", "mv "+kit.X11Dir+" /tmp/gone 2>&1; ls -A /tmp")
		h.Match("the empty mount point", out, `Operation not permitted\n\.X11-unix$`)
	})
}

// A user who owns their instance, and swaps the mount point while sessions are
// opened, gets the public directory, or does without, or is refused; nothing of
// root's is mounted on, made or changed.
func TestKeepWhileTheUserSwaps(t *testing.T) {
	config := strings.ReplaceAll(kit.OwnTmp, `"/tmp"`, `"$HOME/a"`) + "keep = [\"k\"]\n"
	kit.Story(t, config, []string{"pamhost"}, func(h *host.Host) {
		u := h.AddUser("alice")
		h.Mkdir("/home/alice/a", 0o700, u.UID, u.UID)
		h.Mkdir("/home/alice/a/k", 0o755, 0, 0)
		h.Mkdir("/srv/roots", 0o700, 0, 0)
		h.WriteFile("/srv/roots/file", "root's")
		// the instance, with what the user swaps
		h.PamHost(kit.Steps("open", "close", "end")...).RC("open", host.PAMSuccess)
		own := kit.Instance("alice")
		h.MustRun("ln", "-s", "/srv/roots", own+"/link")
		h.Mkdir(own+"/roots", 0o700, 0, 0)
		var done sync.WaitGroup
		stop := make(chan struct{})
		done.Add(3)
		go kit.Exchange(own+"/k", own+"/link", stop, &done)
		go kit.Exchange(own+"/k", own+"/roots", stop, &done)
		go func() {
			defer done.Done()
			for {
				select {
				case <-stop:
					return
				default:
					_ = unix.Rename(own+"/k", own+"/gone")
					_ = unix.Rmdir(own + "/gone")
				}
			}
		}()
		opened, kept := 0, 0
		for range 40 {
			tr := h.PamHost(kit.Steps("open", "root-exec:sed -n 's|.* \\(.*\\) /home/alice/a/.* - .*|<\\1>|p' /proc/self/mountinfo", "close", "end")...)
			if tr.All("open")[0].RC != 0 {
				continue
			}
			opened++
			// the mount follows its mount point, wherever the user moves that
			switch roots := strings.TrimSpace(tr.Step("root-exec").Text); {
			case strings.HasSuffix(roots, "/a/k>") && strings.Count(roots, "<") == 1:
				kept++
			case roots != "":
				t.Errorf("mounted in the instance: %s", roots)
			}
		}
		close(stop)
		done.Wait()
		t.Logf("%d of 40 sessions were opened, %d with the entry", opened, kept)
		mode, uid, _ := h.Mode("/srv/roots")
		host.Equal(h, "the target of the link", [2]int{int(mode), uid}, [2]int{0o700, 0})
		host.Equal(h, "what is in it", strings.Join(h.Names("/srv/roots"), " "), "file")
		host.Equal(h, "what is kept", strings.Join(h.Names("/home/alice/a"), " "), "k")
		for _, l := range h.ModuleLog() {
			if strings.HasPrefix(l.String(), "<3>") && !strings.Contains(l.String(), `is not what was planned: keep "k"`) {
				t.Errorf("refused for another reason: %s", l)
			}
		}
	})
}

// What the host mounts below a kept entry is there, also when it comes later;
// what a session mounts there stays in the session.
func TestKeepPropagation(t *testing.T) {
	for _, p := range []string{"slave", "private"} {
		t.Run(p, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, "[namespace]\npropagation = \""+p+"\"\n"+kit.OwnTmp+kit.KeepX, []string{"pamhost"}, func(h *host.Host) {
				h.AddUser("alice")
				h.MustRun("polyinst", "prepare")
				h.Mkdir(kit.X11Dir+"/early", 0o755, 0, 0)
				h.Mkdir(kit.X11Dir+"/late", 0o755, 0, 0)
				h.Mkdir(kit.X11Dir+"/own", 0o755, 0, 0)
				h.MustRun("mount", "-t", "tmpfs", "none", kit.X11Dir+"/early")
				h.WriteFile(kit.X11Dir+"/early/one", "")
				s := h.PamHostCommand(kit.Steps("open", "root-exec:mount -t tmpfs none "+kit.X11Dir+"/own && touch "+kit.X11Dir+"/own/mine", "print:ready", "pause",
					"root-exec:cd "+kit.X11Dir+" && echo seen: $(ls early late)", "close", "end")...).Start()
				s.Expect("ready")
				h.MustRun("mount", "-t", "tmpfs", "none", kit.X11Dir+"/late")
				h.WriteFile(kit.X11Dir+"/late/two", "")
				host.Equal(h, "the session's mount, outside", len(h.Names(kit.X11Dir+"/own")), 0)
				s.Send("\n")
				want := map[string]string{"slave": "seen: early: one late: two", "private": "seen: early: one late:"}[p]
				s.Expect(want + `"`)
				s.Wait()
				h.MustRun("umount", kit.X11Dir+"/early", kit.X11Dir+"/late")
			})
		})
	}
}

// A session inside another one has the entry of the view that it is built from,
// which is the same directory.
func TestKeepNested(t *testing.T) {
	for _, word := range []string{"replace", "keep"} {
		t.Run(word, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.Nested(word)+kit.KeepX, []string{"su", "runuser"}, func(h *host.Host) {
				h.AddUser("alice")
				h.AddUser("bob")
				h.MustRun("polyinst", "prepare")
				out := kit.InASession(h, "runuser bob -c '"+kit.WhichX+"; "+kit.WhichTmp+"'")
				host.Equal(h, "bob's session inside alice's", out, h.FileID(kit.X11Dir)+"\n"+h.FileID(kit.Instance("bob")))
				// another directory of that name in the view that is kept
				out = kit.InASession(h, "umount "+kit.X11Dir+"; mount -t tmpfs -o mode=1777 none "+kit.X11Dir+"; "+kit.WhichX+"; runuser bob -c '"+kit.WhichX+"'")
				seen := strings.Split(out, "\n")
				want := map[string]string{"replace": h.FileID(kit.X11Dir), "keep": seen[0]}[word]
				host.Equal(h, "bob's session, where alice's has another", seen[1], want)
			})
		})
	}
}

// A kernel that says yes and does nothing gives nobody a session; what was
// made for it goes, although something was mounted in it.
func TestKeepIsProved(t *testing.T) {
	for lie, says := range map[string]string{
		"move_mount:retval=0:when=2":    "another directory is there",
		"mount_setattr:retval=0:when=3": "mounted .* want nosuid,nodev,nosymfollow",
	} {
		t.Run(lie, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, ownTmpBy("tmpdir")+kit.KeepX, []string{"pamhost"}, func(h *host.Host) {
				h.Need("strace")
				h.AddUser("alice")
				h.MustRun("polyinst", "prepare")
				args := []string{"strace", "-f", "-qq", "-o", "/run/trace", "-e", "inject=" + lie, h.Built("pamhost")}
				tr := h.Command(append(args, kit.Steps("open", "end")...)...).Trace()
				tr.RC("open", host.PAMRefused)
				h.WaitLog(`the finished view is not what was planned: keep "\.X11-unix": ` + says)
				host.Equal(h, "instances", strings.Join(kit.Instances(h), " "), "")
				host.Equal(h, "the public directory", h.Exists(kit.X11Dir), true)
			})
		})
	}
}

// A mount that fails leaves the entry out.
func TestKeepThatCannotBeMounted(t *testing.T) {
	for _, fault := range []string{"open_tree:error=EPERM", "mount_setattr:error=EINVAL:when=3", "move_mount:error=EINVAL:when=2", "mkdirat:error=ENOSPC:when=2"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, ownTmpBy("tmpfs")+kit.KeepX, []string{"pamhost"}, func(h *host.Host) {
				h.Need("strace")
				h.AddUser("alice")
				h.MustRun("polyinst", "prepare")
				args := []string{"strace", "-f", "-qq", "-o", "/run/trace", "-e", "inject=" + fault, h.Built("pamhost")}
				tr := h.Command(append(args, kit.Steps("open", "exec:grep -c X11-unix /proc/self/mountinfo", "close", "end")...)...).Trace()
				tr.RC("open", host.PAMSuccess)
				host.Equal(h, "mounts", strings.TrimSpace(tr.Step("exec").Text), "0")
				h.WaitLog(`keep: left out: "\.X11-unix" \(`)
			})
		})
	}
}

// A polydir that lies inside what another one keeps.
func TestKeepWithAPolydirInside(t *testing.T) {
	inner := strings.NewReplacer(`"/tmp"`, `"/tmp/shared/inner"`, "polyinst/tmp", "polyinst/inner").Replace(kit.OwnTmp)
	kit.Story(t, inner+kit.OwnTmp+"keep = [\"shared\"]\n", []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Mkdir("/tmp/shared/inner", 0o1777, 0, 0)
		h.WriteFile("/tmp/shared/file", "")
		for range 2 {
			out := h.MustRun("su", "alice", "-c", "ls -A /tmp /tmp/shared; stat -c %d:%i /tmp/shared/inner")
			want := "/tmp:\nshared\n\n/tmp/shared:\nfile\ninner\n" + h.FileID("/var/lib/polyinst/inner/alice")
			host.Equal(h, "the session", out, want)
		}
		h.Match("explain", h.MustRun("polyinst", "explain", "alice"), `keep "shared" of the public directory.*\ncover "/tmp/shared/inner" with existing`)
	})
}

// explain says what is kept before the session, and list while it lives.
func TestKeepIsShown(t *testing.T) {
	kit.Story(t, kit.OwnTmp+`keep = [".X11-unix", "none"]`+"\n", []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("polyinst", "prepare")
		h.Match("explain", h.MustRun("polyinst", "explain", "alice"),
			`keep "\.X11-unix" of the public directory, nosuid,nodev,nosymfollow, on a new mount point\nleave out "none": does not exist`)
		p := h.Start("su", "alice", "-c", "echo ready; cat")
		p.Expect("ready")
		h.Match("list", h.MustRun("polyinst", "list"), kit.Instance("alice")+` with \.X11-unix\n?$`)
		host.Equal(h, "list --json", fmt.Sprint(kit.List(h).Namespaces[0].Polydirs[0].Keep), "[.X11-unix]")
		p.CloseInput()
		p.Wait()
	})
}

// The mount point is the very directory that was approved: another one that was
// put in its place meanwhile is not mounted on, even if it is root's.
func TestKeepPointSwappedMeanwhile(t *testing.T) {
	config := strings.ReplaceAll(kit.OwnTmp, `"/tmp"`, `"$HOME/a"`) + "keep = [\"k\"]\n"
	kit.Story(t, config, []string{"pamhost"}, func(h *host.Host) {
		h.Need("strace")
		u := h.AddUser("alice")
		h.Mkdir("/home/alice/a", 0o700, u.UID, u.UID)
		h.Mkdir("/home/alice/a/k", 0o755, 0, 0)
		h.PamHost(kit.Steps("open", "close", "end")...).RC("open", host.PAMSuccess)
		own := kit.Instance("alice")
		h.Mkdir(own+"/roots", 0o700, 0, 0)
		args := []string{"strace", "-f", "-qq", "-o", "/dev/stdout", "-e", "trace=unshare", "-e", "inject=unshare:signal=SIGSTOP:when=2", h.Built("pamhost")}
		p := h.Start(append(args, kit.Steps("open", "root-exec:grep -c ' /home/alice/a/' /proc/self/mountinfo", "close", "end")...)...)
		worker := p.Expect(`(\d+) +--- stopped by SIGSTOP`)[1]
		h.MustRun("mv", own+"/k", own+"/gone")
		h.MustRun("mv", own+"/roots", own+"/k")
		h.MustRun("kill", "-CONT", worker)
		p.Expect(`"Step":"root-exec","Pid":\d+,"RC":1,"Text":"0"`)
		p.Wait()
		h.WaitLog(`keep: left out: "k" \(its mount point was replaced at this moment\)`)
	})
}

// Sessions that share a namespace share what is kept.
func TestKeepShared(t *testing.T) {
	kit.Story(t, "[namespace]\nscope = \"user\"\n"+kit.OwnTmp+kit.KeepX, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("polyinst", "prepare")
		look := "readlink /proc/self/ns/mnt; " + kit.WhichX
		p := h.Start("su", "alice", "-c", look+"; echo ready; cat")
		first := p.Expect(`(?s)(.*)\nready`)[1]
		second := h.MustRun("su", "alice", "-c", look)
		host.Equal(h, "the second session", second, first)
		host.Equal(h, "the directory", second[strings.Index(second, "\n")+1:], h.FileID(kit.X11Dir))
		p.CloseInput()
		p.Wait()
	})
}

const (
	unitTmp     = "/tmp/systemd-private-1-desk.service-x"
	keepPattern = `keep = ["systemd-private-*"]` + "\n"
)

// What systemd makes for the private /tmp of a unit is there in a session of the
// unit's, which mounts it: links in it work, nobody but root enters it, and its
// mount point goes with it. What others have made under such names is not seen.
func TestKeepPattern(t *testing.T) {
	kit.Story(t, kit.OwnTmp+keepPattern, []string{"pamhost", "su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.Sh("install -d -m 700 " + unitTmp + "; install -d -m 1777 " + unitTmp + "/tmp; cd " + unitTmp + "/tmp; echo found > file; ln -s file link; " +
			"install -d -o bob -m 1777 /tmp/systemd-private-of-bob; ln -s /etc /tmp/systemd-private-link; mkdir /tmp/of-root")
		mounts := "unshare -m sh -c 'mount --bind " + unitTmp + "/tmp /tmp && cat /tmp/link; ls /tmp'"
		for range 2 {
			h.Match("plan", h.MustRun("polyinst", "explain", "alice", "--service=su"), `systemd-private-1-desk`)
			tr := h.PamHost(kit.Steps("open", "exec:ls -A /tmp; ls "+unitTmp+" 2>&1", "root-exec:"+mounts, "root-exec:polyinst list --json", "close", "end")...)
			tr.RC("open", host.PAMSuccess)
			h.Match("list", tr.All("root-exec")[1].Text, `"keep":\s*\[\s*"systemd-private-1-desk.service-x"\s*\]`)
			h.Match("the session", tr.Step("exec").Text, `^systemd-private-1-desk.service-x\n.*Permission denied`)
			host.Equal(h, "the unit's own", strings.Fields(tr.All("root-exec")[0].Text)[0], "found")
		}

		// the unit starts anew, under another name
		own := kit.Instance("alice")
		h.Sh("mv " + unitTmp + " /tmp/systemd-private-2; install -d " + own + "/systemd-private-full/x; install -d -o alice " + own + "/systemd-private-hers")
		host.Equal(h, "after a start", strings.Join(strings.Fields(h.MustRun("su", "alice", "-c", "ls -A /tmp")), " "),
			"systemd-private-2 systemd-private-full systemd-private-hers")
		host.Equal(h, "mount points", strings.Join(h.Names(own), " "), "systemd-private-2 systemd-private-full systemd-private-hers")
		for _, l := range h.ModuleLog() {
			if strings.Contains(l.String(), "keep") {
				t.Errorf("logged: %s", l)
			}
		}
	})
}

// A pattern stands for so many directories and no more, which is told; names of
// other users' count for nothing.
func TestKeepPatternIsBounded(t *testing.T) {
	kit.Story(t, kit.OwnTmp+keepPattern, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.Sh("cd /tmp; mkdir $(seq -f systemd-private-0%g 1 500); chown bob systemd-private-0*")
		h.Sh("for i in $(seq 101 164); do mkdir -m 700 /tmp/systemd-private-$i; done")
		host.Equal(h, "64 of root's", h.MustRun("su", "alice", "-c", "ls -A /tmp | wc -l"), "64")
		h.Sh("mkdir -m 700 /tmp/systemd-private-165; mkdir -m 777 /tmp/systemd-private-001")
		host.Equal(h, "of 66 of root's", h.MustRun("su", "alice", "-c", "grep -c ./tmp/systemd-private-1 /proc/self/mountinfo"), "63")
		h.WaitLog(`^<4>.*polydir "/tmp": keep: left out: "systemd-private-001" \(mode 0777.*, "systemd-private-\*" \(more than 64 directories: the others are left out\)`)
		h.Match("check", h.Cmd("polyinst", "check").Stderr, `warning: polydir "/tmp": keep: "systemd-private-\*": more than 64 directories`)
	})
}
