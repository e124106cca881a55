// Package self is what this process is, as far as one session could leave something
// of it to the next: a ready worker notes it, goes back to where it was after each
// session, and ends if anything is not as it was noted.
//
// It is one of the kernel packages, which alone make system calls. The caller is
// the main thread, to which it is locked.
package self

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/core/selinux"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/procfs"
	"pam_polyinst/internal/kernel/selinuxfs"
)

// kinds are those that a session can have of its own.
const kinds = mntns.Mount | mntns.IPC | mntns.UTS | mntns.Net

// Base is what this process was when it was noted, and the way back to it.
type Base struct {
	back    mntns.Set
	traits  map[string]string
	sources []source
	share   share
}

// share is what of the machine this process has: who has its effective uid could
// change that.
type share struct {
	scheduling *unix.SchedAttr
	processors unix.CPUSet
	io         uintptr // as ioprio_get(2) says it
}

func ownShare() (s share, err error) {
	if s.scheduling, err = unix.SchedGetAttr(0, 0); err != nil {
		return s, fmt.Errorf("sched_getattr: %w", err)
	}
	if err := unix.SchedGetaffinity(0, &s.processors); err != nil {
		return s, fmt.Errorf("sched_getaffinity: %w", err)
	}
	var errno unix.Errno
	if s.io, _, errno = unix.RawSyscall(unix.SYS_IOPRIO_GET, ioprioProcess, 0, 0); errno != 0 {
		return s, fmt.Errorf("ioprio_get: %w", errno)
	}
	return s, nil
}

// Note notes it. The process stands in the root directory of its mount namespace.
func Note() (*Base, error) {
	if err := MayServe(); err != nil {
		return nil, err
	}
	// alone with its root and working directory, before they change
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return nil, fmt.Errorf("unshare(CLONE_FS): %w", err)
	}
	before, err := rootDirectory()
	if err != nil {
		return nil, err
	}
	if err := mntns.GoToRoot(); err != nil {
		return nil, err
	}
	if after, err := rootDirectory(); err != nil || before != after {
		return nil, errors.Join(errors.New("this process is in a chroot, where no host is served"), err)
	}
	ids, err := mntns.OwnIDs(kinds)
	if err != nil {
		return nil, err
	}
	b := &Base{}
	if b.back, err = mntns.SetOfTask(unix.Getpid(), unix.Getpid(), ids); err != nil {
		return nil, err
	}
	if b.share, err = ownShare(); err != nil {
		return nil, err
	}
	b.sources = sources()
	b.traits, err = traits()
	return b, err
}

// domain is the workers' in dist/selinux: the policy says there who is served, and that a
// worker may do all that they may.
const domain = "polyinst_t"

// MayServe says why no host can be served by this process: a security module would
// label, or confine, what is done for the host by who does it.
func MayServe() error {
	if selinuxfs.Active() {
		own, err := selinuxfs.Current(lsm.Own())
		if err != nil {
			return err
		}
		return servesIn(own)
	}
	if profile, active, err := lsm.Own().AppArmor(); err != nil || active && profile.Confined() {
		return errors.Join(fmt.Errorf("this process is confined by AppArmor, by the profile %q", profile.Name), err)
	}
	return nil
}

// servesIn judges this process's own context.
func servesIn(own string) error {
	if c, err := selinux.Parse(own); err != nil || c.Type != domain {
		return errors.Join(fmt.Errorf("here SELinux is active, and this process is in %q: only in the domain %s of dist/selinux does it serve, into which systemd starts it when that module is loaded and its program has the label polyinst_exec_t (restorecon)", own, domain), err)
	}
	return nil
}

// rootDirectory is the identity of the root directory.
func rootDirectory() (string, error) {
	st, err := dirfd.RootStat()
	return fmt.Sprintf("%v on mount %d", st.ID, st.MountID), err
}

// Return goes back to the namespaces, and the root directory, that were noted.
func (b *Base) Return() error { return b.back.Enter() }

