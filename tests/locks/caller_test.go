package locks

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// What a caller chooses for a program that opens a session for somebody else
// (su, sudo) decides neither which view that session has, nor how long others
// wait for it.

// printed reads what a host of our own has printed, by the names of its steps.
func printed(text string) map[string]host.Step {
	out := map[string]host.Step{}
	for line := range strings.Lines(text) {
		var s host.Step
		if json.Unmarshal([]byte(line), &s) == nil {
			out[s.Step] = s
		}
	}
	return out
}

// rootsView runs a host that opens a session of root's, under these words and
// after these steps, and says where that is: "refused", or what its /tmp is.
func rootsView(h *host.Host, run func(command string) string, before string, settings ...string) string {
	h.T.Helper()
	args := append([]string{before, h.Built("pamhost"), "user=root"}, settings...)
	text := run(strings.Join(append(args, "open", "look:/tmp", "end"), " "))
	at := printed(text)
	open, ok := at["open"]
	if !ok {
		h.T.Fatalf("the host did not come to open:\n%s", text)
	}
	if open.RC != host.PAMSuccess {
		return "refused"
	}
	seen, _, _ := strings.Cut(at["look"].Text, " ")
	return seen
}

// If somebody kills a worker at its first calls, root gets a session in the view of
// process 1 alone, and only where no user has started the program.
func TestKilledWorkerAndRoot(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"pamhost", "su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("mkdir", "-p", "/srv/root/proc")
		h.Sh("for d in bin sbin lib lib64 usr etc run var dev tmp .host; do [ -e /$d ] && mkdir -p /srv/root/$d && mount --rbind /$d /srv/root/$d; done; mount -t proc none /srv/root/proc")
		public := h.FileID("/tmp")
		home := func(command string) string { return h.Cmd("sh", "-c", command).Stdout }
		places := map[string]func(string) string{
			"the view of process 1": home,
			"alice's session":       func(command string) string { return kit.InASession(h, command) },
			"a private copy":        func(command string) string { return h.Cmd("unshare", "-m", "sh", "-c", command).Stdout },
			"a chroot":              func(command string) string { return h.Cmd("chroot", "/srv/root", "sh", "-c", command).Stdout },
			"a private UTS":         func(command string) string { return h.Cmd("unshare", "-u", "sh", "-c", command).Stdout },
		}
		for name, run := range places {
			for _, uid := range []int{0, 2001} {
				for _, call := range []string{"setgroups 1", "setsid 1", "sendmsg 1"} {
					got := rootsView(h, run, h.Built("fault")+" 1 worker "+call+" kill", "window", fmt.Sprintf("start ruid:%d", uid))
					want := "refused"
					if name == "the view of process 1" && uid == 0 {
						want = public
					}
					host.Equal(h, fmt.Sprintf("%s, real uid %d, killed at %s", name, uid, call), got, want)
				}
			}
		}
		h.WaitLog("no exception is made: this program does not stand in the view of process 1")
		h.WaitLog("no exception is made: this program does not have the root directory of process 1")
		h.WaitLog(`no exception is made: a user has started this program \(its real uid is not 0\): log in as root`)
	})
}

// Where process 1 cannot be looked at, root is admitted without an answer to a
// login program alone, which nobody in particular has started.
func TestProcess1CannotBeLookedAt(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"pamhost"}, func(h *host.Host) {
		killed := h.Built("fault") + " 1 worker setsid 1 kill"
		home := func(command string) string { return h.Cmd("sh", "-c", command).Stdout }
		host.Equal(h, "a login program", rootsView(h, home, killed, "window", "start", "dropcap:cap_sys_ptrace"), h.FileID("/tmp"))
		host.Equal(h, "sudo", rootsView(h, home, killed, "window", "ruser=alice", "start", "dropcap:cap_sys_ptrace"), "refused")
		h.WaitLog("reading /proc/1/ns was refused")
		bare := func(command string) string {
			return h.Cmd("unshare", "-m", "sh", "-c", "umount -l /proc; "+command).Stdout
		}
		host.Equal(h, "without /proc", rootsView(h, bare, killed, "window", "start"), "refused")
		h.WaitLog("cannot be told: /proc is not mounted")
	})
}

