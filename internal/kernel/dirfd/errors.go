package dirfd

import (
	"errors"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// IsNotExist reports whether an error says that something is not there.
func IsNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// IsNotDirectory reports whether an error says that something else is there.
func IsNotDirectory(err error) bool {
	return errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// IsLimit reports whether an error comes from a limit of the process, which
// whoever started it has set: RLIMIT_NOFILE, RLIMIT_FSIZE (setrlimit(2)).
func IsLimit(err error) bool { return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.EFBIG) }

// IsFull reports whether an error says that a filesystem is full, or the part of
// it that somebody may have.
func IsFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// ErrScarce is an error of IsScarce that was foreseen.
var ErrScarce error = unix.ENOSPC

// IsScarce reports whether an error says that something has run out which all
// users share, so that each of them can use it up: space, memory, open files of
// the machine, namespaces.
func IsScarce(err error) bool {
	return slices.ContainsFunc([]unix.Errno{unix.ENOSPC, unix.EDQUOT, unix.ENOMEM, unix.ENOBUFS, unix.ENFILE, unix.EAGAIN,
		unix.EUSERS, unix.EMLINK, unix.ETIMEDOUT}, func(e unix.Errno) bool { return errors.Is(err, e) })
}

// IsDenied reports whether an error says that something is not permitted.
func IsDenied(err error) bool { return errors.Is(err, fs.ErrPermission) }

// IsBrokenPipe reports whether an error says that nobody reads any more.
func IsBrokenPipe(err error) bool { return errors.Is(err, unix.EPIPE) }

// IsUnsupported reports whether an error of Rename says that the filesystem cannot
// rename without replacing (rename(2): EINVAL).
func IsUnsupported(err error) bool { return errors.Is(err, unix.EINVAL) }

// IsExist reports whether an error says that something is there already.
func IsExist(err error) bool { return errors.Is(err, fs.ErrExist) }

// NotExist is the error that says that a path does not exist.
func NotExist(path string) error { return pathError("open", path, unix.ENOENT) }

// IsOtherMount reports whether an error of LookupHere says that something is
// mounted there.
func IsOtherMount(err error) bool { return errors.Is(err, unix.EXDEV) }
