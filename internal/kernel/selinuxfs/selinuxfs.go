// Package selinuxfs asks the loaded SELinux policy: one write and one read on
// the files of /sys/fs/selinux (the kernel's Documentation and
// security/selinux/selinuxfs.c), and for the attributes of a thread
// (proc_pid_attr(5)).
//
// It is one of the kernel packages, which alone make system calls. Attributes
// belong to threads: the caller must be locked to its own, as a call from C is.
package selinuxfs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/lsm"
)

const (
	mount = "/sys/fs/selinux"
	magic = 0xf97cff8c // SELINUX_MAGIC of linux/magic.h
	// answerMax is the longest answer: a context of many categories has more
	// than 255 bytes, and never more than a page.
	answerMax = 4096
)

// XattrLabel is the extended attribute that holds a file's context.
const XattrLabel = "security.selinux"

// Active reports whether SELinux is on: its filesystem is there and a policy is
// loaded.
func Active() bool {
	var st unix.Statfs_t
	if err := unix.Statfs(mount, &st); err != nil || uint32(st.Type) != magic {
		return false
	}
	current, err := Current(lsm.Own())
	return err == nil && current != "kernel"
}

// Enforcing reports whether denials are carried out.
func Enforcing() bool {
	v, err := read(mount + "/enforce")
	return err == nil && v == "1"
}

// MLS reports whether the policy knows levels.
func MLS() bool {
	v, err := read(mount + "/mls")
	return err == nil && v == "1"
}

// Boolean is the current value of a policy boolean. known is false if the policy has
// no boolean of this name.
func Boolean(name string) (on, known bool) {
	v, err := read(mount + "/booleans/" + name)
	if err != nil {
		return false, false
	}
	return strings.HasPrefix(v, "1"), true
}

// Current is a thread's context.
func Current(of lsm.Thread) (string, error) { return attribute(of, "current") }

// Exec is the context that a thread will have after its next execve(2), as
// pam_selinux sets it for the session; empty where none is set. A forked child
// has that of its parent.
func Exec(of lsm.Thread) (string, error) { return attribute(of, "exec") }

func attribute(of lsm.Thread, name string) (string, error) {
	text, there, err := of.Attribute(name)
	if err == nil && !there {
		err = fmt.Errorf("read attr/%s: %w", name, unix.EINVAL)
	}
	return text, err
}

