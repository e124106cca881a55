package close

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// Old persistent instances go when that is asked for, by the time of their last
// open; never one in use, one that is being opened, or one of unknown age.
func TestGcOlderThan(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		for _, user := range []string{"old", "new", "busy", "opening", "shared"} {
			h.AddUser(user)
			h.MustRun("su", user, "-c", "touch /tmp/file")
			if user != "new" {
				h.MustRun("touch", "-d", "40 days ago", kit.TmpParent+"/.lock/"+user)
			}
		}
		h.Mkdir(kit.TmpParent+"/migrated", 0o1777, 0, 0)
		h.MustRun("touch", "-d", "2001-01-01", kit.TmpParent+"/migrated", kit.Instance("new"))
		busy := h.Start("su", "busy", "-c", "echo ready; cat")
		busy.Expect("ready")
		h.MustRun("touch", "-d", "40 days ago", kit.TmpParent+"/.lock/busy")
		opening := h.Start("flock", "-s", kit.TmpParent+"/.lock/opening", "sh", "-c", "echo ready; cat")
		opening.Expect("ready")

		before := fmt.Sprint(kit.Instances(h))
		h.MustRun("polyinst", "gc")
		h.MustRun("polyinst", "gc", "--older-than", "6w")
		host.Equal(h, "without it, and with a longer time", fmt.Sprint(kit.Instances(h)), before)
		dry := h.MustRun("polyinst", "gc", "--older-than", "30d", "--dry-run")
		h.Match("dry run", dry, `(?m)^would remove `+kit.Instance("old")+`: it was last opened 40 days ago$`)
		h.Match("its end", dry, `\nto be removed: 2 instances, 3 kept$`)
		host.Equal(h, "after the dry run", fmt.Sprint(kit.Instances(h)), before)

		var out struct {
			Schema        int
			DryRun        bool `json:"dry_run"`
			Removed, Kept []struct{ Path, Reason string }
		}
		if err := json.Unmarshal([]byte(h.MustRun("polyinst", "gc", "--older-than", "30d", "--json")), &out); err != nil {
			t.Fatal(err)
		}
		host.Equal(h, "schema", fmt.Sprint(out.Schema, out.DryRun), "1 false")
		host.Equal(h, "removed", fmt.Sprint(out.Removed[0].Path, " ", out.Removed[1].Path, " ", len(out.Removed)), kit.Instance("old")+" "+kit.Instance("shared")+" 2")
		kept := fmt.Sprint(out.Kept)
		for _, want := range []string{kit.Instance("busy") + " in use", kit.Instance("opening") + " a session is being opened", kit.Instance("migrated") + " it is not recorded"} {
			if !strings.Contains(kept, want) {
				t.Errorf("kept: no %q in %s", want, kept)
			}
		}
		host.Equal(h, "left", fmt.Sprint(len(kit.Instances(h)), h.Exists(kit.Instance("old")), h.Exists(kit.TmpParent+"/.lock/old")), "4 false false")
		busy.CloseInput()
		busy.Wait()
		opening.CloseInput()
		opening.Wait()
		kit.SeesOwnTmp(h, "old", true) // the next session makes a new one

		for _, age := range []string{"", "0d", "30", "d", "-1d", "30y"} {
			host.Equal(h, "age "+age, h.Cmd("polyinst", "gc", "--older-than="+age).Code, 2)
		}
	})
}

// A session that opens the instance between the look and the lock keeps it.
func TestGcLooksAgainUnderTheLock(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		h.MustRun("su", "alice", "-c", "touch /tmp/file")
		h.MustRun("touch", "-d", "40 days ago", kit.TmpParent+"/.lock/alice")
		gc := h.Start("strace", "-f", "-qq", "-e", "trace=flock", "-e", "inject=flock:delay_enter=1500000", "polyinst", "gc", "--older-than", "30d")
		gc.Expect(`flock\(`)
		h.MustRun("su", "alice", "-c", "true")
		gc.Wait()
		if !h.Exists(kit.Instance("alice") + "/file") {
			t.Error("an instance that was opened just now is gone")
		}
	})
}

