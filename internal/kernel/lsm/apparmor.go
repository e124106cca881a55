package lsm

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// AppArmorExec is the profile that the thread gets at its next execve(2): a host may
// have asked for one for the session (aa_change_onexec(2)), and a forked child has its
// parent's. waiting is false if nobody asked for one. The kernel tells whoever reads
// this attribute of themselves, whichever thread it belongs to: another thread than the
// calling one counts as one that has not asked, and has to say by itself that it has.
func (t Thread) AppArmorExec() (p Profile, waiting bool, err error) {
	if t != Own() {
		return Profile{}, false, nil
	}
	text, waiting, err := t.Attribute("apparmor/exec")
	return parseProfile(text), waiting, err
}

// StayInProfile takes back what the host asked of AppArmor for its next
// execve(2), and this process has inherited: it will go on in the profile that
// it has. Unlike SELinux's, such a wish can only be replaced by another.
func StayInProfile() error {
	own := Own()
	_, waiting, err := own.AppArmorExec()
	if err != nil || !waiting {
		return err
	}
	p, _, err := own.AppArmor()
	if err != nil {
		return err
	}
	path := own.at + "apparmor/exec"
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte("exec "+p.Name)); err != nil {
		return fmt.Errorf("write %s: stay in the profile %q: %w", path, p.Name, err)
	}
	return nil
}

// Elsewhere reports whether the profile, or one of a stack of them, belongs to another
// namespace of policies than that of the calling thread: who is in it calls the profile
// by another name.
func (p Profile) Elsewhere() bool {
	return strings.HasPrefix(p.Name, ":") || strings.Contains(p.Name, "//&:")
}

// Right is what the rules of a profile may permit.
type Right struct {
	name  string
	query string // its class, and what it is about, as the kernel matches them
	bits  uint32
}

// The bits of rules (libapparmor's sys/apparmor.h, and the kernel's
// security/apparmor/include/mount.h).
const (
	mayWrite = 1 << 1
	mayRead  = 1 << 2
	mayMount = 1 << 1
)

// ReadWrite is the right to read and write a file, or to connect to it.
func ReadWrite(path string) Right { return Right{path + " rw", "\x02" + path, mayRead | mayWrite} }

// PtraceRead is the right to look into processes of a profile, and to join their
// namespaces by pidfd.
func PtraceRead(peer string) Right {
	return Right{"ptrace (read) peer=" + peer, "\x09" + peer, mayRead}
}

// BindRoot is the right to mount the root directory on a directory, as `mount,` gives it:
// by such a mount each file has another path. What the kernel matches is the directory,
// what is mounted, no type, and a flag by its number from 1 on (MS_BIND).
func BindRoot(dir string) Right {
	return Right{"mount options=bind / -> " + dir, "\x07" + dir + "\x00/\x00\x00\x0d", mayMount}
}

// Lacks names the first of these rights that the profile's rules do not give, in the
// words of a rule; empty: it has all. The kernel is asked, which tries nothing, and so
// writes nothing to the log (aa_query_label(2)). In complain mode it would permit the
// rest as well, with a line for each.
func (p Profile) Lacks(rights ...Right) (string, error) {
	for _, r := range rights {
		allowed, err := p.ask(r.query)
		if err != nil {
			return "", err
		}
		if r.bits&^allowed != 0 {
			return r.name, nil
		}
	}
	return "", nil
}

// access is where AppArmor is asked.
const access = "/sys/kernel/security/apparmor/.access"

func (p Profile) ask(query string) (allowed uint32, err error) {
	fd, err := unix.Open(access, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", access, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte("label\x00"+p.Name+"\x00"+query)); err != nil {
		return 0, fmt.Errorf("ask AppArmor about the profile %q: %w", p.Name, err)
	}
	answer := make([]byte, 256)
	n, err := unix.Read(fd, answer)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", access, err)
	}
	return parseAnswer(string(answer[:n]))
}

// parseAnswer takes the lines "allow 0x0000001c", "deny 0x00000000" and more.
func parseAnswer(text string) (allowed uint32, err error) {
	var denied uint32
	if n, err := fmt.Sscanf(text, "allow 0x%x\ndeny 0x%x\n", &allowed, &denied); err != nil || n != 2 {
		return 0, errors.Join(fmt.Errorf("AppArmor answers %q", text), err)
	}
	return allowed &^ denied, nil
}