// The limits that alice sets for a program that opens root's session do not
// choose the view that it has.
func TestLimitsChooseNoView(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"pamhost", "su"}, func(h *host.Host) {
		h.AddUser("alice")
		look := func(what, before string, settings ...string) {
			got := rootsView(h, func(command string) string { return kit.InASession(h, command) }, before, settings...)
			host.Equal(h, what, got, h.FileID("/tmp"))
		}
		// soft limits: the worker may raise them up to the hard ones
		for _, limit := range []string{"as=50000000", "data=1", "stack=16384", "nofile=10", "fsize=0", "cpu=1", "nproc=0", "core=0"} {
			look(limit, "", "start", "rlimit:"+limit)
		}
		// too few descriptors for the host itself: refused, or opened where it should be
		for n := 3; n <= 12; n++ {
			limit := fmt.Sprintf("rlimit:nofile=%d,%d", n, n)
			got := rootsView(h, func(command string) string { return kit.InASession(h, command) }, "", "start", limit)
			if got != h.FileID("/tmp") && got != "refused" {
				t.Errorf("%s: root is in alice's view", limit)
			}
		}
		// hard ones as well, where the worker needs no more or none
		for _, limit := range []string{"nofile=11", "nproc=0", "core=0", "msgqueue=0", "memlock=0", "rttime=1", "locks=0", "nice=0", "rtprio=0"} {
			number := limit[strings.Index(limit, "=")+1:]
			look("hard "+limit, "prlimit --"+limit+":"+number, "start")
		}
	})
}

// Nor do those that she sets for sudo outside of a session: root's session is in root's
// own /tmp, or there is none.
func TestLimitsChooseNoPublicDirectory(t *testing.T) {
	kit.Story(t, kit.Everybody, []string{"sudo"}, func(h *host.Host) {
		h.Need("sudo", "prlimit")
		alice := h.AddUser("alice")
		kit.Sudoers(h)
		sudo := []string{"sudo", "-n", "stat", "-c", "at %d:%i", "/tmp"}
		h.Command(sudo...).As(alice).Dir("/").Must()
		own, opened := "at "+h.FileID(kit.Instance("root")), 0
		limits := []string{"as=300000000", "nproc=0", "stack=65536", "fsize=0", "sigpending=0", "cpu=1", "memlock=0", "rtprio=0"}
		for n := 5; n <= 20; n++ {
			limits = append(limits, fmt.Sprint("nofile=", n))
		}
		for _, limit := range limits {
			name, n, _ := strings.Cut(limit, "=")
			r := h.Command(append([]string{"prlimit", "--" + name + "=" + n + ":" + n}, sudo...)...).As(alice).Dir("/").Run()
			if r.Code == 0 {
				opened++
				host.Equal(h, limit, r.Out(), own)
			}
		}
		if opened == 0 {
			t.Error("no session was opened")
		}
	})
}

