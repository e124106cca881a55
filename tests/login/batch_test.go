package login

import (
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

func TestCron(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"cron"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		kit.InInstance(h, "cron", "alice", h.CronJob(alice, kit.WhichTmp))
	})
}

func TestAt(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"atd"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		kit.InInstance(h, "at", "alice", h.AtJob(alice, kit.WhichTmp))
	})
}
