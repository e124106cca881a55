package locks

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// debugging is the session line, with what only debug tells.
const debugging = "session required pam_polyinst.so debug"

// A process that lives on by forking beside a thousand that sleep is in its session's
// namespace all the time: neither close nor gc takes the tmpdir from it, nor is the record
// forgotten. With its last process all that goes.
func TestCometIsNotMissed(t *testing.T) {
	kit.Story(t, kit.Tmpdir, []string{"su"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		h.Command(h.Built("comet"), "1000", "/home/alice/end").As(alice).Must() // outside
		h.MustRun("su", "alice", "-c", h.Built("comet")+" 0 /home/alice/end </dev/null; touch /tmp/file")
		left := kit.Instances(h)
		host.Equal(h, "tmpdirs after close", len(left), 1)
		for range 4 {
			h.MustRun("polyinst", "gc")
		}
		host.Equal(h, "after gc", fmt.Sprint(kit.Instances(h)), fmt.Sprint(left))
		host.Equal(h, "records after gc", len(kit.Records(h)), 1)
		h.Match("it is listed", h.MustRun("polyinst", "list"), `(?m)^alice +su `)
		h.WriteFile("/home/alice/end", "")
		if left := kit.StillRunning("comet"); len(left) > 0 {
			t.Fatal(left)
		}
		h.MustRun("polyinst", "gc")
		host.Equal(h, "after its end", fmt.Sprint(len(kit.Instances(h)), len(kit.Records(h))), "0 0")
	})
}

// A process in a chroot does not see all of its namespace's mounts. Even if no other
// process is there, gc keeps the instance, and list knows the session.
func TestChrootedProcessKeepsItsDirectory(t *testing.T) {
	for name, c := range map[string]struct{ config, gc string }{
		"tmpdir":     {kit.Tmpdir, "polyinst gc"},
		"persistent": {kit.OwnTmp, "polyinst gc --older-than 30d"},
	} {
		t.Run(name, func(t *testing.T) {
			kit.Story(t, c.config, []string{"pamhost"}, func(h *host.Host) {
				h.AddUser("alice")
				h.Fifo("/run/in")
				h.Fifo("/run/go")
				h.PamHost(kit.Steps("open", "root-exec:setsid sh -c 'exec 3<>/run/go; echo in > /run/in; exec chroot /usr sh -c \"read line <&3\"' >/dev/null 2>&1 </dev/null & cat /run/in", "close", "end")...).RC("close", 0)
				before := kit.Instances(h)
				host.Equal(h, "instances", len(before), 1)
				if name == "persistent" {
					h.MustRun("touch", "-d", "40 days ago", kit.TmpParent+"/.lock/alice")
				}
				h.Match("gc", h.Sh(c.gc), "kept .*: in use")
				host.Equal(h, "after gc", fmt.Sprint(kit.Instances(h)), fmt.Sprint(before))
				n := kit.List(h).Namespaces
				host.Equal(h, "listed", fmt.Sprintf("%d %s %v", len(n), n[0].User, n[0].Polydirs[0].Covered), "1 alice true")
				h.MustRun("polyinst", "enter", "alice", "--", "touch", "/tmp/mine")
				host.Equal(h, "entered", h.Exists(kit.TmpParent+"/"+before[0]+"/mine"), true)
				h.Sh("echo go > /run/go")
				if left := kit.StillRunning("chroot"); len(left) > 0 {
					t.Fatal(left)
				}
			})
		})
	}
}