// What is wrong with the configuration or the machine admits root, and whom
// rescue lists, to the view of process 1 and to no other.
func TestRescueIsTheViewOfProcess1(t *testing.T) {
	kit.Story(t, "[namespace]\nrescue = [\"root\", \"bob\"]\n"+kit.Everybody, []string{"pamhost", "su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.PAM("pamhost", host.Stack(kit.Session+" rescue=bob")...)
		spoil := map[string]string{
			"a broken file":         "echo broken > " + host.ConfigFile,
			"a parent for everyone": "chmod 0777 " + kit.TmpParent,
		}
		good := h.ReadFile(host.ConfigFile)
		for what, spoilt := range spoil {
			for _, user := range []string{"root", "bob"} {
				open := h.Built("pamhost") + " user=" + user + " start open look:/tmp end"
				repair := func() {
					h.Config(good)
					h.MustRun("chmod", "0000", kit.TmpParent)
				}
				at := printed(kit.InASession(h, spoilt+"; "+open))
				repair()
				if at["open"].RC == host.PAMSuccess {
					t.Errorf("%s: %s is admitted to alice's view: %s", what, user, at["look"].Text)
				}
				h.WaitLog("session refused: \"" + user + "\": .*no exception is made: this program does not stand in the view of process 1")
				at = printed(h.Sh(spoilt + "; " + open))
				repair()
				host.Equal(h, what+": "+user+" in the view of process 1", at["open"].RC, host.PAMSuccess)
				h.WaitLog("rescue: \"" + user + "\" is admitted WITHOUT private directories")
				h.ForgetLog()
			}
		}
		// built in place, the host has left the view of process 1 before it hears of the fault
		open := h.Built("pamhost") + " user=root start dropcap:cap_sys_chroot open end"
		closed := "chmod 0777 " + kit.TmpParent + "; "
		host.Equal(h, "in place, in alice's session", printed(kit.InASession(h, closed+open))["open"].RC, host.PAMRefused)
		h.MustRun("chmod", "0000", kit.TmpParent)
		host.Equal(h, "in place", printed(h.Sh(closed + open))["open"].RC, host.PAMSuccess)
	})
}

// What every user can bring about is no reason for an exception. Root is excepted
// where root has started the program.
func TestRescueIsNotForWhatAnyoneCanDo(t *testing.T) {
	kit.Story(t, "[namespace]\nrescue = [\"root\", \"bob\"]\n"+strings.Replace(kit.Everybody, `"user"`, `"tmpdir"`, 1), []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		fill := map[string]string{
			"/run full":             "mount -t tmpfs -o size=64k,mode=755 none /run; dd if=/dev/zero of=/run/filler bs=4k 2>/dev/null || :",
			"/run without inodes":   "mount -t tmpfs -o nr_inodes=2,mode=755 none /run; mkdir /run/a",
			"the instances' disk":   "mount -t tmpfs -o nr_inodes=2,mode=0 none " + kit.TmpParent + "; mkdir " + kit.TmpParent + "/a",
			"mounts (namespaces)":   "echo 0 > /proc/sys/user/max_mnt_namespaces",
			"mounts (fs.mount-max)": "",
		}
		delete(fill, "mounts (fs.mount-max)") // the machine's own
		if _, err := os.Stat("/proc/sys/user/max_mnt_namespaces"); err != nil {
			delete(fill, "mounts (namespaces)")
		}
		delete(fill, "mounts (namespaces)") // as well, where the host is in the machine's user namespace
		for what, command := range fill {
			for _, c := range []struct {
				user string
				uid  int
				want int
			}{{"bob", 0, host.PAMRefused}, {"alice", 0, host.PAMRefused}, {"root", 0, host.PAMSuccess}, {"root", 2001, host.PAMRefused}} {
				undo := "umount /run 2>/dev/null || :; umount " + kit.TmpParent + " 2>/dev/null || :"
				at := printed(h.Sh(command + "\n" + h.Built("pamhost") + fmt.Sprintf(" user=%s start ruid:%d open end; ", c.user, c.uid) + undo))
				host.Equal(h, fmt.Sprintf("%s: %s, real uid %d", what, c.user, c.uid), at["open"].RC, c.want)
			}
		}
		h.WaitLog(`rescue: "root" is admitted WITHOUT private directories: .*no space left on device`)
		h.ForgetLog()
		// a limit that cuts a file short
		h.PamHost("user=bob", "start", "rlimit:fsize=100,100", "open", "end")
		for _, l := range h.ModuleLog() {
			if strings.Contains(l.Text, "rescue: ") {
				t.Errorf("a limit of bob's rescues bob: %s", l)
			}
		}
	})
}