// Retake takes back what another user could have changed while this process had
// their effective uid, and what that change cleared. It is what worker.c does for a
// forked worker.
func (b *Base) Retake() error {
	now, err := ownShare()
	if err != nil {
		return err
	}
	var err1, err2 error // set only where it was changed: that may take a capability
	if *now.scheduling != *b.share.scheduling {
		err1 = unix.SchedSetAttr(0, b.share.scheduling, 0)
	}
	if now.processors != b.share.processors {
		err2 = unix.SchedSetaffinity(0, &b.share.processors)
	}
	var errno unix.Errno
	if now.io != b.share.io {
		_, _, errno = unix.RawSyscall(unix.SYS_IOPRIO_SET, ioprioProcess, 0, b.share.io)
	}
	err3 := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	if errno != 0 {
		err3 = errors.Join(err3, errno)
	}
	return errors.Join(err1, err2, err3)
}

// Unhurried takes from the main thread what it is ahead of other programs by, until
// Retake: for work of which a user chooses how much there is.
func (b *Base) Unhurried() error { return unhurried(unix.Getpid(), *b.share.scheduling) }

// Unhurried is that of a thread that no Retake follows.
func Unhurried() error {
	now, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return fmt.Errorf("sched_getattr: %w", err)
	}
	return unhurried(0, *now)
}

func unhurried(thread int, now unix.SchedAttr) error {
	if now.Nice >= 0 {
		return nil
	}
	now.Nice = 0
	if err := unix.SchedSetAttr(thread, &now, 0); err != nil {
		return fmt.Errorf("sched_setattr: %w", err)
	}
	return nil
}

// ioprioProcess is IOPRIO_WHO_PROCESS of ioprio_set(2).
const ioprioProcess = 1

// Changed says what of this process is not as it was noted; nil: nothing.
func (b *Base) Changed() error {
	now, err := traits()
	if err != nil {
		return err
	}
	return differing(b.traits, now)
}

// differing says which traits are not what they were; nil: all are.
func differing(before, now map[string]string) error {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if was, known := before[name]; !known || was != now[name] {
			found = append(found, fmt.Sprintf("%s: %q, and was %q", name, now[name], was))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, there := now[name]; !there {
			found = append(found, fmt.Sprintf("%s: gone, and was %q", name, before[name]))
		}
	}
	if len(found) > 0 {
		return errors.New(strings.Join(found, "; "))
	}
	return nil
}

// statusFields are those of proc_pid_status(5) that could change.
var statusFields = []string{"Umask", "TracerPid", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt",
	"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Cpus_allowed", "Mems_allowed"}

// traits are all that can be told of this process.
func traits() (map[string]string, error) {
	m := map[string]string{}
	status, err := procfs.Read(unix.AT_FDCWD, "/proc/self/status")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(status) {
		if name, value, _ := strings.Cut(line, ":"); slices.Contains(statusFields, name) {
			m[name] = strings.TrimSpace(value)
		}
	}
	for _, name := range []string{"cwd", "root", "ns/mnt", "ns/ipc", "ns/uts", "ns/net", "ns/pid", "ns/pid_for_children", "ns/user", "ns/cgroup"} {
		if text, err := procfs.Link(unix.AT_FDCWD, "/proc/self/"+name); err == nil {
			m[name] = text
		}
	}
	if m["mount namespaces of the threads"], err = ofThreads(); err != nil {
		return nil, err
	}
	if m["root directory"], err = rootDirectory(); err != nil {
		return nil, err
	}
	for _, name := range []string{"current", "exec", "fscreate", "keycreate", "sockcreate", "apparmor/current", "apparmor/exec", "smack/current"} {
		if text, err := procfs.Read(unix.AT_FDCWD, "/proc/thread-self/attr/"+name); err == nil {
			m["attr/"+name] = text
		}
	}
	if err := descriptors(m); err != nil {
		return nil, err
	}
	for name, option := range map[string]int{"dumpable": unix.PR_GET_DUMPABLE, "timer slack": unix.PR_GET_TIMERSLACK, "securebits": unix.PR_GET_SECUREBITS} {
		n, err := unix.PrctlRetInt(option, 0, 0, 0, 0)
		if err != nil {
			return nil, fmt.Errorf("prctl: %w", err)
		}
		m[name] = strconv.Itoa(n)
	}
	for name, id := range map[string]int{"session keyring": unix.KEY_SPEC_SESSION_KEYRING, "process keyring": unix.KEY_SPEC_PROCESS_KEYRING,
		"thread keyring": unix.KEY_SPEC_THREAD_KEYRING} {
		if key, err := unix.KeyctlGetKeyringID(id, false); err == nil {
			m[name] = strconv.Itoa(key)
		}
	}
	if attr, err := unix.SchedGetAttr(0, 0); err == nil {
		m["scheduling"] = fmt.Sprintf("policy %d nice %d", attr.Policy, attr.Nice)
	}
	var info unix.Siginfo
	err = unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	m["children"] = fmt.Sprint(!errors.Is(err, unix.ECHILD))
	m["environment"] = strings.Join(os.Environ(), " ")
	return m, nil
}