// A directory that is only called like bob's tmpdir is none, wherever it is mounted: it
// keeps bob's from being removed neither at close nor by gc.
func TestNameAloneIsNoUse(t *testing.T) {
	kit.Story(t, kit.Tmpdir, []string{"su"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		h.AddUser("bob")
		var held []*host.Process
		mount := func() {
			h.T.Helper()
			p := h.Command(h.Built("attacker"), "likely:/home/alice,/home/alice/"+kit.Instances(h)[0]).As(alice).Start()
			p.Expect("attacking")
			held = append(held, p)
			h.Sh("until cat /proc/[0-9]*/mountinfo 2>/dev/null | grep -q '/home/alice/[.]tmpdir'; do :; done")
		}
		bob := h.Start("su", "bob", "-c", "echo ready; cat")
		bob.Expect("ready")
		mount()
		bob.CloseInput()
		bob.Wait()
		host.Equal(h, "after close", len(kit.Settled(h, 0)), 0)

		killed := h.Start("su", "bob", "-c", "echo ready; cat")
		killed.Expect("ready")
		mount()
		killed.KillHard()
		killed.CloseInput()
		if left := kit.StillRunning("cat"); len(left) > 0 {
			t.Fatal(left)
		}
		h.MustRun("polyinst", "gc")
		host.Equal(h, "after gc", len(kit.Settled(h, 0)), 0)
		for _, p := range held {
			p.CloseInput()
			p.Wait()
		}
	})
}

// A user who mounts a directory thousands of names deep, again and again, makes others'
// logouts read no more than a little, and gc and metrics take no memory for it.
func TestMountBomb(t *testing.T) {
	kit.Story(t, kit.Tmpdir, []string{"su"}, func(h *host.Host) {
		h.Forks() // else close looks at nothing
		h.PAM("su", host.Stack(debugging)...)
		alice := h.AddUser("alice")
		h.AddUser("bob")
		bob := h.Start("su", "bob", "-c", "echo ready; cat")
		bob.Expect("ready")
		// not the attacker's move of that name, which ends and begins again
		bomb := h.Command("unshare", "-U", "-r", "-m", h.Built("attacker"), "in-own-userns", "bomb", "/home/alice", "1500").As(alice).Start()
		bomb.Expect("mounted <nil>")
		// 4 GB it was once; Go itself reserves some hundreds of MB
		const bounded = "ulimit -v 2000000; "
		h.Sh(bounded + "polyinst gc; polyinst metrics; polyinst list --instances")
		bob.CloseInput()
		bob.Wait()
		h.WaitLog("close: whether another namespace shows .* cannot be told: it is left to `polyinst gc`")
		host.Equal(h, "after close", len(kit.Instances(h)), 1)
		h.Sh(bounded + "polyinst gc")
		host.Equal(h, "after gc", len(kit.Settled(h, 0)), 0)
		bomb.CloseInput()
		bomb.Wait()
	})
}

// While gc is stopped anywhere, whoever it does not just look at gets in.
func TestGcThatIsStoppedHoldsOneAtMost(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.Need("strace")
		users := []string{"ann", "ben", "carol", "dan"}
		for _, user := range users {
			h.AddUser(user)
			h.MustRun("su", user, "-c", "touch /tmp/file")
		}
		for n := 1; n <= 40; n++ {
			for _, user := range users {
				h.Sh("mkdir -p -m 1777 " + kit.Instance(user) + " " + kit.TmpParent + "/.lock/" + user + "; chown " + user + ": " + kit.TmpParent + "/.lock/" + user + "; chmod 700 " + kit.TmpParent + "/.lock/" + user)
				h.MustRun("touch", "-d", "40 days ago", kit.TmpParent+"/.lock/"+user)
			}
			h.Sh("rm -f /run/trace /run/finished")
			gc := h.Start("sh", "-c", fmt.Sprintf("strace -f -qq -o /run/trace -e trace=flock,unlinkat -e inject=flock,unlinkat:signal=SIGSTOP:when=%d polyinst gc --older-than 30d; echo > /run/finished", n))
			h.Sh("until [ -e /run/finished ] || grep -qs 'stopped by SIGSTOP' /run/trace; do :; done")
			stopped := strings.Contains(h.ReadFile("/run/trace"), "stopped by SIGSTOP")
			if stopped {
				held := 0
				for _, user := range users {
					// flock(1) makes what it does not find
					if h.Exists(kit.TmpParent+"/.lock/"+user) && h.Cmd("flock", "-n", kit.TmpParent+"/.lock/"+user, "true").Code != 0 {
						held++
					}
				}
				if held > 1 {
					t.Errorf("stopped at step %d, gc holds %d instances", n, held)
				}
				// strace counts for each thread: others may be stopped as well
				h.Sh("until [ -e /run/finished ]; do kill -CONT $(pidof polyinst) 2>/dev/null || :; done")
			}
			gc.Wait()
			if !stopped {
				host.Equal(h, "some steps were tried", n > 3, true)
				return
			}
		}
	})
}

