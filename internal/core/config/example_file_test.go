package config

import (
	"regexp"
	"strings"
	"testing"
)

const exampleFile = "../../../namespace.conf.example"

var keyLine = regexp.MustCompile(`^#? *([a-z_]+) *=`)

func TestExampleFile(t *testing.T) {
	c, problems := Parse(source(t, exampleFile), nil)
	if problems != nil {
		t.Fatal(problems)
	}
	var paths []string
	for _, p := range c.Polydirs {
		paths = append(paths, string(p.Path)+" "+string(p.Method))
	}
	if got := strings.Join(paths, ", "); got != "/tmp user, /var/tmp user, /dev/shm tmpfs" {
		t.Errorf("active: %s", got)
	}
}

// The polydirs that stand there as comments are right, too.
func TestExampleFileComments(t *testing.T) {
	text := string(source(t, exampleFile).Data)
	var active []string
	inside := false
	for _, line := range strings.Split(text, "\n") {
		switch {
		case line == "# [[polydir]]":
			inside = true
			fallthrough
		case inside && keyLine.MatchString(line):
			line = strings.TrimPrefix(line, "# ")
		case line == "":
			inside = false
		}
		active = append(active, line)
	}
	c, problems := Parse(Source{"example", []byte(strings.Join(active, "\n"))}, nil)
	if problems != nil {
		t.Fatal(problems)
	}
	if len(c.Polydirs) != 12 {
		t.Errorf("%d polydirs", len(c.Polydirs))
	}
}

// The file mentions every key, and no other.
func TestExampleFileKeys(t *testing.T) {
	known := map[string]bool{}
	for _, k := range append(names(namespaceFields), names(polydirFields)...) {
		known[k] = true
	}
	mentioned := map[string]bool{}
	for _, line := range strings.Split(string(source(t, exampleFile).Data), "\n") {
		if m := keyLine.FindStringSubmatch(line); m != nil {
			mentioned[m[1]] = true
		}
	}
	for k := range mentioned {
		if !known[k] {
			t.Errorf("%q is no key", k)
		}
	}
	for k := range known {
		if !mentioned[k] {
			t.Errorf("%q is not mentioned", k)
		}
	}
}
