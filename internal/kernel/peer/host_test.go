package peer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/audit"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/procfs"
)

// host is one whose /proc/PID/task/TID is a directory of the test's: a name that ends in
// "@" is a link.
func host(t *testing.T, pid int, files map[string]string) *Host {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, strings.TrimSuffix(name, "@"))
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil && strings.HasSuffix(name, "@") {
			err = os.Symlink(text, path)
		} else if err == nil {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{sock: -1, pid: pid, pidfd: -1, proc: fd, back: -1}
	t.Cleanup(h.Close)
	return h
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// The table of I-20, as far as proc_pid_status(5) says it: each thing in which the host
// differs from the worker has it rejected.
func TestJudgeStatus(t *testing.T) {
	const status = "Name:\tsu\nTgid:\t7\nPid:\t8\nTracerPid:\t0\nUid:\t1001\t0\t0\t0\nCapEff:\t000001ffffffffff\nNoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\n"
	own := fields("CapEff:\t00000000000000ff\nNoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\n")
	restricted := fields("CapEff:\t00000000000000ff\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n")
	for what, c := range map[string]struct {
		old, new string
		own      map[string]string
		want     string
	}{
		"as a fork would be":          {"", "", own, ""},
		"another process's thread":    {"Tgid:\t7\n", "Tgid:\t9\n", own, "thread 8 is not the host's"},
		"nothing of its process":      {"Tgid:\t7\n", "", own, "thread 8 is not the host's"},
		"traced":                      {"TracerPid:\t0", "TracerPid:\t12", own, "the host is traced"},
		"nothing of a tracer":         {"TracerPid:\t0\n", "", own, "the host is traced"},
		"another real uid":            {"Uid:\t1001", "Uid:\t1002", own, "the host's uids are [1002 0 0 0], and its question says 1001"},
		"its effective uid is none":   {"\t0\t0\t0", "\t1001\t0\t0", own, "the host's uids are [1001 1001 0 0], and its question says 1001"},
		"uids cut short":              {"\t0\t0\t0", "\t0", own, "the host's uids are [1001 0], and its question says 1001"},
		"no_new_privs":                {"NoNewPrivs:\t0", "NoNewPrivs:\t1", own, "the host is restricted: NoNewPrivs 1"},
		"seccomp":                     {"Seccomp:\t0", "Seccomp:\t2", own, "the host is restricted: Seccomp 2"},
		"a filter":                    {"Seccomp_filters:\t0", "Seccomp_filters:\t1", own, "the host is restricted: Seccomp_filters 1"},
		"nothing of seccomp":          {"Seccomp:\t0\n", "", own, "the host is restricted: Seccomp "},
		"restricted as the worker is": {"NoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0", "NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3", restricted, ""},
		"less than the worker is":     {"", "", restricted, ""},
		"a capability less":           {"000001ffffffffff", "00000000000000fe", own, "the host lacks capabilities that this worker has (0x1)"},
		"just those of the worker":    {"000001ffffffffff", "00000000000000ff", own, ""},
		"no capabilities to be read":  {"CapEff:\t000001ffffffffff", "CapEff:\tx", own, `capabilities: strconv.ParseUint: parsing "x": invalid syntax`},
	} {
		h := host(t, 7, map[string]string{"status": strings.Replace(status, c.old, c.new, 1)})
		if got := said(h.judgeStatus(Claim{PID: 7, TID: 8, RealUID: 1001}, c.own)); got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
		all := mntns.Capabilities{SysAdmin: true, SysChroot: true, SysPtrace: true, SysResource: true}
		if caps, err := h.Capabilities(); err != nil || (caps == all) != (c.want == "" && c.new != "00000000000000ff") {
			t.Errorf("%s: %+v, %v", what, caps, err)
		}
	}
	if got := said(host(t, 7, nil).judgeStatus(Claim{PID: 7, TID: 8}, own)); got != "open status: no such file or directory" {
		t.Errorf("a host that has gone: %q", got)
	}
	long := host(t, 7, map[string]string{"status": strings.Repeat("x", procfs.ReadMax+1)})
	if got := said(long.judgeStatus(Claim{PID: 7, TID: 8}, own)); got != fmt.Sprintf("read status: more than %d bytes", procfs.ReadMax) {
		t.Errorf("one without an end: %q", got)
	}
}

// The host is in this process's namespaces, but for the mount namespace; a kind that the
// kernel has not got is missing of both.
func TestJudgeNamespaces(t *testing.T) {
	all := map[string]string{}
	own := map[string]string{}
	for i, kind := range compared {
		own[kind] = fmt.Sprintf("%s:[%d]", kind, i)
		all["ns/"+kind+"@"] = own[kind]
	}
	all["ns/mnt@"] = "mnt:[1]"
	if err := host(t, 7, all).judgeNamespaces(own); err != nil {
		t.Error(err)
	}
	for _, kind := range compared {
		theirs, other := "ns/"+kind+"@", map[string]string{}
		for k, v := range all {
			other[k] = v
		}
		other[theirs] = kind + ":[99]"
		if got, want := said(host(t, 7, other).judgeNamespaces(own)), fmt.Sprintf("the host is in another namespace: %s:[99], not %s", kind, own[kind]); got != want {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
		delete(other, theirs)
		if err := host(t, 7, other).judgeNamespaces(own); err == nil {
			t.Errorf("%s: the host has none, and this process has", kind)
		}
		without := map[string]string{}
		for k, v := range own {
			without[k] = v
		}
		delete(without, kind)
		if err := host(t, 7, other).judgeNamespaces(without); err != nil {
			t.Errorf("%s: neither has one: %v", kind, err)
		}
	}
}

// A security module for which a forked worker would be another than this one has the host
// rejected.
func TestJudgeLabels(t *testing.T) {
	const current, exec, smack, selinux = "attr/apparmor/current", "attr/apparmor/exec", "attr/smack/current", "attr/current"
	const web, served, joins, mounts = "web (enforce)\n", "/run/polyinst/serve.sock rw", "ptrace (read) peer=unconfined", "mount options=bind / -> /var/lib/polyinst/"
	for what, c := range map[string]struct {
		files map[string]string
		exec  bool
		smack string // this worker's
		lacks string // the host's profile
		err   error  // of the question what it lacks
		want  string
	}{
		"none":                               {},
		"unconfined":                         {files: map[string]string{current: "unconfined\n"}, lacks: "it is not asked"},
		"unconfined, another for its execve": {files: map[string]string{current: "unconfined\n"}, exec: true, want: "AppArmor: the host has asked for another profile for its next execve"},
		"unconfined, and exec is this one's": {files: map[string]string{current: "unconfined\n", exec: "user\n"}},
		"a profile":                          {files: map[string]string{current: web}},
		"one in complain mode":               {files: map[string]string{current: "web (complain)\n"}},
		"one by name alone":                  {files: map[string]string{current: "web (unconfined)\n"}},
		"a hat":                              {files: map[string]string{current: "web//alice (enforce)\n"}},
		"a stack":                            {files: map[string]string{current: "web//&mail (mixed)\n"}},
		"one that is not to be served":       {files: map[string]string{current: web}, lacks: served, want: `AppArmor: the host's profile "web" does not permit ` + served},
		"one that cannot join":               {files: map[string]string{current: web}, lacks: joins, want: `AppArmor: the host's profile "web" does not permit ` + joins},
		"one that restricts mount":           {files: map[string]string{current: web}, lacks: mounts, want: `AppArmor: the host's profile "web" does not permit ` + mounts},
		"one that nobody can be asked of":    {files: map[string]string{current: web}, err: errors.New("no answer"), want: "no answer"},
		"one, another for its execve":        {files: map[string]string{current: web}, exec: true, want: "AppArmor: the host has asked for another profile for its next execve"},
		"one of another namespace":           {files: map[string]string{current: ":c1:web (enforce)\n"}, want: `AppArmor: the host's profile ":c1:web" belongs to another namespace of policies`},
		"a stack with one":                   {files: map[string]string{current: "lxd//&:c1:web (enforce)\n"}, want: `AppArmor: the host's profile "lxd//&:c1:web" belongs to another namespace of policies`},
		"one that cannot be read":            {files: map[string]string{current + "/x": ""}, want: "read attr/apparmor/current: is a directory"},
		"this worker's label":                {files: map[string]string{smack: "_\x00", selinux: "_\x00"}, smack: "_"},
		"another label":                      {files: map[string]string{smack: "Secret", selinux: "Secret"}, smack: "_", want: `the host has the Smack label "Secret", and this worker "_"`},
		"no label":                           {smack: "_", want: `the host has the Smack label "", and this worker "_"`},
		"a label, and this worker none":      {files: map[string]string{smack: "_"}, want: `the host has the Smack label "_", and this worker ""`},
		"a label that cannot be read":        {files: map[string]string{smack + "/x": ""}, smack: "_", want: "the host has the Smack label \"\", and this worker \"_\"\nread attr/smack/current: is a directory"},
		"SELinux, and no socket":             {files: map[string]string{selinux: "system_u:system_r:sshd_t:s0\x00"}, want: "SO_PEERSEC: bad file descriptor"},
	} {
		own := Own{smack: c.smack, lacks: func(p lsm.Profile, rights ...lsm.Right) (string, error) {
			if !slices.Equal(rights, []lsm.Right{lsm.ReadWrite(served[:len(served)-3]), lsm.PtraceRead("unconfined"), lsm.BindRoot("/var/lib/polyinst/")}) || !strings.HasPrefix(p.Name, "web") {
				t.Errorf("%s: asked of %v: %v", what, p, rights)
			}
			return c.lacks, c.err
		}}
		h := host(t, os.Getpid(), c.files)
		if got := said(h.judgeLabels(Claim{TID: os.Getpid(), Exec: c.exec}, own)); got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
		confined := strings.HasPrefix(c.files[current], "web")
		if c.want == "" && ((h.Apart() != nil) != confined || strings.HasPrefix(h.audits().Context, "web") != confined) {
			t.Errorf("%s: apart: %v; audited as %+v", what, h.Apart(), h.audits())
		}
	}
	// what a profile takes away is not in /proc
	h := host(t, 7, map[string]string{current: web})
	if got := said(h.judgeLabels(Claim{TID: 1 << 30}, Own{lacks: func(lsm.Profile, ...lsm.Right) (string, error) { return "", nil }})); got != "capget: no such process" {
		t.Errorf("a thread that has gone: %q", got)
	}
}

// Under SELinux a host is what it was when the policy let it connect, chooses no labels,
// and has its scripts run by itself.
func TestJudgeContext(t *testing.T) {
	const sshd, own = "system_u:system_r:sshd_t:s2-s15", "system_u:system_r:polyinst_t:s0-s15"
	for what, c := range map[string]struct {
		connected, create, own string
		off                    bool
		want                   string
	}{
		"served":                     {connected: sshd, own: own},
		"nobody is to be served":     {connected: sshd, own: own, off: true, want: "SELinux: the boolean polyinst_ready_workers is off"},
		"in a domain of its own now": {connected: "u:r:su_t:s0", own: own, want: `the host has connected as "u:r:su_t:s0", and is "` + sshd + `"`},
		"a label is chosen":          {connected: sshd, create: "u:object_r:tmp_t:s0\x00", own: own, want: `the host labels what it makes: "u:object_r:tmp_t:s0"`},
		"the worker has none":        {connected: sshd, want: `the host has the context "` + sshd + `", and this worker has none`},
	} {
		h := host(t, 7, map[string]string{"attr/fscreate": c.create})
		got := said(h.judgeContext(h.Thread(), sshd, c.connected, Own{context: c.own, off: func() bool { return c.off }}))
		if got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
		if login := h.audits(); (login.Context == sshd) != (c.want == "") {
			t.Errorf("%s: in the audit log: %+v", what, login)
		}
		if (h.Apart() != nil) != (c.want == "") {
			t.Errorf("%s: apart: %v", what, h.Apart())
		}
	}
	if got := said((&Host{proc: -1}).judgeContext(lsm.Of(-1), sshd, sshd, Own{off: func() bool { return false }})); got != "open attr/fscreate: bad file descriptor" {
		t.Errorf("a host that has gone: %q", got)
	}
}

// The login in whose name the kernel's audit log has the host: both numbers, or none.
func TestAudits(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		want  audit.Login
	}{
		{map[string]string{"loginuid": "1001", "sessionid": "3\n"}, audit.Login{Known: true, UID: 1001, Session: 3}},
		{map[string]string{"loginuid": "4294967295", "sessionid": "4294967295"}, audit.Login{Known: true, UID: 4294967295, Session: 4294967295}},
		{map[string]string{"loginuid": "1001"}, audit.Login{}},
		{map[string]string{"loginuid": "-1", "sessionid": "3"}, audit.Login{}},
		{nil, audit.Login{}},
	} {
		if got := host(t, 7, c.files).audits(); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.files, got, c.want)
		}
	}
}

