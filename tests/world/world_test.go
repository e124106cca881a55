//go:build world

// Package world holds the stories of programs that people run in a session: the
// rows of docs/compatibility.md. `make test-world` installs the programs and runs
// it.
package world

import (
	"regexp"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

func TestMain(m *testing.M) { host.Main(m) }

const ownTmp = `
[[polydir]]
path            = "/tmp"
instance_prefix = "/var/lib/polyinst/tmp/"
method          = "user"
except          = ["root"]
`

const instances = "/var/lib/polyinst/tmp/"

// sshStory is a story with a running sshd, and su, sudo beside it, for alice and
// bob.
func sshStory(t *testing.T, programs []string, tell func(h *host.Host, s *host.Sshd)) {
	t.Helper()
	story(t, ownTmp, programs, func(h *host.Host) { tell(h, h.Sshd()) })
}

func story(t *testing.T, config string, programs []string, tell func(h *host.Host)) {
	t.Helper()
	t.Parallel()
	host.Run(t, func(h *host.Host) {
		h.Need(programs...)
		h.Install()
		h.Config(config)
		h.Prepare("/var/lib/polyinst/tmp")
		for _, service := range []string{"sshd", "su", "su-l", "sudo"} {
			h.PAM(service, host.Stack("session required pam_polyinst.so")...)
		}
		h.AddUser("alice")
		h.AddUser("bob")
		h.Fifo("/run/told")
		tell(h)
	})
}

// must runs a command by ssh, which has to succeed, and returns what it prints.
func must(s *host.Sshd, user, command string) string {
	return s.Client(host.PublicKey, user, command).Must()
}

// has fails unless the text has each of the words.
func has(h *host.Host, what, text string, words ...string) {
	h.T.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			h.T.Errorf("%s: no %q in:\n%s", what, w, text)
		}
	}
}

// TestTmux: a server of one login is found by the next one, and by nobody else.
func TestTmux(t *testing.T) {
	sshStory(t, []string{"tmux"}, func(h *host.Host, s *host.Sshd) {
		must(s, "alice", "LC_ALL=C.UTF-8 tmux new-session -d -s work 'touch /tmp/by-tmux; echo >/run/told; exec sleep 1000'")
		has(h, "the next login", must(s, "alice", "tmux list-sessions"), "work:")
		if r := s.SSH("bob", "tmux list-sessions"); r.Code == 0 {
			t.Errorf("bob sees it: %s", r.Stdout)
		}
		uid := strings.TrimSpace(h.MustRun("id", "-u", "alice"))
		if !h.Exists(instances+"alice/tmux-"+uid+"/default") || h.Exists("/tmp/tmux-"+uid) {
			t.Error("the socket is not in alice's instance")
		}
		// what was started in the session stays in its view when the login has ended
		h.ReadFifo("/run/told")
		if !h.Exists(instances + "alice/by-tmux") {
			t.Error("it does not run in alice's view")
		}
		must(s, "alice", "tmux kill-server")
	})
}

// TestScreen: as tmux, with sockets that are not in /tmp.
func TestScreen(t *testing.T) {
	sshStory(t, []string{"screen"}, func(h *host.Host, s *host.Sshd) {
		h.Sh("install -d -m 0777 -o root -g utmp /run/screen")
		must(s, "alice", "screen -dmS work sh -c 'touch /tmp/by-screen; echo >/run/told; exec sleep 1000'")
		h.ReadFifo("/run/told")
		if !h.Exists(instances + "alice/by-screen") {
			t.Error("it does not run in alice's view")
		}
		has(h, "the next login", s.SSH("alice", "screen -ls").Stdout, ".work")
		must(s, "alice", "screen -S work -X quit")
	})
}

