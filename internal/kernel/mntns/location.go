package mntns

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mountinfo"
)

// Location is where a directory lies in its filesystem: a mount of it has this
// device and this root, in whatever namespace.
type Location struct {
	Dev  uint64 // as the kernel tells it of mounts; stat(2) may tell another one
	Path string
}

// Below is the location of an entry that lies on the same mount.
func (p Location) Below(name string) Location {
	return Location{p.Dev, strings.TrimSuffix(p.Path, "/") + "/" + name}
}

// LocationOf finds it by the mount that the directory lies on.
func LocationOf(d dirfd.Dir) (Location, error) {
	st, err := d.Stat()
	if err != nil {
		return Location{}, err
	}
	at, err := pathOf(d)
	if err != nil {
		return Location{}, err
	}
	var on mountinfo.Line
	if st.MountUnique {
		on, err = mountOf(st.MountID)
	}
	if !st.MountUnique || mountinfo.IsUntold(err) {
		on, err = mountLineOf(d)
	}
	if err != nil {
		return Location{}, fmt.Errorf("%s: the mount that it lies on: %w", d.Path(), err)
	}
	rest, ok := below(on.Point, at)
	if !ok {
		return Location{}, fmt.Errorf("%s: its mount is on %q, and it is at %q", d.Path(), on.Point, at)
	}
	return Location{on.Dev, strings.TrimSuffix(on.Root, "/") + rest}, nil
}

// below is what is left of a path behind a directory that it is in.
func below(dir, path string) (rest string, ok bool) {
	if dir == "/" {
		dir = ""
	}
	rest, ok = strings.CutPrefix(path, dir)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// pathOf is where a handle is, in words of the kernel: what it was opened by may
// have led through links, or been renamed.
func pathOf(d dirfd.Dir) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlink(fmt.Sprintf("/proc/self/fd/%d", d.FD()), buf)
	if err != nil || n == len(buf) || buf[0] != '/' {
		return "", fmt.Errorf("%s: where it is cannot be told: %w", d.Path(), err)
	}
	return string(buf[:n]), nil
}

func mountOf(id uint64) (mountinfo.Line, error) {
	const where = mountinfo.Device | mountinfo.Root | mountinfo.Point
	var a mountinfo.Answer
	if err := a.Ask(0, id, where); err != nil {
		return mountinfo.Line{}, err
	}
	if !a.Has(where) {
		return mountinfo.Line{}, fmt.Errorf("statmount: %w", unix.ENOSYS)
	}
	return mountinfo.Line{Dev: a.Device(), Root: a.Root(), Point: a.Point()}, nil
}

func mountLineOf(d dirfd.Dir) (mountinfo.Line, error) {
	id, err := d.ReusedMountID()
	if err != nil {
		return mountinfo.Line{}, err
	}
	line, found, err := mountinfo.Own(id)
	if err == nil && !found {
		err = fmt.Errorf("mount %d is not in mountinfo", id)
	}
	return line, err
}
