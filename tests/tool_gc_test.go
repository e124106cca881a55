package tests

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// Old persistent instances go when that is asked for, by the time of their last
// open; never one in use, one that is being opened, or one of unknown age.
func TestGcOlderThan(t *testing.T) {
	story(t, ownTmp, []string{"su"}, func(h *host.Host) {
		for _, user := range []string{"old", "new", "busy", "opening", "shared"} {
			h.AddUser(user)
			h.MustRun("su", user, "-c", "touch /tmp/file")
			if user != "new" {
				h.MustRun("touch", "-d", "40 days ago", parent+"/.lock/"+user)
			}
		}
		h.Mkdir(parent+"/migrated", 0o1777, 0, 0)
		h.MustRun("touch", "-d", "2001-01-01", parent+"/migrated", instance("new"))
		busy := h.Start("su", "busy", "-c", "echo ready; cat")
		busy.Expect("ready")
		h.MustRun("touch", "-d", "40 days ago", parent+"/.lock/busy")
		opening := h.Start("flock", "-s", parent+"/.lock/opening", "sh", "-c", "echo ready; cat")
		opening.Expect("ready")

		before := fmt.Sprint(instances(h))
		h.MustRun("polyinst", "gc")
		h.MustRun("polyinst", "gc", "--older-than", "6w")
		host.Equal(h, "without it, and with a longer time", fmt.Sprint(instances(h)), before)
		dry := h.MustRun("polyinst", "gc", "--older-than", "30d", "--dry-run")
		h.Match("dry run", dry, `(?m)^would remove `+instance("old")+`: it was last opened 40 days ago$`)
		h.Match("its end", dry, `\nto be removed: 2 instances, 3 kept$`)
		host.Equal(h, "after the dry run", fmt.Sprint(instances(h)), before)

		var out struct {
			Schema        int
			DryRun        bool `json:"dry_run"`
			Removed, Kept []struct{ Path, Reason string }
		}
		if err := json.Unmarshal([]byte(h.MustRun("polyinst", "gc", "--older-than", "30d", "--json")), &out); err != nil {
			t.Fatal(err)
		}
		host.Equal(h, "schema", fmt.Sprint(out.Schema, out.DryRun), "1 false")
		host.Equal(h, "removed", fmt.Sprint(out.Removed[0].Path, " ", out.Removed[1].Path, " ", len(out.Removed)), instance("old")+" "+instance("shared")+" 2")
		kept := fmt.Sprint(out.Kept)
		for _, want := range []string{instance("busy") + " in use", instance("opening") + " a session is being opened", instance("migrated") + " it is not recorded"} {
			if !strings.Contains(kept, want) {
				t.Errorf("kept: no %q in %s", want, kept)
			}
		}
		host.Equal(h, "left", fmt.Sprint(len(instances(h)), h.Exists(instance("old")), h.Exists(parent+"/.lock/old")), "4 false false")
		busy.CloseInput()
		busy.Wait()
		opening.CloseInput()
		opening.Wait()
		sees(h, "old", true) // the next session makes a new one

		for _, age := range []string{"", "0d", "30", "d", "-1d", "30y"} {
			host.Equal(h, "age "+age, h.Cmd("polyinst", "gc", "--older-than="+age).Code, 2)
		}
	})
}

// A session that opens the instance between the look and the lock keeps it.
func TestGcLooksAgainUnderTheLock(t *testing.T) {
	story(t, ownTmp, []string{"su"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		h.MustRun("su", "alice", "-c", "touch /tmp/file")
		h.MustRun("touch", "-d", "40 days ago", parent+"/.lock/alice")
		gc := h.Start("strace", "-f", "-qq", "-e", "trace=flock", "-e", "inject=flock:delay_enter=1500000", "polyinst", "gc", "--older-than", "30d")
		gc.Expect(`flock\(`)
		h.MustRun("su", "alice", "-c", "true")
		gc.Wait()
		if !h.Exists(instance("alice") + "/file") {
			t.Error("an instance that was opened just now is gone")
		}
	})
}

// Long work shows a bar with its total on a terminal, and nowhere else. strace
// makes it long.
func TestProgressBar(t *testing.T) {
	story(t, ownTmp, []string{"su"}, func(h *host.Host) {
		h.Need("strace")
		for i := range 4 {
			h.Mkdir(fmt.Sprint(parent, "/.new.user", i), 0o700, 0, 0)
			h.Mkdir(fmt.Sprint(parent, "/user", i), 0o1777, 0, 0)
		}
		slow := "strace -f -qq -o /dev/null -e trace=getdents64,unlinkat -e inject=getdents64,unlinkat:delay_enter=150000"
		for i := range 4 {
			slow += fmt.Sprint(" -P ", parent, "/user", i)
		}
		slow += " -P " + parent + " polyinst "
		for command, total := range map[string]string{"list --instances": `summing up \(\d+ entr\w+\) .*\d/8`, "gc": `removing \(\d+ entr\w+\) .*\d/4`} {
			r := h.Sh(slow + command + " 2>&1 >/dev/null")
			host.Equal(h, command+": not on a terminal", r, "")
			if command == "gc" { // again, with something to do
				for i := range 4 {
					h.Mkdir(fmt.Sprint(parent, "/.new.user", i), 0o700, 0, 0)
				}
			}
			p := h.OnPty("sh", "-c", "TERM=xterm "+slow+command)
			p.Expect(total)
			p.Wait()
		}
	})
}
