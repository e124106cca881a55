package observe

import (
	"fmt"
	"strconv"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/nss"
)

// shown looks at what a method shows that makes no instance.
func shown(scene *Scene, rule plan.Rule) *plan.Refusal {
	f := &scene.Facts
	f.File = scene.Polydir.Dir.IsOpen() && !scene.Polydir.Stat.IsDir()
	switch rule.Config.Method {
	case config.MethodProc:
		if name := rule.Config.Proc.Group; name != "" {
			gid, err := groupID(name)
			if err != nil {
				r := &plan.Refusal{Fault: plan.FaultHost, Polydir: rule.Path, Reason: fmt.Sprintf("proc: gid: %v", err), Key: "proc"}
				if nss.IsUnknown(err) {
					r.Fault, r.Reason = plan.FaultConfig, fmt.Sprintf("proc: gid: there is no group %q", name)
				}
				return r
			}
			f.ProcGroup = gid
		}
	case config.MethodBind:
		// in the host's view, as an instance parent; what a user mounted is
		// nothing to show under another name
		var err error
		scene.Source, err = dirfd.WalkAny(dirfd.NoUID, rule.Source, nil)
		f.Source = scene.facts(rule.Source, scene.Source, err)
		f.SourceFile = scene.Source.Dir.IsOpen() && !scene.Source.Stat.IsDir()
	}
	return nil
}

func groupID(name string) (uint32, error) {
	g, err := nss.Group(name)
	if err != nil {
		return 0, err
	}
	gid, err := strconv.ParseUint(g.Gid, 10, 32)
	return uint32(gid), err
}
