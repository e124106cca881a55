package close

import (
	"fmt"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// gc knows what is its own: this machine's tmpdirs of sessions that are over,
// and unfinished instances. All else stays.
func TestGcTakesOnlyItsOwn(t *testing.T) {
	kit.Story(t, kit.Tmpdir, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		p := h.Start("su", "alice", "-c", "touch /tmp/mine; echo ready; cat; ls /tmp")
		p.Expect("ready")
		live := kit.Instances(h)[0]
		f := strings.Split(live, ".") // "", tmpdir, machine, boot, random
		older := fmt.Sprintf(".tmpdir.%s.%s.%s", f[2], "00000000", f[4])
		dead := fmt.Sprintf(".tmpdir.%s.%s.%s", f[2], f[3], "0123456789ab")
		foreign := fmt.Sprintf(".tmpdir.%s.%s.%s", "ffffffff", f[3], f[4])
		unfinished := fmt.Sprintf(".tmpdir.%s.%s.%s", f[2], f[3], "ba9876543210")
		for _, name := range []string{older, dead, foreign, ".new.alice", ".new." + unfinished, "alice", ".tmpdir.odd", "notours"} {
			h.Mkdir(kit.TmpParent+"/"+name, 0o755, 0, 0)
			h.WriteFile(kit.TmpParent+"/"+name+"/file", "")
		}
		h.Mkdir(kit.TmpParent+"/.lock/"+f[2]+"-kept", 0, 0, 0)
		gone := fmt.Sprintf(".tmpdir.%s.%s.gone", f[2], f[3])
		for _, name := range []string{gone, dead, unfinished} {
			h.Mkdir(kit.TmpParent+"/.lock/"+name, 0, 0, 0)
		}

		dry := h.MustRun("polyinst", "gc", "--dry-run")
		host.Equal(h, "dry run", strings.Count(dry, "would remove"), 4)
		host.Equal(h, "after a dry run", len(kit.Instances(h)), 9)
		out := h.MustRun("polyinst", "gc")
		h.Match("it says why", out, `removed .*00000000.*earlier boot`)
		h.Match("it says what is in use", out, `kept .*`+f[4]+`: in use`)
		left := strings.Join(kit.Instances(h), " ")
		for _, name := range []string{live, foreign, "alice", ".tmpdir.odd", "notours"} {
			if !strings.Contains(" "+left+" ", " "+name+" ") {
				t.Errorf("%s is gone; left: %s", name, left)
			}
		}
		host.Equal(h, "what is left", len(kit.Instances(h)), 5)
		for _, name := range []string{gone, dead, unfinished} {
			if h.Exists(kit.TmpParent + "/.lock/" + name) {
				t.Errorf("the lock %s of nothing is still there", name)
			}
		}
		p.CloseInput()
		h.Match("the living session", p.Expect("mine")[0], "mine")
		p.Wait()
	})
}

// A process that outlives its session keeps its directory; then gc takes it.
func TestTmpdirOfALeftProcess(t *testing.T) {
	kit.Story(t, kit.Tmpdir, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Fifo("/run/go")
		h.Fifo("/run/done")
		h.MustRun("chmod", "666", "/run/go", "/run/done")
		h.MustRun("su", "alice", "-c", "setsid sh -c 'read line < /run/go; touch /tmp/still; echo done > /run/done' >/dev/null 2>&1 &")
		left := kit.Instances(h)
		host.Equal(h, "instances", len(left), 1)
		h.MustRun("polyinst", "gc")
		host.Equal(h, "instances after gc", len(kit.Instances(h)), 1)
		h.Sh("echo go > /run/go")
		h.ReadFifo("/run/done")
		if !h.Exists(kit.TmpParent + "/" + left[0] + "/still") {
			t.Error("the process lost its directory")
		}
	})
}

// A process of the session in a namespace of its own keeps the directory too.
func TestTmpdirInANamespaceOfItsOwn(t *testing.T) {
	kit.Story(t, kit.Tmpdir, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Fifo("/run/go")
		h.Fifo("/run/done")
		tr := h.PamHost(kit.Steps("open", "root-exec:setsid unshare -m sh -c 'echo in > /run/done; read line < /run/go; touch /tmp/still && echo done > /run/done' >/dev/null 2>&1 & read line < /run/done", "close", "end")...)
		tr.RC("close", host.PAMSuccess)
		host.Equal(h, "instances after close", len(kit.Instances(h)), 1)
		h.MustRun("polyinst", "gc")
		host.Equal(h, "instances after gc", len(kit.Instances(h)), 1)
		h.Sh("echo go > /run/go")
		host.Equal(h, "the process", strings.TrimSpace(h.ReadFifo("/run/done")), "done")
	})
}

// gc beside a login that is under way: what that has made is held by its lock.
func TestGcBesideALogin(t *testing.T) {
	kit.Story(t, kit.Tmpdir, []string{"pamhost"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		args := []string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=move_mount:delay_enter=3000000", h.Built("pamhost")}
		p := h.Command(append(args, kit.Steps("open", "exec:touch /tmp/mine && echo mine", "close", "end")...)...).Start()
		h.Sh("until ls -A " + kit.TmpParent + " | grep -q '^.tmpdir'; do :; done")
		h.Match("gc", h.MustRun("polyinst", "gc"), "kept .*: a session is being opened")
		p.Expect("mine")
		host.Equal(h, "the host", p.Wait().Code, 0)
	})
}

