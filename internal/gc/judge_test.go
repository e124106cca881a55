package gc

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/sessions/live"
	"pam_polyinst/internal/sessions/record"
)

func parentOf(t *testing.T) dirfd.Dir {
	t.Helper()
	path := t.TempDir()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	dir := dirfd.FromFD(fd, path)
	t.Cleanup(dir.Close)
	return dir
}

// Only what names this machine, or was never finished, is garbage by its name; a
// persistent instance never is, and another prefix's is not asked about.
func TestJudge(t *testing.T) {
	c := collection{machine: plan.Machine{MachineID: "mach", BootID: "boot"}, now: time.Now(), told: map[string]bool{}}
	parent := parentOf(t)
	const random = "0123456789abcdef01234567"
	ended, earlier, unfinished := "its session has ended", "its session ended with an earlier boot", "it was never finished"
	for _, row := range []struct {
		prefix, name string
		want         judgement
	}{
		{"", ".tmpdir.mach.boot." + random, judgement{ended, ".tmpdir.mach.boot." + random, false}},
		{"", ".tmpdir.mach.other." + random, judgement{earlier, ".tmpdir.mach.other." + random, true}},
		{"", ".tmpdir.clone.boot." + random, judgement{}}, // another machine's
		{"", ".tmpdir.mach.boot", judgement{}},
		{"", ".tmpdir.mach.boot.a.b", judgement{}},
		{"", ".tmpdir.", judgement{}},
		{"tmp-", "tmp-.tmpdir.mach.boot." + random, judgement{ended, "tmp-.tmpdir.mach.boot." + random, false}},
		{"tmp-", ".tmpdir.mach.boot." + random, judgement{}}, // of another prefix
		{"", ".new.alice." + random, judgement{unfinished, "alice", false}},
		{"", ".new.alice", judgement{unfinished, "alice", false}}, // of version 0.1
		{"tmp-", ".new.tmp-alice." + random, judgement{unfinished, "tmp-alice", false}},
		{"tmp-", ".new.alice." + random, judgement{}},
		{"", "alice", judgement{"", "alice", false}},
		{"tmp-", "tmp-alice", judgement{"", "tmp-alice", false}},
		{"tmp-", "alice", judgement{}},
		{"", ".lock", judgement{}},
		{"", ".hidden", judgement{}},
	} {
		if got := c.judge(Parent{parent.Path(), row.prefix}, parent, row.name); got != row.want {
			t.Errorf("prefix %q, %s: %+v, want %+v", row.prefix, row.name, got, row.want)
		}
	}
}

// A persistent instance goes by its age only where that is recorded, and why it stays is
// told once.
func TestOldIsRecorded(t *testing.T) {
	var kept []string
	c := collection{Options: Options{OlderThan: time.Hour, Kept: func(path, why string) { kept = append(kept, path+": "+why) }}, now: time.Now(), told: map[string]bool{}}
	parent := parentOf(t)
	for range 2 {
		if j := c.judge(Parent{Path: parent.Path()}, parent, "alice"); j.why != "" {
			t.Errorf("%+v", j)
		}
	}
	if want := []string{parent.Path() + "/alice: it is not recorded when it was last opened"}; !slices.Equal(kept, want) {
		t.Errorf("%q, want %q", kept, want)
	}
}

// nobody is a uid that no machine has.
const nobody = 4123456789

// What has become of an account is judged by its uid and its name together: either alone
// is given to somebody else (docs/housekeeping.md).
func TestJudgeOfAccounts(t *testing.T) {
	const path = "/i/tmp/x"
	gone := func(names ...string) map[string]bool {
		all := map[string]bool{"root": false}
		for _, n := range names {
			all[n] = true
		}
		return all
	}
	hash := strings.Repeat("0123456789abcdef", 2)
	for what, c := range map[string]struct {
		name  string
		uid   uint32
		names map[string]bool
		want  account
	}{
		"there, of its own name":     {"root", 0, gone(), account{}},
		"there, by its uid":          {"0", 0, gone("0"), account{}},
		"gone":                       {"alice", nobody, gone("alice"), account{orphan: "there is no account with uid 4123456789 any more, and none of this name"}},
		"gone, by its uid":           {"4123456789", nobody, gone("4123456789"), account{orphan: "there is no account with uid 4123456789 any more, and none of this name"}},
		"put aside":                  {"alice.uid-4123456789", nobody, gone("alice.uid-4123456789"), account{orphan: "`polyinst prepare --aside` has put it there", aside: true}},
		"put aside, of another uid":  {"alice.uid-7", nobody, gone("alice.uid-7"), account{orphan: "there is no account with uid 4123456789 any more, and none of this name"}},
		"the name alone is gone":     {"alice", 0, gone("alice"), account{reused: "there is no account of this name any more, and uid 0 is \"root\": `polyinst rename alice root` if that is the same person"}},
		"a name for the shell":       {"al ice", 0, gone("al ice"), account{reused: "there is no account of this name any more, and uid 0 is \"root\": `polyinst rename 'al ice' root` if that is the same person"}},
		"the uid alone is gone":      {"root", nobody, gone(), account{other: "it was made for uid 4123456789, and \"root\" has uid 0: `polyinst prepare --repair /i/tmp/x --from-uid 4123456789` if that is the same person, else `polyinst prepare --aside /i/tmp/x`"}},
		"a hash, and the uid there":  {hash, 0, gone(), account{}},
		"a hash, and the uid gone":   {hash, nobody, gone(), account{other: "there is no account with uid 4123456789, but the name is a hash, and whether it is of an account that has another uid now cannot be told"}},
		"by context, there":          {"u:object_r:tmp_t:s0_root", 0, gone("u:object_r:tmp_t:s0_root", "r:tmp_t:s0_root", "t:s0_root"), account{}},
		"by context, gone":           {"u:r:t:s0_al_ice", nobody, gone("u:r:t:s0_al_ice", "al_ice", "ice"), account{orphan: "there is no account with uid 4123456789 any more, and none of this name"}},
		"a name with an underscore":  {"al_root", nobody, gone("al_root"), account{orphan: "there is no account with uid 4123456789 any more, and none of this name"}},
		"by context, somebody has a": {"u:r:t:s0_root", nobody, gone("u:r:t:s0_root"), account{other: "it was made for uid 4123456789, and \"root\" has uid 0: `polyinst prepare --repair /i/tmp/x --from-uid 4123456789` if that is the same person, else `polyinst prepare --aside /i/tmp/x`"}},
	} {
		a := accounts{uids: map[uint32]bool{0: false, nobody: true}, names: c.names}
		got, err := a.judge(path, c.name, c.uid)
		if err != nil || got != c.want {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", what, got, err, c.want)
		}
	}
}

