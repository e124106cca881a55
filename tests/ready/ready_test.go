package ready

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// ready is a story in which one worker is ready, and alice and bob have a /tmp of
// their own in sessions by su.
func ready(t *testing.T, story func(*host.Host, *host.Ready), lines ...string) {
	t.Helper()
	readyWithin(t, host.Limit, story, lines...)
}

// readyWithin is for a story that may take longer, in its long form.
func readyWithin(t *testing.T, limit time.Duration, story func(*host.Host, *host.Ready), lines ...string) {
	t.Helper()
	host.Run(t, func(h *host.Host) {
		h.Install()
		h.Forks() // where all stories have workers: this one's are its own
		h.Config(kit.OwnTmp)
		h.Prepare("/var/lib/polyinst/tmp")
		if lines == nil {
			lines = []string{kit.Session}
		}
		h.PAM("su", host.Stack(lines...)...)
		h.AddUser("alice")
		h.AddUser("bob")
		story(h, h.Serve("--workers", "1"))
	}, host.Within(limit))
}

// servedBy opens a session by su, or by this command that ends in su, looks that it
// is in its own instance, and is what `list` says of who opened it. Where the machine
// had no time for a worker, it is asked again.
func servedBy(h *host.Host, user string, before ...string) string {
	h.T.Helper()
	by := opener(h, user, before...)
	for n := 0; n < 20 && by == "forked: no ready worker was free in time"; n++ {
		by = opener(h, user, before...)
	}
	return by
}

func opener(h *host.Host, user string, before ...string) string {
	h.T.Helper()
	p := h.Start(append(before, "su", user, "-c", "stat -c 'begun in %d:%i.' /tmp; read x")...)
	in := p.Expect(`begun in (\d+:\d+)\.`)
	defer p.Wait()
	defer p.Send("\n")
	host.Equal(h, user+"'s /tmp", in[1], h.FileID("/var/lib/polyinst/tmp/"+user))
	var all struct {
		Namespaces []struct{ User, Worker string }
	}
	if err := json.Unmarshal([]byte(h.MustRun("polyinst", "list", "--json")), &all); err != nil {
		h.T.Fatal(err)
	}
	for _, n := range all.Namespaces {
		if n.User == user {
			return n.Worker
		}
	}
	h.T.Fatalf("no session of %s", user)
	return ""
}

// TestReady: one worker opens one session after the other, and is not what it takes.
func TestReady(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		// one that takes long, on a busy machine, is replaced
		for n, before := 0, []int(nil); !slices.Equal(serve.Workers(), before); n++ {
			if n == 20 {
				t.Fatal("there is another worker after each few sessions")
			}
			before = serve.Workers()
			for range 3 {
				host.Equal(h, "served by", servedBy(h, "alice"), "ready")
				host.Equal(h, "served by", servedBy(h, "bob"), "ready")
			}
		}
		h.Match("metrics", h.MustRun("polyinst", "metrics"), `(?m)^polyinst_namespaces_opened\{by="ready"\} 0$`)
		serve.Stop()
		serve.NoWorkerChanged()
		host.Equal(h, "the socket", h.Exists(host.ReadySocket), false)
		host.Equal(h, "served by", servedBy(h, "alice"), "forked")
	})
}

// TestReadyInASession: sessions inside a session are served, too, and so is the close
// of a tmpdir.
func TestReadyInASession(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		p := h.Start("su", "alice", "-c", "echo opened; read x")
		p.Expect("opened")
		host.Equal(h, "served by", servedBy(h, "bob", "polyinst", "enter", "alice", "--"), "ready")
		h.Match("list", h.MustRun("polyinst", "list"), `(?m)^alice .* ready +/tmp `)
		p.Send("\n")
		p.Wait()
		serve.Stop()
		serve.NoWorkerChanged()
	})
}

// tmpdirs are the tmpdir instances that there are.
func tmpdirs(h *host.Host) string {
	h.T.Helper()
	return strings.Join(slices.DeleteFunc(h.Names("/var/lib/polyinst/tmp"), func(n string) bool { return !strings.HasPrefix(n, ".tmpdir") }), " ")
}

// gone waits until there are these tmpdir instances and no others.
func gone(h *host.Host, want string) {
	h.T.Helper()
	for deadline := time.Now().Add(host.Patience); tmpdirs(h) != want; time.Sleep(time.Millisecond) { // the service tells nobody
		if time.Now().After(deadline) {
			h.T.Fatalf("left behind: %q, want %q", tmpdirs(h), want)
		}
	}
}

// nobodyListens waits until the last worker has ended, whose service was killed.
func nobodyListens(h *host.Host) {
	h.T.Helper()
	for deadline := time.Now().Add(host.Patience); ; time.Sleep(time.Millisecond) {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			h.T.Fatal(err)
		}
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: host.ReadySocket})
		_ = unix.Close(fd)
		if err == unix.ECONNREFUSED {
			return
		}
		if time.Now().After(deadline) {
			h.T.Fatal("the workers do not end with the service: ", err)
		}
	}
}