// TestMosh: the server goes on in the view of the login that started it.
func TestMosh(t *testing.T) {
	sshStory(t, []string{"mosh-server"}, func(h *host.Host, s *host.Sshd) {
		out := must(s, "alice", "mosh-server new -i 127.0.0.1 -l LC_ALL=C.UTF-8 -- sh -c 'touch /tmp/by-mosh; echo >/run/told; exec sleep 1000' 2>&1")
		m := regexp.MustCompile(`MOSH CONNECT (\d+) (\S+)`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("mosh-server says %s", out)
		}
		p := h.Command("mosh-client", "127.0.0.1", m[1]).Env("MOSH_KEY="+m[2], "LC_ALL=C.UTF-8", "TERM=xterm").OnPty()
		h.ReadFifo("/run/told")
		if !h.Exists(instances + "alice/by-mosh") {
			t.Error("it does not run in alice's view")
		}
		p.KillHard()
		h.Sh("pkill -u alice mosh-server || :")
	})
}

// TestRsync: both ways, into the instance.
func TestRsync(t *testing.T) {
	sshStory(t, []string{"rsync"}, func(h *host.Host, s *host.Sshd) {
		h.WriteFile("/root/tree/a", "1\n")
		h.WriteFile("/root/tree/b/c", "2\n")
		h.MustRun("rsync", "-a", "-e", host.ClientCommand(), "/root/tree/", host.Remote("alice", "/tmp/tree/"))
		host.Equal(h, "what came", h.ReadFile(instances+"alice/tree/b/c"), "2\n")
		if h.Exists("/tmp/tree") {
			t.Error("it is in the public /tmp")
		}
		h.MustRun("rsync", "-a", "-e", host.ClientCommand(), host.Remote("alice", "/tmp/tree/"), "/root/back/")
		host.Equal(h, "what came back", h.ReadFile("/root/back/a"), "1\n")
	})
}

// TestSFTPChroot: sshd opens the session before it changes its root; the user
// sees the tree of the chroot, in which our mounts are only where they lie in it.
func TestSFTPChroot(t *testing.T) {
	story(t, ownTmp, []string{"sshd"}, func(h *host.Host) {
		h.Mkdir("/srv/jail/up", 0o755, 0, 0)
		h.Sh("chown alice /srv/jail/up")
		s := h.Sshd("ChrootDirectory /srv/jail", "ForceCommand internal-sftp")
		h.WriteFile("/root/letter", "dear\n")
		s.SFTP("alice", "put /root/letter /up/letter").Must()
		host.Equal(h, "in the chroot", h.ReadFile("/srv/jail/up/letter"), "dear\n")
	})
}

// TestBubblewrap: a sandbox in the session binds the session's own /tmp.
func TestBubblewrap(t *testing.T) {
	sshStory(t, []string{"bwrap"}, func(h *host.Host, s *host.Sshd) {
		must(s, "alice", "echo mine >/tmp/note; bwrap --ro-bind / / --bind /tmp /tmp --dev /dev --proc /proc --unshare-pid sh -c 'cat /tmp/note; echo boxed >/tmp/boxed'")
		host.Equal(h, "what the sandbox wrote", h.ReadFile(instances+"alice/boxed"), "boxed\n")
		has(h, "a /tmp of the sandbox's own", must(s, "alice", "bwrap --ro-bind / / --tmpfs /tmp --dev /dev --proc /proc sh -c 'ls -A /tmp | wc -l'"), "0")
	})
}

// TestPodman: a rootless container gets the session's /tmp as a volume.
func TestPodman(t *testing.T) {
	sshStory(t, []string{"podman", "newuidmap", "crun", "busybox"}, func(h *host.Host, s *host.Sshd) {
		rootless(h)
		run := "export XDG_RUNTIME_DIR=/run/alice; echo mine >/tmp/note; mkdir -p ~/fs/bin ~/fs/tmp ~/fs/proc ~/fs/dev ~/fs/sys ~/fs/etc ~/fs/run; cp /bin/busybox ~/fs/bin/sh; cp /bin/busybox ~/fs/bin/cat; " +
			"podman run --rm --network none --cgroups disabled --runtime crun --rootfs -v /tmp:/tmp ~/fs /bin/sh -c '/bin/cat /tmp/note; echo contained >/tmp/contained' 2>&1"
		r := s.SSH("alice", run)
		has(h, "the container", r.Stdout, "mine")
		if t.Failed() {
			return
		}
		host.Equal(h, "what it wrote", h.ReadFile(instances+"alice/contained"), "contained\n")
	})
}

