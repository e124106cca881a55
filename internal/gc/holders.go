package gc

import (
	"strings"

	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/mountinfo"
	"pam_polyinst/internal/sessions/live"
)

// Holders are, for instances that are in use, by their names, a process in whose
// namespace each is shown. That need not be a namespace of ours: a container
// that was started in a session keeps its instance although the session has
// ended.
func Holders(all []Instance) (map[string]int, error) {
	holders, seen := map[string]int{}, map[mntns.ID]bool{}
	names := map[mntns.Location]string{}
	for _, i := range all {
		if i.State == InUse {
			holders[i.Name], names[i.location] = 0, i.Name
		}
	}
	if len(holders) == 0 {
		return holders, nil
	}
	_, err := live.All(func(t live.Task) (bool, error) {
		if seen[t.NS] {
			return true, nil
		}
		err := mountinfo.Each(t.PID, t.TID, func(m mountinfo.Line) bool {
			for p := (mntns.Location{Dev: m.Dev, Path: m.Root}); ; {
				if name, ok := names[p]; ok && holders[name] == 0 {
					holders[name] = t.PID
				}
				up := strings.LastIndexByte(p.Path, '/')
				if up <= 0 {
					return true
				}
				p.Path = p.Path[:up]
			}
		})
		seen[t.NS] = err == nil // else the next task of the namespace will do
		return true, nil
	})
	return holders, err
}
