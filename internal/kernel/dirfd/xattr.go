package dirfd

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Xattr is an extended attribute of a directory, without a NUL at its end;
// empty where it has none (xattr(7)). It does not open the directory, which may
// not be permitted where looking at it is: /proc/self/fd names the handle.
func (d Dir) Xattr(name string) (string, error) {
	buf := make([]byte, 4096)
	n, err := unix.Getxattr(fmt.Sprintf("/proc/self/fd/%d", d.FD()), name, buf)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
		return "", nil
	}
	if err != nil {
		return "", pathError("getxattr "+name, d.path, err)
	}
	return strings.TrimRight(string(buf[:n]), "\x00"), nil
}

// SetXattr sets an extended attribute of a directory to these bytes.
func (d Dir) SetXattr(name, value string) error {
	fd, err := d.reopen()
	if err != nil {
		return pathError("open", d.path, err)
	}
	defer unix.Close(fd)
	return pathError("setxattr "+name, d.path, unix.Fsetxattr(fd, name, []byte(value), 0))
}
