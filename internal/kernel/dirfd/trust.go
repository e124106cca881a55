package dirfd

import (
	"fmt"
	"io/fs"

	"pam_polyinst/internal/core/shellword"
)

// Trusted is an error unless what stands at the end of a walk, and the way to it,
// is root's alone to change; it says what is not.
func Trusted(way Way, st Stat) error {
	if way.Exposure.Exposed() {
		dir, reason := way.Exposure.Where()
		return untrusted(way.Dir.path, "%s is %s: only root may write there", dir, reason)
	}
	return TrustedFile(way.Dir.path, st)
}

// TrustedFile is an error unless a file or directory is root's alone to change.
func TrustedFile(path string, st Stat) error {
	switch {
	case !st.IsRegular() && !st.IsDir(): // nobody is told to close /dev/null
		return untrusted(path, "is a %s, not a regular file", st.TypeName())
	case st.UID != 0:
		return untrusted(path, "owned by uid %d, want root: chown root %s", st.UID, shellword.Quote(path))
	case st.Mode&0o022 != 0:
		return untrusted(path, "mode %04o: group or others can write it: chmod go-w %s", st.Mode, shellword.Quote(path))
	}
	return nil
}

// untrusted is why a path is not to be trusted. No word for what was tried stands
// before the path, as in the errors of system calls: the reason says all.
func untrusted(path, format string, args ...any) error {
	return distrust{fs.PathError{Op: "trust", Path: path, Err: fmt.Errorf(format, args...)}}
}

type distrust struct{ found fs.PathError }

func (d distrust) Error() string { return d.found.Path + ": " + d.found.Err.Error() }

func (d distrust) Unwrap() error { return &d.found }