// TestReadyRemovesByTheEnd: what is the session's alone goes when the last process has
// left its view and each copy of that, and close asks nobody; also where the service
// was not there then.
func TestReadyRemovesByTheEnd(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Config(strings.Replace(kit.OwnTmp, `"user"`, `"tmpdir"`, 1))
		h.PAM("pamhost", host.Stack(kit.Session)...)
		for range 20 {
			// the mark, and the instance over it
			host.Equal(h, "mounts on /tmp", strings.TrimSpace(h.MustRun("su", "alice", "-c", "touch /tmp/x; grep -c ' /tmp ' /proc/self/mountinfo")), "2")
			gone(h, "")
		}
		serve.NoWorkerChanged()
		host.Equal(h, "records", strings.Join(slices.DeleteFunc(h.Names("/run/polyinst"), func(n string) bool { return !strings.HasPrefix(n, "mnt.") }), " "), "")

		pamhost := h.PamHost("user=alice", "start", "open", "must", "rlimit:as=300000000,300000000", "close", "end") // a worker of its own would fail
		pamhost.RC("close", host.PAMSuccess)
		gone(h, "")

		// another user's session comes and goes meanwhile, and takes only its own along
		still := func(what, want string) {
			h.T.Helper()
			for range 2 { // what was looked at for the first is over when the second goes
				h.MustRun("su", "bob", "-c", "touch /tmp/x")
				gone(h, want)
			}
			host.Equal(h, what, tmpdirs(h), want)
		}
		left, err := strconv.Atoi(strings.TrimSpace(h.MustRun("su", "alice", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!")))
		if err != nil {
			t.Fatal(err)
		}
		alices := tmpdirs(h)
		still("with a process that is left", alices)
		copied := h.Start("nsenter", "-t", strconv.Itoa(left), "-m", "unshare", "-m", "sh", "-c", "echo copied; read x")
		copied.Expect("copied")
		_ = unix.Kill(left, unix.SIGKILL)
		still("with a copy of the view that is left", alices)
		copied.Send("\n")
		copied.Wait()
		gone(h, "")

		p := h.Start("su", "alice", "-c", "echo opened; read x")
		p.Expect("opened")
		_ = unix.Kill(serve.PID(), unix.SIGKILL)
		p.Send("\n")
		p.Wait()
		nobodyListens(h)
		if tmpdirs(h) == "" {
			t.Error("who has removed it?")
		}
		h.Serve()
		gone(h, "")
	})
}

// TestReadyKeepsWhatTells: what tells of the ends of namespaces outlives the service,
// if its manager keeps descriptors, as systemd does over a restart.
func TestReadyKeepsWhatTells(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Need("python3")
		serve.Stop()
		h.Config(strings.Replace(kit.OwnTmp, `"user"`, `"tmpdir"`, 1))
		manager := h.Start("python3", "-c", `
import os, shutil, signal, socket
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
os.umask(0o177)
listener.bind("`+host.ReadySocket+`")
listener.listen(16)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind("/run/notify")
polyinst = shutil.which("polyinst")
def serve(names, *fds):
    pid = os.fork()
    if pid == 0:
        fds = [os.dup2(fd, 100 + n) for n, fd in enumerate(fds)]
        fds = [os.dup2(fd, 3 + n) for n, fd in enumerate(fds)]
        os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names, LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET="/run/notify")
        os.execv(polyinst, ["polyinst", "serve", "--workers", "1"])
    return pid
pid = serve("polyinst.socket", listener.fileno())
text, kept, _, _ = socket.recv_fds(notify, 100, 1)
print("stored", text.decode().split(), len(kept), flush=True)
input()
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
pid = serve("polyinst.socket:ends", listener.fileno(), kept[0])
print("again by", pid, flush=True)
input()
os.kill(pid, signal.SIGTERM)
os.waitpid(pid, 0)
`)
		manager.Expect(`stored \['FDSTORE=1', 'FDNAME=ends'\] 1`)
		h.WaitReady()
		p := h.Start("su", "alice", "-c", "echo opened; read x")
		p.Expect("opened")
		manager.Send("\n")
		again := manager.Expect(`again by (\d+)`)[1]
		h.WaitReady()
		// sessions of the second run are told by the same, and it knows that of the first
		workers := strings.Fields(h.Sh("cat /proc/" + again + "/task/*/children"))
		h.Match("what the second run's worker has", h.ReadFile("/proc/"+workers[0]+"/fdinfo/6"), `(?m)^inotify wd:`)
		p.Send("\n")
		p.Wait()
		gone(h, "")
		manager.Send("\n")
		manager.Wait()
	})
}

// TestReadyLetsGoFirst: the program goes on only when the worker has left the view, be
// the way back slow: else close would find it there.
func TestReadyLetsGoFirst(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Need("strace")
		h.Config(strings.Replace(kit.OwnTmp, `"user"`, `"tmpdir"`, 1))
		h.PAM("pamhost", host.Stack(kit.Session+" unmount_on_close")...) // so that close asks, and looks who is left
		_, tracer := trace(h, serve, "-o", "/dev/null", "-e", "inject=setns:delay_enter=150000")
		pamhost := h.PamHost("user=alice", "start", "open", "must", "close", "end")
		pamhost.RC("close", host.PAMSuccess)
		host.Equal(h, "left behind", strings.Join(h.Names("/var/lib/polyinst/tmp"), " "), ".lock")
		tracer.Kill()
	})
}

// TestReadyUndoesFirst: where the program cannot join, it goes on only when all that was
// made for it is undone, be that slow.
func TestReadyUndoesFirst(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Need("strace")
		h.Config(strings.Replace(kit.OwnTmp, `"user"`, `"tmpdir"`, 1))
		h.PAM("pamhost", host.Stack(kit.Session)...)
		_, tracer := trace(h, serve, "-o", "/dev/null", "-e", "inject=unlinkat:delay_enter=150000")
		pamhost := h.Command(append([]string{"env", "LD_PRELOAD=" + h.Built("libnojoin"), h.Built("pamhost")},
			kit.Steps("open", "root-exec:ls -A /var/lib/polyinst/tmp", "end")...)...).Trace()
		pamhost.RC("open", host.PAMRefused)
		host.Equal(h, "left behind", strings.TrimSpace(pamhost.Step("root-exec").Text), ".lock")
		h.WaitLog(`session refused: the session's namespace cannot be joined`)
		tracer.Kill()
	})
}