// rootless lets alice have containers.
func rootless(h *host.Host) {
	h.T.Helper()
	h.WriteFile("/etc/subuid", "alice:200000:65536\n")
	h.WriteFile("/etc/subgid", "alice:200000:65536\n")
	h.WriteFile("/etc/containers/storage.conf", "[storage]\ndriver = \"vfs\"\nrunroot = \"/run/containers\"\ngraphroot = \"/var/lib/containers\"\n")
	h.WriteFile("/etc/containers/containers.conf", "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n[containers]\ncgroups = \"disabled\"\n")
	h.Sh("install -d -m 0700 -o alice -g alice /run/alice; mount -t cgroup2 none /sys/fs/cgroup; chmod 0666 /dev/fuse")
}

// groups are the peer groups of a kind ("shared", "master") in mountinfo.
func groups(mountinfo, kind string) map[string]bool {
	of := map[string]bool{}
	for _, m := range regexp.MustCompile(" "+kind+`:(\d+)`).FindAllStringSubmatch(mountinfo, -1) {
		of[m[1]] = true
	}
	return of
}

// TestFUSEReachesContainers: with propagation "slave+shared" what fusermount mounts in
// the session is seen in a rootless container that was started before it, podman finds
// a shared root, and nothing reaches the host. The peer groups say why: those of the
// session are none of the host's, and what the container has are slaves of them.
func TestFUSEReachesContainers(t *testing.T) {
	story(t, "[namespace]\npropagation = \"slave+shared\"\n"+ownTmp, []string{"podman", "newuidmap", "crun", "busybox", "gocryptfs", "fusermount3", "findmnt"}, func(h *host.Host) {
		rootless(h)
		h.MustRun("mount", "--make-rshared", "/")
		h.WriteFile("/home/alice/work", "#!/bin/sh\nset -e\ncd; export XDG_RUNTIME_DIR=/run/alice; mkdir -p fs/bin fs/tmp fs/proc fs/dev fs/sys fs/etc fs/run\n"+
			"for p in sh cat ls; do cp /bin/busybox fs/bin/$p; done\n"+
			"mkdir /tmp/cipher /tmp/plain; mkfifo /tmp/up /tmp/go; echo pw >pw; gocryptfs -q -init -passfile pw /tmp/cipher\n"+
			"podman run --rm --network none --cgroups disabled --runtime crun --rootfs -v /tmp:/tmp:rslave ~/fs /bin/sh -c '/bin/cat /proc/self/mountinfo >/tmp/below; echo >/tmp/up; read x </tmp/go; /bin/cat /tmp/plain/x' >/tmp/said 2>&1 || { cat /tmp/said; echo >/tmp/up; } &\n"+
			"read x </tmp/up\n"+
			"gocryptfs -q -passfile pw /tmp/cipher /tmp/plain; echo secret >/tmp/plain/x; echo >/tmp/go; wait $!\n"+
			"cat /proc/self/mountinfo >/tmp/session; fusermount3 -u /tmp/plain; echo done\n", 0o755)
		before := h.ReadFile("/proc/self/mountinfo")
		p := h.Start("su", "alice", "-c", "sh ~/work; read x")
		p.Expect("done")
		host.Equal(h, "the host's mounts", h.ReadFile("/proc/self/mountinfo"), before)
		host.Equal(h, "the container says", h.ReadFile(instances+"alice/said"), "secret\n")
		hosts, session := groups(before, "shared"), groups(h.ReadFile(instances+"alice/session"), "shared")
		container := groups(h.ReadFile(instances+"alice/below"), "master")
		if len(hosts) == 0 || len(session) == 0 || len(container) == 0 {
			t.Fatalf("no groups: host %d, session %d, container %d", len(hosts), len(session), len(container))
		}
		for id := range session {
			if hosts[id] {
				t.Errorf("the session has mounts in group %s of the host's", id)
			}
		}
		for id := range container {
			if !session[id] {
				t.Errorf("the container has slaves of group %s, which is not the session's", id)
			}
		}
		p.CloseInput()
		p.Wait()
	})
}