// Very many accounts that vanish at once are a directory that has lost them.
func TestVanished(t *testing.T) {
	for _, c := range []struct {
		gone, of int
		want     bool
	}{{0, 0, false}, {1, 1, false}, {3, 3, false}, {4, 8, false}, {4, 7, true}, {5, 100, false}, {10, 100, false}, {10, 20, false}, {11, 1000, true}} {
		if got := tooMany(c.gone, c.of); got != c.want {
			t.Errorf("%d of %d: %v", c.gone, c.of, got)
		}
	}
}

func TestDays(t *testing.T) {
	for age, want := range map[time.Duration]string{0: "0 days", 23 * time.Hour: "0 days", 24 * time.Hour: "1 day", 47 * time.Hour: "1 day", 49 * time.Hour: "2 days"} {
		if got := days(age); got != want {
			t.Errorf("%v: %q, want %q", age, got, want)
		}
	}
}

// What is put aside has a name that tells for whom it was made, and a move knows its ends.
func TestMoveNames(t *testing.T) {
	for name, want := range map[string]bool{"alice.uid-1001": true, ".uid-1001": false, "alice": false, "alice.uid-1002": false, "alice.uid-10011": false, "a.uid-1.uid-1001": true} {
		if got := isAside(name, 1001); got != want {
			t.Errorf("%q was put aside: %v", name, got)
		}
	}
	if got := AsideName("alice", 4294967295); got != "alice.uid-4294967295" || !isAside(got, 4294967295) {
		t.Error(got)
	}
	m := Move{From: Parent{"/i/tmp", ""}, To: Parent{"/j", "tmp-"}, OldName: "alice", NewName: "bob"}
	if m.Source() != "/i/tmp/alice" || m.Target() != "/j/tmp-bob" {
		t.Errorf("%s to %s", m.Source(), m.Target())
	}
}

// Who is left in a namespace is neither this process nor the one that closes its session.
func TestIsOther(t *testing.T) {
	const ns, host = 7, 100
	for _, c := range []struct {
		task live.Task
		want bool
	}{{live.Task{PID: 5, NS: ns}, true}, {live.Task{PID: 5, NS: 8}, false}, {live.Task{PID: host, NS: ns}, false}, {live.Task{PID: os.Getpid(), NS: ns}, false}} {
		if got := isOther(c.task, ns, host); got != c.want {
			t.Errorf("%+v: %v", c.task, got)
		}
	}
}

// Nobody else's directory lies deep in a namespace that we built from the host's view; of
// one that was built from a session's view, or whose id may be another's, nothing is known.
func TestOwnerBy(t *testing.T) {
	of := func(ever uint64, base mntns.ID) record.Named {
		return record.Named{Record: record.Record{Identity: mntns.Identity{Ever: ever}, Host: 1, Base: base, UID: 1001}}
	}
	owner := ownerBy([]record.Named{of(10, 1), of(20, 5), of(30, 0), of(0, 1)})
	for ever, want := range map[uint64]string{10: "1001 true", 20: "0 false", 30: "0 false", 0: "0 false", 40: "0 false"} {
		if got := fmt.Sprint(owner(ever, 3)); got != want {
			t.Errorf("namespace %d: %s, want %s", ever, got, want)
		}
	}
}

// An overlay can be seen without the instance in which its changes lie.
func TestOverlayOf(t *testing.T) {
	if got, want := overlayOf(record.Polydir{Method: "overlay", Dev: 9}), (mntns.Location{Dev: 9, Path: "/"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := overlayOf(record.Polydir{Method: "tmpdir", Dev: 9}); got != (mntns.Location{}) {
		t.Errorf("%+v", got)
	}
}

// A parent that cannot be looked at hides no other, and is told.
func TestInstancesOfParents(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "theirs"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "theirs"), 0o777); err != nil {
		t.Fatal(err)
	}
	var bad []string
	all, err := Instances([]Parent{{Path: dir + "/none"}, {Path: dir + "/theirs"}, {Path: dir + "/none/deeper"}}, func(path string, err error) { bad = append(bad, path) })
	if err != nil || len(all) != 0 || !slices.Equal(bad, []string{dir + "/theirs"}) {
		t.Errorf("%+v, %v, and bad are %q", all, err, bad)
	}
}