// Long work shows a bar with its total on a terminal, and nowhere else. strace
// makes it long.
func TestProgressBar(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.Need("strace")
		for i := range 4 {
			h.Mkdir(fmt.Sprint(kit.TmpParent, "/.new.user", i), 0o700, 0, 0)
			h.Mkdir(fmt.Sprint(kit.TmpParent, "/user", i), 0o1777, 0, 0)
		}
		slow := "strace -f -qq -o /dev/null -e trace=getdents64,unlinkat -e inject=getdents64,unlinkat:delay_enter=150000"
		for i := range 4 {
			slow += fmt.Sprint(" -P ", kit.TmpParent, "/user", i)
		}
		slow += " -P " + kit.TmpParent + " polyinst "
		for _, c := range [][2]string{{"list --instances", `summing up \(\d+ entr\w+\) .*\d/8`}, {"gc", `removing \(\d+ entr\w+\) .*\d/4`}} {
			command, total := c[0], c[1] // in this order: gc removes what list sums up
			r := h.Sh(slow + command + " 2>&1 >/dev/null")
			host.Equal(h, command+": not on a terminal", r, "")
			if command == "gc" { // again, with something to do
				for i := range 4 {
					h.Mkdir(fmt.Sprint(kit.TmpParent, "/.new.user", i), 0o700, 0, 0)
				}
			}
			p := h.OnPty("sh", "-c", "TERM=xterm "+slow+command)
			p.Expect(total)
			p.Wait()
		}
	})
}

// On btrfs users make subvolumes, which can be read-only and out of which nothing can be
// moved: they go as well, at close and by gc, and age where they can.
func TestSubvolumes(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Need("mkfs.btrfs", "btrfs", "perl")
		h.Mkdir(host.Parents, 0o755, 0, 0)
		h.MustRun("sh", "-c", "truncate -s 200M /root/image; mkfs.btrfs -q /root/image")
		if r := h.Cmd("mount", "-o", "loop", "/root/image", host.Parents); strings.Contains(r.Stderr, "unknown filesystem type") {
			t.Skip("needs a kernel feature: btrfs")
		} else if r.Code != 0 {
			t.Fatal(r)
		}
		kit.Install(h, strings.Replace(kit.OwnTmp, `"user"`, `"tmpdir"`, 1))
		h.MustRun("polyinst", "prepare")
		h.PAM("su", host.Stack(kit.Session)...)
		h.PAM("pamhost", host.Stack(kit.Session)...)
		h.AddUser("alice")
		deep := "perl -e 'for (1..450) { mkdir q(d) or die; chdir q(d) or die }'; "
		make := "cd /tmp; btrfs -q subvolume create a; mkdir -p a/1/2; btrfs -q subvolume create a/1/2/b; echo x >a/1/2/b/f; (cd a/1/2/b; " + deep + "); (cd a; " + deep + ")" +
			"; btrfs -q subvolume snapshot -r a/1/2/b a/1/2/c; btrfs property set -ts a/1/2/b ro true; btrfs property set -ts a ro true"
		h.MustRun("su", "alice", "-c", make+"; test ! -w a")
		host.Equal(h, "after close", strings.Join(kit.Settled(h, 0), " "), "")
		h.WriteFile("/srv/make", make+"\n")
		killed := h.PamHostCommand("user=alice", "start", "open", "exec:sh /srv/make; test ! -w a; echo made", "pause", "end").Start()
		killed.Expect("made")
		killed.KillHard()
		r := h.Cmd("polyinst", "gc")
		host.Equal(h, "gc", fmt.Sprint(r.Code, r.Stderr), "0")
		host.Equal(h, "after gc", strings.Join(kit.Settled(h, 0), " "), "")

		h.Config(kit.OwnTmp)
		h.MustRun("su", "alice", "-c", make)
		r = h.Cmd("polyinst", "gc", "--files-older-than", "1h")
		host.Equal(h, "by age", fmt.Sprint(r.Code, r.Stderr), "0")
	})
}

