package polyinst

import (
	"crypto/sha256"
	"encoding/binary"

	"pam_polyinst/internal/config"
)

// The projects of instances are numbers from ProjectMin to ProjectMax: above
// what administrators choose by hand, and below systemd's.
const (
	ProjectMin uint32 = 1 << 30
	ProjectMax uint32 = 1<<31 - 1
)

// IsProject tells whether a project may be an instance's.
func IsProject(id uint32) bool { return ProjectMin <= id && id <= ProjectMax }

// ProjectID is the project that an instance should have, by its path; with a
// greater try another one, for where that is taken.
func ProjectID(path string, try uint32) uint32 {
	sum := sha256.Sum256([]byte(path))
	return ProjectMin + (binary.BigEndian.Uint32(sum[:])+try)%(ProjectMax-ProjectMin+1)
}

// quota judges whether the instance can be limited where it lies.
func quota(step *Step, rule Rule, f Facts) *Refusal {
	q := rule.Config.Quota
	if q == (config.Quota{}) {
		return nil
	}
	if f.QuotaProblem != "" {
		return refuse(FaultHost, rule.Path, "quota: instance parent %q: %s", rule.Parent, f.QuotaProblem)
	}
	step.Quota = q
	return nil
}
