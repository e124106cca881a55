package procfs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Link is what a symbolic link says, by a directory's descriptor or a path.
func Link(dir int, name string) (string, error) {
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(dir, name, buf[:])
	if err != nil {
		return "", fmt.Errorf("readlink %s: %w", name, err)
	}
	return string(buf[:n]), nil
}

// ReadMax is more than the longest of these files, a status with all of 64 K
// groups.
const ReadMax = 1 << 20

// Read is what a file says, by a directory's descriptor or a path. It is read with as
// few calls as there are: a file of the kernel's is no file for package os's poller.
func Read(dir int, name string) (string, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open %s: %w", name, err)
	}
	defer unix.Close(fd)
	var all []byte
	var buf [4096]byte
	for {
		n, err := unix.Read(fd, buf[:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return "", fmt.Errorf("read %s: %w", name, err)
		case n == 0:
			return string(all), nil
		}
		if all = append(all, buf[:n]...); len(all) > ReadMax {
			return "", fmt.Errorf("read %s: more than %d bytes", name, ReadMax)
		}
	}
}

// Names are the entries of a directory, by its path, without "." and "..". own is the
// descriptor by which they were read, which is among them in /proc/self/fd.
func Names(path string) (names []string, own int, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	var buf [4096]byte
	for {
		n, err := unix.ReadDirent(fd, buf[:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, 0, fmt.Errorf("read %s: %w", path, err)
		case n == 0:
			return names, fd, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}
