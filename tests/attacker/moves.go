package main

import (
	"encoding/binary"
	"fmt"
	"io"
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
	"fuse":   fuse,   // fuse:LIAR,POINT,HOW[,ENTRY...]  mount a filesystem that lies, or hangs
	"spy":    spy,    // spy:NAME           a file of another user's, by /proc
	"burrow": burrow, // burrow:TARGET      in their own instance, while it is removed
	"userns": userns, // userns:PUBLIC      uncover the public directory
	"unveil": unveil, // unveil:PATH,PLACE,TEXT  what covers PATH goes, or its options: PLACE or TEXT would be seen
	"forge":  forge,  // forge:DIR,TARGET  the notes by which an overlay knows its layers, TARGET being root's
	"hop":    hop,    // hop                in and out of user namespaces of their own
	"pids":   pids,   // pids               very many processes
	"comet":  comet,  // comet:PROGRAM,DIR  a process that lives on by forking
	"bomb":   bomb,   // bomb:DIR,N         very many mounts of a directory with a very long path
	"likely": likely, // likely:DIR         mounts with the names of other people's tmpdirs
	"stall":  stall,  // stall:HOST,USER    a setuid host and its worker that are stopped anywhere, and stay so
	"freeze": freeze, // freeze:HOST,USER,CGROUP  a setuid host that is frozen anywhere, and its worker as far as they can
	"hunt":   hunt,   // hunt:HOST,USER,PLACE  signals for a setuid host and its worker
	"starve": starve, // starve:HOST,USER,PLACE  limits and scheduling for them
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
// it: all rights for the owner, the attacker by name, the group, and all others.
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

// forge tries to write what only the kernel writes on the layers of an overlay, and
// to have it led by what a user may write.
func forge(m *move) {
	dir := fmt.Sprintf("%s/d%d", m.args[0], rand.IntN(4))
	m.try(unix.Mkdir(dir, 0o755))
	for _, note := range []string{"opaque", "redirect", "metacopy", "origin", "impure", "overlay.redirect"} {
		value := []byte("/../.." + m.args[1])
		if m.try(unix.Lsetxattr(dir, "trusted.overlay."+note, value, 0)) {
			m.breach("trusted.overlay.%s is set", note)
		}
		m.try(unix.Lsetxattr(dir, "user.overlay."+note, value, 0))
	}
	if m.try(unix.Mknod(dir+"/whiteout", unix.S_IFCHR, 0)) {
		m.breach("a whiteout is made")
	}
	m.try(unix.Renameat2(unix.AT_FDCWD, m.args[0]+"/file", unix.AT_FDCWD, dir+"/whiteout", unix.RENAME_WHITEOUT))
	m.try(os.Rename(dir, fmt.Sprintf("%s/d%d", m.args[0], rand.IntN(4))))
	for _, path := range []string{dir + "/file", dir + "/deep/file"} {
		if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), "root's") {
			m.breach("%s: %s", path, text)
		}
	}
	_ = os.RemoveAll(dir)
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