// Nor where it keeps something from being looked at: files of the configuration,
// ways, parents, locks. Each error is one that the caller brings about, by limits, or
// everybody, by using up what all share.
func TestRescueIsNotForWhatCannotBeLookedAt(t *testing.T) {
	kit.Story(t, "[namespace]\nrescue = [\"bob\"]\n"+kit.Everybody+"skel = true\n", []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("bob")
		const login = "user=bob window start open close end"
		listed := printed(h.Sh(h.Built("fault") + " list " + h.Built("pamhost") + " " + login))["fault"].Text
		tried := 0
		for call, errnos := range map[string][]syscall.Errno{"fcntl": {syscall.EMFILE}, "openat2": {syscall.EMFILE, syscall.ENFILE}, "statx": {syscall.ENOMEM}, "getdents64": {syscall.ENOMEM}} {
			var count int
			if _, err := fmt.Sscan(listed[strings.Index(listed, "1 worker "+call+" ")+len("1 worker "+call+" "):], &count); err != nil {
				t.Fatalf("%s: %v:\n%s", call, err, listed)
			}
			for nth := 1; nth <= count; nth += 1 + count/12*len(errnos) {
				tried++
				h.Sh(fmt.Sprintf("%s 1 worker %s %d error:%d %s %s", h.Built("fault"), call, nth, int(errnos[tried%len(errnos)]), h.Built("pamhost"), login))
			}
		}
		t.Logf("%d calls", tried)
		for _, l := range h.ModuleLog() {
			if strings.Contains(l.Text, "rescue: ") {
				t.Error(l)
			}
		}
	})
}

// The kernel's version is what it is, whatever a caller has uname(2) say: one that
// is too old would be the machine's fault, and rescue.
func TestCallerChoosesNoKernel(t *testing.T) {
	config := strings.NewReplacer(`"user"`, `"tmpfs"`, "instance_prefix", "# ").Replace(kit.OwnTmp) + "tmpfs = { size = \"1M\", noswap = true }\n"
	kit.Story(t, "[namespace]\nrescue = [\"bob\"]\n"+config, []string{"su"}, func(h *host.Host) {
		h.Need("setarch")
		alice := h.AddUser("alice")
		h.AddUser("bob")
		inside := func(before ...string) string {
			args := append(before, "su", "bob", "-c", "stat -c %d:%i /tmp")
			return h.Command(args...).As(alice).Dir("/").Stdin(host.Password + "\n").Must()
		}
		if inside("env") == h.FileID("/tmp") {
			t.Skip("needs a kernel feature: tmpfs noswap")
		}
		if inside("setarch", "--uname-2.6") == h.FileID("/tmp") {
			t.Error("bob's session is in the public directory, because alice says that the kernel is an old one")
		}
	})
}

// A worker that a user has started, who chose what the kernel makes of it, takes
// its own share of the machine. An init script, which has what the worker has,
// says what that is.
func TestWorkersOwnShare(t *testing.T) {
	shows := strings.Replace(kit.Tmpdir, `"tmpdir"`, "\"tmpdir\"\ninit = \"show\"", 1)
	kit.Story(t, shows, []string{"pamhost"}, func(h *host.Host) {
		h.Forks() // a ready worker has the share of its service
		h.Need("chrt", "ionice", "taskset", "choom", "nice", "setarch", "linux32")
		h.AddUser("alice")
		h.WriteFile("/etc/security/polyinst/namespace.d/show", `#!/bin/sh
chrt -p $$ | sed 's/.*: //'; nice; ionice -p $$; echo cpus $(nproc); echo oom $(cat /proc/$$/oom_score_adj); echo slack $(cat /proc/$$/timerslack_ns)
grep ^0:: /proc/$$/cgroup; uname -rm
`, 0o755)
		all := strings.TrimSpace(h.MustRun("nproc"))
		command := h.Built("pamhost") + " user=alice ruser=bob start open must end"
		lines := func() string {
			var out []string
			for _, l := range h.ModuleLog() {
				if _, said, ok := strings.Cut(l.Text, "init: "); ok {
					out = append(out, said)
				}
			}
			h.ForgetLog()
			return strings.Join(out, "\n")
		}
		h.Sh(command)
		plain := lines()
		for _, want := range []string{"SCHED_OTHER", "\n0\n", "cpus " + all, "oom 0", "slack 50000"} {
			if !strings.Contains(plain, want) {
				t.Fatalf("the script says\n%s\nwithout %q", plain, want)
			}
		}
		for _, under := range []string{"chrt -i 0", "chrt -b 0", "chrt -r 10", "nice -n 19", "ionice -c 3", "taskset -c 0", "choom -n 1000 --", "setarch --uname-2.6", "linux32"} {
			h.Sh(under + " " + command)
			host.Equal(h, under, lines(), plain)
		}
		h.Command("sh", "-c", command).In(h.Cgroup()).Must()
		host.Equal(h, "in a cgroup", lines(), plain)
	})
}

