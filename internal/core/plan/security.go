package plan

import (
	"encoding/hex"
	"fmt"
	"strings"

	"pam_polyinst/internal/core/config"
)

// Module is the security module that gives sessions a context.
type Module string

// The values of Module. Where several are active the first of these counts.
const (
	NoModule Module = ""
	SELinux  Module = "SELinux"
	Smack    Module = "Smack"
	AppArmor Module = "AppArmor"
)

// Security says what the machine's security module gives a session.
type Security struct {
	Module    Module
	Enforcing bool   // denials are carried out
	Session   string // what the session will have: a context of SELinux, a label of Smack, a profile of AppArmor; empty: none
	Problem   string // why it cannot be told, or may not be used
}

// Labels reports whether the module gives files labels; AppArmor does not.
func (s Security) Labels() bool { return s.Module == SELinux || s.Module == Smack }

// wantsContext reports whether the rule's method names instances after contexts.
func wantsContext(rule Rule) bool {
	return rule.Config.ByContext()
}

// ByContext reports whether the rule's instances are named after a security
// context. Where there is none for its method, without_context = "user" makes
// them a user's like any other.
func ByContext(rule Rule, m Machine) bool {
	switch {
	case !wantsContext(rule) || m.Security.Module == NoModule:
		return false
	case m.Security.Module == SELinux:
		return true
	case rule.Config.Method == config.MethodLevel:
		return false // nobody else has levels
	}
	return m.Security.Session != "" || m.Security.Problem != ""
}

// context judges what the security module says of the instance. A rule that
// wants a context never falls back to less in silence.
func context(rule Rule, f Facts, m Machine) *Refusal {
	byContext := ByContext(rule, m)
	switch {
	case wantsContext(rule) && !byContext && rule.Config.WithoutContext != config.WithoutContextUser:
		return withoutContext(rule, m.Security.Module)
	case byContext && m.Security.Problem != "":
		return refuse(FaultHost, rule.Path, "method %q: %s", rule.Config.Method, m.Security.Problem).blame("method")
	case m.Security.Labels() && f.LabelProblem != "":
		return refuse(FaultHost, rule.Path, "%s", f.LabelProblem)
	}
	return nil
}

// withoutContext says why a session has nothing that the method could go by.
func withoutContext(rule Rule, module Module) *Refusal {
	method := rule.Config.Method
	switch {
	case module == NoModule:
		return refuse(FaultHost, rule.Path, "method %q, but no security module gives a context here: turn SELinux on, or say without_context = \"user\"", method).blame("method")
	case method == config.MethodLevel:
		return refuse(FaultHost, rule.Path, "method %q, but only SELinux has levels, and %s is active here: use method \"context\", or say without_context = \"user\"", method, module).blame("method")
	}
	return refuse(FaultHost, rule.Path, "method %q, but no AppArmor profile confines this session: confine the program that opens it, or say without_context = \"user\"", method).blame("method")
}

// contextName is how a label or profile begins an instance's name:
// "smack:Secret", "apparmor:%2Fusr%2Fsbin%2Fsshd". It tells every two of them
// apart, also from each user's name (no account has ":" in its own) and, since
// the context has no "_", from what stands behind it. An SELinux context is its
// own name.
func contextName(s Security) string {
	var b strings.Builder
	b.WriteString(strings.ToLower(string(s.Module)))
	b.WriteByte(':')
	for _, c := range []byte(s.Session) {
		if plainInName(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// plainInName are the bytes of a context that stand in a name as they are; any
// other is "%" and two hexadecimal digits.
func plainInName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-'
}

// SmackLabelInName is the label with which an instance's name begins, without
// the prefix of its rule. cut says that the name was shortened, so that it
// cannot be told.
func SmackLabelInName(name string) (label string, cut bool) {
	rest, ok := strings.CutPrefix(name, strings.ToLower(string(Smack))+":")
	if !ok {
		return "", false
	}
	encoded, _, _ := strings.Cut(rest, "_")
	parts := strings.Split(encoded, "%")
	var b strings.Builder
	b.WriteString(parts[0])
	for _, part := range parts[1:] {
		c, err := hex.DecodeString(part[:min(len(part), 2)])
		if err != nil || len(c) != 1 {
			return "", true
		}
		b.Write(c)
		b.WriteString(part[2:])
	}
	return b.String(), len(name) == nameMax
}