// A session of alice's that somebody stops, wherever it is in its work on the records,
// is waited for by nobody: neither by bob's, nor by gc, nor by root.
func TestStoppedHolderHoldsNobodyUp(t *testing.T) {
	for name, config := range map[string]string{"session": kit.Tmpdir, "user": kit.PerUser(kit.Tmpdir)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, config, []string{"pamhost", "su"}, func(h *host.Host) {
				h.Need("strace")
				h.AddUser("alice")
				h.AddUser("bob")
				h.MustRun("su", "bob", "-c", "true") // the directory of the records is there
				stops := 0
				for n := 1; n <= 60; n++ {
					h.Sh("rm -f /run/trace /run/finished")
					alice := h.Start("sh", "-c", fmt.Sprintf("strace -f -qq -o /run/trace -P /run/polyinst -P /run/polyinst/user.2001 -e trace=flock,renameat,renameat2,unlinkat,openat2,openat,mkdirat,getdents64 "+
						"-e inject=flock,renameat,renameat2,unlinkat,openat2,openat,mkdirat,getdents64:signal=SIGSTOP:when=%d %s user=alice start open close end; echo > /run/finished", n, h.Built("pamhost")))
					h.Sh("until [ -e /run/finished ] || grep -qs 'stopped by SIGSTOP' /run/trace; do :; done")
					if h.Exists("/run/finished") {
						alice.Wait()
						break
					}
					stops++
					for _, command := range []string{"su bob -c true", "polyinst gc", "polyinst list"} {
						if r := h.Cmd("timeout", "5", "sh", "-c", command); r.Code != 0 {
							t.Errorf("stopped at step %d: %s\n%s", n, r, h.ReadFile("/run/trace"))
							break
						}
					}
					h.Sh("until [ -e /run/finished ]; do kill -CONT $(pidof pamhost) 2>/dev/null || :; done")
					alice.Wait()
					if t.Failed() {
						return
					}
				}
				host.Equal(h, "there were some steps", stops >= 3, true)
			})
		})
	}
}

// Sessions that have ended leave no records for ever: who comes later removes them, and
// needs no gc for it.
func TestRecordsDoNotPileUp(t *testing.T) {
	for name, config := range map[string]string{"tmpdir": kit.Tmpdir, "persistent": kit.OwnTmp, "shared": kit.PerUser(kit.Tmpdir)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, config, []string{"su", "pamhost"}, func(h *host.Host) {
				h.AddUser("alice")
				p := h.Start("su", "alice", "-c", "echo ready; cat")
				p.Expect("ready")
				for range 30 {
					h.MustRun("su", "alice", "-c", "true")
				}
				records := func() int { return strings.Count(strings.Join(kit.Records(h), " "), "mnt.") }
				if n := records(); n > 3 {
					t.Errorf("%d records of one session that lives", n)
				}
				host.Equal(h, "the one that lives is known", len(kit.List(h).Namespaces), 1)
				p.CloseInput()
				p.Wait()
			})
		})
	}
}

// A /run that is full lets nobody in without their directories: a user could bring that
// about. What can be removed from it is, and then there is room. Root has to be let in.
func TestFullRunRescuesNobody(t *testing.T) {
	config := strings.Replace(kit.OwnTmp, `except          = ["root"]`, "", 1)
	kit.Story(t, "[namespace]\nrescue = [\"root\", \"bob\"]\n"+config, []string{"su", "pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.Sh("mount -t tmpfs -o size=1M,mode=755 none /run; mkdir -m 700 /run/polyinst")
		h.MustRun("su", "alice", "-c", "true")
		ended := kit.Records(h)
		host.Equal(h, "records", len(ended), 1)
		h.Sh("dd if=/dev/zero of=/run/filler bs=4k 2>/dev/null || :")
		h.Agrees("alice", "su", func() { host.Equal(h, "in place of one that has ended", kit.Admitted(h, "alice"), true) })
		host.Equal(h, "records", len(kit.Records(h)), 1)
		h.Sh("rm /run/polyinst/*; dd if=/dev/zero of=/run/filler2 bs=4k 2>/dev/null || :")
		for _, user := range []string{"alice", "bob"} {
			h.Agrees(user, "su", func() { host.Equal(h, user, kit.Admitted(h, user), false) })
		}
		h.WaitLog(`session refused for "bob": the records of sessions: .*no space left on device`)
		tr := h.PamHost("user=root", "start", "open", "close", "end")
		tr.RC("open", host.PAMSuccess)
		h.WaitLog(`rescue: "root" is admitted`)
	})
}

