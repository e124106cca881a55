package selinuxfs

import "testing"

// What is not certainly denied is tried.
func TestDenied(t *testing.T) {
	const sysPtrace = "20" // bit 19
	for answer, want := range map[string]bool{
		"80000 ffffffff 0 ffffffff 7 0":    false,
		"7ff7ffff ffffffff 0 ffffffff 7 0": true,
		"0 ffffffff 0 ffffffff 7 0":        true,
		"0 ffffffff 0 ffffffff 7 1":        false, // a permissive domain
		"ffffffff ffffffff 0 ffffffff 7 0": false,
		"0 ffffffff 0 ffffffff 7":          false,
		"":                                 false,
		"x ffffffff 0 ffffffff 7 0":        false,
	} {
		if got := denied(answer, sysPtrace); got != want {
			t.Errorf("%q: %v", answer, got)
		}
	}
	for _, number := range []string{"", "0", "33", "-1", "x"} {
		if denied("0 ffffffff 0 ffffffff 7 0", number) {
			t.Errorf("permission %q is none", number)
		}
	}
}