// SetFSCreate sets the context that files made by this thread get, until it is
// set to the empty string again: setfscreatecon(3).
func SetFSCreate(context string) error {
	const path = "/proc/thread-self/attr/fscreate"
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	if context == "" {
		context = "\n" // a write of nothing would be no write
	}
	if _, err := unix.Write(fd, []byte(context)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Member is the context that the policy wants for the member directory of a
// polyinstantiated one: security_compute_member(3).
func Member(process, directory string) (string, error) {
	class, err := read(mount + "/class/dir/index")
	if err != nil {
		return "", err
	}
	return ask("member", process+" "+directory+" "+class)
}

// Denies reports whether the policy denies this thread, which acts, a permission on itself
// and carries that out, so that it need not be tried, which the audit log would note. False
// where that is not known: security_compute_av(3).
func Denies(class, permission string) bool {
	if !Active() || !Enforcing() {
		return false
	}
	own, err := Current(lsm.Own())
	if err != nil {
		return false
	}
	permitted, err := access(own, own, class, permission)
	return err == nil && !permitted
}

// MayLabel reports whether the policy surely lets a thread give a directory this
// context, or would carry out no denial.
func MayLabel(who lsm.Thread, context string) bool {
	if !Enforcing() {
		return true
	}
	theirs, err := Current(who)
	if err != nil {
		return false
	}
	return surely(access(theirs, context, "dir", "relabelto"))
}

func surely(permitted bool, err error) bool { return err == nil && permitted }

func access(source, target, class, permission string) (permitted bool, err error) {
	index, err := read(mount + "/class/" + class + "/index")
	if err != nil {
		return false, err
	}
	number, err := read(mount + "/class/" + class + "/perms/" + permission)
	if err != nil {
		return false, err
	}
	answer, err := ask("access", source+" "+target+" "+index)
	if err != nil {
		return false, err
	}
	return decision(answer, number)
}

// decision reads an answer of the file access: allowed, decided, auditallow and
// auditdeny as sets of bits, the number of the policy, and flags, of which the first
// says that the domain is permissive. A permission is numbered from 1.
func decision(answer, number string) (permitted bool, err error) {
	const permissive = 1
	fields := strings.Fields(answer)
	n, err := strconv.ParseUint(number, 10, 6)
	if err != nil || n < 1 || n > 32 || len(fields) != 6 {
		return false, fmt.Errorf("access: %q, %q", answer, number)
	}
	allowed, err1 := strconv.ParseUint(fields[0], 16, 32)
	flags, err2 := strconv.ParseUint(fields[5], 16, 32)
	return flags&permissive != 0 || allowed>>(n-1)&1 != 0, errors.Join(err1, err2)
}

// Canonical is the way in which the kernel writes a context; an error if the
// policy does not know it.
func Canonical(context string) (string, error) { return ask("context", context+"\x00") }

// ask makes a transaction: a file of selinuxfs answers by the next read what
// was asked by a write.
func ask(file, question string) (string, error) {
	path := mount + "/" + file
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(question)); err != nil {
		return "", fmt.Errorf("%s: the policy does not answer for %q: %w", path, strings.TrimRight(question, "\x00"), err)
	}
	return readFD(fd, path)
}

func read(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	return readFD(fd, path)
}

// readFD reads one answer; the kernel ends it with a NUL, a newline or nothing.
func readFD(fd int, path string) (string, error) {
	buf := make([]byte, answerMax)
	for {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("read %s: %w", path, err)
		}
		return strings.TrimRight(string(buf[:n]), "\x00\n"), nil
	}
}

// Labelled runs f, whose new files and directories get the label; an empty one
// leaves that to the policy.
func Labelled(label string, f func() error) error {
	if label == "" {
		return f()
	}
	if err := SetFSCreate(label); err != nil {
		return err
	}
	err := f()
	return errors.Join(err, SetFSCreate(""))
}

// Shut is the first of the system's domains that the policy knows, if it surely denies each
// of them one of the permissions on the file at a path, and carries that out; empty: it
// does not. label is the file's. Another process cannot try it: it has rights of its own.
func Shut(domains []string, path, class string, permissions ...string) (label, shut string) {
	if !Active() || !Enforcing() {
		return "", ""
	}
	buf := make([]byte, answerMax)
	n, err := unix.Getxattr(path, XattrLabel, buf)
	if err != nil {
		return "", ""
	}
	label = strings.TrimRight(string(buf[:n]), "\x00")
	first, err := read("/proc/1/attr/current")
	if err != nil {
		return label, ""
	}
	return label, denied(domains, func(domain string) (denied, known bool) {
		source := inDomain(first, domain)
		if _, err := Canonical(source); err != nil {
			return false, false
		}
		for _, p := range permissions {
			if permitted, err := access(source, label, class, p); err == nil && !permitted {
				return true, true
			}
		}
		return false, true
	})
}

// denied is the first of the known ones if all of them are denied.
func denied(domains []string, is func(domain string) (denied, known bool)) (first string) {
	for _, domain := range domains {
		switch yes, known := is(domain); {
		case known && !yes:
			return ""
		case known && first == "":
			first = domain
		}
	}
	return first
}

// inDomain is a context with another type, such as that of process 1 with that of what
// it starts.
func inDomain(context, domain string) string {
	fields := strings.SplitN(context, ":", 4)
	if len(fields) < 3 {
		return domain // no context: nothing is known of it
	}
	fields[2] = domain
	return strings.Join(fields, ":")
}