// Namespaces of a user's sessions are counted as that user's, not as root's: who keeps
// as many as there may be, by processes or by descriptors, keeps nobody else out.
func TestNamespacesCountAsTheUsers(t *testing.T) {
	kit.Story(t, "[namespace]\nipc = \"private\"\n"+kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		// in a user namespace of its own, which has limits that are not the machine's
		h.WriteFile("/root/inside", `mount -t proc proc /proc
echo 30 >/proc/sys/user/max_mnt_namespaces
echo 30 >/proc/sys/user/max_ipc_namespaces
for n in $(seq 32); do
	su alice -c 'sleep 1000 >/dev/null 2>&1 </dev/null &' 2>/dev/null || break
done
echo alice has $n
su bob -c 'echo bob is in' || :
`)
		h.WriteFile("/root/below", `unshare -U sh -c 'echo >/root/ready; read go </root/mapped; exec setpriv --reuid 0 --regid 0 --clear-groups unshare -m -p -f --kill-child --propagation private sh /root/inside' &
read go </root/ready
echo 0 0 65536 >/proc/$!/uid_map
echo 0 0 65536 >/proc/$!/gid_map
echo >/root/mapped
wait
`)
		h.Fifo("/root/ready")
		h.Fifo("/root/mapped")
		out := h.MustRun("sh", "/root/below")
		h.Match("how many sessions of alice's there may be", out, "alice has (2[5-9]|3[01])\n")
		h.Match("bob", out, "bob is in")
	})
}

// Numbers of namespaces are used again: a session of bob's that is built on carol's view
// never joins one of bob's that was built on alice's.
func TestSharedIsNotBuiltOnAnothersView(t *testing.T) {
	config := "[namespace]\nscope = \"user\"\nnested = \"keep\"\n" + strings.Replace(kit.OwnTmp, `["root"]`, `["root", "bob"]`, 1) + `
[[polydir]]
path            = "/var/tmp"
instance_prefix = "/var/lib/polyinst/var/"
method          = "user"
except          = ["root"]
`
	kit.Story(t, config, []string{"su", "runuser"}, func(h *host.Host) {
		for _, user := range []string{"alice", "bob", "carol"} {
			h.AddUser(user)
		}
		h.Fifo("/run/in")
		h.MustRun("chmod", "666", "/run/in")
		number := func(out string) string { return out[strings.LastIndex(out, "mnt:["):][:16] }
		first := kit.InASession(h, kit.ShowMountNS+"; runuser bob -c 'setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo in'")
		alices := number(first)
		for range 50 {
			h.WriteFile("/run/nest/run", "#!/bin/sh\n"+kit.ShowMountNS+"; stat -c 'carols %d:%i' /tmp; runuser bob -c 'stat -c \"bobs %d:%i\" /tmp'\n", 0o755)
			tr := h.PamHost("service=su", "user=carol", "start", "acct", "open", "root-exec:/run/nest/run 2>&1", "close", "end")
			tr.RC("open", host.PAMSuccess)
			out := tr.Step("root-exec").Text
			if want := h.FileID(kit.Instance("carol")); !strings.Contains(out, "bobs "+want) {
				t.Fatalf("bob's session out of carol's view: %s; her instance is %s, alice's %s", out, want, h.FileID(kit.Instance("alice")))
			}
			if number(out) == alices {
				return // that is what could have gone wrong
			}
		}
		t.Log("the number of alice's namespace was not used again")
	})
}