// TestBuildah: a container is built and run in the session, without root.
func TestBuildah(t *testing.T) {
	sshStory(t, []string{"buildah", "newuidmap", "crun", "busybox"}, func(h *host.Host, s *host.Sshd) {
		rootless(h)
		out := must(s, "alice", "export XDG_RUNTIME_DIR=/run/alice; cd; cp /bin/busybox sh; echo mine >/tmp/note; "+
			"b=$(buildah from scratch) && buildah copy -q $b sh /bin/sh && buildah copy -q $b sh /bin/cat && buildah run --isolation chroot -v /tmp:/tmp $b /bin/sh -c '/bin/cat /tmp/note; echo built >/tmp/built' 2>&1")
		has(h, "the container", out, "mine")
		host.Equal(h, "what it wrote", h.ReadFile(instances+"alice/built"), "built\n")
	})
}

// TestX11: an X server of the session's own has its socket in the session's /tmp,
// and its abstract one where everybody sees it.
func TestX11(t *testing.T) {
	sshStory(t, []string{"Xvfb", "xdpyinfo", "xauth"}, func(h *host.Host, s *host.Sshd) {
		const display = "mcookie >/dev/null 2>&1; xauth -q add :7 . 0123456789abcdef0123456789abcdef; "
		must(s, "alice", display+"mkfifo /tmp/ready; nohup Xvfb :7 -auth ~/.Xauthority -nolisten tcp -displayfd 3 3>/tmp/ready >/tmp/xvfb.log 2>&1 </dev/null & read n </tmp/ready")
		if !h.Exists(instances+"alice/.X11-unix/X7") || h.Exists("/tmp/.X11-unix/X7") {
			t.Error("the socket is not in alice's instance")
		}
		has(h, "the next login", must(s, "alice", "DISPLAY=:7 xdpyinfo | head -n 1"), "name of display")
		if r := s.SSH("bob", "DISPLAY=:7 xdpyinfo"); r.Code == 0 {
			t.Error("bob gets at alice's display without her cookie")
		}
		h.Sh("pkill Xvfb || :")
	})
}

// TestX11Forwarding: ssh -Y needs nothing in /tmp.
func TestX11Forwarding(t *testing.T) {
	story(t, ownTmp, []string{"Xvfb", "xdpyinfo", "xauth"}, func(h *host.Host) {
		s := h.Sshd("X11Forwarding yes", "X11UseLocalhost yes")
		h.Sh("mkfifo /run/ready; Xvfb :9 -nolisten tcp -ac -displayfd 3 3>/run/ready >/dev/null 2>&1 </dev/null & read n </run/ready")
		out := s.Client(host.PublicKey, "alice", "-Y", "xdpyinfo | head -n 1").Env("DISPLAY=:9").Must()
		has(h, "the forwarded display", out, "localhost:10")
		h.Sh("pkill Xvfb || :")
	})
}

// TestVNC: Xvnc in a login of alice's.
func TestVNC(t *testing.T) {
	sshStory(t, []string{"Xvnc", "xdpyinfo"}, func(h *host.Host, s *host.Sshd) {
		must(s, "alice", "mkfifo /tmp/ready; nohup Xvnc :8 -localhost -SecurityTypes None -rfbport 5908 -ac -displayfd 3 3>/tmp/ready >/tmp/xvnc.log 2>&1 </dev/null & read n </tmp/ready")
		has(h, "a client", must(s, "alice", "DISPLAY=unix/:8 xdpyinfo 2>&1 || DISPLAY=:8 xdpyinfo | head -n 2"), "name of display")
		if !h.Exists(instances + "alice/.X11-unix/X8") {
			t.Error("the socket is not in alice's instance")
		}
		h.Sh("pkill Xvnc || :")
	})
}

