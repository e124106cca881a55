package session

import (
	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/auditmsg"
	"pam_polyinst/internal/auditnl"
	"pam_polyinst/internal/mntns"
	"pam_polyinst/internal/polyinst"
	"pam_polyinst/internal/record"
)

// The audit trail is written when the host has its answer, and cannot change it:
// where there is no audit log, or this host may not write to it, there is no
// record. The line in the system log is there in any case.

// auditOpened records which instances the session got.
func (c *call) auditOpened(staged []*apply.Staged, id mntns.ID) {
	m := auditmsg.Message{Operation: auditmsg.Open, Namespace: uint64(id), Success: true}
	for _, s := range staged {
		if s.Step.Source == polyinst.NewMqueue {
			continue
		}
		m.Polydirs = append(m.Polydirs, auditmsg.Polydir{Path: s.Step.Path, Instance: instanceOf(s)})
	}
	c.audit(m)
}

// auditJoined is auditOpened for a namespace that other sessions of the user made.
func (c *call) auditJoined(rec record.Record) {
	m := auditmsg.Message{Operation: auditmsg.Open, Namespace: uint64(rec.NS), Success: true}
	for _, p := range rec.Polydirs {
		m.Polydirs = append(m.Polydirs, auditmsg.Polydir{Path: p.Path, Instance: p.Instance()})
	}
	c.audit(m)
}

// auditRefused records a refusal, or that the user was rescued from it.
func (c *call) auditRefused(r *polyinst.Refusal, op auditmsg.Operation) {
	m := auditmsg.Message{Operation: op, Reason: faultWord(r.Fault), Success: op == auditmsg.Rescue}
	if r.Polydir != "" {
		m.Polydirs = []auditmsg.Polydir{{Path: r.Polydir}}
	}
	c.audit(m)
}

// faultWord says in a word what is at fault; the system log has the sentence.
func faultWord(f polyinst.Fault) string {
	switch f {
	case polyinst.FaultConfig:
		return "config"
	case polyinst.FaultHost:
		return "host"
	}
	return "user"
}

func (c *call) audit(m auditmsg.Message) {
	m.Account, m.Service, m.TTY, m.RHost = c.req.User, c.req.Service, c.req.TTY, c.req.RHost
	m.HostPID, m.Exe = c.req.HostPID, auditnl.HostExe()
	// nobody listens any more to whom a failure could be told
	_ = auditnl.Send(m.String())
}