// TestReadyRejects: hosts of which a forked worker would have what a ready one has
// not fork, and it is said why.
func TestReadyRejects(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		for _, c := range []struct {
			want   string
			before []string
		}{
			{`^ready$`, []string{"unshare", "-m", "--propagation", "slave"}},
			{`^ready$`, []string{"nice"}},
			{`^forked: the host is in another namespace: net:`, []string{"unshare", "-n"}},
			{`^forked: the host is in another namespace: uts:`, []string{"unshare", "-u"}},
			{`^forked: the host is in another namespace: ipc:`, []string{"unshare", "-i"}},
			{`^forked: the host lacks capabilities`, []string{"setpriv", "--bounding-set", "-chown", "--inh-caps", "-all"}},
			{`^forked: the host is restricted: NoNewPrivs`, []string{"setpriv", "--no-new-privs"}},
			{`^forked: the host is traced$`, []string{"strace", "-f", "-o", "/dev/null", "-e", "trace=none"}},
			{`^forked$`, // in place, by the second worker that was forked for it
				[]string{"sh", "-c", "mkdir -p /srv/same && mount --rbind / /srv/same && mount --make-rslave /srv/same && exec chroot /srv/same \"$@\"", "sh"}},
			{`^forked: /etc/nsswitch.conf is another one`, []string{"unshare", "-m", "--propagation", "slave", "sh", "-c",
				"cp /etc/nsswitch.conf /root/other && mount --bind /root/other /etc/nsswitch.conf && exec \"$@\"", "sh"}},
		} {
			h.Match(strings.Join(c.before, " "), servedBy(h, "alice", c.before...), c.want)
			host.Equal(h, "the next one", servedByAtLast(h, "bob"), "ready")
		}
	})
}

// servedByAtLast waits until a worker is there again.
func servedByAtLast(h *host.Host, user string) string {
	h.T.Helper()
	h.WaitReady()
	return servedBy(h, user)
}

// TestReadyAccounts: accounts, their sources and the configuration that change between
// two sessions have changed for the second.
func TestReadyAccounts(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		host.Equal(h, "served by", servedBy(h, "alice"), "ready")
		h.AddUser("carol")
		host.Equal(h, "a new user is served by", servedBy(h, "carol"), "ready")
		old := serve.Workers()
		h.WriteFile("/etc/nsswitch.conf", h.ReadFile("/etc/nsswitch.conf")+"# changed\n")
		h.Match("after a change of nsswitch.conf", servedBy(h, "alice"), `^forked: /etc/nsswitch.conf is another one`)
		host.Equal(h, "served by", servedByAtLast(h, "alice"), "ready")
		if now := serve.Workers(); slices.Equal(now, old) {
			h.T.Errorf("the worker is the old one: %v", now)
		}
		h.Config(strings.Replace(kit.OwnTmp, `["root"]`, `["root", "alice"]`, 1))
		host.Equal(h, "/tmp of an exempt user", strings.TrimSpace(h.MustRun("su", "alice", "-c", "stat -c %d:%i /tmp")), h.FileID("/tmp"))
	})
}

// TestReadyReadsTheConfiguration: the file is read for each session. That it has the
// same size and time as before says nothing.
func TestReadyReadsTheConfiguration(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		const file = "/etc/security/polyinst/namespace.conf"
		h.Prepare("/var/lib/polyinst/alt")
		at := func(parent string) {
			t.Helper()
			host.Equal(h, "alice's /tmp", strings.TrimSpace(h.MustRun("su", "alice", "-c", "stat -c %d:%i /tmp")), h.FileID(parent+"/alice"))
		}
		for range 2 { // the second time its text is known
			at("/var/lib/polyinst/tmp")
		}
		before, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(file, os.O_WRONLY, 0) // the same inode, too
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteString(strings.ReplaceAll(kit.OwnTmp, "/polyinst/tmp/", "/polyinst/alt/"))
		_ = f.Close()
		if err == nil {
			err = os.Chtimes(file, before.ModTime(), before.ModTime())
		}
		after, err2 := os.Stat(file)
		if err != nil || err2 != nil || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
			t.Fatal(err, err2, before, after)
		}
		h.MustRun("su", "alice", "-c", "true")
		at("/var/lib/polyinst/alt")
	})
}

// TestReadyOfAnotherBuild: a worker of the old build beside a module of the new one.
func TestReadyOfAnotherBuild(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		build, module := h.Build(), h.ReadFile(h.Module())
		host.Equal(h, "ids in the module", strings.Count(module, build), 1)
		h.WriteFile(h.Module()+".new", strings.Replace(module, build, strings.Repeat("0", len(build)), 1))
		h.MustRun("mv", h.Module()+".new", h.Module())
		host.Equal(h, "served by", servedBy(h, "alice"), "forked: the ready worker is of another build")

		// module and command are new, and the service was not started anew
		h.MustRun("sed", "-i", "s/"+build+"/"+strings.Repeat("0", len(build))+"/", "/usr/local/sbin/polyinst")
		host.Equal(h, "metrics", h.Sh("polyinst metrics | grep '^polyinst_served '"), "polyinst_served 0")
		h.Match("status", h.MustRun("polyinst", "status"), "(?m)^workers +those of another build are listened for: every session forks its own: `systemctl restart polyinst.service`$")
		serve.Stop()
		h.Serve("--workers", "1")
		host.Equal(h, "metrics, then", h.Sh("polyinst metrics | grep '^polyinst_served '"), "polyinst_served 1")
	})
}

// TestReadyState: what a session, or another user, could leave behind ends the worker
// before it takes another host.
func TestReadyState(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		for _, change := range [][]string{{"renice", "-n", "17", "-p"}, {"taskset", "-p", "1"}} {
			if change[0] == "taskset" && runtime.NumCPU() < 2 {
				continue
			}
			old := serve.Workers()
			h.MustRun(append(change, strconv.Itoa(old[0]))...)
			host.Equal(h, "served by", servedBy(h, "alice"), "ready") // it takes back what it can
			h.WaitReady()
			if now := serve.Workers(); slices.Equal(now, old) {
				host.Equal(h, change[0], scheduling(h, old[0]), scheduling(h, os.Getpid()))
			}
		}
		// an init script leaves its keyring and timer slack
		h.WriteFile("/etc/security/polyinst/init", "#!/bin/sh\nexit 0\n", 0o755)
		h.Config(kit.OwnTmp + "init = \"/etc/security/polyinst/init\"\ninit_when = \"always\"\n")
		old := serve.Workers()
		host.Equal(h, "served by", servedBy(h, "alice"), "ready")
		h.WaitReady()
		if now := serve.Workers(); slices.Equal(now, old) {
			h.T.Errorf("the worker that ran a script goes on: %v", now)
		}
	})
}

