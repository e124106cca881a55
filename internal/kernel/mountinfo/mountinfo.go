// Package mountinfo asks the kernel which mounts there are: by mountinfo
// (proc_pid_mountinfo(5)), and by statmount(2) and listmount(2), which cost nothing
// for the mounts that are not asked about. No filesystem is asked anything.
package mountinfo

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/procfs"
)

// Line is one line of mountinfo (proc_pid_mountinfo(5)).
type Line struct {
	ID          uint64 // is used again
	Dev         uint64
	Root, Point string
	Flags       string // with commas
	FSType      string
	Options     string // of the filesystem, with commas
	// Peers is the group of mounts among which what is mounted on this one spreads,
	// Master the one from which it comes; 0: none (mount_namespaces(7))
	Peers, Master uint64
	// Long: the line is longer than is read, and nothing but ID and Dev is known
	Long bool
}

// ErrTooMany says that there is more than may be looked at.
var ErrTooMany = errors.New("there are too many mounts")

const (
	lineMax  = 64 << 10 // of a line: what we make has two paths of 4096 at most, each byte of which can take four
	linesMax = 64 << 20 // of a whole mountinfo
)

// Each calls f with the mounts that a task sees, until f says that it is
// enough. It takes no more memory than for one line, and reads no further than
// linesMax: an error of ErrTooMany says so. Its cost grows with the machine's
// mounts.
func Each(pid, tid int, f func(Line) (more bool)) error {
	dir, name := procfs.At("%d/task/%d/mountinfo", pid, tid)
	return EachAt(dir, name, f)
}

// EachOwn does so with the mounts that this process sees.
func EachOwn(f func(Line) (more bool)) error {
	return EachAt(unix.AT_FDCWD, "/proc/self/mountinfo", f)
}

// EachAt does so with the file at a path below a directory's descriptor.
func EachAt(dir int, path string, f func(Line) (more bool)) error {
	fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	err = eachLine(func(buf []byte) (int, error) { return unix.Read(fd, buf) }, f)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

func eachLine(read func([]byte) (int, error), f func(Line) bool) error {
	buf := make([]byte, lineMax)
	have, total := 0, 0
	skip := false // the rest of a line that was too long
	for {
		n, err := read(buf[have:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if total += n; total > linesMax {
			return ErrTooMany
		}
		have += n
		rest := buf[:have]
		for {
			line, after, whole := bytes.Cut(rest, []byte("\n"))
			if !whole && n > 0 {
				break
			}
			if !skip && len(line) > 0 {
				if m, ok := Parse(string(line)); ok && !f(m) {
					return nil
				}
			}
			skip, rest = false, after
			if !whole {
				return nil // the end
			}
		}
		if len(rest) == len(buf) { // no line ends in all that was read
			if !skip {
				if m, ok := Parse(string(rest[:256])); ok && !f(Line{ID: m.ID, Dev: m.Dev, Long: true}) {
					return nil
				}
			}
			skip, rest = true, nil
		}
		have = copy(buf, rest)
	}
}

// Parse reads a line; false if it is none.
func Parse(line string) (Line, bool) {
	before, after, _ := strings.Cut(line, " - ")
	fields := strings.SplitN(before, " ", 7)
	if len(fields) < 4 {
		return Line{}, false
	}
	id, err := strconv.ParseUint(fields[0], 10, 64)
	if err != nil {
		return Line{}, false
	}
	major, minor, _ := strings.Cut(fields[2], ":")
	x, err1 := strconv.ParseUint(major, 10, 32)
	y, err2 := strconv.ParseUint(minor, 10, 32)
	if err1 != nil || err2 != nil {
		return Line{}, false
	}
	m := Line{ID: id, Dev: unix.Mkdev(uint32(x), uint32(y)), Root: unescape(fields[3])}
	if len(fields) > 5 {
		m.Point, m.Flags = unescape(fields[4]), fields[5]
		if len(fields) > 6 {
			m.Peers, m.Master = group(fields[6], "shared:"), group(fields[6], "master:")
		}
		// A field ends at a space and nowhere else: of what a user has chosen, the
		// kernel escapes spaces, and not all that Unicode calls white space.
		rest := strings.Split(after, " ")
		m.FSType = rest[0]
		if len(rest) == 3 {
			m.Options = rest[2]
		}
	}
	return m, true
}

// FSOptions are the words of Options; of those the kernel escapes a comma.
func (m Line) FSOptions() []string {
	words := strings.Split(m.Options, ",")
	for i := range words {
		words[i] = unescape(words[i])
	}
	return words
}

// group is the number of a peer group in the optional fields of a line.
func group(fields, tag string) uint64 {
	for field := range strings.SplitSeq(fields, " ") {
		if text, ok := strings.CutPrefix(field, tag); ok {
			n, _ := strconv.ParseUint(text, 10, 64) // what is no number is none
			return n
		}
	}
	return 0
}

// Own is the line about a mount of this process's own namespace, by the id that
// is used again. It is not found where the root directory does not show the mount.
func Own(id uint64) (line Line, found bool, err error) {
	err = EachOwn(func(m Line) bool {
		if m.ID == id {
			line, found = m, true
		}
		return !found
	})
	return line, found, err
}

// unescape undoes the octal escapes (\040 for a space) of a mountinfo field.
func unescape(field string) string {
	if !strings.Contains(field, `\`) {
		return field
	}
	var b strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+3 < len(field) {
			if n, err := strconv.ParseUint(field[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(field[i])
	}
	return b.String()
}
