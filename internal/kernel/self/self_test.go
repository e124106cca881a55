package self

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const variable = "POLYINST_SELF_CHANGE"

// changes are what a session could leave behind, each by the trait that tells it.
var changes = map[string]struct {
	trait string
	do    func() error
}{
	"nothing":              {"", func() error { return nil }},
	"umask":                {"Umask", func() error { unix.Umask(0o123); return nil }},
	"a descriptor":         {"descriptor", func() error { _, err := unix.Open("/", unix.O_PATH, 0); return err }},
	"a lost one":           {"descriptor 0", func() error { return unix.Close(0) }},
	"another one":          {"descriptor 0", func() error { fd, _ := unix.Open("/etc", unix.O_PATH, 0); return unix.Dup3(fd, 0, 0) }},
	"working directory":    {"cwd", func() error { return unix.Chdir("/etc") }},
	"effective uid":        {"Uid", func() error { return thread(unix.SYS_SETRESUID, ^uintptr(0), 1000, ^uintptr(0)) }},
	"filesystem uid":       {"Uid", func() error { return thread(unix.SYS_SETFSUID, 1000, 0, 0) }},
	"filesystem gid":       {"Gid", func() error { return thread(unix.SYS_SETFSGID, 1000, 0, 0) }},
	"groups":               {"Groups", func() error { return unix.Setgroups([]int{1000}) }},
	"mount namespace":      {"ns/mnt", func() error { return unix.Unshare(unix.CLONE_NEWNS) }},
	"UTS namespace":        {"ns/uts", func() error { return unix.Unshare(unix.CLONE_NEWUTS) }},
	"IPC namespace":        {"ns/ipc", func() error { return unix.Unshare(unix.CLONE_NEWIPC) }},
	"network namespace":    {"ns/net", func() error { return unix.Unshare(unix.CLONE_NEWNET) }},
	"namespace of a child": {"ns/pid_for_children", func() error { return unix.Unshare(unix.CLONE_NEWPID) }},
	"root directory":       {"open /proc/self/status", func() error { return unix.Chroot("/etc") }},
	"a session keyring":    {"session keyring", func() error { _, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0); return err }},
	"a thread's keyring":   {"thread keyring", func() error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_THREAD_KEYRING, true); return err }},
	"nice":                 {"scheduling", func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, 19) }},
	"dumpable":             {"dumpable", func() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }},
	"timer slack":          {"timer slack", func() error { return unix.Prctl(unix.PR_SET_TIMERSLACK, 1234, 0, 0, 0) }},
	"no_new_privs":         {"NoNewPrivs", func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }},
	"a capability less":    {"CapBnd", func() error { return unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_MKNOD, 0, 0, 0) }},
	"environment":          {"environment", func() error { return os.Setenv("LD_PRELOAD", "x") }},
	"signal mask":          {"SigBlk", func() error { return unix.PthreadSigmask(unix.SIG_BLOCK, &unix.Sigset_t{Val: [16]uint64{1 << 9}}, nil) }},
	"a child":              {"children", func() error { return exec.Command("sleep", "100").Start() }},
	"a thread elsewhere": {"mount namespaces of the threads", func() error {
		err := make(chan error)
		go func() {
			runtime.LockOSThread()
			err <- unix.Unshare(unix.CLONE_NEWNS)
			select {}
		}()
		return <-err
	}},
}

func thread(number uintptr, a, b, c uintptr) error {
	if _, _, errno := unix.RawSyscall(number, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

func init() {
	if os.Getenv(variable) != "" {
		runtime.LockOSThread()
	}
}

// TestMain is also the process that is changed: its main thread is the one that is
// noted.
func TestMain(m *testing.M) {
	name := os.Getenv(variable)
	if name == "" {
		os.Exit(m.Run())
	}
	say := func(err error) {
		if err != nil {
			println("cannot:", err.Error())
			os.Exit(1)
		}
	}
	say(os.Chdir("/"))
	base, err := Note()
	say(err)
	say(changes[name].do())
	if err := base.Changed(); err != nil {
		print(err.Error())
	}
	os.Exit(0)
}

// Whatever is changed is seen.
func TestChanged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: this test takes namespaces and ids")
	}
	for name, c := range changes {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), variable+"="+name)
			var said strings.Builder
			cmd.Stderr = &said
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v: %s", err, &said)
			}
			if c.trait == "" && said.String() != "" || !strings.Contains("; "+said.String(), "; "+c.trait) {
				t.Errorf("it is said %q, want %q", &said, c.trait)
			}
		})
	}
}

// Under SELinux it serves in one domain alone, by whatever user and at whatever level.
func TestServesIn(t *testing.T) {
	for own, serves := range map[string]bool{
		"system_u:system_r:polyinst_t:s0":              true,
		"system_u:system_r:polyinst_t:s0-s15:c0.c1023": true,
		"system_u:system_r:polyinst_t":                 true,
		"system_u:system_r:init_t:s0":                  false,
		"unconfined_u:unconfined_r:unconfined_t:s0":    false,
		"system_u:polyinst_t:init_t:s0":                false,
		"system_u:system_r:polyinst_tool_t:s0":         false,
		"kernel":                                       false,
		"":                                             false,
	} {
		if err := servesIn(own); (err == nil) != serves {
			t.Errorf("%q: %v", own, err)
		}
	}
}

// Each trait that came, went or changed is told, in one order, and nothing else.
func TestDiffering(t *testing.T) {
	before := map[string]string{"Umask": "0077", "cwd": "/", "children": "false"}
	for _, c := range []struct {
		now  map[string]string
		want string
	}{
		{map[string]string{"Umask": "0077", "cwd": "/", "children": "false"}, ""},
		{map[string]string{"Umask": "0022", "cwd": "/", "children": "true"}, `Umask: "0022", and was "0077"; children: "true", and was "false"`},
		{map[string]string{"Umask": "0077", "cwd": "/", "children": "false", "descriptor 9": ""}, `descriptor 9: "", and was ""`},
		{map[string]string{"Umask": "0077", "children": "false"}, `cwd: gone, and was "/"`},
	} {
		got := ""
		if err := differing(before, c.now); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.now, got, c.want)
		}
	}
}

// A file by which accounts are looked up is known to be another one by all that tells
// it, and it is the first of them that is named.
func TestOtherSources(t *testing.T) {
	b := &Base{sources: sources()}
	if path := b.OtherSources(); path != "" {
		t.Errorf("%s is another one", path)
	}
	for _, path := range []string{"/", "/etc/nsswitch.conf", "/etc/sssd/sssd.conf"} {
		i := slices.IndexFunc(b.sources, func(s source) bool { return s.path == path })
		if i < 0 {
			t.Fatalf("%s is not looked at", path)
		}
		was := b.sources[i]
		b.sources[i].inode++
		if got := b.OtherSources(); got != path {
			t.Errorf("%q, want %q", got, path)
		}
		b.sources[i] = was
	}
	file := t.TempDir() + "/x"
	const identity, content = unix.STATX_INO, unix.STATX_INO | unix.STATX_CTIME | unix.STATX_SIZE
	none := look(file, content)
	if err := os.WriteFile(file, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	one, same := look(file, content), look(file, identity)
	if err := os.WriteFile(file, []byte("12"), 0o600); err != nil {
		t.Fatal(err)
	}
	two := look(file, content)
	if !errors.Is(none.err, unix.ENOENT) || one == none || two == one || look(file, identity) != same {
		t.Errorf("none %v, one %v, two %v; the file itself %v and %v", none, one, two, same, look(file, identity))
	}
}
