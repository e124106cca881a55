// Package lsm asks Smack and AppArmor which context a thread has. Each has
// files of its own in its directory attr, so that it does not matter whose
// attr/current is (proc_pid_attr(5); the kernel's
// Documentation/admin-guide/LSM). A module that is not active answers EINVAL,
// and one that the kernel has not got has no file. SELinux is asked by
// selinuxfs.
//
// It is one of the kernel packages, which alone make system calls. Attributes
// belong to threads: who asks for Own must be locked to theirs, as a call from C is.
package lsm

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// The extended attributes that hold a file's Smack label, and whether what is
// made in a directory gets the directory's label. Their values have no NUL at
// the end.
const (
	XattrSmack          = "security.SMACK64"
	XattrSmackTransmute = "security.SMACK64TRANSMUTE"
	// SmackTransmutes is the one value of XattrSmackTransmute.
	SmackTransmutes = "TRUE"
)

// Thread is one whose attributes are asked: this one, for what this process does, or a
// host's, for what its session is to get. The zero one is none, and every question
// about it is an error.
type Thread struct {
	dir int
	at  string // its directory attr, from dir
}

// Own is the calling thread.
func Own() Thread { return Thread{unix.AT_FDCWD, "/proc/thread-self/attr/"} }

// Of is the thread whose directory (/proc/PID/task/TID) a descriptor holds. It is that
// thread or none, also when the number is another's.
func Of(dir int) Thread { return Thread{dir, "attr/"} }

// Attribute reads one, without the newline or NUL that may end it. there is false
// where no module answers.
func (t Thread) Attribute(name string) (text string, there bool, err error) {
	if t.at == "" {
		return "", false, errors.New("the security module was to be asked of no thread")
	}
	return read(t.dir, t.at+name)
}

// answerMax is more than any answer: the kernel gives no more than a page of an
// AppArmor profile's name, and of a Smack label 255 bytes.
const answerMax = 1 << 16

// Profile is an AppArmor profile, a hat or a stack of them.
type Profile struct {
	Name string // as the kernel writes it; "unconfined" where there is none
	Mode string // "enforce", "complain", "mixed" ...; empty where there is none
}

// Confined reports whether there is a profile at all.
func (p Profile) Confined() bool { return p.Name != "" && p.Name != "unconfined" }

// Enforced reports whether its denials are carried out.
func (p Profile) Enforced() bool {
	return p.Confined() && p.Mode != "complain" && p.Mode != "unconfined"
}

// Smack is the thread's label; active is false where Smack is not.
func (t Thread) Smack() (label string, active bool, err error) { return t.Attribute("smack/current") }

// AppArmor is the thread's profile; active is false where AppArmor is not.
func (t Thread) AppArmor() (p Profile, active bool, err error) {
	text, active, err := t.Attribute("apparmor/current")
	return parseProfile(text), active, err
}

// parseProfile takes "NAME (MODE)" apart. A name may end as a mode does, but
// behind each name that has one stands its mode.
func parseProfile(text string) Profile {
	i := strings.LastIndex(text, " (")
	if i < 0 || !strings.HasSuffix(text, ")") {
		return Profile{Name: text}
	}
	return Profile{Name: text[:i], Mode: text[i+2 : len(text)-1]}
}

// read reads a whole attribute.
func read(dir int, path string) (text string, there bool, err error) {
	fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	var all []byte
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EINVAL):
			return "", false, nil
		case err != nil:
			return "", false, fmt.Errorf("read %s: %w", path, err)
		case n == 0:
			return strings.TrimRight(string(all), "\x00\n"), true, nil
		}
		if all = append(all, buf[:n]...); len(all) > answerMax {
			return "", false, fmt.Errorf("read %s: more than %d bytes", path, answerMax)
		}
	}
}
