package selinuxfs

import (
	"strings"
	"testing"
)

// What is not certainly denied is tried, and what is not certainly permitted is left to
// another worker.
func TestDecision(t *testing.T) {
	const sysPtrace = "20" // bit 19
	const yes, no, unknown = "permitted", "denied", "unknown"
	told := func(answer, number string) string {
		switch permitted, err := decision(answer, number); {
		case err != nil:
			if surely(permitted, err) {
				return "surely"
			}
			return unknown
		case surely(permitted, err):
			return yes
		}
		return no
	}
	for answer, want := range map[string]string{
		"80000 ffffffff 0 ffffffff 7 0":    yes,
		"7ff7ffff ffffffff 0 ffffffff 7 0": no,
		"0 ffffffff 0 ffffffff 7 0":        no,
		"0 ffffffff 0 ffffffff 7 1":        yes, // a permissive domain
		"ffffffff ffffffff 0 ffffffff 7 0": yes,
		"0 ffffffff 0 ffffffff 7":          unknown,
		"":                                 unknown,
		"x ffffffff 0 ffffffff 7 0":        unknown,
		"x ffffffff 0 ffffffff 7 1":        unknown,
		"ffffffff ffffffff 0 ffffffff 7 x": unknown,
	} {
		if got := told(answer, sysPtrace); got != want {
			t.Errorf("%q: %s, want %s", answer, got, want)
		}
	}
	for _, number := range []string{"", "0", "33", "-1", "x"} {
		if got := told("ffffffff ffffffff 0 ffffffff 7 0", number); got != unknown {
			t.Errorf("permission %q is none: %s", number, got)
		}
	}
}

func TestInDomain(t *testing.T) {
	for context, want := range map[string]string{
		"system_u:system_r:init_t:s0-s15:c0.c1023": "system_u:system_r:sshd_t:s0-s15:c0.c1023",
		"system_u:system_r:init_t":                 "system_u:system_r:sshd_t",
		"kernel":                                   "sshd_t",
	} {
		if got := inDomain(context, "sshd_t"); got != want {
			t.Errorf("%q: %q, want %q", context, got, want)
		}
	}
}

// Of several domains, in one of which the program runs, one that is not denied is enough.
func TestDenied(t *testing.T) {
	for asked, want := range map[string]string{
		"": "", "denied": "denied", "permitted": "", "unknown": "", "unknown denied": "denied", "denied unknown": "denied",
		"denied permitted": "", "permitted denied": "", "denied denied2": "denied",
	} {
		got := denied(strings.Fields(asked), func(domain string) (bool, bool) {
			return strings.HasPrefix(domain, "denied"), domain != "unknown"
		})
		if got != want {
			t.Errorf("%q: %q, want %q", asked, got, want)
		}
	}
}
