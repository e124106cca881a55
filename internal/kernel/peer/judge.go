package peer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/audit"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/procfs"
	"pam_polyinst/internal/kernel/selinuxfs"
	"pam_polyinst/internal/kernel/wire"
)

// Own is what of this process a host is compared with. It is asked once: a worker
// that is not what it was ends.
type Own struct {
	status     map[string]string
	namespaces map[string]string
	context    string // under SELinux
	smack      string // its label
	lacks      func(lsm.Profile, ...lsm.Right) (string, error)
	off        func() bool
}

// NewOwn asks it.
func NewOwn() (Own, error) {
	status, err := procfs.Read(unix.AT_FDCWD, "/proc/self/status")
	if err != nil {
		return Own{}, err
	}
	o := Own{status: fields(status), namespaces: map[string]string{}, lacks: lsm.Profile.Lacks, off: Off}
	if o.smack, _, err = lsm.Own().Smack(); err != nil {
		return Own{}, err
	}
	if selinuxfs.Active() {
		if o.context, err = selinuxfs.Current(lsm.Own()); err != nil {
			return Own{}, err
		}
	}
	for _, kind := range compared {
		o.namespaces[kind], err = procfs.Link(unix.AT_FDCWD, "/proc/self/ns/"+kind)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return Own{}, err
		}
	}
	return o, nil
}

// compared are the kinds of namespaces that a host shares with this process: all but
// the mount namespace, which is entered.
var compared = []string{"user", "pid", "pid_for_children", "net", "ipc", "uts", "time"}

// Claim is what the question says of the host.
type Claim struct {
	PID, TID int
	RealUID  uint32
	NS       mntns.ID
	Exec     bool // AppArmor has another profile for its next execve(2)
}

// Judge looks at the host's thread. It is served only if a worker that it forked
// would be what this one is: the kernel says so of each thing in which the two could
// differ. An error says why not.
func (h *Host) Judge(claim Claim, own Own) error {
	if claim.PID != h.pid {
		return fmt.Errorf("the host calls itself process %d, and is %d here", claim.PID, h.pid)
	}
	path := fmt.Sprintf("/proc/%d/task/%d", claim.PID, claim.TID)
	var err error
	if h.proc, err = unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	if err := h.judgeStatus(claim, own.status); err != nil {
		return err
	}
	if err := h.judgeNamespaces(own.namespaces); err != nil {
		return err
	}
	if err := h.judgeLabels(claim, own); err != nil {
		return err
	}
	if err := h.place(claim); err != nil {
		return err
	}
	h.login = h.audits()
	h.exe, _ = h.link("exe")
	// alive: all that was read is the host's
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(h.pidfd), Events: unix.POLLIN}}, 0); err != nil || n != 0 {
		return errors.New("the host has ended")
	}
	return nil
}

// judgeStatus judges what proc_pid_status(5) says.
func (h *Host) judgeStatus(claim Claim, ours map[string]string) error {
	text, err := h.read("status")
	if err != nil {
		return err
	}
	theirs := fields(text)
	ids := strings.Fields(theirs["Uid"])
	switch {
	case theirs["Tgid"] != strconv.Itoa(h.pid):
		return fmt.Errorf("thread %d is not the host's", claim.TID)
	case theirs["TracerPid"] != "0":
		return errors.New("the host is traced")
	case len(ids) != 4 || ids[0] != strconv.FormatUint(uint64(claim.RealUID), 10) || ids[1] != "0":
		return fmt.Errorf("the host's uids are %v, and its question says %d", ids, claim.RealUID)
	}
	for _, name := range []string{"NoNewPrivs", "Seccomp", "Seccomp_filters"} {
		if theirs[name] != ours[name] && theirs[name] != "0" {
			return fmt.Errorf("the host is restricted: %s %s", name, theirs[name])
		}
	}
	has, err1 := strconv.ParseUint(theirs["CapEff"], 16, 64)
	want, err2 := strconv.ParseUint(ours["CapEff"], 16, 64)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if missing := want &^ has; missing != 0 {
		return fmt.Errorf("the host lacks capabilities that this worker has (%#x)", missing)
	}
	h.caps = mntns.CapabilitiesOf(has)
	return nil
}

// fields are the lines "name:\tvalue".
func fields(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		m[name] = strings.TrimSpace(value)
	}
	return m
}

// judgeNamespaces wants the host in the very namespaces of this process. A kind that
// the kernel has not got is missing of both.
func (h *Host) judgeNamespaces(own map[string]string) error {
	for _, kind := range compared {
		theirs, err := h.link("ns/" + kind)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
		if theirs != own[kind] {
			return fmt.Errorf("the host is in another namespace: %s, not %s", theirs, own[kind])
		}
	}
	return nil
}

