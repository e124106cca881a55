package nss

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// What sssd.service(8) wants before it starts the daemon: one of them.
const (
	sssConf   = "/etc/sssd/sssd.conf"
	sssConfig = "/etc/sssd/conf.d"
)

// sssIdle reports whether sssd has no configuration, so that it serves nobody and
// is not started. Some distributions name the source "sss" in each nsswitch.conf
// and install its module; there it can never be asked.
func sssIdle() bool { return missing(sssConf) && empty(sssConfig) }

// missing reports whether it is sure that there is no such file.
func missing(path string) bool {
	var st unix.Stat_t
	return errors.Is(unix.Lstat(path, &st), fs.ErrNotExist)
}

// empty reports whether it is sure that a directory has no entry, or is not there.
func empty(path string) bool {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer unix.Close(fd)
	buf := make([]byte, 4<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil {
			return false
		}
		if n <= 0 {
			return true
		}
		if _, count, _ := unix.ParseDirent(buf[:n], -1, nil); count > 0 {
			return false
		}
	}
}
