package mntns

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mountinfo"
	"pam_polyinst/internal/kernel/nstest"
)

func TestMain(m *testing.M) { nstest.Some(m) }

// stranger is a process in a namespace of its own, which ends with its input.
type stranger struct {
	*exec.Cmd
	input io.Closer
	ns    NS
}

func (s *stranger) end() {
	_ = s.input.Close()
	_ = s.Wait()
}

// stand starts one, in a namespace where the script has run.
func stand(t *testing.T, script string) *stranger {
	t.Helper()
	s := &stranger{Cmd: exec.Command("sh", "-ec", script+"\necho ready; read line || :")}
	s.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	s.Stderr = os.Stderr
	var err error
	if s.input, err = s.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.end)
	if _, err := io.ReadFull(out, make([]byte, len("ready"))); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	if s.ns, err = OpenTask(s.Process.Pid, s.Process.Pid); err != nil {
		t.Fatal(err)
	}
	return s
}

func rootStat(t *testing.T) dirfd.Stat {
	t.Helper()
	root, err := dirfd.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	st, err := root.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// The identity that needs no descriptor is the one that a descriptor tells. A
// namespace that has ended is known to have ended, however long it was kept.
func TestIdentityAndLife(t *testing.T) {
	nstest.Need(t)
	id, err := OwnID()
	if err != nil {
		t.Fatal(err)
	}
	own := Identify(id, rootStat(t))
	ns, err := OpenTask(os.Getpid(), unix.Gettid())
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if own.NS != ns.ID || own.Ever != ns.Ever() {
		t.Errorf("%+v by the root's mount; by descriptor %d %d", own, ns.ID, ns.Ever())
	}
	if own.Ever == 0 {
		t.Log("this kernel tells no ids of namespaces (before Linux 6.11)")
		if Lives(1) != Unknown {
			t.Error("and knows which of them live")
		}
		return
	}
	s := stand(t, "")
	ever := s.ns.Ever()
	if ever == own.Ever || ever == 0 {
		t.Errorf("a namespace of its own has the id %d", ever)
	}
	if got := []Life{Lives(own.Ever), Lives(ever), Lives(0), Lives(1 << 62)}; !slices.Equal(got, []Life{Alive, Alive, Unknown, Ended}) {
		t.Errorf("own, another, none, one that never was: %v", got)
	}
	s.end()
	if Lives(ever) != Alive {
		t.Error("a descriptor keeps it, and it counts as ended")
	}
	s.ns.Close()
	if Lives(ever) != Ended {
		t.Error("nothing keeps it, and it does not count as ended")
	}
	same := func(a, b Identity) string { return fmt.Sprint(a.Same(b)) }
	old, reused := own, own
	old.Ever, reused.Ever = 0, own.Ever+1
	other := own
	other.NS++
	if got := []string{same(own, own), same(own, old), same(old, own), same(own, reused), same(own, other)}; !slices.Equal(got, []string{"true true", "true true", "true true", "false true", "false true"}) {
		t.Errorf("the same: %q", got)
	}
	old.Root++
	weak := Identity{NS: 1, Root: 2}
	if got := []string{same(own, old), same(weak, weak)}; !slices.Equal(got, []string{"false true", "true false"}) {
		t.Errorf("the same, of older kernels: %q", got)
	}
}

// Without the capability every namespace is denied, as if it had ended.
func TestLifeWithoutTheRight(t *testing.T) {
	nstest.Need(t)
	id, _ := OwnID()
	if Identify(id, rootStat(t)).Ever == 0 {
		t.Log("this kernel tells no ids of namespaces (before Linux 6.11)")
		return
	}
	s := stand(t, "")
	ever := s.ns.Ever()
	got := make(chan Life)
	go func() { // its thread ends with it: it is not unlocked
		lockAndDrop(t)
		got <- Lives(ever)
	}()
	if life := <-got; life != Unknown {
		t.Errorf("a namespace that may not be asked about: %v", life)
	}
}

// Every namespace is found, in ascending order, whatever keeps it.
func TestEachNamespace(t *testing.T) {
	nstest.Need(t)
	alive, kept, ended := stand(t, ""), stand(t, ""), stand(t, "")
	deadID := ended.ns.Ever()
	kept.end()
	ended.end()
	ended.ns.Close()
	var last uint64
	found := map[uint64]ID{}
	err := EachNamespace(func(n Found) (bool, error) {
		if n.Ever <= last {
			t.Errorf("%d behind %d", n.Ever, last)
		}
		last = n.Ever
		found[n.Ever] = n.ID
		return true, nil
	})
	if mountinfo.IsUntold(err) {
		t.Log("the namespaces cannot be asked for: before Linux 6.12, or in a pid namespace below the first")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*stranger{alive, kept} {
		if found[s.ns.Ever()] != s.ns.ID {
			t.Errorf("mnt:[%d] is not found", s.ns.ID)
		}
	}
	if _, there := found[deadID]; there {
		t.Error("one that has ended is found")
	}
}

func all(uint64) bool { return true }

// What the kernel tells of a namespace's mounts is what mountinfo has, also where a
// process that is in it sees less.
func TestEachMountIsMountinfo(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 755 0 a", "d 755 0 a/deep", "d 755 0 b", "d 755 0 jail")
	odd := filepath.Join(dir, "o\\d \n")
	if err := os.Mkdir(odd, 0o755); err != nil {
		t.Fatal(err)
	}
	s := stand(t, fmt.Sprintf("mount --bind %s/a/deep %s/b; mount --bind '%s' %s/jail", dir, dir, odd, dir))
	var want []string
	collect := func(m mountinfo.Line) bool { want = append(want, fmt.Sprint(m.Dev, m.Root)); return true }
	if err := mountinfo.Each(s.Process.Pid, s.Process.Pid, collect); err != nil {
		t.Fatal(err)
	}
	inside := want
	want = nil
	if err := s.ns.Inside(collect); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(inside, want) {
		t.Errorf("from inside: %q, by the process: %q", want, inside)
	}
	if now, err := OwnID(); err != nil || now == s.ns.ID {
		t.Errorf("it stays inside: %v %v", now, err)
	}
	var got []string
	looked, err := EachMount(s.ns.Ever(), 0, -1, all, func(m Shown) { got = append(got, fmt.Sprint(m.Dev, m.Root)) })
	if s.ns.Ever() == 0 {
		t.Log("this kernel tells no ids of namespaces (before Linux 6.11)")
		return
	}
	slices.Sort(want)
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) || looked != len(want) {
		t.Errorf("%v: got\n%q, want\n%q", err, got, want)
	}
	if !slices.ContainsFunc(got, func(m string) bool { return strings.HasSuffix(m, "/o\\d \n") }) {
		t.Errorf("the odd name is not there as it is: %q", got)
	}
	if looked, err := EachMount(s.ns.Ever(), 0, 3, all, func(Shown) {}); looked != 3 || !errors.Is(err, mountinfo.ErrTooMany) {
		t.Errorf("at most 3: %d %v", looked, err)
	}
	newest := NewestMount()
	if n, err := EachMount(s.ns.Ever(), newest, -1, all, func(Shown) {}); n != 0 || err != nil {
		t.Errorf("%d are newer than the newest: %v", n, err)
	}
}

// A directory's location is what a mount of it shows.
func TestLocationOf(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 755 0 a", "d 755 0 b", "d 755 0 c")
	if err := os.Mkdir(dir+"/a/par\tent", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--bind", dir + "/a", dir + "/b"}} {
		if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
	}
	at := func(path string) Location {
		way, err := dirfd.Walk(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer way.Close()
		p, err := LocationOf(way.Dir)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	want := at(dir + "/a")
	if got := at(dir + "/b"); got != want || !strings.HasSuffix(got.Path, filepath.Base(dir)+"/a") {
		t.Errorf("by a bind mount: %v, want %v", got, want)
	}
	if got := at(dir + "/b/par\tent"); got != want.Below("par\tent") {
		t.Errorf("below it: %v", got)
	}
	if got := (Location{1, "/"}).Below("x"); got != (Location{1, "/x"}) {
		t.Errorf("below the root: %v", got)
	}
	if out, err := exec.Command("mount", "--bind", dir+"/a/par\tent", dir+"/c").CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	var shown []Location
	if err := mountinfo.Each(os.Getpid(), os.Getpid(), func(m mountinfo.Line) bool { shown = append(shown, Location{m.Dev, m.Root}); return true }); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(shown, want.Below("par\tent")) {
		t.Errorf("no mount shows %v: %v", want.Below("par\tent"), shown)
	}
}

// A task that ends at the moment in which it is looked at has ended, whatever the
// kernel's answer is: most often that there is none, and EACCES where it is reaped
// between the walk to the link and the look at it.
func TestTaskThatEnds(t *testing.T) {
	nstest.Need(t)
	answers := map[string]int{}
	for range 500 {
		cmd := exec.Command("true")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pid := cmd.Process.Pid
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait()
			close(ended)
		}()
		for {
			_, err := OfTask(pid, pid)
			if err == nil {
				continue
			}
			if !TaskGone(pid, pid, err) {
				t.Fatalf("%v, and it has not ended", err)
			}
			answers[fmt.Sprint(errors.Unwrap(err))]++
			break
		}
		<-ended
		if !TaskGone(pid, pid, unix.EACCES) {
			t.Fatal("what is denied of one that has ended counts as denied")
		}
	}
	t.Log(answers)
	live := stand(t, "")
	for _, err := range []error{unix.EACCES, unix.EPERM, unix.EIO} {
		if TaskGone(live.Process.Pid, live.Process.Pid, err) {
			t.Errorf("%v of one that lives: it has ended", err)
		}
	}
}

// Who belongs to another user namespace is told by whoever made the outermost one.
func TestOwner(t *testing.T) {
	nstest.Need(t)
	s := stand(t, "")
	if ours, _, known := s.ns.Owner(); !ours || !known {
		t.Error("one of root's is not ours")
	}
	for _, script := range []string{"", "exec unshare -Urm "} {
		cmd := exec.Command("setpriv", "--reuid", "4711", "--regid", "4711", "--clear-groups", "unshare", "-Urm", "sh", "-c", script+"sh -c 'echo ready; read line'")
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 5)); err != nil {
			t.Log("there are no user namespaces for users here")
			return
		}
		// the innermost shell: the only or last child
		pid := cmd.Process.Pid
		ns, err := OpenTask(pid, pid)
		if err != nil {
			t.Fatal(err)
		}
		ours, uid, known := ns.Owner()
		if ours || uid != 4711 || !known {
			t.Errorf("%q: ours %v, of uid %d, known %v", script, ours, uid, known)
		}
		ns.Close()
		_ = in.Close()
		_ = cmd.Wait()
	}
}
