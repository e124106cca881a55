package layout

import (
	"crypto/sha256"
	"encoding/binary"
)

// The projects of instances are numbers from ProjectMin to ProjectMax: above
// what administrators choose by hand, and below systemd's.
const (
	ProjectMin uint32 = 1 << 30
	ProjectMax uint32 = 1<<31 - 1
)

// IsProject reports whether a project may be an instance's.
func IsProject(id uint32) bool { return ProjectMin <= id && id <= ProjectMax }

// ProjectID is the project that an instance should have, by its path. If that is
// taken, a greater try gives another one.
func ProjectID(path string, try uint32) uint32 {
	sum := sha256.Sum256([]byte(path))
	return ProjectMin + (binary.BigEndian.Uint32(sum[:])+try)%(ProjectMax-ProjectMin+1)
}