func scheduling(h *host.Host, pid int) string {
	h.T.Helper()
	nice, err := unix.Getpriority(unix.PRIO_PROCESS, pid)
	if err != nil {
		h.T.Fatal(err)
	}
	status := h.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return fmt.Sprint(nice, status[strings.Index(status, "Cpus_allowed:"):strings.Index(status, "Cpus_allowed_list:")])
}

// TestReadyEndsWithTheHost: what is done for a host that is killed is not done on.
func TestReadyEndsWithTheHost(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Fifo("/root/began")
		h.WriteFile("/etc/security/polyinst/init", "#!/bin/sh\necho $$ >/root/began\nexec sleep 1000\n", 0o755)
		h.Config(kit.OwnTmp + "init = \"/etc/security/polyinst/init\"\n")
		old := serve.Workers()
		p := h.Start("su", "alice", "-c", "true")
		script, err := strconv.Atoi(strings.TrimSpace(h.ReadFifo("/root/began")))
		if err != nil {
			h.T.Fatal(err)
		}
		p.KillHard()
		p.Wait()
		for deadline := time.Now().Add(host.Patience); h.Alive(script) || h.Alive(old[0]); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				h.T.Fatalf("the script is alive: %v, the worker: %v", h.Alive(script), h.Alive(old[0]))
			}
		}
		h.Config(kit.OwnTmp)
		host.Equal(h, "served by", servedByAtLast(h, "alice"), "ready")
	})
}

// TestReadyBusy: whoever keeps a worker busy keeps it from nobody for long.
func TestReadyBusy(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Fifo("/root/began")
		h.Fifo("/root/goon")
		h.WriteFile("/etc/security/polyinst/init", "#!/bin/sh\n[ \"$2\" = /var/lib/polyinst/tmp/bob ] && exit 0\necho yes >/root/began\nread x </root/goon\n", 0o755)
		h.Config(kit.OwnTmp + "init = \"/etc/security/polyinst/init\"\n")
		p := h.Start("su", "alice", "-c", "echo opened; read x")
		h.ReadFifo("/root/began")
		h.WaitReady() // another worker is there
		h.Config(kit.OwnTmp)
		host.Equal(h, "beside it", servedBy(h, "bob"), "ready")
		h.WriteFile("/root/goon", "go\n")
		p.Expect("opened")
		p.Send("\n")
		p.Wait()
	})
}

// TestReadyClosesUnhurried: the service is ahead of other programs, as the unit makes
// it, but not while it removes what a user has left.
func TestReadyClosesUnhurried(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Need("strace")
		h.Config(strings.Replace(kit.OwnTmp, `"user"`, `"tmpdir"`, 1))
		serve.Stop()
		runtime.LockOSThread() // by which the service is started
		if err := unix.Setpriority(unix.PRIO_PROCESS, 0, -10); err != nil {
			t.Fatal(err)
		}
		serve = h.Serve()
		ahead := scheduling(h, serve.PID())
		h.MustRun("su", "alice", "-c", "touch /tmp/x")

		// a session that the service was told of, and one that was opened without it
		for _, forked := range []bool{false, true} {
			if forked {
				serve.Stop()
			}
			p := h.Start("su", "alice", "-c", "touch /tmp/x; echo opened; read x")
			p.Expect("opened")
			if forked {
				serve = h.Serve("--workers", "1")
			}
			traced := serve.PID() // it removes what it was told of; else its worker does
			if forked {
				traced = onlyWorker(h, serve)
			}
			tracer := h.Start("strace", "-f", "-e", "trace=unlinkat", "-e", "inject=unlinkat:delay_enter=300000", "-p", strconv.Itoa(traced))
			tracer.Expect("attached")
			p.Send("\n")
			thread, _ := strconv.Atoi(tracer.Expect(`\[pid +(\d+)\] unlinkat\(.*"x"`)[1])
			if now := scheduling(h, thread); now == ahead {
				t.Errorf("while it removes what the user has left (opened without the service: %t): %s", forked, now)
			}
			p.Wait()
			tracer.Kill()
		}
	})
}

// TestReadyIsNotAheadForLong: a conversation that takes long, of which a user can choose
// how much there is to do, is ahead of nobody's programs; and the service says nothing.
func TestReadyIsNotAheadForLong(t *testing.T) {
	for name, earlier := range map[string]string{"just now": "0", "from before it was put in order on": "300000"} {
		t.Run(name, func(t *testing.T) {
			ready(t, func(h *host.Host, serve *host.Ready) {
				h.Need("strace")
				serve.Stop()
				service := h.Start("nice", "-n", "-10", "polyinst", "serve", "--foreground", "--workers", "1")
				h.WaitReady()
				worker := strings.TrimSpace(h.Sh("cat /proc/" + strconv.Itoa(service.Pid()) + "/task/*/children"))
				pid, err := strconv.Atoi(worker)
				if err != nil {
					t.Fatal(worker)
				}
				ahead := scheduling(h, pid)
				tracer := h.Start("strace", "-e", "trace=unshare,move_mount", "-e", "inject=unshare:delay_enter="+earlier, "-e", "inject=move_mount:delay_enter=2000000:when=1", "-p", worker)
				tracer.Expect("attached")
				p := h.Start("su", "alice", "-c", "true")
				tracer.Expect(`move_mount\(`)
				h.WaitReady() // another worker is there
				if now := scheduling(h, pid); now == ahead {
					t.Errorf("while it takes long: %s", now)
				}
				host.Equal(h, "the session", p.Wait().Code, 0)
				tracer.Wait()
				service.Signal(unix.SIGTERM)
				host.Equal(h, "the service has said", service.Wait().Stdout, "")
			})
		})
	}
}

