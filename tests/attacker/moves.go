package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// moves are one round of each.
var moves = map[string]func(*move){
	"swap":   swap,   // swap:A,B           exchange two names
	"churn":  churn,  // churn:PATH,TARGET  everything that PATH can be, TARGET being root's
	"mend":   mend,   // mend:PATH          remove what is no directory, so that it can go on
	"chmod":  chmod,  // chmod:PATH...      modes that let nobody, or everybody, in
	"attr":   attr,   // attr:PATH...       flags of chattr, access lists, quota projects
	"plant":  plant,  // plant:DIR,TARGET,NAME...  names that others may use
	"crowd":  crowd,  // crowd:DIR          very many names
	"reach":  reach,  // reach:PATH...      what is root's alone
	"spy":    spy,    // spy:NAME           a file of another user's, by /proc
	"burrow": burrow, // burrow:TARGET      in his own instance, while it is removed
	"userns": userns, // userns:PUBLIC      uncover the public directory
	"hop":    hop,    // hop                in and out of user namespaces of his own
	"pids":   pids,   // pids               very many processes
	"hunt":   hunt,   // hunt:HOST,USER,PUBLIC  signals for a setuid host and its worker
}

func swap(m *move) {
	m.try(unix.Renameat2(unix.AT_FDCWD, m.args[0], unix.AT_FDCWD, m.args[1], unix.RENAME_EXCHANGE))
}

// odd are names that a program may trip over.
var odd = []string{"a\nb", "\x1b[2Jx", "-rf", "..x", ". ", "%s%n", "\xff\xfe", strings.Repeat("n", 255)}

// kinds are what a name can be.
var kinds = []func(path, target string) error{
	func(p, target string) error { return unix.Symlink(target, p) },
	func(p, target string) error { return unix.Symlink(target+"/deep", p) },
	func(p, _ string) error { return unix.Symlink(filepath.Base(p), p) },
	func(p, _ string) error { return unix.Symlink("/proc/self/cwd", p) },
	func(p, target string) error { return unix.Link(target+"/file", p) }, // fs.protected_hardlinks
	func(p, _ string) error { return unix.Mkfifo(p, 0o666) },
	func(p, _ string) error {
		fd, err := unix.Open(p, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o666)
		if err == nil {
			err = unix.Close(fd)
		}
		return err
	},
	func(p, _ string) error { return unix.Mknod(p, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) },
	func(p, _ string) error { return unix.Mkdir(p, 0o700) },
	func(p, _ string) error { return unix.Mkdir(p, 0) },
	func(p, _ string) error { return os.Mkdir(p, 0o777|os.ModeSetgid|os.ModeSticky) },
	func(p, _ string) error {
		l, err := net.Listen("unix", p)
		if err == nil {
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			_ = l.Close()
		}
		return err
	},
}

func remove(path string) error {
	if err := unix.Unlink(path); err == nil {
		return nil
	}
	return unix.Rmdir(path)
}

func churn(m *move) {
	path, target := m.args[0], m.args[1]
	beside := path + ".x"
	made := m.try(kinds[rand.IntN(len(kinds))](beside, target))
	switch rand.IntN(3) {
	case 0:
		if made {
			m.try(unix.Renameat2(unix.AT_FDCWD, beside, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE))
		}
	case 1:
		m.try(remove(path))
		m.breathe()
		m.try(unix.Renameat2(unix.AT_FDCWD, beside, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE))
	case 2:
		m.try(unix.Rename(path, path+".y"))
		m.breathe()
		m.try(unix.Mkdir(path, 0o755))
	}
	_ = remove(beside)
	_ = remove(path + ".y")
}

func mend(m *move) {
	m.try(unix.Unlink(m.args[0]))
}

func chmod(m *move) {
	modes := []uint32{0, 0o777, 0o7777, 0o1777, 0o700, 0o500, 0o2775, 0o755, 0o755, 0o755}
	for _, path := range m.args {
		m.try(unix.Fchmodat(unix.AT_FDCWD, path, modes[rand.IntN(len(modes))], unix.AT_SYMLINK_NOFOLLOW))
	}
}