// living counts the processes of a name that have not ended.
func living(name string) int {
	n := 0
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, s := range stats {
		if text, err := os.ReadFile(s); err == nil && strings.Contains(string(text), "("+name+") ") && !strings.Contains(string(text), ") Z ") {
			n++
		}
	}
	return n
}

// A host that its user freezes freezes alone: its worker goes on, and holds
// nobody up.
func TestFrozenHost(t *testing.T) {
	blocks := strings.Replace(kit.OwnTmp, `"user"`, "\"user\"\ninit = \"block\"", 1)
	kit.Story(t, blocks, []string{"pamhost", "su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		own := h.Cgroup()
		for _, f := range []string{"here", "go", "done"} {
			h.Fifo("/run/" + f)
		}
		h.WriteFile("/etc/security/polyinst/namespace.d/block", `#!/bin/sh
[ "$4" = alice ] || exit 0
echo here >/run/here; read line </run/go; echo done >/run/done
`, 0o755)
		p := h.Command(h.Built("pamhost"), "user=alice", "ruser=alice", "start", "open", "look:/tmp", "end").In(own).Start()
		h.ReadFifo("/run/here")
		own.Freeze()
		h.MustRun("su", "bob", "-c", "true")
		h.MustRun("polyinst", "gc")
		h.Sh("echo >/run/go")
		host.Equal(h, "the script goes on", strings.TrimSpace(h.ReadFifo("/run/done")), "done")
		h.MustRun("su", "bob", "-c", "true")
		own.Thaw()
		at := printed(p.Wait().Stdout)
		host.Equal(h, "the session, once the host goes on", at["open"].RC, host.PAMSuccess)
		seen, _, _ := strings.Cut(at["look"].Text, " ")
		kit.InInstance(h, "alice", "alice", seen)
	})
}

// A deadline of the worker's own is there, or there is no session: without it a
// host that is frozen would hold others up for as long as its user likes.
func TestWorkerWithoutADeadlineIsRefused(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Forks() // a ready worker has limits of its own
		none := "prlimit --sigpending=0:0 " + h.Built("pamhost") + " user=alice start "
		if h.Cmd("prlimit", "--sigpending=0:0", "prlimit", "--sigpending=1:1", "true").Code == 0 {
			host.Equal(h, "with CAP_SYS_RESOURCE", printed(h.Sh(none + "open end"))["open"].RC, host.PAMSuccess)
		}
		host.Equal(h, "without", printed(h.Sh(none + "dropcap:cap_sys_resource open end"))["open"].RC, host.PAMRefused)
		h.WaitLog("session refused: the worker can have no deadline of its own")
	})
}