// TestDBusRunSession: a bus of the session's own has its socket in its /tmp.
func TestDBusRunSession(t *testing.T) {
	sshStory(t, []string{"dbus-run-session", "dbus-send"}, func(h *host.Host, s *host.Sshd) {
		out := must(s, "alice", "dbus-run-session -- sh -c 'echo $DBUS_SESSION_BUS_ADDRESS; ls -A /tmp; dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListNames'")
		has(h, "the bus", out, "unix:path=/tmp/dbus-", "org.freedesktop.DBus")
		if n := h.Names("/tmp"); len(n) > 0 {
			t.Errorf("the public /tmp has %v", n)
		}
	})
}

// TestFUSEInTheSession: what alice mounts in her session is hers, and is seen
// where she has a session in the same namespace.
func TestFUSEInTheSession(t *testing.T) {
	story(t, "[namespace]\nscope = \"user\"\n"+ownTmp, []string{"gocryptfs", "fusermount3", "sshd"}, func(h *host.Host) {
		h.Sh("chmod 0666 /dev/fuse")
		s := h.Sshd()
		must(s, "alice", "mkdir /tmp/cipher /tmp/plain && echo pw >~/pw && gocryptfs -q -init -passfile ~/pw /tmp/cipher && gocryptfs -q -passfile ~/pw /tmp/cipher /tmp/plain && echo secret >/tmp/plain/x; (sleep 1000 >/dev/null 2>&1 &)")
		host.Equal(h, "the next login", must(s, "alice", "cat /tmp/plain/x"), "secret")
		if h.Exists(instances + "alice/plain/x") {
			t.Error("the mount reached the host")
		}
		must(s, "alice", "fusermount3 -u /tmp/plain; pkill sleep")
	})
}

// TestAnsibleBecome: with pipelining nothing is left in /tmp; without, the files
// go through the remote user's own directory, and root finds them there. A
// remote_tmp in /tmp is not found by a root that is exempt: docs/compatibility.md.
func TestAnsibleBecome(t *testing.T) {
	sshStory(t, []string{"ansible", "sudo"}, func(h *host.Host, s *host.Sshd) {
		h.WriteFile("/etc/sudoers.d/alice", "alice ALL=(ALL) NOPASSWD: ALL\n", 0o440)
		ansible := func(env ...string) host.Result {
			return h.Command("ansible", "all", "-i", "127.0.0.1,", "-u", "alice", "-b", "-m", "command", "-a", "id -un").Env(append(env, "ANSIBLE_NOCOLOR=1", "ANSIBLE_LOCALHOST_WARNING=0", "ANSIBLE_SSH_ARGS="+strings.TrimPrefix(host.ClientCommand(), "ssh "))...).Run()
		}
		has(h, "pipelining", ansible("ANSIBLE_PIPELINING=1").Stdout, "rc=0", "root")
		has(h, "files in the home", ansible("ANSIBLE_PIPELINING=0").Stdout, "rc=0", "root")
		r := ansible("ANSIBLE_PIPELINING=0", "ANSIBLE_REMOTE_TMP=/tmp/.ansible")
		if r.Code == 0 {
			t.Log("a remote_tmp in /tmp works too")
		} else {
			has(h, "files in /tmp", r.Stdout+r.Stderr, "/tmp/.ansible")
		}
	})
}

// TestNginxPerUser: root starts a server as the user, as Open OnDemand does: sudo
// -u leads into the user's view.
func TestNginxPerUser(t *testing.T) {
	story(t, ownTmp, []string{"nginx", "sudo", "curl"}, func(h *host.Host) {
		h.WriteFile("/home/alice/nginx.conf", "daemon on;\npid /tmp/nginx.pid;\nerror_log /tmp/nginx.log;\nevents {}\nhttp { access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;\nserver { listen unix:/run/pun/alice.sock; location / { return 200 \"hello\\n\"; } } }\n")
		h.Sh("install -d -m 0700 -o alice /run/pun")
		h.MustRun("sudo", "-u", "alice", "nginx", "-c", "/home/alice/nginx.conf")
		host.Equal(h, "through its socket", h.MustRun("curl", "-s", "--unix-socket", "/run/pun/alice.sock", "http://x/"), "hello")
		if !h.Exists(instances+"alice/nginx.pid") || h.Exists("/tmp/nginx.pid") {
			t.Error("its files are not in alice's instance")
		}
		h.Sh("pkill nginx || :")
	})
}