// everybody is an access list as acl(5) and the kernel's posix_acl_xattr.h have
// it: all rights for the owner, himself by name, the group, and all others.
func everybody() []byte {
	list := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag uint16
		id  uint32
	}{{0x01, math.MaxUint32}, {0x02, uint32(os.Getuid())}, {0x04, math.MaxUint32}, {0x10, math.MaxUint32}, {0x20, math.MaxUint32}} {
		list = binary.LittleEndian.AppendUint16(list, e.tag)
		list = binary.LittleEndian.AppendUint16(list, 7)
		list = binary.LittleEndian.AppendUint32(list, e.id)
	}
	return list
}

func attr(m *move) {
	flags := []int{0x20 /* APPEND */, 0x10 /* IMMUTABLE */, 0x40 /* NODUMP */, 0x80 /* NOATIME */, 0x20000000 /* PROJINHERIT */, 0}
	for _, path := range m.args {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if !m.try(err) {
			continue
		}
		m.try(unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags[rand.IntN(len(flags))]))
		m.try(unix.Fsetxattr(fd, "user.x", []byte("x"), 0))
		// what is made below inherits this one, and no mode shows it
		m.try(unix.Fsetxattr(fd, "system.posix_acl_default", everybody(), 0))
		if rand.IntN(8) == 0 {
			m.try(unix.Fsetxattr(fd, "system.posix_acl_access", everybody(), 0))
			m.breathe()
			m.try(unix.Fremovexattr(fd, "system.posix_acl_access"))
			m.try(unix.Fchmod(fd, 0o755))
		}
		_ = unix.Close(fd)
	}
}

func plant(m *move) {
	names := slices.Concat(m.args[2:], odd)
	path := m.args[0] + "/" + names[rand.IntN(len(names))]
	if m.try(kinds[rand.IntN(len(kinds))](path, m.args[1])) {
		m.breathe()
		_ = remove(path)
	}
}

func crowd(m *move) {
	dir := m.args[0] + "/crowd"
	_ = os.Mkdir(dir, 0o755)
	for i := range 2000 {
		if m.over() {
			break
		}
		m.try(os.WriteFile(fmt.Sprintf("%s/%d", dir, i), nil, 0o600))
	}
	_ = os.RemoveAll(dir)
}

// reach tries all that one can do with a path of root's; whatever works is a
// breach.
func reach(m *move) {
	for _, path := range m.args {
		for what, err := range map[string]error{
			"chmod":  unix.Chmod(path, 0o777),
			"make":   unix.Mkdir(path+"/made", 0o777),
			"rename": unix.Rename(path, path+".gone"),
			"remove": unix.Rmdir(path),
			"unlink": unix.Unlink(path),
		} {
			if m.try(err) {
				m.breach("%s %s", what, path)
			}
		}
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if !m.try(err) {
			continue
		}
		m.breach("open %s", path)
		if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
			m.breach("lock %s", path)
		}
		_ = unix.Close(fd)
	}
}

// processes are the processes that there are.
func processes() []string {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	return slices.DeleteFunc(names, func(n string) bool { _, err := strconv.Atoi(n); return err != nil })
}

// spy looks for a file of another user's in all that /proc leads to.
func spy(m *move) {
	for _, pid := range processes() {
		for _, way := range []string{"/root/tmp/", "/cwd/", "/root/var/tmp/"} {
			path := "/proc/" + pid + way + m.args[0]
			text, err := os.ReadFile(path)
			if m.try(err) {
				m.breach("read %s: %s", path, text)
			}
		}
		ns, err := os.Open("/proc/" + pid + "/ns/mnt")
		if err != nil {
			continue
		}
		if unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS) == nil {
			m.breach("joined the namespace of process %s", pid)
		}
		_ = ns.Close()
		if m.over() {
			return
		}
	}
}

// held are directories of instances that he keeps open.
var held []int