// TestReadyTakesLongAtTheEnd: a conversation that is seen to take long when it is just over
// is no fault of the worker's, and the service says nothing.
func TestReadyTakesLongAtTheEnd(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Need("strace")
		serve.Stop()
		service := h.Start("nice", "-n", "-10", "polyinst", "serve", "--foreground", "--workers", "1")
		h.WaitReady()
		worker := strconv.Itoa(h.Children(service.Pid())[0])
		// the thread that looks at the clock is late, and the worker looks at itself for longer
		late := []string{"strace", "-e", "trace=read", "-e", "inject=read:delay_exit=300000"}
		for _, thread := range h.Names("/proc/" + worker + "/task") {
			if thread != worker {
				late = append(late, "-p", thread)
			}
		}
		clock := h.Start(late...)
		clock.Expect("attached")
		tracer := h.Start("strace", "-e", "trace=move_mount,keyctl", "-e", "inject=move_mount:delay_enter=200000:when=1", "-e", "inject=keyctl:delay_enter=200000", "-p", worker)
		tracer.Expect("attached")
		host.Equal(h, "the session", h.Su("alice", "true").Code, 0)
		tracer.Wait()
		clock.Wait()
		service.Signal(unix.SIGTERM)
		// on a busy machine su has forked, and the worker sees the tracer
		if said := service.Wait().Stdout; strings.Contains(said, "scheduling") {
			t.Error(said)
		}
	})
}

// TestReadyWhoeverStartsIt: with whatever state a user starts a program that opens a
// session, a ready worker opens the one that it is, and is the same for the next user.
func TestReadyWhoeverStartsIt(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Need("perl", "prlimit", "setarch", "chrt")
		alice := host.User{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice"}
		h.MustRun("su", "bob", "-c", "true")
		const su = "echo " + host.Password + " | exec su bob -c 'stat -c %d:%i.%u.%a /tmp; id -Gn; umask; ls /proc/self/fd | wc -l; pwd'"
		want := h.FileID(kit.Instance("bob")) + ".0.1777\nbob\n0022\n4\n"
		for name, c := range map[string]struct{ before, cwd string }{
			"plain":                    {"", "/"},
			"no descriptor 2":          {"exec 2>&-; ", "/"},
			"few descriptors":          {"ulimit -n 12; ", "/"},
			"no file size":             {"ulimit -f 0; ", "/"},
			"no signals pending":       {"prlimit --sigpending=0:0 --pid $$; ", "/"},
			"little stack":             {"ulimit -s 64; ", "/"},
			"signals ignored":          {"trap '' CHLD PIPE HUP ALRM TERM; ", "/"},
			"variables":                {"export TMPDIR=/x LD_PRELOAD=/x GOMAXPROCS=9 GODEBUG=inittrace=1 HOSTALIASES=/tmp/h; ", "/"},
			"a directory that is gone": {"mkdir /tmp/gone; cd /tmp/gone; rmdir /tmp/gone; ", kit.Nowhere},
			"a closed directory":       {"mkdir /tmp/closed; cd /tmp/closed; chmod 0 .; ", kit.Nowhere},
			"a directory elsewhere": {"mkfifo /tmp/wait; unshare -Urm sh -c 'mount -t tmpfs x /mnt; echo $$ >/tmp/pid; read x </tmp/wait' & " +
				"until [ -s /tmp/pid ]; do :; done; cd /proc/$(cat /tmp/pid)/root/mnt && rm /tmp/pid; ", kit.Nowhere},
			"idle":           {"chrt -i -p 0 $$; renice -n 19 -p $$ >/dev/null; ", "/"},
			"another kernel": {"exec setarch -R --uname-2.6 sh -c \"$0\"; ", "/"},
			"late timers":    {"exec perl -e 'syscall(157, 29, 2000000000, 0, 0, 0); exec @ARGV' sh -c \"$0\"; ", "/"},
		} {
			r := h.Command("setsid", "sh", "-c", c.before+su, su).As(alice).Dir("/").Run()
			host.Equal(h, name+": bob's session", r.Stdout, want+c.cwd+"\n")
			host.Equal(h, name+": the next one", servedBy(h, "alice"), "ready")
		}
		serve.Stop()
		serve.NoWorkerChanged()
	})
}

// TestReadyStorm: while a user starts programs by the dozen and kills, stops and lets go
// on each at any moment, nobody else waits for the timeout, and nobody is refused.
func TestReadyStorm(t *testing.T) {
	for name, method := range map[string]string{"an instance": "user", "tmpdirs": "tmpdir"} {
		t.Run(name, func(t *testing.T) {
			ready(t, func(h *host.Host, serve *host.Ready) {
				h.Need("perl")
				h.Config("[namespace]\ntimeout = \"5s\"\n" + strings.Replace(kit.OwnTmp, `"user"`, fmt.Sprintf("%q", method), 1))
				alice := host.User{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice"}
				h.WriteFile("/srv/password", host.Password+"\n")
				h.WriteFile("/srv/storm", `use Time::HiRes qw(setitimer ITIMER_REAL usleep);
$| = 1; my $group = getpgrp;
for my $n (1..8) {
  next if fork; srand $n;
  while (getppid != 1) {
    my $pid = fork;
    if (!$pid) {
      setitimer(ITIMER_REAL, 0.02 + rand 0.25) if $n % 2;
      open STDIN, "<", "/srv/password"; open STDOUT, ">", "/dev/null"; open STDERR, ">", "/dev/null";
      exec "su", "alice", "-c", "true";
    }
    if ($n % 2 == 0) { usleep 20000 + rand 250000; kill STOP => $pid; usleep rand 1500000; kill rand() < 0.5 ? "KILL" : "CONT", $pid }
    waitpid $pid, 0;
  }
  exit;
}
print "begun\n"; <STDIN>;
`)
				storm := h.Command("perl", "/srv/storm").As(alice).Dir("/").Start()
				storm.Expect("begun")
				for range 100 {
					r := h.Su("bob", "stat -c %a /tmp")
					host.Equal(h, "bob's session", fmt.Sprint(r.Code, r.Out()), "01777")
				}
				storm.CloseInput()
				storm.Wait()
				onlyWorker(h, serve)
			})
		})
	}
}

// TestReadySignals: SIGHUP replaces the workers, SIGTERM ends them, and killed ones
// are replaced; sessions do not notice.
func TestReadySignals(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		p := h.Start("su", "alice", "-c", "echo opened; read x; stat -c %d:%i. /tmp")
		p.Expect("opened")
		old := serve.Workers()
		_ = unix.Kill(serve.PID(), unix.SIGHUP)
		for deadline := time.Now().Add(host.Patience); h.Alive(old[0]); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				h.T.Fatal("the worker does not end")
			}
		}
		host.Equal(h, "served by", servedByAtLast(h, "bob"), "ready")
		_ = unix.Kill(serve.Workers()[0], unix.SIGKILL)
		host.Equal(h, "served by", servedByAtLast(h, "bob"), "ready")
		_ = unix.Kill(serve.PID(), unix.SIGKILL)
		nobodyListens(h)
		h.Match("without the service", servedBy(h, "bob"), `^forked: `)
		h.Serve() // it takes the place of the socket that nobody listens at
		host.Equal(h, "served by", servedByAtLast(h, "bob"), "ready")
		p.Send("\n")
		p.Expect(h.FileID("/var/lib/polyinst/tmp/alice") + `\.`)
	})
}

