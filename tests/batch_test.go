package tests

import (
	"testing"

	"pam_polyinst/tests/host"
)

func TestCron(t *testing.T) {
	story(t, ownTmp, []string{"cron"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		inInstance(h, "cron", "alice", h.CronJob(alice, place))
	})
}

func TestAt(t *testing.T) {
	story(t, ownTmp, []string{"atd"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		inInstance(h, "at", "alice", h.AtJob(alice, place))
	})
}