// burrow makes trees in the instances of his own sessions, from outside of
// them, and swaps their directories for links to what is root's: whoever removes
// them walks through that.
func burrow(m *move) {
	own, _ := os.Readlink("/proc/self/ns/mnt")
	for _, pid := range processes() {
		ns, err := os.Readlink("/proc/" + pid + "/ns/mnt")
		if err != nil || ns == own || len(held) > 64 {
			continue
		}
		fd, err := unix.Open("/proc/"+pid+"/root/tmp", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if m.try(err) {
			held = append(held, fd)
		}
	}
	for _, fd := range held {
		_ = unix.Symlinkat(m.args[0], fd, "link")
		_ = unix.Mkdirat(fd, "dir", 0o755)
		_ = unix.Mkdirat(fd, "dir/sub", 0o755)
		_ = unix.Symlinkat(m.args[0], fd, "dir/link")
		for range 20 {
			m.try(unix.Renameat2(fd, "dir", fd, "link", unix.RENAME_EXCHANGE))
			m.try(unix.Renameat2(fd, "dir/sub", fd, "dir/link", unix.RENAME_EXCHANGE))
		}
	}
	if len(held) > 32 {
		for _, fd := range held[:16] {
			_ = unix.Close(fd)
		}
		held = held[16:]
	}
}

// ownUserns runs this program again in user and mount namespaces of his own.
func ownUserns(args ...string) ([]byte, error) {
	cmd := exec.Command("/proc/self/exe", append([]string{"in-own-userns"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	return cmd.Output()
}

func userns(m *move) {
	out, err := ownUserns("uncover")
	if !m.try(err) {
		return
	}
	for _, id := range strings.Fields(string(out)) {
		if id == m.args[0] {
			m.breach("saw the public directory %s", id)
		}
	}
}

func hop(m *move) {
	_, err := ownUserns("hop")
	m.try(err)
}

func inOwnUserns(args []string) {
	if args[0] == "hop" {
		// a world in which what root runs would be his
		for _, dir := range []string{"/tmp", "/etc", "/usr/local"} {
			_ = unix.Mount("none", dir, "tmpfs", 0, "")
		}
		_ = os.WriteFile("/etc/ld.so.preload", []byte("/etc/evil.so\n"), 0o644)
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		return
	}
	look := func(path string) {
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil {
			fmt.Printf("%d:%d\n", st.Dev, st.Ino)
		}
	}
	for _, flags := range []int{0, unix.MNT_DETACH, unix.MNT_EXPIRE} {
		_ = unix.Unmount("/tmp", flags)
		look("/tmp")
	}
	for _, flags := range []uintptr{unix.MS_BIND, unix.MS_BIND | unix.MS_REC, unix.MS_MOVE} {
		_ = unix.Mount("/", "/mnt", "", flags, "")
		look("/mnt/tmp")
		_ = unix.Unmount("/mnt", unix.MNT_DETACH)
		_ = unix.Mount("/tmp", "/mnt", "", flags, "")
		look("/tmp")
		_ = unix.Unmount("/mnt", unix.MNT_DETACH)
	}
	if tree, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.AT_RECURSIVE); err == nil {
		if unix.Fchdir(tree) == nil {
			_ = unix.Unmount("tmp", unix.MNT_DETACH)
			look("tmp")
		}
		_ = unix.Close(tree)
	}
	if tree, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE); err == nil {
		if unix.Fchdir(tree) == nil {
			look("tmp")
		}
		_ = unix.Close(tree)
	}
	_ = unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "")
	if unix.Chroot("/proc/1/root") == nil {
		look("/tmp")
	}
}

func pids(m *move) {
	for range 50 {
		m.try(exec.Command("/bin/true").Run())
	}
}

// hunt starts a setuid host and signals it and its children at some moment. A
// session that it opened must be in a private view.
func hunt(m *move) {
	cmd := exec.Command(m.args[0], "user="+m.args[1], "start", "open", "must", "look:/tmp", "close", "end")
	var out strings.Builder
	cmd.Stdout = &out
	if !m.try(cmd.Start()) {
		return
	}
	time.Sleep(time.Duration(rand.IntN(6000)) * time.Microsecond)
	pid := cmd.Process.Pid
	victims := []int{pid}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, c := range strings.Fields(string(children)) {
		if n, err := strconv.Atoi(c); err == nil {
			victims = append(victims, n)
		}
	}
	signals := []syscall.Signal{unix.SIGSTOP, unix.SIGKILL, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGALRM,
		unix.SIGXCPU, unix.SIGUSR1, unix.SIGQUIT, unix.SIGPIPE, unix.SIGCHLD, unix.SIGTSTP, unix.SIGSEGV, unix.SIGXFSZ}
	s := signals[rand.IntN(len(signals))]
	for _, v := range victims {
		m.try(unix.Kill(v, s))
	}
	time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
	for _, v := range victims {
		_ = unix.Kill(v, unix.SIGCONT)
	}
	_ = cmd.Wait()
	if strings.Contains(out.String(), `"`+m.args[2]+" ") {
		m.breach("a session after signal %v saw the public directory: %s", s, out.String())
	}
}