// TestReadyEndsThoughRenewed: a service that is told to replace its workers and to end,
// in whatever order it comes to know of that, ends.
func TestReadyEndsThoughRenewed(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		for range 10 {
			first := serve.Workers()
			_ = unix.Kill(serve.PID(), unix.SIGHUP)
			for slices.Equal(serve.Workers(), first) { // while it starts the new ones
			}
			_ = unix.Kill(serve.PID(), unix.SIGHUP)
			_ = unix.Kill(serve.PID(), unix.SIGTERM)
			serve.Ended()
			serve = h.Serve()
		}
	})
}

// TestReadyMany: many hosts at once are served or fork, each in its own view.
func TestReadyMany(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		var all sync.WaitGroup
		for i := range kit.Setting("HOSTS", 40) {
			user := []string{"alice", "bob"}[i%2]
			all.Go(func() {
				out, err := exec.Command("su", user, "-c", "stat -c %d:%i /tmp").CombinedOutput()
				if want := h.FileID("/var/lib/polyinst/tmp/" + user); err != nil || strings.TrimSpace(string(out)) != want {
					h.T.Errorf("%s: %v, %s, want %s", user, err, out, want)
				}
			})
		}
		all.Wait()
		host.Equal(h, "served by", servedByAtLast(h, "bob"), "ready")
	})
}

// TestReadyKilledInALoop: workers that are killed again and again lose no session but
// one that they were serving, and that says why.
func TestReadyKilledInALoop(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		servedBy(h, "alice")
		servedBy(h, "bob")
		over, killed := make(chan struct{}), 0
		var killer, all sync.WaitGroup
		killer.Go(func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(10 * time.Millisecond): // how often, not what is waited for
				}
				for _, pid := range serve.Workers() {
					if unix.Kill(pid, unix.SIGKILL) == nil {
						killed++
					}
				}
			}
		})
		for i := range 60 {
			user := []string{"alice", "bob"}[i%2]
			all.Go(func() {
				out, err := exec.Command("su", user, "-c", "stat -c %d:%i /tmp").CombinedOutput()
				want := h.FileID("/var/lib/polyinst/tmp/" + user)
				refused := strings.Contains(string(out), "this session was refused; the system log says why")
				if err == nil && strings.TrimSpace(string(out)) != want || err != nil && !refused {
					h.T.Errorf("%s: %v, %s, want %s", user, err, out, want)
				}
			})
			if i%6 == 5 {
				all.Wait()
			}
		}
		close(over)
		killer.Wait()
		if killed == 0 {
			h.T.Error("no worker was killed")
		}
		for _, l := range h.ModuleLog() {
			if strings.Contains(l.Text, "refused") {
				h.Match("why", l.Text, "the session's namespace cannot be joined")
			}
		}
		host.Equal(h, "after them", servedByAtLast(h, "alice"), "ready")
	})
}

// TestReadyKilledAtEveryCall: a worker that is killed, or stopped, at one of its system
// calls while it serves costs nobody their view: the host forks, or says why not, and
// the next session is right.
func TestReadyKilledAtEveryCall(t *testing.T) {
	readyWithin(t, kit.AtEveryCall, func(h *host.Host, serve *host.Ready) {
		h.Need("strace")
		h.Config("[namespace]\ntimeout = \"2s\"\n" + kit.OwnTmp)
		servedBy(h, "alice")
		last := tracedCalls(h, serve)
		for at := 2; at <= last+4; at += kit.Setting("POINTS", 9) { // POINTS=1: at each
			killAt(h, serve, "KILL", at)
		}
		for at := last / 2; at <= last; at += kit.Setting("POINTS", last/6) { // by then the host knows the timeout
			killAt(h, serve, "STOP", at)
		}
	}, kit.Session)
}

// TestReadyOutOfMemory: where the service, or a worker, gets no more memory, hosts fork,
// and each session is in its own view; when there is memory again, it serves again.
func TestReadyOutOfMemory(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		limit := func(pid int, bytes uint64) {
			t.Helper()
			if err := unix.Prlimit(pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil); err != nil && err != unix.ESRCH {
				t.Fatal(err)
			}
		}
		worker := serve.Workers()[0]
		limit(worker, 1) // what it has it keeps
		for n := 0; h.Alive(worker); n++ {
			if n == 300 {
				t.Fatal("the worker needs no memory")
			}
			h.Match("served by", opener(h, []string{"alice", "bob"}[n%2]), `^(ready|forked: .*)$`)
		}
		host.Equal(h, "when it has ended", servedByAtLast(h, "alice"), "ready")

		limit(serve.PID(), 1) // no worker of its own gets any, either
		_ = unix.Kill(serve.Workers()[0], unix.SIGKILL)
		for range 5 {
			h.Match("without workers", opener(h, "bob"), `^forked`)
		}
		if !h.Alive(serve.PID()) { // a service manager starts it again
			serve = h.Serve()
		}
		limit(serve.PID(), unix.RLIM_INFINITY)
		host.Equal(h, "with memory again", servedByAtLast(h, "alice"), "ready")
	})
}