// TestNodeServer: a remote editor's server: a socket in /tmp that the next login
// connects to (the layout of VS Code's remote server).
func TestNodeServer(t *testing.T) {
	sshStory(t, []string{"node"}, func(h *host.Host, s *host.Sshd) {
		const server = `const n=require('net'),f=require('fs');n.createServer(c=>c.end('editor\n')).listen('/tmp/vscode-ipc-1.sock',()=>f.writeFileSync('/run/told','1'))`
		must(s, "alice", "nohup node -e \""+server+"\" >/dev/null 2>&1 </dev/null &")
		h.ReadFifo("/run/told")
		const client = `require('net').connect('/tmp/vscode-ipc-1.sock').pipe(process.stdout)`
		host.Equal(h, "the next login", must(s, "alice", "node -e \""+client+"\""), "editor")
		if r := s.SSH("bob", "node -e \""+client+"\""); r.Code == 0 {
			t.Error("bob reaches alice's editor")
		}
		h.Sh("pkill node || :")
	})
}

// TestClockThatGoesBack: where the clock was set back, what was opened last is in
// the future. Nothing is removed for its age then. The clock itself belongs to
// the machine, so the test moves the times of the files.
func TestClockThatGoesBack(t *testing.T) {
	sshStory(t, []string{"touch"}, func(h *host.Host, s *host.Sshd) {
		must(s, "alice", "echo mine >/tmp/note")
		for _, at := range []string{"+1 hour", "+400 days", "2100-01-01"} {
			h.MustRun("touch", "-d", at, instances+".lock/alice", instances+"alice", instances+"alice/note")
			h.MustRun("polyinst", "gc", "--older-than", "30d")
			h.MustRun("polyinst", "gc", "--files-older-than", "10d")
			host.Equal(h, "opened at "+at, h.ReadFile(instances+"alice/note"), "mine\n")
			has(h, "list, opened at "+at, h.MustRun("polyinst", "list", "--instances"), "alice")
		}
		must(s, "alice", "echo again >/tmp/note")
		h.MustRun("touch", "-d", "-400 days", instances+".lock/alice")
		h.MustRun("polyinst", "gc", "--older-than", "30d")
		if h.Exists(instances + "alice/note") {
			t.Error("what was opened a year ago is not removed")
		}
	})
}

// TestXrdp: the session manager opens the session in a process of its own, and
// starts the X server and the desktop in it.
func TestXrdp(t *testing.T) {
	story(t, ownTmp+"keep = [\".X11-unix\"]\n", []string{"xrdp-sesman", "xrdp-sesrun", "Xvnc"}, func(h *host.Host) {
		h.PAM("xrdp-sesman", host.Stack("session required pam_polyinst.so")...)
		h.Sh("install -d -m 1777 /tmp/.X11-unix; install -d -m 3777 -o root -g xrdp /run/xrdp /run/xrdp/sockdir")
		h.WriteFile("/etc/xrdp/startwm.sh", "#!/bin/sh\ntouch /tmp/by-xrdp\necho \"$(stat -c %d:%i /tmp)\" >/run/told\nexec sleep 1000\n", 0o755)
		p := h.Start("xrdp-sesman", "--nodaemon")
		h.WaitLog("xrdp-sesman.*(starting|listening)")
		h.MustRun("xrdp-sesrun", "-s", "127.0.0.1", "-t", "Xvnc", "-p", host.Password, "alice")
		host.Equal(h, "what the desktop sees as /tmp", strings.TrimSpace(h.ReadFifo("/run/told")), h.FileID(instances+"alice"))
		if h.Exists("/tmp/by-xrdp") {
			t.Error("it is in the public /tmp")
		}
		p.KillHard()
		h.Sh("pkill -u alice sleep; pkill Xvnc || :")
	})
}
