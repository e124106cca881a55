package selinux

import "testing"

func TestParse(t *testing.T) {
	for raw, want := range map[string]Context{
		"a:b:c":                            {"a", "b", "c", ""},
		"system_u:object_r:tmp_t:s0":       {"system_u", "object_r", "tmp_t", "s0"},
		"u:r:t:s0-s15:c0.c1023":            {"u", "r", "t", "s0-s15:c0.c1023"},
		"staff_u:staff_r:staff_t:s2:c1,c3": {"staff_u", "staff_r", "staff_t", "s2:c1,c3"},
	} {
		got, err := Parse(raw)
		if err != nil || got != want || got.String() != raw {
			t.Errorf("%s: %v %v", raw, got, err)
		}
	}
	for _, raw := range []string{"", "unconfined", "a:b", "::", "a::c", "kernel"} {
		if c, err := Parse(raw); err == nil {
			t.Errorf("%q: %v", raw, c)
		}
	}
}

func TestDoubled(t *testing.T) {
	for r, want := range map[string]string{"s0": "s0-s0", "s0:c5": "s0:c5-s0:c5", "s0-s1": "s0-s1", "": ""} {
		if got := Doubled(r); got != want {
			t.Errorf("%s: %s", r, got)
		}
	}
}

func TestInName(t *testing.T) {
	for name, want := range map[string]string{
		"system_u:object_r:tmp_t:s2_alice":           "system_u:object_r:tmp_t:s2",
		"system_u:object_r:tmp_t:s2-s4:c1,c3_al_ice": "system_u:object_r:tmp_t:s2-s4:c1,c3",
		"system_u:object_r:tmp_t:s2":                 "system_u:object_r:tmp_t:s2",
		"alice":                                      "",
		"system_u:object_r:tmp_t_alice":              "",
	} {
		if got := InName(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