// fuse mounts a filesystem of their own for a moment, by chosts/liar.c: one that
// answers with "lie", and one that is silent with "hang".
func fuse(m *move) {
	liar, point, how := m.args[0], m.args[1], m.args[2]
	_ = os.Mkdir(point, 0o700)
	cmd := exec.Command(liar, append([]string{point}, m.args[3:]...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return
	}
	out, err := cmd.StdoutPipe()
	if err != nil || !m.try(cmd.Start()) {
		return
	}
	_, err = out.Read(make([]byte, 8)) // "mounted", or the end
	m.try(err)
	if how == "hang" {
		_ = cmd.Process.Signal(syscall.SIGUSR1)
	}
	for range rand.IntN(10) {
		m.breathe()
	}
	_ = in.Close()
	_ = cmd.Wait()
	_ = exec.Command("fusermount3", "-u", "-z", point).Run()
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

// held are directories of instances that stay open.
var held []int

// burrow makes trees in the instances of their own sessions, from outside of
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

// ownUserns runs this program again in user and mount namespaces of their own.
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

func unveil(m *move) {
	out, err := ownUserns("unveil", m.args[0])
	if !m.try(err) {
		return
	}
	for said := range strings.Lines(string(out)) {
		if said = strings.TrimSpace(said); said == m.args[1] || said == "wrote" || len(m.args) > 2 && said == m.args[2] {
			m.breach("%s: %s", m.args[0], said)
		}
	}
}

// uncover tries all that mount(2) and umount2(2) let anybody do to what covers a
// path, and prints what is seen there then.
func uncover(path string) {
	look := func(path string) {
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil {
			fmt.Printf("%d:%d\n", st.Dev, st.Ino)
		}
		for _, inside := range []string{path, path + "/file", path + "/1/comm"} {
			if text, err := os.ReadFile(inside); err == nil {
				fmt.Printf("%s\n", text)
			}
		}
	}
	wrote := func(path string) {
		for _, inside := range []string{path, path + "/file"} {
			if fd, err := unix.Open(inside, unix.O_WRONLY|unix.O_CLOEXEC, 0); err == nil {
				fmt.Println("wrote")
				_ = unix.Close(fd)
			}
		}
	}
	dir, name := filepath.Split(path)
	for _, flags := range []int{0, unix.MNT_DETACH, unix.MNT_EXPIRE, unix.UMOUNT_NOFOLLOW} {
		_ = unix.Unmount(path, flags)
		look(path)
	}
	for _, flags := range []uintptr{unix.MS_REMOUNT | unix.MS_BIND, unix.MS_REMOUNT} {
		_ = unix.Mount("", path, "", flags, "")
		_ = unix.Mount("proc", path, "proc", flags, "hidepid=0")
		look(path)
		wrote(path)
	}
	for _, flags := range []uintptr{unix.MS_BIND, unix.MS_BIND | unix.MS_REC, unix.MS_MOVE} {
		for _, from := range []string{dir, path, "/"} {
			if unix.Mount(from, "/mnt", "", flags, "") == nil {
				_ = unix.Mount("", "/mnt", "", unix.MS_REMOUNT|unix.MS_BIND, "")
			}
			for _, at := range []string{"/mnt", "/mnt/" + name, "/mnt" + path} {
				look(at)
				wrote(at)
			}
			_ = unix.Unmount("/mnt", unix.MNT_DETACH)
		}
	}
	_ = unix.Mount("proc", "/mnt", "proc", 0, "")
	look("/mnt")
	// laid over it, and taken off again
	_ = unix.Mount("none", path, "tmpfs", 0, "")
	_ = unix.Unmount(path, unix.MNT_DETACH)
	_ = unix.Unmount(path, unix.MNT_DETACH)
	look(path)
	if fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC); err == nil {
		look(fmt.Sprintf("/proc/self/fd/%d/%s", fd, name))
	}
}

func hop(m *move) {
	_, err := ownUserns("hop")
	m.try(err)
}

// holding runs this program in namespaces of their own, for as long as the move lasts.
func holding(m *move, args ...string) {
	cmd := exec.Command("/proc/self/exe", append([]string{"in-own-userns"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if !m.try(err) {
		return
	}
	for range 200 {
		if m.over() {
			break
		}
		m.breathe()
	}
	_ = in.Close()
	_ = cmd.Wait()
}

func bomb(m *move) { holding(m, append([]string{"bomb"}, m.args...)...) }

func likely(m *move) { holding(m, append([]string{"likely"}, m.args...)...) }

// comet flies until the move is over; its namespace is the attacker's session's.
func comet(m *move) {
	end := fmt.Sprintf("%s/comet.%d", m.args[1], rand.Int64())
	cmd := exec.Command(m.args[0], "0", end)
	if !m.try(cmd.Run()) {
		return
	}
	for range 200 {
		if m.over() {
			break
		}
		m.breathe()
	}
	m.try(os.WriteFile(end, nil, 0o600))
}

// mountBomb mounts a directory whose path is longer than anybody should read.
func mountBomb(dir string, n int) error {
	name := strings.Repeat("\n", 250)
	if err := os.Chdir(dir); err != nil {
		return err
	}
	for range 400 {
		_ = os.Mkdir(name, 0o755)
		if err := os.Chdir(name); err != nil {
			return err
		}
	}
	_ = os.Mkdir("a", 0o755)
	_ = os.Mkdir("b", 0o755)
	for range n {
		if err := unix.Mount("a", "b", "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	return nil
}

func inOwnUserns(args []string) {
	switch args[0] {
	case "bomb":
		n, _ := strconv.Atoi(args[2])
		err := mountBomb(args[1], n)
		fmt.Println("mounted", err)
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	case "likely":
		// all names that /proc tells, below a directory of their own
		raw, _ := os.ReadFile("/proc/self/mountinfo")
		for line := range strings.Lines(string(raw)) {
			for field := range strings.FieldsSeq(line) {
				if i := strings.Index(field, ".tmpdir."); i >= 0 {
					dir := args[1] + "/" + field[i:]
					_ = os.MkdirAll(dir, 0o755)
					_ = unix.Mount(dir, "/mnt", "", unix.MS_BIND, "")
				}
			}
		}
		for _, dir := range args[2:] {
			_ = os.MkdirAll(dir, 0o755)
			_ = unix.Mount(dir, "/mnt", "", unix.MS_BIND, "")
		}
		fmt.Println("mounted")
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	if args[0] == "unveil" {
		uncover(args[1])
		return
	}
	if args[0] == "hop" {
		// a world in which what root runs would be theirs
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

// childrenOf are the processes that one has made, as far as they live.
func childrenOf(pid int) []int {
	var all []int
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for c := range strings.FieldsSeq(string(children)) {
		if n, err := strconv.Atoi(c); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// stall stops a setuid host and its worker at some moment, leaves them so for a
// while, and kills them.
func stall(m *move) {
	cmd := exec.Command(m.args[0], "user="+m.args[1], "start", "open", "close", "end")
	if !m.try(cmd.Start()) {
		return
	}
	time.Sleep(time.Duration(rand.IntN(8000)) * time.Microsecond)
	victims := append([]int{cmd.Process.Pid}, childrenOf(cmd.Process.Pid)...)
	for _, v := range victims {
		m.try(unix.Kill(v, unix.SIGSTOP))
	}
	m.wait()
	for _, v := range victims {
		_ = unix.Kill(v, unix.SIGKILL)
	}
	_ = cmd.Wait()
}

// wait is a while in which the victims go on.
func (m *move) wait() {
	for range 200 {
		if m.over() {
			break
		}
		m.breathe()
	}
}

// freeze starts a setuid host in a new cgroup below the one that is delegated to
// them, and freezes that at some moment. A worker in it is a breach, and so is one
// that they can take into it. In the end the host is killed, or goes on, or goes on
// and is frozen in turn.
func freeze(m *move) {
	dir := fmt.Sprintf("%s/%d", m.args[2], rand.Int64())
	if !m.try(os.Mkdir(dir, 0o755)) {
		return
	}
	defer func() {
		for os.Remove(dir) != nil && !m.over() { // who was killed is in it until it is gone
			m.breathe()
		}
	}()
	put := func(name, text string) error { return os.WriteFile(dir+"/"+name, []byte(text), 0) }
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	cmd := exec.Command(m.args[0], "user="+m.args[1], "start", "open", "close", "end")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	if !m.try(cmd.Start()) {
		return
	}
	pid := cmd.Process.Pid
	time.Sleep(time.Duration(rand.IntN(40000)) * time.Microsecond)
	in, _ := os.ReadFile(dir + "/cgroup.procs")
	for other := range strings.FieldsSeq(string(in)) {
		if other != strconv.Itoa(pid) {
			m.breach("process %s of a session for %s is in a cgroup of theirs", other, m.args[1])
		}
	}
	for _, c := range childrenOf(pid) {
		if m.try(put("cgroup.procs", strconv.Itoa(c))) && slices.Contains(childrenOf(pid), c) {
			m.breach("took a worker for %s into a cgroup of theirs", m.args[1])
		}
	}
	m.try(put("cgroup.freeze", "1"))
	m.wait()
	switch rand.IntN(3) {
	case 0:
		m.try(put("cgroup.kill", "1"))
	case 1:
		for range 20 {
			m.try(put("cgroup.freeze", "0"))
			m.breathe()
			m.try(put("cgroup.freeze", "1"))
			m.breathe()
		}
	}
	m.try(put("cgroup.freeze", "0"))
	_ = cmd.Wait()
}

// starve starts a setuid host with little of something. A session that it opened
// must not show the place.
func starve(m *move) {
	n := strconv.Itoa(3 + rand.IntN(20))
	how := [][]string{{"prlimit", "--nofile=" + n + ":" + n}, {"prlimit", "--nofile=" + n}, {"prlimit", "--sigpending=0:0"},
		{"prlimit", "--as=" + n + "0000000"}, {"prlimit", "--data=" + n + "00000"}, {"prlimit", "--nproc=1:1"}, {"prlimit", "--fsize=" + n},
		{"chrt", "-i", "0"}, {"chrt", "-b", "0"}, {"nice", "-n", "19"}, {"taskset", "-c", "0"}, {"choom", "-n", "1000", "--"}}
	args := append(slices.Clone(how[rand.IntN(len(how))]), m.args[0], "user="+m.args[1], "start", "open", "must", "look:/tmp", "close", "end")
	out, err := exec.Command(args[0], args[1:]...).Output()
	m.try(err)
	if strings.Contains(string(out), `"`+m.args[2]+" ") {
		m.breach("a session by %q saw %s: %s", args[:3], m.args[2], out)
	}
}

// hunt starts a setuid host and signals it and its children at some moment. A
// session that it opened must not show the place.
func hunt(m *move) {
	cmd := exec.Command(m.args[0], "user="+m.args[1], "start", "open", "must", "look:/tmp", "close", "end")
	var out strings.Builder
	cmd.Stdout = &out
	if !m.try(cmd.Start()) {
		return
	}
	time.Sleep(time.Duration(rand.IntN(6000)) * time.Microsecond)
	victims := append([]int{cmd.Process.Pid}, childrenOf(cmd.Process.Pid)...)
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
		m.breach("a session after signal %v saw %s: %s", s, m.args[2], out.String())
	}
}
