package selinux

import (
	"strings"
	"testing"
)

// What is parsed prints as it was, except an empty range; a name is not taken
// for a context that it does not begin with.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"system_u:object_r:tmp_t:s2-s4:c1,c3", "u:r:t", "u:r:t:", "::", "system_u:object_r:tmp_t:s2_alice", "alice"} {
		f.Add(s, "s0")
	}
	f.Fuzz(func(t *testing.T, raw, level string) {
		c, err := Parse(raw)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r\x00\x1b") {
				t.Errorf("not on one line: %q", err)
			}
			return
		}
		if s := c.String(); s != strings.TrimSuffix(raw, ":") && s != raw {
			t.Errorf("%q prints as %q", raw, s)
		}
		if got := c.WithRange(level); got.Range != level || got.User != c.User || got.Role != c.Role || got.Type != c.Type {
			t.Errorf("%q with range %q: %q", raw, level, got)
		}
		if d := Doubled(c.Range); d != c.Range && d != c.Range+"-"+c.Range {
			t.Errorf("%q doubled: %q", c.Range, d)
		}
		if in := InName(raw); in != "" && !strings.HasPrefix(raw, in) {
			t.Errorf("%q begins with %q?", raw, in)
		}
	})
}