// Of very many deep directories each is read on where it was left: to read it from the
// beginning, ext4 goes through all that was removed, and so a removal would take an hour
// that ten thousands of directories keep from all others.
func TestRemoveTreeReadsOn(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Need("strace", "perl")
		kit.Install(h, strings.Replace(kit.OwnTmp, `"user"`, `"tmpdir"`, 1))
		h.Forks() // so that gc removes it
		h.PAM("pamhost", host.Stack(kit.Session)...)
		h.AddUser("alice")
		h.WriteFile("/srv/make", "cd /tmp; perl -e 'for (1..210) { mkdir q(d) or die; chdir q(d) or die } for (1..9) { mkdir $_ or die; mkdir qq($_/x) or die }'\n")
		killed := h.PamHostCommand("user=alice", "start", "open", "exec:sh /srv/make; echo made", "pause", "end").Start()
		killed.Expect("made")
		killed.KillHard()
		h.MustRun("strace", "-f", "-y", "-o", "/root/calls", "-e", "trace=lseek", "polyinst", "gc")
		host.Equal(h, "after gc", strings.Join(kit.Settled(h, 0), " "), "")
		on := 0
		for line := range strings.Lines(h.ReadFile("/root/calls")) {
			if strings.Contains(line, "/d/d/") && !strings.Contains(line, ", 0, SEEK_SET)") {
				on++
			}
		}
		if on < 8 {
			t.Errorf("%d of 9 directories are read on after", on)
		}
	})
}

// Directories whose key their user has taken away (fscrypt), and in which nothing can be
// renamed then, go like others, however deep they are.
func TestEncryptedDirectories(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Need("mke2fs")
		h.Mkdir(host.Parents, 0o755, 0, 0)
		h.MustRun("sh", "-c", "truncate -s 64M /root/image; mke2fs -q -t ext4 -O encrypt /root/image; mount -o loop /root/image "+host.Parents)
		kit.Install(h, strings.Replace(kit.OwnTmp, `"user"`, `"tmpdir"`, 1))
		h.MustRun("polyinst", "prepare")
		h.PAM("su", host.Stack(kit.Session)...)
		h.PAM("pamhost", host.Stack(kit.Session)...)
		h.AddUser("alice")
		make := h.Built("attacker") + " encrypt /tmp/locked"
		said := h.MustRun("su", "alice", "-c", make)
		if strings.Contains(said, "operation not supported") {
			t.Skip("needs a kernel feature: fscrypt")
		}
		h.Match("what she made", said, "^encrypted <nil>")
		host.Equal(h, "after close", strings.Join(kit.Settled(h, 0), " "), "")
		killed := h.PamHostCommand("user=alice", "start", "open", "exec:"+make, "pause", "end").Start()
		killed.Expect("encrypted <nil>")
		killed.KillHard()
		r := h.Cmd("polyinst", "gc")
		host.Equal(h, "gc", fmt.Sprint(r.Code, r.Stderr), "0")
		host.Equal(h, "after gc", strings.Join(kit.Settled(h, 0), " "), "")
	})
}

// A name that a user chose makes no line of its own in what a command of root's says,
// and does not play with root's terminal.
func TestNamesInErrors(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.Need("perl")
		alice := h.AddUser("alice")
		h.MustRun("su", "alice", "-c", `cd /tmp; perl -e 'my $n = "x\e]0;owned\a\npolyinst: all is well"; mkdir $n; chdir $n; for (1..2001) { mkdir "d"; chdir "d" }'`)
		h.MustRun("usermod", "-u", "3001", "alice")
		r := h.Cmd("polyinst", "prepare", "--repair", kit.Instance("alice"), "--from-uid", fmt.Sprint(alice.UID))
		host.Equal(h, "exit status", r.Code, 1)
		h.Match("the name", r.Stderr, `(?m)^polyinst: chown `+kit.Instance("alice")+`/x\\x1b\]0;owned\\a\\npolyinst: all is well/d/d/.*: deeper than 2000 directories$`)
		if strings.ContainsAny(r.Stderr, "\x1b\a") || strings.Count(r.Stderr, "\n") != 1 {
			t.Errorf("%q", r.Stderr)
		}
	})
}
