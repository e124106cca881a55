package promise

import (
	"testing"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
)

// Where it is not known which polydirs are the user's, each of the configuration
// may be: rescue is then no way around a level (I-15).
func TestByContext(t *testing.T) {
	parse := func(method string) *config.Config {
		text := "[[polydir]]\npath = \"/tmp\"\nmethod = \"" + method + "\"\ninstance_prefix = \"/i/tmp/\"\n"
		c, problems := config.Parse(config.Source{Name: "namespace.conf", Data: []byte(text)}, nil)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return c
	}
	user, level := parse("user"), parse("level")
	rule := plan.Selection{Rules: []plan.Rule{{Config: &level.Polydirs[0]}}}
	for _, c := range []struct {
		name    string
		promise Promise
		want    bool
	}{
		{"nothing known", Promise{}, false},
		{"not selected, by user", Promise{Config: user}, false},
		{"not selected, by level", Promise{Config: level}, true},
		{"by level, which does not apply", Promise{Config: level, Selected: true}, false},
		{"by level, which applies", Promise{Config: level, Selected: true, Selection: rule}, true},
	} {
		if got := c.promise.byContext(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
