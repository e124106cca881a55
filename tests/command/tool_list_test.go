package command

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

func TestList(t *testing.T) {
	kit.Story(t, kit.OwnTmp+kit.TmpfsShm, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		r := h.Cmd("polyinst", "list")
		host.Equal(h, "nobody is logged in: exit status, output", fmt.Sprint(r.Code, r.Stdout), "0")
		host.Equal(h, "as JSON", len(kit.List(h).Namespaces), 0)

		before := time.Now().Add(-2 * time.Second)
		a := h.Start("su", "alice", "-c", "echo ready; sleep 1000 & cat")
		a.Expect("ready")
		b := h.Start("su", "bob", "-c", "echo ready; cat")
		b.Expect("ready")
		all := kit.List(h).Namespaces
		host.Equal(h, "namespaces", len(all), 2)
		n := all[0]
		host.Equal(h, "whose", fmt.Sprint(n.User, n.Service, n.Scope), "alicesusession")
		host.Equal(h, "processes", len(n.PIDs), 4) // su, sh, sleep, cat
		host.Equal(h, "its id", fmt.Sprintf("mnt:[%d]", n.Namespace), h.MustRun("readlink", fmt.Sprintf("/proc/%d/ns/mnt", n.PIDs[0])))
		if n.Since.Before(before) || n.Since.After(time.Now()) {
			t.Errorf("since %v, now is %v", n.Since, time.Now())
		}
		host.Equal(h, "polydirs", len(n.Polydirs), 2)
		host.Equal(h, "/tmp", *n.Polydirs[0].Instance, kit.Instance("alice"))
		host.Equal(h, "/dev/shm", n.Polydirs[1].Instance, nil)
		host.Equal(h, "covered", n.Polydirs[0].Covered && n.Polydirs[1].Covered, true)

		out := h.MustRun("polyinst", "list")
		h.Match("the table", out, `(?m)^USER +SERVICE +SINCE +SCOPE +PID +PROCS +WORKER +POLYDIR +INSTANCE\nalice +su +\S+ +session +\d+ +4 +(?:ready|forked) +/tmp +`+kit.Instance("alice")+`\nalice +/dev/shm +tmpfs\nbob +su`)
		if strings.Contains(out, "\x1b") {
			t.Error("colour without a terminal")
		}

		// what root takes off is told
		h.MustRun("nsenter", "-t", fmt.Sprint(n.PIDs[0]), "-m", "umount", "-l", "/tmp")
		host.Equal(h, "covered after umount", kit.List(h).Namespaces[0].Polydirs[0].Covered, false)
		b.CloseInput()
		b.Wait()
		host.Equal(h, "after bob's end", len(kit.List(h).Namespaces), 1)
		a.Kill()
		r = h.Command("polyinst", "list").As(h.AddUser("carol")).Run()
		host.Equal(h, "a user: exit status", r.Code, 1)
		h.Match("a user", r.Stderr, "^polyinst: list needs root")
	})
}

// A record whose id another namespace has by now is not believed, nor one whose
// namespace was only copied.
func TestListBelievesNoOldRecord(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		a := h.Start("su", "alice", "-c", "echo ready; cat")
		a.Expect("ready")
		n := kit.List(h).Namespaces[0]
		stranger := h.Start("unshare", "-m", "sh", "-c", "readlink /proc/self/ns/mnt; cat")
		id := stranger.Expect(`mnt:\[(\d+)\]`)[1]
		old := kit.RecordFile(h, n.Namespace)
		h.WriteFile("/run/polyinst/mnt."+id, strings.Replace(h.ReadFile(old), fmt.Sprint(n.Namespace), id, 1), 0o600)
		h.WriteFile("/run/polyinst/mnt.1", "{broken", 0o600)
		r := h.Cmd("polyinst", "list")
		host.Equal(h, "exit status", r.Code, 0)
		host.Equal(h, "lines", strings.Count(r.Stdout, "\n"), 2)
		h.Match("the broken one is told", r.Stderr, `/run/polyinst/mnt\.1: `)
		stranger.Kill()
		a.Kill()
	})
}

