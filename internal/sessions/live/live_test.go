package live

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/mountinfo"
	"pam_polyinst/internal/kernel/nstest"
)

func TestMain(m *testing.M) {
	if at := os.Getenv(longOn); at != "" {
		mountLong(at)
		return
	}
	nstest.Some(m)
}

const longOn = "POLYINST_LIVE_LONG_ON"

// mountLong mounts a directory below this one, whose path is longer than is read.
func mountLong(at string) {
	name := strings.Repeat("\n", 250)
	for range 40 {
		_ = os.Mkdir(name, 0o755)
		if err := os.Chdir(name); err != nil {
			panic(err)
		}
	}
	if err := syscall.Mount(".", at, "", syscall.MS_BIND, ""); err != nil {
		panic(err)
	}
}

// stand starts a shell that has run a script in a namespace of its own, as a user or
// as root, and waits there until the test ends. ready is what it says then.
func stand(t *testing.T, uid int, script string) (pid int) {
	t.Helper()
	args := []string{"unshare", "-m", "sh", "-ec", script + "\necho ready; read line || :"}
	if uid != 0 {
		args = append([]string{"setpriv", "--reuid", fmt.Sprint(uid), "--regid", fmt.Sprint(uid), "--clear-groups"}, args...)
		args[len(args)-4] = "-Urm"
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	if _, err := io.ReadFull(out, make([]byte, len("ready"))); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return cmd.Process.Pid
}

func place(t *testing.T, path string) mntns.Location {
	t.Helper()
	way, err := dirfd.Walk(path, nil)
	if err != nil || way.Missing {
		t.Fatal(path, err)
	}
	defer way.Close()
	p, err := mntns.LocationOf(way.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// In use is what a namespace shows, by its filesystem and whole path: not what has
// the same name, and whatever the root is of the only process there.
func TestUses(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 711 0 p", "d 777 0 at", "d 777 0 p/shown", "d 777 0 p/below", "d 777 0 p/below/x", "d 777 0 p/chrooted", "d 777 0 p/free",
		"d 777 4711 hers", "d 777 4711 hers/p", "d 777 4711 hers/p/named", "d 777 0 p/named", "d 777 4711 p/deep", "d 777 0 p/beside", "d 755 0 jail")
	first := stand(t, 0, fmt.Sprintf("mount --bind %[1]s/p/shown %[1]s/at; mount --bind %[1]s/p/below/x %[1]s/at", dir))
	chrooted := stand(t, 0, fmt.Sprintf("mount --bind %[1]s/p/chrooted %[1]s/at; mount --bind / %[1]s/jail; exec chroot %[1]s/jail/usr sh -c 'echo ready; read line'", dir))
	hers := stand(t, 4711, fmt.Sprintf("mount --bind %[1]s/hers/p %[1]s/at; mount --bind %[1]s/hers/p/named %[1]s/at", dir))
	var u, entered Uses
	entered.spent = map[uint32]int{}
	for _, n := range []string{"shown", "below", "chrooted", "free", "named"} {
		u.Want(place(t, dir+"/p/"+n))
		entered.Want(place(t, dir+"/p/"+n))
	}
	if err := u.Look(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{first, chrooted, hers} { // as before Linux 6.11
		ns, err := mntns.OpenTask(pid, pid)
		if err != nil {
			t.Fatal(err)
		}
		ours, uid, known := ns.Owner()
		entered.enter(ns, ours, uid, known)
		ns.Close()
	}
	for n, want := range map[string]Answer{"shown": InUse, "below": InUse, "chrooted": InUse, "free": Free, "named": Free} {
		if got := u.Of(place(t, dir+"/p/"+n), 0, false); got != want {
			t.Errorf("%s: %v, want %v", n, got, want)
		}
		if got := entered.Of(place(t, dir+"/p/"+n), 0, false); got != want {
			t.Errorf("%s, seen from inside: %v, want %v", n, got, want)
		}
	}
	if got := u.Of(place(t, dir+"/p/beside"), 0, false); got != InDoubt {
		t.Errorf("one that was not asked about: %v", got)
	}
}

// A mount whose root is longer than is read is in doubt for whoever made it alone,
// and for everybody only where root did, or who looks has no time.
func TestUsesThatAreTooLong(t *testing.T) {
	for user, want := range map[int]string{4711: "1001 free, 4711 in doubt, unknown in doubt; in haste 1001 in doubt", 0: "1001 in doubt, 4711 in doubt, unknown in doubt; in haste 1001 in doubt"} {
		t.Run(fmt.Sprint(user), func(t *testing.T) {
			dir := nstest.Dir(t)
			nstest.Tree(t, dir, "d 711 0 p", "d 777 0 p/x", "d 777 4711 long", "d 777 4711 at")
			program, err := os.ReadFile("/proc/self/exe") // where every user can run it
			if err == nil {
				err = os.WriteFile(dir+"/program", program, 0o755)
			}
			if err != nil {
				t.Fatal(err)
			}
			stand(t, user, fmt.Sprintf("cd %s/long; %s=%s/at %s/program", dir, longOn, dir, dir))
			words := map[Answer]string{Free: "free", InUse: "in use", InDoubt: "in doubt"}
			ask := func(u *Uses) {
				u.Want(place(t, dir+"/p/x"))
				if err := u.Look(); err != nil {
					t.Fatal(err)
				}
			}
			var u Uses
			ask(&u)
			p := place(t, dir+"/p/x")
			got := fmt.Sprintf("1001 %s, 4711 %s, unknown %s", words[u.Of(p, 1001, true)], words[u.Of(p, 4711, true)], words[u.Of(p, 4711, false)])
			hasty := Uses{Hasty: true}
			ask(&hasty)
			got += "; in haste 1001 " + words[hasty.Of(p, 1001, true)]
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// What is mounted after Begin is found by Again, also where the namespace and the
// mount are older.
func TestUsesAgain(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 777 0 x", "d 777 0 y", "d 777 0 at")
	var u Uses
	u.Begin()
	u.Want(place(t, dir+"/x"))
	u.Want(place(t, dir+"/y"))
	stand(t, 0, fmt.Sprintf("mount --bind %[1]s/y %[1]s/at", dir))
	if err := u.Look(); err != nil {
		t.Fatal(err)
	}
	if got := u.Of(place(t, dir+"/x"), 0, false); got != Free {
		t.Errorf("before: %v", got)
	}
	stand(t, 0, fmt.Sprintf("mount --bind %[1]s/x %[1]s/at", dir))
	if err := u.Again(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"/x", "/y"} {
		if got := u.Of(place(t, dir+n), 0, false); got != InUse {
			t.Errorf("%s afterwards: %v", n, got)
		}
	}
}

// standOn is stand as root, in a namespace that this processor makes, and numbers. Each
// line that is written to it lets the script go on.
func standOn(t *testing.T, cpu int, script string) (ever uint64, in io.Writer, out *bufio.Reader) {
	t.Helper()
	cmd := exec.Command("taskset", "-c", fmt.Sprint(cpu), "unshare", "-m", "sh", "-ec", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = pipe.Close()
		_ = cmd.Wait()
	})
	out = bufio.NewReader(said)
	if line, err := out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("%s: %q %v", script, line, err)
	}
	ns, err := mntns.OpenTask(cmd.Process.Pid, cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	return ns.Ever(), pipe, out
}

// Who makes a copy of their namespace on a processor whose numbers are smaller, and
// ends the original, goes from before the walk to behind it, and is found all the same.
func TestUsesBehindTheWalk(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 777 0 x", "d 777 0 at")
	if !told() {
		t.Log("the kernel does not tell which namespaces there are")
		return
	}
	const rest = "echo ready; read line || :"
	for high := range runtime.NumCPU() {
		marker, _, _ := standOn(t, high, rest)
		for low := range runtime.NumCPU() {
			if later, _, _ := standOn(t, low, rest); later > marker {
				continue
			}
			_, in, out := standOn(t, high, fmt.Sprintf("mount --bind %[1]s/x %[1]s/at; echo ready; read line; exec taskset -c %[2]d unshare -m sh -c 'echo gone; read line'", dir, low))
			gone := false
			u := Uses{Skip: func(ever uint64, number mntns.ID) bool {
				if ever == marker && !gone {
					_, _ = io.WriteString(in, "\n")
					if _, err := out.ReadString('\n'); err != nil {
						t.Error(err)
					}
					gone = true
				}
				return false
			}}
			u.Want(place(t, dir+"/x"))
			if err := u.Look(); err != nil {
				t.Fatal(err)
			}
			if got := u.Of(place(t, dir+"/x"), 0, false); got != InUse || !gone {
				t.Errorf("%v, gone %v", got, gone)
			}
			return
		}
	}
	t.Log("a later namespace has a greater number on each processor: before Linux 6.18, or one processor")
}

// The same where the machine cannot be asked which namespaces there are: in a pid
// namespace below the first, by the processes.
func TestUsesByTasks(t *testing.T) {
	nstest.Need(t)
	if os.Getenv("POLYINST_LIVE_BY_TASKS") != "" {
		return
	}
	inPIDNamespace(t, "TestUses", "TestUsesThatAreTooLong", "TestUsesAgain")
}

// inPIDNamespace runs tests in a pid namespace below the first.
func inPIDNamespace(t *testing.T, tests ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc", self, "-test.run", "^("+strings.Join(tests, "|")+")$", "-test.v")
	cmd.Env = append(os.Environ(), "POLYINST_LIVE_BY_TASKS=1")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS: Test") < len(tests) {
		t.Errorf("%v\n%s", err, out)
	}
}

// A user who mounts without an end takes bounded time, and loses what is beyond for
// nobody except for themselves.
func TestUsesWithinBounds(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 777 0 x", "d 777 4711 a", "d 777 4711 b")
	stand(t, 4711, fmt.Sprintf("i=0; while [ $i -lt %[2]d ]; do mount --bind %[1]s/a %[1]s/b; i=$((i+1)); done", dir, 40))
	for _, haste := range []bool{false, true} {
		u := Uses{Hasty: haste, spent: map[uint32]int{}}
		u.Want(place(t, dir+"/x"))
		looked := 0
		err := mntns.EachNamespace(func(n mntns.Found) (bool, error) {
			ours, uid, known := n.Owner()
			if uid == 4711 {
				u.spent[uid] = mountsOfAUser - 20
				if haste {
					u.spent[uid] = mountsInHaste - 20
				}
				u.ask(n.Ever, n.ID, 0, ours, uid, known)
				looked = u.spent[uid]
			}
			return true, nil
		})
		if mountinfo.IsUntold(err) {
			t.Log("the namespaces cannot be asked for: before Linux 6.12, or in a pid namespace below the first")
			return
		}
		if looked != mountsOfAUser && looked != mountsInHaste {
			t.Errorf("%d mounts were looked at", looked)
		}
		p := place(t, dir+"/x")
		want := fmt.Sprint(map[bool]Answer{false: Free, true: InDoubt}[haste], InDoubt)
		if got := fmt.Sprint(u.Of(p, 1001, true), u.Of(p, 4711, true)); got != want {
			t.Errorf("in haste %v: for another and for the user: %s, want %s", haste, got, want)
		}
	}
}

// Who is in haste stops at some point, whoever has made all that.
func TestHasteEnds(t *testing.T) {
	p := mntns.Location{Dev: 1, Path: "/x"}
	for what, u := range map[string]*Uses{
		"namespaces": {Hasty: true, visited: namespacesInHaste},
		"mounts":     {Hasty: true, total: foreignInHaste},
	} {
		u.Want(p)
		if !u.tired() || u.Of(p, 0, true) != InDoubt {
			t.Errorf("many %s: it goes on, or is sure", what)
		}
	}
	u := Uses{visited: namespacesInHaste, total: foreignInHaste}
	u.Want(p)
	if u.tired() || u.Of(p, 0, true) != Free {
		t.Error("without haste it stops")
	}
}

// Processes of one thread, and a thread that is in another namespace than the first
// one of its process.
func TestAllFindsEachThread(t *testing.T) {
	nstest.Need(t)
	if os.Getenv("POLYINST_LIVE_BY_TASKS") == "" {
		inPIDNamespace(t, "TestAllFindsEachThread") // where all may be looked at
		return
	}
	alone := stand(t, 0, ":")
	tids, end := make(chan int), make(chan struct{})
	defer close(end)
	var other func()
	other = func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this
		if syscall.Gettid() == os.Getpid() {
			go other() // this is the first one, which stays
		} else {
			if err := syscall.Unshare(syscall.CLONE_FS | syscall.CLONE_NEWNS); err != nil {
				t.Error(err)
			}
			tids <- syscall.Gettid()
		}
		<-end
	}
	go other()
	own, tid := os.Getpid(), <-tids
	found := map[Task]bool{}
	sure, err := All(func(task Task) (bool, error) {
		found[task] = true
		return true, nil
	})
	if err != nil || !sure {
		t.Fatal(sure, err)
	}
	for _, who := range []Task{{PID: alone, TID: alone}, {PID: own, TID: own}, {PID: own, TID: tid}} {
		if who.NS, err = mntns.OfTask(who.PID, who.TID); err != nil || !found[who] {
			t.Errorf("%+v: found %v (%v)", who, found[who], err)
		}
	}
	if one, two := mntns.HasOneThread(alone), mntns.HasOneThread(own); !one || two {
		t.Errorf("one thread: %v of a shell, %v of this program", one, two)
	}
}
