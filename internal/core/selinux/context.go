package selinux

import (
	"fmt"
	"strings"
)

// Context is the parts of a context. Range is empty where the policy knows no
// levels.
type Context struct{ User, Role, Type, Range string }

// Parse takes a raw context apart.
func Parse(raw string) (Context, error) {
	p := strings.SplitN(raw, ":", 4)
	if len(p) < 3 || p[0] == "" || p[1] == "" || p[2] == "" {
		return Context{}, fmt.Errorf("%q is no security context", raw)
	}
	c := Context{User: p[0], Role: p[1], Type: p[2]}
	if len(p) == 4 {
		c.Range = p[3]
	}
	return c, nil
}

func (c Context) String() string {
	s := c.User + ":" + c.Role + ":" + c.Type
	if c.Range != "" {
		s += ":" + c.Range
	}
	return s
}

// WithRange is the same context with another range.
func (c Context) WithRange(r string) Context {
	c.Range = r
	return c
}

// Doubled is the way in which a range of one level may be written in files and
// in names that older software made: "s0-s0" for "s0". A range of two levels is
// returned as it is.
func Doubled(r string) string {
	if r == "" || strings.Contains(r, "-") {
		return r
	}
	return r + "-" + r
}

// InName is the context with which an instance's name begins, as in
// "system_u:object_r:tmp_t:s2_alice"; empty where it begins with none that has
// a range.
func InName(name string) string {
	p := strings.SplitN(name, ":", 4)
	if len(p) < 4 {
		return ""
	}
	p[3], _, _ = strings.Cut(p[3], "_") // no level has one
	return strings.Join(p, ":")
}