func TestListOnATerminal(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		a := h.Start("su", "alice", "-c", "echo ready; cat")
		a.Expect("ready")
		shown := h.OnPty("sh", "-c", "stty cols 60; TERM=xterm polyinst list; echo end").Wait().Stdout
		h.Match("bold", shown, `\x1b\[1mUSER`)
		for line := range strings.Lines(shown) {
			line = strings.NewReplacer("\x1b[1m", "", "\x1b[0m", "", "\r", "", "\n", "").Replace(line)
			if n := len([]rune(line)); n > 60 {
				t.Errorf("%d columns of 60: %q", n, line)
			}
		}
		shown = h.OnPty("sh", "-c", "NO_COLOR=1 TERM=xterm polyinst list; echo end").Wait().Stdout
		if strings.Contains(shown, "\x1b") {
			t.Errorf("colour with NO_COLOR: %q", shown)
		}
		a.Kill()
	})
}

func TestListInstances(t *testing.T) {
	kit.Story(t, kit.OwnTmp+kit.TmpdirVarTmp, []string{"su"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		h.AddUser("bob")
		h.AddUser("gone")
		for _, user := range []string{"bob", "gone"} {
			h.MustRun("su", user, "-c", "true")
		}
		h.RemoveUser("gone")
		h.MustRun("touch", "-d", "2020-01-01", kit.TmpParent+"/.lock/bob")
		h.Mkdir(kit.TmpParent+"/migrated", 0o1777, 0, 0)
		a := h.Start("su", "alice", "-c", "dd if=/dev/zero of=/tmp/big bs=1M count=3 status=none; ln /tmp/big /tmp/again; echo ready; cat")
		a.Expect("ready")
		// what is mounted in an instance is not summed up
		mountpoint := kit.Instance("alice") + "/mount"
		h.Mkdir(mountpoint, 0o755, 0, 0)
		h.MustRun("mount", "-t", "tmpfs", "none", mountpoint)
		h.MustRun("dd", "if=/dev/zero", "of="+mountpoint+"/other", "bs=1M", "count=5", "status=none")

		byName := map[string]int{}
		all := kit.List(h, "--instances").Instances
		for i, x := range all {
			byName[strings.TrimPrefix(x.Path, host.Parents+"/")] = i
		}
		host.Equal(h, "instances", len(all), 5)
		x := all[byName["tmp/alice"]]
		host.Equal(h, "alice's", fmt.Sprint(*x.User, *x.UID, x.Owner, x.Mode, x.State), fmt.Sprint("alice", alice.UID, 0, "1777", "in use"))
		if *x.Bytes < 3<<20 || *x.Bytes > 4<<20 {
			t.Errorf("alice's instance: %d bytes, want 3M and a little", *x.Bytes)
		}
		x = all[byName["tmp/bob"]]
		host.Equal(h, "bob's", x.State, "idle")
		host.Equal(h, "bob's last open", x.LastOpen.Year(), 2020)
		x = all[byName["tmp/gone"]]
		host.Equal(h, "the orphan", fmt.Sprint(x.User == nil, x.State), "truestale")
		h.Match("why", x.Reason, "no account with uid")
		x = all[byName["tmp/migrated"]]
		host.Equal(h, "one of pam_namespace's", fmt.Sprint(x.User == nil, x.UID == nil, x.LastOpen == nil, x.State), "true true trueidle")
		host.Equal(h, "without sizes", kit.List(h, "--instances", "--sizes=false").Instances[0].Bytes, nil)
		h.Match("the table", h.MustRun("polyinst", "list", "--instances"), `(?m)^alice +0 +1777 +3\.0M +\ds ago +in use by process \d+ +`+kit.Instance("alice")+`$`)
		a.CloseInput()
		a.Wait()
		host.Equal(h, "after the session", kit.List(h, "--instances").Instances[byName["tmp/alice"]].State, "idle")
	})
}

// An instance that only a container shows, which its user left behind, has a
// process beside it that says so.
func TestListShowsWhoHolds(t *testing.T) {
	kit.Story(t, kit.Tmpdir, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		a := h.Start("su", "alice", "-c", `unshare -Urm sh -c 'echo "held by $$"; exec sleep 1000' & cat`)
		pid := a.Expect(`held by (\d+)`)[1]
		a.CloseInput()
		a.Wait()
		host.Equal(h, "namespaces of ours", len(kit.List(h).Namespaces), 0)
		h.Match("gc", h.MustRun("polyinst", "gc"), `kept .*: in use`)
		h.Match("list", h.MustRun("polyinst", "list", "--instances"), `in use by process `+pid+` +/var/lib`)
		h.Match("as JSON", h.MustRun("polyinst", "list", "--instances", "--json"), `"holder": `+pid+`,`)
		h.MustRun("kill", pid)
	})
}