// A question is taken from who has connected, whole, in time, and with one descriptor at
// most.
func TestQuestion(t *testing.T) {
	root, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	for what, c := range map[string]struct {
		pid  int
		send func(fd int) error
		want string
		back bool
	}{
		"whole":           {os.Getpid(), func(fd int) error { return unix.Sendmsg(fd, []byte("user=x\x00"), nil, nil, 0) }, "", false},
		"with a way back": {os.Getpid(), func(fd int) error { return unix.Sendmsg(fd, []byte("user=x\x00"), unix.UnixRights(root), nil, 0) }, "", true},
		"with two":        {os.Getpid(), func(fd int) error { return unix.Sendmsg(fd, []byte("user=x\x00"), unix.UnixRights(root, root), nil, 0) }, "the question has descriptors too many", true},
		"another's":       {os.Getpid() + 1, func(fd int) error { return unix.Sendmsg(fd, []byte("user=x\x00"), nil, nil, 0) }, fmt.Sprintf("process %d has connected, and process %d asks", os.Getpid()+1, os.Getpid()), false},
		"nothing":         {os.Getpid(), func(int) error { return nil }, "the host says nothing", false},
		"gone":            {os.Getpid(), func(fd int) error { return unix.Shutdown(fd, unix.SHUT_RDWR) }, "the host has gone", false},
		"too long":        {os.Getpid(), func(fd int) error { return unix.Sendmsg(fd, make([]byte, requestMax+1), nil, nil, 0) }, "the question is too long", false},
		"as long as any":  {os.Getpid(), func(fd int) error { return unix.Sendmsg(fd, bytes.Repeat([]byte("x"), requestMax-1), nil, nil, 0) }, "", false},
	} {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		h := &Host{sock: fds[0], pid: c.pid, pidfd: -1, proc: -1, back: -1}
		if err := unix.SetsockoptInt(h.sock, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
			t.Fatal(err)
		}
		if err := c.send(fds[1]); err != nil {
			t.Fatal(err)
		}
		raw, err := h.Question(0)
		if got := said(err); got != c.want || (err == nil) != (len(raw) > 0) {
			t.Errorf("%s: %q and %d bytes, want %q", what, got, len(raw), c.want)
		}
		if (h.BackFD() >= 0) != c.back {
			t.Errorf("%s: the way back is %d", what, h.BackFD())
		}
		h.Close()
		_ = unix.Close(fds[1])
		if h.FD() != -1 || h.BackFD() != -1 {
			t.Errorf("%s: something is left open", what)
		}
	}
}