// trace starts strace of the main thread of the worker, and returns when it is
// attached.
func trace(h *host.Host, serve *host.Ready, args ...string) (worker int, tracer *host.Process) {
	h.T.Helper()
	worker = onlyWorker(h, serve)
	tracer = h.Start(append(append([]string{"strace"}, args...), "-p", strconv.Itoa(worker))...)
	tracer.Expect("attached")
	return worker, tracer
}

// onlyWorker is the one worker that there is, when it is ready, and has nothing to do any
// more: while it still compares itself with what it was, it would see a tracer, and end.
func onlyWorker(h *host.Host, serve *host.Ready) int {
	h.T.Helper()
	for deadline := time.Now().Add(host.Patience); ; {
		h.WaitReady()
		for time.Now().Before(deadline) {
			all := serve.Workers()
			if len(all) != 1 { // one that was slow has not ended yet
				break
			}
			if waits(all[0]) {
				return all[0]
			}
		}
		if time.Now().After(deadline) {
			h.T.Fatalf("no worker waits: %v", serve.Workers())
		}
	}
}

// waits reports whether a worker's main thread sleeps until the next host comes.
func waits(worker int) bool {
	at, err := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", worker))
	return err == nil && (strings.Contains(string(at), "ep_poll") || strings.Contains(string(at), "epoll"))
}

// tracedCalls is how many system calls of its main thread a worker makes for one
// session.
func tracedCalls(h *host.Host, serve *host.Ready) int {
	h.T.Helper()
	for {
		_, tracer := trace(h, serve, "-o", "/root/calls")
		h.MustRun("su", "alice", "-c", "true")
		tracer.Signal(unix.SIGINT)
		tracer.Wait()
		// one that still compared itself with what it was sees the tracer, and ends
		if calls := h.ReadFile("/root/calls"); strings.Contains(calls, `iov_base="R`) {
			return strings.Count(calls, "\n")
		}
	}
}

func killAt(h *host.Host, serve *host.Ready, signal string, at int) {
	h.T.Helper()
	worker, tracer := trace(h, serve, "-o", "/dev/null", "-e", fmt.Sprintf("inject=all:signal=%s:when=%d", signal, at))
	want := h.FileID("/var/lib/polyinst/tmp/alice")
	before := h.MountNS(os.Getpid())
	r := h.Su("alice", "stat -c %d:%i /tmp")
	switch {
	case r.Code == 0:
		host.Equal(h, fmt.Sprintf("%s at call %d: /tmp", signal, at), r.Out(), want)
	default:
		h.Match(fmt.Sprintf("%s at call %d", signal, at), r.Stderr, `this session was refused; the system log says why`)
		h.WaitLog(`session refused: (the worker did not answer in time|the session's namespace cannot be joined)`)
	}
	h.ForgetLog()
	host.Equal(h, "the view outside", h.MountNS(os.Getpid()), before)
	_ = unix.Kill(worker, unix.SIGKILL) // one that is stopped, or was reached by none
	tracer.Wait()
	host.Equal(h, "the next one", servedByAtLast(h, "alice"), "ready")
	host.Equal(h, "instances", strings.Join(h.Names("/var/lib/polyinst/tmp"), " "), ".lock alice")
}

// TestReadySilence: who connects and says nothing keeps nobody out.
func TestReadySilence(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		for range 30 {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			_ = unix.Connect(fd, &unix.SockaddrUnix{Name: host.ReadySocket})
		}
		h.Match("beside them", servedBy(h, "alice"), `^(ready|forked: .*)$`)
		host.Equal(h, "after them", servedByAtLast(h, "bob"), "ready")
	})
}

// TestReadyLies: whatever listens in the place of the workers, the host forks.
func TestReadyLies(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		build := h.Build()
		serve.Stop()
		pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
		if err != nil {
			t.Fatal(err)
		}
		hello := func(fd int, text string) {
			_ = unix.Sendmsg(fd, []byte("H"+text), unix.UnixRights(pidfd), nil, 0)
		}
		question := func(fd int) { var b [9000]byte; _, _ = unix.Read(fd, b[:]) }
		for _, c := range []struct {
			name, want string
			says       func(fd int)
		}{
			{"silence", `forked: no ready worker was free in time`, func(fd int) { question(fd); question(fd) }},
			{"the end", `forked: the ready worker has ended`, func(int) {}},
			{"nonsense", `forked: the ready worker has ended`, func(fd int) { _, _ = unix.Write(fd, []byte(strings.Repeat("R", 300))) }},
			{"a report at once", `forked: the ready worker has ended`, func(fd int) { _, _ = unix.Write(fd, []byte("RJ\x00\x06\x00\x00\x02\x00")) }},
			{"no pidfd", `forked: the ready worker has ended`, func(fd int) { _, _ = unix.Write(fd, []byte("H"+build)) }},
			{"another build", `forked: the ready worker is of another build`, func(fd int) { hello(fd, build+"x"); question(fd) }},
			{"no build", `forked: the ready worker is of another build`, func(fd int) { hello(fd, ""); question(fd) }},
			{"the end after the question", `forked: the ready worker ended without an answer`, func(fd int) { hello(fd, build); question(fd) }},
			{"a word that it cannot", `forked: no time`, func(fd int) { hello(fd, build); question(fd); _, _ = unix.Write(fd, []byte("Xno time")) }},
			{"half an answer", `forked: the ready worker ended without an answer`, func(fd int) {
				hello(fd, build)
				question(fd)
				_, _ = unix.Write(fd, []byte("N"))
				_, _ = unix.Write(fd, []byte("Q"))
				_, _ = unix.Write(fd, []byte("RJ"))
			}},
		} {
			stop := listen(h, host.ReadySocket, c.says)
			h.Match(c.name, opener(h, "alice"), "^"+c.want+"$")
			stop()
		}

		// a socket that is not root's, or in a place that is not
		_ = listen(h, host.ReadySocket, func(fd int) {
			hello(fd, build)
			question(fd)
			_, _ = unix.Write(fd, []byte("R-\x00\x06\x00\x00\x00\x00"))
		})
		h.MustRun("chown", "alice", host.ReadySocket)
		host.Equal(h, "a stranger's socket", servedBy(h, "alice"), notRoots)
		h.MustRun("chown", "root", host.ReadySocket)
		h.MustRun("chmod", "0666", host.ReadySocket)
		host.Equal(h, "a socket that all may use", servedBy(h, "alice"), notRoots)
	})
}