// While the host is stopped its worker ends, at the deadline that the
// configuration gives.
func TestWorkerEndsByItsOwnClock(t *testing.T) {
	kit.Story(t, "[namespace]\ntimeout = \"1s\"\n"+kit.OwnTmp, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		p := h.Start(h.Built("fault"), "1", "host", "setns", "1", "hold", h.Built("pamhost"), "user=alice", "window", "start", "open", "end")
		p.Expect("held")
		for end := time.Now().Add(host.Patience); living("pamhost") > 1; {
			if time.Now().After(end) {
				t.Fatal("the worker of a stopped host lives on")
			}
		}
		p.Signal(syscall.SIGUSR1)
		host.Equal(h, "the session", printed(p.Wait().Stdout)["open"].RC, host.PAMRefused)
	})
}

// So does one that is frozen itself, as where it was born in its host's cgroup.
func TestFrozenWorkerEndsByItsOwnClock(t *testing.T) {
	kit.Story(t, "[namespace]\ntimeout = \"1s\"\n"+kit.OwnTmp, []string{"pamhost", "su"}, func(h *host.Host) {
		h.AddUser("alice")
		ice := h.Cgroup()
		p := h.Start(h.Built("fault"), "1", "worker", "move_mount", "1", "hold", h.Built("pamhost"), "user=alice", "window", "start", "open", "end")
		p.Expect("held")
		ice.Freeze(h.Descendants(p.Pid())...)
		p.Signal(syscall.SIGUSR1)
		for end := time.Now().Add(host.Patience); living("pamhost") > 1; {
			if time.Now().After(end) {
				t.Fatal("a worker that is frozen lives on")
			}
		}
		h.MustRun("su", "alice", "-c", "true")
		ice.Thaw()
		host.Equal(h, "the session", printed(p.Wait().Stdout)["open"].RC, host.PAMRefused)
	})
}

// A worker takes no more memory for what its user has made: no cgroup of the
// user's is charged for it. Nor does it take addresses for each of its
// threads, which a limit of them would leave to the first.
func TestWorkersMemory(t *testing.T) {
	const (
		memory    = 16 << 10   // KiB
		addresses = 1450 << 10 // of which Go does without some where they are limited
	)
	config := strings.Replace(kit.Tmpdir, `"tmpdir"`, "\"tmpdir\"\nkeep = [\"x-*\"]", 1)
	kit.Story(t, config, []string{"pamhost"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		look := func(what string, meanwhile func()) {
			for window, call := range map[string]string{"1": "open", "2": "close"} {
				p := h.Start(h.Built("fault"), window, "worker", "exit_group", "1", "hold",
					h.Built("pamhost"), "user=alice", "window", "start", "pause", "open", "pause", "close", "end")
				p.Expect(`"Step":"start"`)
				if call == "open" {
					meanwhile()
				}
				p.Send("\n")
				if call == "close" {
					p.Expect(`"Step":"open"`)
					meanwhile()
					p.Send("\n")
				}
				held := p.Expect(`"Step":"held".*"RC":(\d+)`)[1]
				for field, most := range map[string]int{"VmHWM": memory, "VmPeak": addresses} {
					var peak int
					_, err := fmt.Sscan(h.MustRun("sed", "-n", "s/^"+field+": *//p", "/proc/"+held+"/status"), &peak)
					t.Logf("%s, %s: %s %d KiB", what, call, field, peak)
					if err != nil || peak > most || peak < 1024 {
						t.Errorf("%s, %s: the worker has taken %d KiB, want %d at most (%s, %v)", what, call, peak, most, field, err)
					}
				}
				p.Signal(syscall.SIGUSR1)
				p.CloseInput()
				p.Wait()
			}
		}
		look("nothing", func() {})
		look("mounts without an end", func() {
			bomb := h.Command("unshare", "-U", "-r", "-m", h.Built("attacker"), "in-own-userns", "bomb", "/home/alice", "1500").As(alice).Start()
			bomb.Expect("mounted <nil>")
		})
		look("names without an end", func() {
			h.Command("sh", "-c", "cd /tmp; seq -f x-%.0f 100000 | xargs touch").As(alice).Must()
		})
	})
}
