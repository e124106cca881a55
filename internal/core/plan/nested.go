package plan

import "pam_polyinst/internal/core/config"

// Base is what a session inside a namespace of ours is built from.
type Base string

// The values of Base.
const (
	OwnView  Base = "session" // the view that the host process is in
	HostView Base = "host"    // the host's, out of the namespace
)

// Base decides what a session is built from that is opened in a namespace of
// ours.
func (s Selection) Base(nested config.Nested) Base {
	if nested == config.NestedKeep {
		return OwnView
	}
	if nested == config.NestedReplace && len(s.Rules) == 0 && !s.Exempt() {
		// a rule that does not apply because of its services is no exemption
		return OwnView
	}
	return HostView
}

// LeavesOnly reports whether a session whose base is the host's view gets that
// view itself, and nothing is built.
func (s Selection) LeavesOnly(nested config.Nested) bool {
	return len(s.Rules) == 0 || nested == config.NestedEscape
}