// TestReadyAsksItself: a question is answered only if it comes from the very process
// that has connected, and as long as that lives, be it asked before or after the
// greeting.
func TestReadyAsksItself(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Need("python3")
		ask := func(script string) string {
			return strings.TrimSpace(h.MustRun("python3", "-c", `
import os, signal, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
def connect():
    s.connect("`+host.ReadySocket+`")
    return os.getpid()
def ask(pid, build="`+h.Build()+`"):
    s.send(("build=%s\0user=alice\0service=su\0tty=\0ruser=\0rhost=\0open=1\0silent=0\0ns=\0inplace=0\0back=0\0closes=0\0"
        "pid=%d\0tid=%d\0ruid=0\0held=0\0exec=0\0helduser=\0ready=\0" % (build, pid, pid)).encode())
def child(does):
    pid = os.fork()
    if pid == 0:
        does()
        os._exit(0)
    os.waitpid(pid, 0)
    return pid
def hear():
    text = s.recv(1000).decode("latin1")
    return text if text.startswith("X") else text[:1]
`+script))
		}
		h.Match("itself", ask("me = connect(); hear(); ask(me); print(hear())"), `^[A-WYZ]$`)
		h.Match("itself, at once", ask("ask(connect()); hear(); print(hear())"), `^[A-WYZ]$`)
		host.Equal(h, "of another build", ask("ask(connect(), 'x'); hear(); print(hear())"), "Xthe ready worker is of another build")
		host.Equal(h, "its child", ask("me = connect(); hear(); child(lambda: ask(me)); print(hear())"), "")
		host.Equal(h, "its child, at once", ask("me = connect(); child(lambda: ask(me)); hear(); print(hear())"), "")

		// it has ended before a worker looks, and another process may have its pid
		gone := func(then string) string {
			return ask(`
workers = [int(x) for x in "` + strings.Trim(fmt.Sprint(serve.Workers()), "[]") + `".split()]
for w in workers: os.kill(w, signal.SIGSTOP)
asker = child(lambda: ask(connect()))
` + then + `
for w in workers: os.kill(w, signal.SIGCONT)
hear()
print(hear())`)
		}
		h.Match("one that has ended", gone(""), `^Xopen /proc/.*: no such file or directory$`)
		host.Equal(h, "one whose pid another has", gone(`
other = 0
while other != asker:
    with open("/proc/sys/kernel/ns_last_pid", "w") as f: f.write(str(asker - 1))
    other = os.fork()
    if other == 0:
        os.close(1)
        signal.pause()
`), "Xthe host has ended")
	})
}

// TestReadyStrangersListener: a user who listens where root's socket would be.
func TestReadyStrangersListener(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		serve.Stop()
		h.Need("python3")
		h.Mkdir("/run/polyinst", 0o755, 0, 0)
		p := h.Command("python3", "-c", `
import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind("`+host.ReadySocket+`")
os.setuid(2001)
s.listen(5)
print("listens", flush=True)
while True:
    c, _ = s.accept()
    c.recv(9000)
    print("was asked", flush=True)
`).Start()
		p.Expect("listens")
		h.MustRun("chmod", "600", host.ReadySocket)
		h.MustRun("chown", "root", host.ReadySocket)
		h.MustRun("chmod", "0700", "/run/polyinst")
		host.Equal(h, "served by", servedBy(h, "alice"), "forked: who listens for ready workers is not root here")
	})
}

const notRoots = "forked: others than root may write to the socket, or above it"

// TestReadyWayIsRoots: where another than root may write to the socket, nobody is
// asked, and `list` says why a session forked, since `status` cannot know.
func TestReadyWayIsRoots(t *testing.T) {
	for what, undo := range map[string][2]string{
		"a group may connect": {"chmod 660 " + host.ReadySocket, "chmod 600 " + host.ReadySocket},
		"the socket is bob's": {"chown bob " + host.ReadySocket, "chown root " + host.ReadySocket},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			ready(t, func(h *host.Host, _ *host.Ready) {
				host.Equal(h, "before", servedBy(h, "alice"), "ready")
				h.Sh(undo[0])
				host.Equal(h, "then", servedBy(h, "alice"), notRoots)
				h.Sh(undo[1])
				host.Equal(h, "afterwards", servedBy(h, "alice"), "ready")
			})
		})
	}
}

// listen serves each that connects, by root.
func listen(h *host.Host, path string, says func(fd int)) (stop func()) {
	h.T.Helper()
	_ = os.Remove(path)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if err == nil {
		err = unix.Chmod(path, 0o600)
	}
	if err == nil {
		err = unix.Listen(fd, 8)
	}
	if err != nil {
		h.T.Fatal(err)
	}
	go func() {
		for {
			c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			if err != nil {
				return
			}
			says(c)
			_ = unix.Close(c)
		}
	}()
	return func() {
		_ = unix.Shutdown(fd, unix.SHUT_RDWR)
		_ = unix.Close(fd)
		_ = os.Remove(path)
	}
}