// Nobody but root is greeted, and root by the build and a pidfd of this process.
func TestGreet(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{sock: fds[0], pidfd: -1, proc: -1, back: -1}
	defer h.Close()
	defer unix.Close(fds[1])
	err = h.Greet('H', "build-1")
	if uid := os.Getuid(); uid != 0 {
		if got, want := said(err), fmt.Sprintf("the host is not root in this user namespace and pid namespace (uid %d, pid %d)", uid, os.Getpid()); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		return
	}
	buf, oob := make([]byte, 100), make([]byte, 100)
	n, oobn, _, _, err2 := unix.Recvmsg(fds[1], buf, oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if err != nil || err2 != nil || string(buf[:n]) != "Hbuild-1" || oobn == 0 || h.PID() != os.Getpid() {
		t.Errorf("%v, %v: %q with %d bytes of control from %d", err, err2, buf[:n], oobn, h.PID())
	}
}

// A socket is taken over only if hosts can connect to it, and takes the place of one that
// nobody listens at.
func TestListener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path, 1)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: others can connect", st, err)
	}
	if _, err := Inherited(l.FD()); err != nil {
		t.Error(err)
	}
	if _, err := Listen(path, 1); said(err) != path+": "+ErrListens.Error() {
		t.Errorf("a second one: %v", err)
	}
	_ = unix.Close(l.FD())
	l, err = Listen(path, 1)
	if err != nil {
		t.Fatalf("in the place of one that has ended: %v", err)
	}
	defer unix.Close(l.FD())

	// the door: a host, and then the end
	var end [2]int
	if err := unix.Pipe2(end[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(end[0])
	over := sync.OnceFunc(func() { _ = unix.Close(end[1]) })
	defer over()
	door, err := NewDoor(l, end[0])
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(door.epoll)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	h, more, err := door.Next()
	if err != nil || !more {
		t.Fatal(h, more, err)
	}
	h.Close()
	over()
	if h, more, err := door.Next(); h != nil || more || err != nil {
		t.Errorf("after the end: %v, %v, %v", h, more, err)
	}
	Remove(path)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is there: %v", err)
	}

	for what, kind := range map[string]int{"of another kind": unix.SOCK_STREAM, "that does not listen": unix.SOCK_SEQPACKET} {
		fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if kind == unix.SOCK_STREAM {
			if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Inherited(fd); err == nil || !strings.Contains(err.Error(), "ListenSequentialPacket=") {
			t.Errorf("a socket %s: %v", what, err)
		}
		_ = unix.Close(fd)
	}
	if _, err := Inherited(end[0]); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a pipe: %v", err)
	}
}

// A service manager's socket is taken by whom it is meant for.
func TestActivation(t *testing.T) {
	own := fmt.Sprint(os.Getpid())
	for what, c := range map[string]struct {
		pid, number string
		there       bool
		want        string
	}{
		"none":      {"", "", false, ""},
		"another's": {"1", "1", false, ""},
		"two":       {own, "2", true, `LISTEN_FDS: want one socket, and there are "2" ([""])`},
		"nothing":   {own, "", true, `LISTEN_FDS: want one socket, and there are "" ([""])`},
	} {
		t.Setenv("LISTEN_PID", c.pid)
		t.Setenv("LISTEN_FDS", c.number)
		if _, _, there, err := Activation(); there != c.there || said(err) != c.want {
			t.Errorf("%s: %v, %v, want %v, %q", what, there, err, c.there, c.want)
		}
	}
}
