package session

import (
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/audit"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/sessions/record"
)

// The audit record is written after the host has its answer, and cannot change it. If
// there is no audit log, or this host may not write to it, there is no record; the
// line in the system log is there in any case.

// auditOpened records which instances the session got.
func (c *call) auditOpened(id mntns.ID, polydirs []record.Polydir) {
	m := audit.Message{Operation: audit.Open, Namespace: uint64(id), Success: true}
	for _, p := range polydirs {
		m.Polydirs = append(m.Polydirs, audit.Polydir{Path: p.Path, Instance: p.Instance()})
	}
	c.audit(m)
}

// auditRefused records a refusal, or that the user was rescued from it.
func (c *call) auditRefused(r *plan.Refusal, op audit.Operation) {
	m := audit.Message{Operation: op, Reason: faultWord(r.Fault), Success: op == audit.Rescue}
	if r.Polydir != "" {
		m.Polydirs = []audit.Polydir{{Path: r.Polydir}}
	}
	c.audit(m)
}

// faultWord says in a word what is at fault; the system log has the sentence.
func faultWord(f plan.Fault) string {
	switch f {
	case plan.FaultConfig:
		return "config"
	case plan.FaultHost, plan.FaultAnyone:
		return "host"
	}
	return "user"
}

func (c *call) audit(m audit.Message) {
	m.Account, m.Service, m.TTY, m.RHost = c.req.User, c.req.Service, c.req.TTY, c.req.RHost
	m.HostPID, m.Exe, m.Login = c.req.HostPID, c.of.Exe(), c.of.Login()
	text := m.String()
	// nobody listens any more to whom a failure could be told
	c.host.Later(func() { _ = audit.Send(text) })
}