// Where the kernel cannot be asked about namespaces, all of this holds as well, by the
// processes: only that a record goes as others log in does not.
func TestOlderKernel(t *testing.T) {
	kit.Story(t, kit.Tmpdir, []string{"pamhost"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		h.AddUser("bob")
		old := func(args ...string) string {
			h.T.Helper()
			return h.MustRun(append([]string{h.Built("oldkernel")}, args...)...)
		}
		open := func(user string, steps ...string) {
			h.T.Helper()
			old(append([]string{h.Built("pamhost"), "user=" + user, "start", "open", "must"}, append(steps, "close", "end")...)...)
		}
		open("bob")
		host.Equal(h, "after close", len(kit.Settled(h, 0)), 0)
		host.Equal(h, "records", strings.Count(strings.Join(kit.Records(h), " "), ".m"), 1)
		old("polyinst", "gc")
		host.Equal(h, "records after gc", len(kit.Records(h)), 0)

		h.Fifo("/run/in")
		h.Fifo("/run/go")
		h.Command(h.Built("comet"), "1000", "/home/alice/end").As(alice).Must() // outside
		open("alice", "exec:"+h.Built("comet")+" 0 /home/alice/end </dev/null >/dev/null 2>&1")
		open("bob", "root-exec:setsid sh -c 'exec 3<>/run/go; echo in > /run/in; exec chroot /usr sh -c \"read line <&3\"' >/dev/null 2>&1 </dev/null & cat /run/in")
		host.Equal(h, "of the comet and the chrooted", len(kit.Instances(h)), 2)
		for range 3 {
			h.Match("gc", old("polyinst", "gc"), "0 instances, 2 kept")
		}
		host.Equal(h, "records of live namespaces", len(kit.Records(h)), 2)
		// by the processes, one that ends while it is looked at shows nothing: once is enough
		for end := time.Now().Add(host.Patience); !regexp.MustCompile(`(?m)^alice +pamhost`).MatchString(old("polyinst", "list")); {
			if time.Now().After(end) {
				t.Fatal("alice's namespace is never listed")
			}
		}

		h.WriteFile("/home/alice/end", "")
		h.Sh("echo go > /run/go")
		if left := kit.StillRunning("comet", "chroot", "sh"); len(left) > 0 {
			t.Fatal(left)
		}
		h.Match("gc", old("polyinst", "gc"), "2 instances, 0 kept")
		host.Equal(h, "records at the end", len(kit.Records(h)), 0)
	})
}

// A turn that is not let go of, as by a session that somebody stopped who may run
// commands as the user, keeps nobody out: who comes gets a namespace of their own.
func TestTurnThatIsNotLetGo(t *testing.T) {
	kit.Story(t, "[namespace]\nscope = \"user\"\ntimeout = \"3s\"\n"+kit.Tmpdir, []string{"su"}, func(h *host.Host) {
		h.Forks() // else close needs no turn
		h.PAM("su", host.Stack(debugging)...)
		h.AddUser("alice")
		p := h.Start("su", "alice", "-c", kit.ShowMountNS+"; cat")
		shared := p.Expect(`mnt:\[\d+\]`)[0]
		held := h.Start("flock", "/run/polyinst/user.2001", "sh", "-c", "echo held; cat")
		held.Expect("held")
		if own := h.MustRun("su", "alice", "-c", kit.ShowMountNS); own == shared {
			t.Error("it joined without having looked")
		}
		h.WaitLog(`another session of the user is being opened or closed, and does not come to an end: this session gets a namespace of its own`)
		host.Equal(h, "tmpdirs", len(kit.Instances(h)), 1)
		p.CloseInput()
		p.Wait()
		h.WaitLog("the tmpdir instances of .* are left to `polyinst gc`")
		host.Equal(h, "tmpdirs after close", len(kit.Instances(h)), 1)
		h.MustRun("polyinst", "gc")
		host.Equal(h, "after gc", len(kit.Settled(h, 0)), 0)
		held.CloseInput()
		held.Wait()
		host.Equal(h, "then they share again", h.MustRun("su", "alice", "-c", "true"), "")
	})
}