// The records of namespaces that have ended go with gc.
func TestGcForgetsEndedNamespaces(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("su", "alice", "-c", "true")
		p := h.Start("su", "alice", "-c", "echo ready; cat")
		p.Expect("ready")
		h.Sh(`for f in /run/polyinst/mnt.*; do sed -E 's/"(NS|Ever)":[0-9]*/"\1":1/g' $f > /run/polyinst/mnt.1; done; chmod 600 /run/polyinst/mnt.1`)
		h.MustRun("polyinst", "gc")
		host.Equal(h, "records", len(kit.Records(h)), 1)
		p.CloseInput()
		p.Wait()
	})
}

func TestRepair(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Mkdir(kit.Instance("alice"), 0o777, 4000, 4000)
		host.Equal(h, "before", kit.Admitted(h, "alice"), false)
		h.MustRun("polyinst", "prepare", "--repair", kit.Instance("alice"))
		kit.SeesOwnTmp(h, "alice", true)
		if r := h.Cmd("polyinst", "prepare", "--repair", "/etc/passwd"); r.Code == 0 {
			t.Errorf("repaired what is no instance:\n%s", r)
		}
		h.MustRun("ln", "-s", "/etc", kit.Instance("bob"))
		if r := h.Cmd("polyinst", "prepare", "--repair", kit.Instance("bob")); r.Code == 0 {
			t.Errorf("repaired a link:\n%s", r)
		}
	})
}

// A broken file does not stop the collection of what recorded sessions left.
func TestGcWithABrokenFile(t *testing.T) {
	kit.Story(t, kit.Tmpdir, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		killed := h.PamHostCommand(kit.Steps("open", "exec:echo ready", "pause", "close", "end")...).Start()
		killed.Expect("ready")
		killed.KillHard()
		h.Config("broken")
		r := h.Cmd("polyinst", "gc")
		host.Equal(h, "exit status", r.Code, 1)
		host.Equal(h, "instances", len(kit.Settled(h, 0)), 0)
	})
}

// Whoever has a handle of a tree can exchange its directories for links to what is
// root's while gc removes it: that is not followed. strace makes the moment long.
func TestRemovalWhileNamesAreSwapped(t *testing.T) {
	kit.Story(t, kit.Tmpdir, []string{"su"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		p := h.Start("su", "alice", "-c", "echo ready; cat")
		p.Expect("ready")
		f := strings.Split(kit.Instances(h)[0], ".") // "", tmpdir, machine, boot, random
		dead := kit.TmpParent + "/" + strings.Join([]string{"", "tmpdir", f[2], "00000000", f[4]}, ".")
		h.Mkdir("/srv/roots", 0o755, 0, 0)
		h.WriteFile("/srv/roots/file", "root's", 0o600)
		var swaps []string
		for _, d := range []string{"a", "b", "c", "d", "e", "f"} {
			h.MustRun("mkdir", "-p", dead+"/"+d)
			h.WriteFile(dead+"/"+d+"/own", "alice's", 0o644)
			h.MustRun("ln", "-s", "/srv/roots", dead+"/"+d+".link")
			swaps = append(swaps, "swap:"+dead+"/"+d+","+dead+"/"+d+".link")
		}
		mallory := h.Command(append([]string{h.Built("attacker")}, swaps...)...).Start()
		mallory.Expect("attacking")
		r := h.Cmd("strace", "-f", "-qq", "-o", "/run/trace", "-e", "trace=unlinkat", "-e", "inject=unlinkat:delay_exit=30000", "polyinst", "gc")
		mallory.CloseInput()
		mallory.Wait()
		h.Match("the moment", h.ReadFile("/run/trace"), `EISDIR.*DELAYED`)
		if !h.Exists("/srv/roots/file") {
			t.Errorf("what is root's was removed: %s", r)
		}
		h.MustRun("polyinst", "gc")
		if h.Exists(dead) {
			t.Error("without the swapping it is not removed either")
		}
		p.CloseInput()
		p.Wait()
	})
}

// What gc removes while a login waits for its lock is made anew: the instance,
// and the lock, which the next login must find to be the one that this one holds.
func TestLoginBehindGc(t *testing.T) {
	for name, held := range map[string]struct{ before, meanwhile string }{
		"an instance": {"true", "rmdir " + kit.Instance("alice")},
		"a lock":      {"rmdir " + kit.Instance("alice"), "rmdir " + kit.TmpParent + "/.lock/alice"},
		"both":        {"true", "rmdir " + kit.Instance("alice") + " " + kit.TmpParent + "/.lock/alice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
				h.Need("strace")
				h.AddUser("alice")
				h.MustRun("su", "alice", "-c", "true")
				h.Sh(held.before)
				gc := h.Start("flock", kit.TmpParent+"/.lock/alice", "sh", "-c", "echo held; cat")
				gc.Expect("held")
				p := h.Start("strace", "-f", "-qq", "-o", "/run/trace", "-e", "trace=flock", "su", "alice", "-c", "echo opened; "+kit.WhichTmp)
				h.Sh("until grep -qs 'LOCK_NB) *= -1 EAGAIN' /run/trace; do :; done; " + held.meanwhile)
				gc.CloseInput()
				gc.Wait()
				p.Expect("opened")
				kit.InInstance(h, "su", "alice", p.Expect(`\d+:\d+`)[0])
				host.Equal(h, "su", p.Wait().Code, 0)
				host.Equal(h, "for whom the lock says that it was made", h.MustRun("stat", "-c", "%U", kit.TmpParent+"/.lock/alice"), "alice")
			})
		})
	}
}
