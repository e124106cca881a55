package main

import (
	"fmt"
	"os"
	"path"
	"strings"

	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/kernel/dirfd"
)

// fstab lists what is to be mounted, and where (fstab(5)).
const fstab = "/etc/fstab"

// mountToCome is a line of fstab whose filesystem is not mounted. What is made
// below its mount point disappears when it is.
type mountToCome struct {
	point string
	line  int
}

func (m mountToCome) String() string {
	return fmt.Sprintf("lies in %q, which %s:%d mounts, and nothing is mounted there: `mount %s`", m.point, fstab, m.line, shellword.Quote(m.point))
}

// toBeMounted finds the outermost such filesystem on the way to a path.
func toBeMounted(name string) (found mountToCome, ok bool) {
	raw, _ := os.ReadFile(fstab)
	n := 0
	for line := range strings.Lines(string(raw)) {
		n++
		point := mountPoint(line)
		if point == "" || !strings.HasPrefix(path.Clean(name)+"/", point+"/") || isMounted(point) {
			continue
		}
		if !ok || len(point) < len(found.point) {
			found, ok = mountToCome{point, n}, true
		}
	}
	return found, ok
}

// mountPoint is the directory that a line of fstab names; empty: none, or the root.
func mountPoint(line string) string {
	fields := strings.Fields(line)
	if len(fields) < 3 || strings.HasPrefix(fields[0], "#") {
		return ""
	}
	point := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[1])
	if point = path.Clean(point); !strings.HasPrefix(point, "/") || point == "/" {
		return "" // swap has none
	}
	return point
}

// isMounted reports whether a directory is a mount point, or may be.
func isMounted(point string) bool {
	way, err := dirfd.Walk(point, nil)
	if err != nil {
		return !dirfd.IsNotExist(err)
	}
	defer way.Close()
	if way.Missing {
		return false
	}
	above, err := way.Parent.Stat()
	return err != nil || above.MountID != way.Stat.MountID
}
