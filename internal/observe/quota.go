package observe

import (
	"pam_polyinst/internal/config"
	"pam_polyinst/internal/polyinst"
	"pam_polyinst/internal/projquota"
)

// quota asks whether the filesystem of the instance parent limits projects,
// where the rule wants a limit.
func quota(scene *Scene, rule polyinst.Rule) {
	if rule.Config.Quota == (config.Quota{}) {
		return
	}
	dir := scene.Parent.Dir
	if scene.Parent.Missing {
		dir = scene.Parent.Parent
	}
	if !dir.IsOpen() {
		return // the parent's own refusal comes first
	}
	if err := projquota.Enforced(dir); err != nil {
		scene.Facts.QuotaProblem = err.Error()
	}
}
