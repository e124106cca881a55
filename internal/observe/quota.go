package observe

import (
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/projquota"
)

// quota asks whether the filesystem of the instance parent limits projects,
// where the rule wants a limit.
func quota(scene *Scene, rule plan.Rule) {
	if rule.Config.Quota == (config.Quota{}) {
		return
	}
	dir := parentDir(scene)
	if !dir.IsOpen() {
		return // the parent's own refusal comes first
	}
	if err := projquota.Enforced(dir); err != nil {
		scene.note(err)
		scene.Facts.QuotaProblem = err.Error()
	}
}
