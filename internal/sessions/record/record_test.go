package record

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/nstest"
)

func TestMain(m *testing.M) { nstest.Some(m) }

// emptyRun puts an empty /run over that of the test's own namespace.
func emptyRun(t *testing.T, options string) Store {
	t.Helper()
	nstest.Need(t)
	if err := syscall.Mount("run", "/run", "tmpfs", 0, "mode=755"+options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount("/run", syscall.MNT_DETACH) })
	s, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func names(t *testing.T) string {
	t.Helper()
	all, err := os.ReadDir("/run/polyinst")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range all {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Records have names of their own, and are found by what was known of the
// namespace when it was asked.
func TestNamesOfRecords(t *testing.T) {
	s := emptyRun(t, "")
	id := func(ns mntns.ID, root, ever uint64) mntns.Identity {
		return mntns.Identity{NS: ns, Root: root, Unique: true, Ever: ever}
	}
	for _, r := range []Record{{Identity: id(7, 70, 700), User: "new"}, {Identity: id(7, 60, 600), User: "old"}, {Identity: id(7, 50, 0), User: "denied"}, {Identity: id(77, 1, 2), User: "other"}} {
		must(t, s.Write(r, "random"))
	}
	must(t, os.WriteFile("/run/polyinst/mnt.7", []byte(`{"NS":7,"Root":40,"Unique":true,"User":"0.1"}`), 0o600))
	for _, c := range []struct {
		id   mntns.Identity
		want string
	}{{id(7, 70, 700), "new"}, {id(7, 60, 600), "old"}, {id(7, 50, 900), "denied"}, {id(7, 40, 800), "0.1"}, {id(7, 60, 0), "old"}, {id(8, 1, 2), ""}} {
		r, err := s.Read(c.id)
		must(t, err)
		got := ""
		if r != nil && r.IsOf(c.id) {
			got = r.User
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.id, got, c.want)
		}
	}
	all, err := s.OfNumber(7)
	must(t, err)
	if len(all) != 4 {
		t.Errorf("of the number: %+v", all)
	}
	if got := fmt.Sprint(s.Identities()); strings.Count(got, "{") != 3 {
		t.Errorf("that can be asked about: %s", got)
	}
	must(t, s.Remove(id(7, 70, 700)))
	if r, err := s.Read(id(7, 70, 700)); err != nil || r != nil && r.IsOf(id(7, 70, 700)) {
		t.Errorf("after its removal: %+v %v", r, err)
	}
}

// Before Linux 6.8 everything that tells a namespace is used again: the record that is
// there is of one that has ended, and what gc forgets is what it has looked at.
func TestRecordOfAReusedNamespace(t *testing.T) {
	s := emptyRun(t, "")
	weak := mntns.Identity{NS: 7, Root: 70}
	must(t, s.Write(Record{Identity: weak, User: "first", Opened: 1}, "random"))
	list, err := s.List(nil)
	must(t, err)
	must(t, s.Write(Record{Identity: weak, User: "second", Opened: 2}, "random"))
	if got := names(t); got != "dead.random mnt.7.m70" {
		t.Errorf("two of one name: %s", got)
	}
	must(t, s.Forget(list[0]))
	r, err := s.Read(weak)
	must(t, err)
	if r == nil || r.User != "second" {
		t.Errorf("gc forgot what it had not looked at: %+v; %s", r, names(t))
	}
	list, err = s.List(nil)
	must(t, err)
	for _, n := range list {
		must(t, s.Forget(n))
	}
	if got := names(t); got != "" {
		t.Errorf("left: %s", got)
	}
}

// Who writes a record, opens or closes a session waits for nobody: whatever lock
// somebody holds in the directory.
func TestWritersWaitForNobody(t *testing.T) {
	s := emptyRun(t, "")
	must(t, s.Write(Record{Identity: mntns.Identity{NS: 1, Root: 1, Unique: true, Ever: 1 << 62}}, "x"))
	dir, err := os.Open("/run/polyinst")
	must(t, err)
	defer dir.Close()
	must(t, syscall.Flock(int(dir.Fd()), syscall.LOCK_EX))
	must(t, os.WriteFile("/run/polyinst/.new.mnt.5.5.0123456789abcdef", nil, 0o600))
	held, err := os.Open("/run/polyinst/.new.mnt.5.5.0123456789abcdef")
	must(t, err)
	defer held.Close()
	must(t, syscall.Flock(int(held.Fd()), syscall.LOCK_EX))
	must(t, os.WriteFile("/run/polyinst/.new.mnt.6.6.0123456789abcdef", nil, 0o600)) // of one that died

	r := Record{Identity: mntns.Identity{NS: 2, Root: 1, Unique: true, Ever: 2}}
	must(t, s.Write(r, "x"))
	must(t, s.Update(r))
	turn, err := s.Turn(4711, time.Now().Add(time.Second))
	must(t, err)
	again, err := s.Turn(4711, time.Time{})
	if again != nil || !errors.Is(err, ErrBusy) {
		t.Errorf("a turn that somebody has: %v %v", again, err)
	}
	other, err := s.Turn(4712, time.Time{})
	must(t, err)
	if other == nil {
		t.Error("another user waits")
	}
	must(t, s.TidyUsers(func(mntns.Identity) bool { return true }))
	must(t, s.Tidy())
	if got := names(t); got != ".new.mnt.5.5.0123456789abcdef mnt.1."+fmt.Sprint(1<<62)+" mnt.2.2 user.4711 user.4712" {
		t.Errorf("left: %s", got)
	}
	turn.Done()
	other.Done()
	must(t, s.TidyUsers(func(mntns.Identity) bool { return true }))
	if got := names(t); strings.Contains(got, "user.") {
		t.Errorf("left: %s", got)
	}
}

// Records of namespaces that have ended go as others are opened, some at a time; those
// of live ones stay, and those by which gc finds a tmpdir.
func TestEndedRecordsGo(t *testing.T) {
	if mntns.Lives(1<<62) != mntns.Ended {
		t.Log("this kernel tells no ids of namespaces (before Linux 6.11)")
		return
	}
	s := emptyRun(t, "")
	cmd := exec.Command("unshare", "-m", "sh", "-c", "echo ready; read line")
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	_, err = io.ReadFull(out, make([]byte, 5))
	must(t, err)
	ns, err := mntns.OpenTask(cmd.Process.Pid, cmd.Process.Pid)
	must(t, err)
	write := func(ever uint64, r Record) string {
		r.Identity = mntns.Identity{NS: 5, Root: ever, Unique: true, Ever: ever}
		must(t, s.Write(r, "x"))
		return fileName(r.Identity)
	}
	tmp := []Polydir{{Method: "tmpdir", Parent: "/p", Name: ".tmpdir.x"}}
	var stay []string
	for i := range uint64(40) {
		write(1<<62+i, Record{})
		write(1<<61+i, Record{Polydirs: tmp, Emptied: true})
	}
	stay = append(stay, write(ns.Ever(), Record{}), write(1<<60, Record{Polydirs: tmp}))
	if n := s.ForgetEnded(16, false); n == 0 || n > 16 {
		t.Errorf("%d of 16 that were looked at are removed", n)
	}
	for range 100 {
		s.ForgetEnded(16, false)
	}
	slices.Sort(stay)
	if got := names(t); got != strings.Join(stay, " ") {
		t.Errorf("left: %s, want %s", got, stay)
	}
	ns.Close()
	_ = in.Close()
	_ = cmd.Wait()
	if n := s.ForgetEnded(16, false); n != 1 {
		t.Errorf("after the end of the namespace: %d", n)
	}
	if n := s.ForgetEnded(16, true); n != 1 || names(t) != "" {
		t.Errorf("in need: %d; left: %s", n, names(t))
	}
}

// A /run that is full is told as that.
func TestFullRun(t *testing.T) {
	s := emptyRun(t, ",nr_inodes=3") // itself and polyinst; the third is the file that is written
	must(t, s.Write(Record{Identity: mntns.Identity{NS: 1, Ever: 1}}, "x"))
	err := s.Write(Record{Identity: mntns.Identity{NS: 2, Ever: 2}}, "x")
	if !dirfd.IsFull(err) {
		t.Errorf("%v", err)
	}
	if got := names(t); got != "mnt.1.1" {
		t.Errorf("left: %s", got)
	}
}
