package plan

import (
	"pam_polyinst/internal/core/config"
)

// quota judges whether the instance can be limited where it lies.
func quota(step *Step, rule Rule, f Facts) *Refusal {
	q := rule.Config.Quota
	if q == (config.Quota{}) {
		return nil
	}
	if f.QuotaProblem != "" {
		return refuse(FaultHost, rule.Path, "quota: instance parent %q: %s", rule.Parent, f.QuotaProblem).blame("quota")
	}
	step.Quota = q
	return nil
}
