package nss

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Where the functions of the source "files" are not found, as in a libc that
// keeps them to itself, the files are read here: passwd(5) and group(5).
const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
)

// readMost bounds a file: that of a host with very many accounts has megabytes.
const readMost = 64 << 20

// read reads a file of root's. Package os would start Go's poller first, which may
// fail in a login program.
func read(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	var text []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err == nil && len(text)+n > readMost:
			err = unix.EFBIG
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if n == 0 {
			return text, nil
		}
		text = append(text, buf[:n]...)
	}
}

// inFile looks in one of the files for a line.
func inFile(path string, like func(fields []string) bool) Answer {
	a := Answer{Source: "files", Status: NotFound}
	text, err := read(path)
	if err != nil {
		a.Status = Unavailable
		errors.As(err, &a.Errno)
		return a
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) >= 4 && like(f) {
			a.Status = Success
		}
	}
	return a
}

// filesByName is byName of the source "files".
func filesByName(function, name string) (Answer, bool) {
	path := map[string]string{"getpwnam_r": passwdFile, "getgrnam_r": groupFile}[function]
	if path == "" {
		return Answer{}, false
	}
	return inFile(path, func(f []string) bool { return f[0] == name && name != "" }), true
}

// filesByID is byID of the source "files".
func filesByID(uid uint32) Answer {
	return inFile(passwdFile, func(f []string) bool { return f[2] == strconv.FormatUint(uint64(uid), 10) })
}

// filesGroupsOf is groupsOf of the source "files".
func filesGroupsOf(user string) ([]uint32, Answer) {
	var gids []uint32
	bad := false
	a := inFile(groupFile, func(f []string) bool {
		if !slices.Contains(strings.Split(f[3], ","), user) || user == "" {
			return false
		}
		gid, err := strconv.ParseUint(f[2], 10, 32)
		bad = bad || err != nil
		gids = append(gids, uint32(gid))
		return true
	})
	if bad {
		a.Status, a.Errno = Unavailable, syscall.EINVAL
	}
	return gids, a
}