// judgeLabels rejects a host for which a security module would have this process do
// other things than one that the host forks. Smack labels what is made after the process
// that makes it, so that the host's label must be this process's.
func (h *Host) judgeLabels(claim Claim, own Own) error {
	t := h.Thread()
	smack, smacks, err := t.Smack()
	if err != nil || smack != own.smack {
		return errors.Join(fmt.Errorf("the host has the Smack label %q, and this worker %q", smack, own.smack), err)
	}
	profile, confines, err := t.AppArmor()
	if err != nil {
		return err
	}
	if confines {
		return h.judgeProfile(claim, profile, own)
	}
	if smacks { // whose attr/current it is, too
		return nil
	}
	context, _, err := t.Attribute("current") // SELinux's
	if err != nil || context == "" {
		return err
	}
	connected, err := unix.GetsockoptString(h.sock, unix.SOL_SOCKET, unix.SO_PEERSEC)
	if err != nil {
		return fmt.Errorf("SO_PEERSEC: %w", err)
	}
	return h.judgeContext(t, context, strings.TrimRight(connected, "\x00"), own)
}

// Boolean is the boolean of dist/selinux by which login programs may ask ready workers.
const Boolean = "polyinst_ready_workers"

// Off reports whether that boolean has every login program fork its worker.
func Off() bool {
	on, known := selinuxfs.Boolean(Boolean)
	return known && !on
}

// judgeContext judges a host under SELinux. Whether it is served the policy has said
// when it connected, in the context that it has; who is unconfined may connect to
// anybody, so that the boolean is asked as well. What is made is labelled as the policy
// and the plan say of it, whoever makes it; what the host has chosen for all that it
// makes, a fork would have inherited.
func (h *Host) judgeContext(t lsm.Thread, context, connected string, own Own) error {
	create, _, err := t.Attribute("fscreate")
	switch {
	case err != nil:
		return err
	case own.off():
		return errors.New("SELinux: the boolean polyinst_ready_workers is off")
	case own.context == "":
		return fmt.Errorf("the host has the context %q, and this worker has none", context)
	case context != connected:
		return fmt.Errorf("the host has connected as %q, and is %q", connected, context)
	case create != "":
		return fmt.Errorf("the host labels what it makes: %q", create)
	}
	h.context = context
	h.apart = fmt.Errorf("SELinux: the host is %q", context)
	return nil
}

// rights are those that a profile gives with dist/apparmor. Without the first its program
// is not to be served: many kernels let whoever is root connect, whatever the profile says.
// Without the second it could not join this worker. Without the third it is confined by
// paths, and this worker would show it files by others: the configuration may be its own
// (conf=).
var rights = []lsm.Right{lsm.ReadWrite(wire.ReadySocket), lsm.PtraceRead("unconfined"), lsm.BindRoot("/var/lib/polyinst/")}

// judgeProfile wants a profile whose rules permit that the host asks this process, which
// nothing confines, and whose name is the one that a forked worker would find.
func (h *Host) judgeProfile(claim Claim, profile lsm.Profile, own Own) error {
	switch {
	case claim.Exec:
		return errors.New("AppArmor: the host has asked for another profile for its next execve")
	case profile.Elsewhere():
		return fmt.Errorf("AppArmor: the host's profile %q belongs to another namespace of policies", profile.Name)
	case !profile.Confined():
		return nil
	}
	missing, err := own.lacks(profile, rights...)
	if err != nil {
		return err
	}
	if missing != "" {
		return fmt.Errorf("AppArmor: the host's profile %q does not permit %s", profile.Name, missing)
	}
	h.context, h.apart = profile.Name, fmt.Errorf("AppArmor: the host is in the profile %q", profile.Name)
	h.caps, err = mntns.CapabilitiesOfTask(claim.TID)
	return err
}

// place opens the host's mount namespace, root and working directory. No
// filesystem is asked.
func (h *Host) place(claim Claim) error {
	fd, err := unix.Openat(h.proc, "ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open ns/mnt: %w", err)
	}
	if h.ns, err = mntns.FromFD(fd); err != nil {
		_ = unix.Close(fd)
		return err
	}
	if same, err := h.ns.SameUserNamespace(); err != nil || !same {
		return errors.Join(errors.New("the host's mount namespace belongs to another user namespace"), err)
	}
	if claim.NS != 0 && claim.NS != h.ns.ID {
		return fmt.Errorf("the host calls its namespace mnt:[%d], and it is mnt:[%d]", claim.NS, h.ns.ID)
	}
	if h.root, err = h.open("root"); err != nil {
		return err
	}
	h.cwd, err = h.open("cwd")
	return err
}

func (h *Host) open(name string) (dirfd.Dir, error) {
	fd, err := unix.Openat(h.proc, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return dirfd.Dir{}, fmt.Errorf("open %s of the host: %w", name, err)
	}
	return dirfd.FromFD(fd, name), nil
}

// audits is what proc_pid_loginuid(5) says; a kernel without auditing has no such
// files.
func (h *Host) audits() audit.Login {
	uid, err1 := h.number("loginuid")
	session, err2 := h.number("sessionid")
	if err1 != nil || err2 != nil {
		return audit.Login{Context: h.context}
	}
	return audit.Login{Known: true, UID: uid, Session: session, Context: h.context}
}

func (h *Host) number(name string) (uint32, error) {
	text, err := h.read(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
	return uint32(n), err
}