// ofThreads are the mount namespaces that the threads are in, each once.
func ofThreads() (string, error) {
	threads, _, err := procfs.Names("/proc/self/task")
	if err != nil {
		return "", err
	}
	var all []string
	for _, t := range threads {
		ns, err := procfs.Link(unix.AT_FDCWD, "/proc/self/task/"+t+"/ns/mnt")
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return "", err
		}
		if err == nil && !slices.Contains(all, ns) {
			all = append(all, ns)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " "), nil
}

// descriptors notes each, by what it leads to; of a socket or pipe only that it is
// one, since a directory service's may be another one by now.
func descriptors(m map[string]string) error {
	names, own, err := procfs.Names("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == strconv.Itoa(own) {
			continue
		}
		text, err := procfs.Link(unix.AT_FDCWD, "/proc/self/fd/"+name)
		if err != nil {
			return err
		}
		kind, _, _ := strings.Cut(text, ":[")
		m["descriptor "+name] = kind
	}
	return nil
}

// source is a file or directory by which libc and the modules of NSS go, and which they
// may remember: what tells it from another one.
type source struct {
	path                 string
	major, minor         uint32
	inode, size          uint64
	changed, changedNano int64 // of a file
	err                  error
}

// trees are those that sources of accounts lie in, and files what they are set up by.
var (
	trees = []string{"/", "/etc", "/usr", "/lib", "/run", "/var", "/var/lib"}
	files = []string{"/etc/nsswitch.conf", "/etc/resolv.conf", "/etc/host.conf", "/etc/ld.so.cache", "/etc/localtime",
		"/etc/sssd/sssd.conf", "/etc/nslcd.conf", "/etc/krb5.conf", "/etc/ldap.conf", "/etc/libnss-ldap.conf"}
)

func sources() []source {
	all := make([]source, 0, len(trees)+len(files))
	for _, path := range trees {
		all = append(all, look(path, unix.STATX_INO))
	}
	for _, path := range files {
		all = append(all, look(path, unix.STATX_INO|unix.STATX_CTIME|unix.STATX_SIZE))
	}
	return all
}

func look(path string, mask int) source {
	var x unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_NO_AUTOMOUNT, mask, &x); err != nil {
		return source{path: path, err: err}
	}
	s := source{path: path, major: x.Dev_major, minor: x.Dev_minor, inode: x.Ino}
	if mask&unix.STATX_CTIME != 0 {
		s.size, s.changed, s.changedNano = x.Size, x.Ctime.Sec, int64(x.Ctime.Nsec)
	}
	return s
}

// OtherSources names a file by which accounts are looked up, and which in the view
// that this process is in now is another one than where and when it was noted; empty:
// all are the same.
func (b *Base) OtherSources() string {
	for i, s := range sources() {
		if s != b.sources[i] {
			return s.path
		}
	}
	return ""
}
