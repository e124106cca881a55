package config

import (
	"fmt"
	"strings"
	"testing"
)

// The [namespace] table of a broken file counts where it has no problem by
// itself, and where nothing that follows could be about it.
func TestRescueOfABrokenFile(t *testing.T) {
	const wheel = "[namespace]\nrescue = [\"root\", \"@wheel\"]\n"
	const tmp = "[[polydir]]\npath = \"/tmp\"\nmethod = \"tmpfs\"\n"
	for _, c := range []struct{ name, text, want string }{
		{"whole", wheel + tmp, "root,@wheel"},
		{"unknown key in a polydir", wheel + tmp + "colour = 1\n", "root,@wheel"},
		{"unknown key in a polydir before it", tmp + "colour = 1\n" + wheel, "root,@wheel"},
		{"unknown table", wheel + "[polydri]\n", "root,@wheel"},
		{"a polydir with single brackets", wheel + "[polydir]\npath = \"/tmp\"\n", "root,@wheel"},
		{"no polydir", wheel, "root,@wheel"},
		{"no rescue key", "[namespace]\nscope = \"user\"\n" + tmp + "colour = 1\n", "root"},
		{"nobody", "[namespace]\nrescue = []\n" + tmp + "colour = 1\n", ""},
		{"inline", "namespace = { rescue = [\"@wheel\"] }\n" + tmp + "colour = 1\n", "@wheel"},
		{"dotted", "namespace.rescue = [\"@wheel\"]\n" + tmp + "colour = 1\n", "@wheel"},

		// no TOML: what stands before the table with the mistake
		{"no value", wheel + tmp + "skel =\n", "root,@wheel"},
		{"a value without quotes", wheel + tmp + "only = [@students]\n" + tmp, "root,@wheel"},
		{"quotes that do not end", wheel + tmp + "only = [\"a]\n" + tmp, "root,@wheel"},
		{"a broken header", wheel + "[[polydir\npath = \"/tmp\"\n", "root,@wheel"},
		{"a list that does not end", wheel + tmp + "only = [\"a\",\n\n" + tmp + tmp, "root,@wheel"},
		{"a string that does not end", wheel + tmp + "init = \"\"\"x\n\n" + tmp + tmp, "root,@wheel"},
		{"not UTF-8", wheel + tmp + "# caf\xe9\n", "root,@wheel"},
		{"a key twice", wheel + tmp + "path = \"/x\"\n", "root,@wheel"},
		{"with a mark at its beginning", bom + wheel + tmp + "skel =\n", "root,@wheel"},

		// nothing to go by
		{"empty", "", "none"},
		{"no such table", tmp + "colour = 1\n", "none"},
		{"a mistyped header", "[namspace]\nrescue = [\"@wheel\"]\n" + tmp, "none"},
		{"unknown key in it", wheel + "colour = 1\n" + tmp, "none"},
		{"unknown entry in it", "[namespace]\nrescue = [\"@wheel\", \"a b\"]\n" + tmp, "none"},
		{"no TOML in it", "[namespace]\nrescue = [\"root\", \"@wheel]\n" + tmp, "none"},
		{"its list does not end", "[namespace]\nrescue = [\"root\", \"@wheel\"\n" + tmp, "none"},
		{"its string does not end", "[namespace]\nrescue = [\"root\"]\ntimeout = \"\"\"30s\n" + tmp, "none"},
		{"behind the mistake", tmp + "skel =\n" + wheel, "none"},
		{"twice", wheel + tmp + wheel, "none"},
		{"more of it behind the mistake", wheel + tmp + "skel =\n[namespace.x]\n", "none"},
		{"twice, quoted, behind the mistake", wheel + tmp + "skel =\n[ \"namespace\" ]\n", "none"},
		{"twice, where the library lets it pass", "namespace.rescue = [\"@wheel\"]\n[namespace]\nscope = \"user\"\n", "none"},
		{"not a table", "namespace = 1\n" + tmp, "none"},
		{"an array", "[[namespace]]\nrescue = [\"@wheel\"]\n" + tmp, "none"},
		{"in a string of many lines", "[[polydir]]\npath = \"\"\"\n[namespace]\nrescue = [\"@wheel\"]\n[[polydir]]\nskel =\n", "none"},
		{"in a string of many lines, with a mistake behind it", "[[polydir]]\npath = \"\"\"\n[namespace]\nrescue = [\"@wheel\"]\n\"\"\"\nskel =\n" + tmp, "none"},
		{"in a comment", "# [namespace]\n# rescue = [\"@wheel\"]\n" + tmp + "skel =\n", "none"},
		{"too long", wheel + strings.Repeat("#", maxFile), "none"},
	} {
		got := "none"
		if l := RescueOf(Source{"f", []byte(c.text)}); l != nil {
			got = l.String()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestMayNameContexts(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                  false,
		"[[polydir]]\nmethod = \"user\"\n":  false,
		"[[polydir]\nmethod = 'level'\n":    true,
		"method = \"context":                true,
		"# method \"level\" is for SELinux": false,
	} {
		if got := MayNameContexts([]Source{{}, {"f", []byte(text)}}); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// FuzzRescueOf holds that a list is only ever one that the file has: with what it
// was read from as the whole file, Parse gives the same.
func FuzzRescueOf(f *testing.F) {
	f.Add([]byte("[namespace]\nrescue = [\"@wheel\"]\n[[polydir]]\nskel =\n"))
	f.Add([]byte("x = \"\"\"\n[namespace]\nrescue=['@wheel']\n[a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list := RescueOf(Source{"f", data})
		if list == nil {
			return
		}
		c, problems := Parse(Source{"f", data}, nil)
		if c != nil && fmt.Sprint(*list) != fmt.Sprint(c.Namespace.Rescue) {
			t.Errorf("%q: %v, %v", data, *list, c.Namespace.Rescue)
		}
		if !strings.Contains(string(data), "namespace") {
			t.Errorf("%q: %v (%v)", data, *list, problems)
		}
	})
}
