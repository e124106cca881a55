package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/refused/*.conf")
	for _, path := range append(files, exampleFile) {
		f.Add(source(f, path).Data, []byte("[[polydir]]\npath = '/x'\nmethod = 'tmpfs'\n"))
	}
	f.Add([]byte("a.b = 1\na = 2\n"), []byte("x = [{}, {a.\"b\" = '''''x'''''}]\n[[x.y]]\n[z]\n"))
	f.Fuzz(func(t *testing.T, main, dropin []byte) {
		sources := []Source{{"main", main}, {"dropin", dropin}}
		c, problems := Parse(sources[0], sources[1:])
		again, problemsAgain := Parse(sources[0], sources[1:])
		if !reflect.DeepEqual(c, again) || !reflect.DeepEqual(problems, problemsAgain) {
			t.Fatalf("two answers: %v, %v", problems, problemsAgain)
		}
		if (c == nil) != (len(problems) > 0) {
			t.Fatalf("Config %v with problems %v", c, problems)
		}
		for _, p := range problems {
			if !within(p.Pos, sources) {
				t.Errorf("outside of the file: %v", p)
			}
			if strings.ContainsAny(p.Error(), "\n\r\x00") {
				t.Errorf("not on one line: %q", p.Error())
			}
		}
		if c != nil {
			checkConfig(t, c)
		}
	})
}

func within(p Position, sources []Source) bool {
	for _, s := range sources {
		if s.Name != p.File {
			continue
		}
		if p.Line == 0 {
			return true
		}
		lines := strings.Split(strings.TrimPrefix(string(s.Data), bom), "\n")
		return p.Line >= 1 && p.Line <= len(lines) && p.Col >= 1 &&
			p.Col <= utf8.RuneCountInString(lines[p.Line-1])+1
	}
	return false
}

// checkConfig holds what the packages below rely on.
func checkConfig(t *testing.T, c *Config) {
	alice := Vars{Home: "/home/alice", User: "alice", UID: "1000"}
	for _, p := range c.Polydirs {
		for _, template := range []Template{p.Path, p.Prefix} {
			if template == "" && p.Method == MethodTmpfs {
				continue
			}
			path, err := template.Expand(alice)
			if err == nil && (!strings.HasPrefix(path, "/") || strings.Contains(path+"/", "/../")) {
				t.Errorf("%q becomes %q", template, path)
			}
		}
		if len(p.Except) > 0 && len(p.Only) > 0 {
			t.Errorf("except and only: %v", p)
		}
	}
}

func FuzzParseArgs(f *testing.F) {
	f.Add("debug conf=/etc/x rescue=root,@wheel,uid:1-2")
	f.Add("unmnt_remnt unmnt_only config_error=last-good ignore_config_error")
	f.Add("rescue=,~a,%b,1 conf= debug=")
	f.Add("nested=keep unmnt_only nested=")
	f.Fuzz(func(t *testing.T, line string) {
		argv := strings.Split(line, " ")
		a, err := ParseArgs(argv)
		b, errAgain := ParseArgs(argv)
		if !reflect.DeepEqual(a, b) || (err == nil) != (errAgain == nil) {
			t.Fatalf("two answers: %+v, %v and %+v, %v", a, err, b, errAgain)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\r\x00") {
			t.Errorf("not on one line: %q", err)
		}
		if a.Conf != "" && !strings.HasPrefix(a.Conf, "/") {
			t.Errorf("conf %q", a.Conf)
		}
	})
}
